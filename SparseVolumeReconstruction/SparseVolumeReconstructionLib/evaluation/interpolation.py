"""A volume from a stack of parallel slices alone; numpy only, for those who have no torch."""

from __future__ import annotations

import numpy as np

from ..geometry import Grid, InputError, Volume
from ..geometry.resample import resample
from ..observation import Slice


def nearest_slice(slices: list[Slice], grid: Grid) -> np.ndarray:
    """Every slice of the volume (K, J, I) is a copy of the nearest one.

    Args:
        slices: at least one, in the space of the grid, in any order and at any depth.

    Raises:
        InputError: a slice is not parallel to the grid's k planes.
    """
    depth, images = _as_stack(slices, grid)
    nearest = np.abs(np.arange(grid.shape_kji[0])[:, None] - depth).argmin(1)
    return images[nearest]


def linear_interpolation(slices: list[Slice], grid: Grid) -> np.ndarray:
    """The volume (K, J, I), linear between neighbouring slices, constant outside of them.

    Args:
        slices: at least one, in the space of the grid, in any order and at any depth.

    Raises:
        InputError: a slice is not parallel to the grid's k planes.
    """
    depth, images = _as_stack(slices, grid)
    k = np.clip(np.arange(grid.shape_kji[0]), depth[0], depth[-1])
    upper = np.clip(np.searchsorted(depth, k, side="left"), min(1, len(depth) - 1), len(depth) - 1)
    lower = np.maximum(upper - 1, 0)
    step = np.where(upper > lower, depth[upper] - depth[lower], 1.0)
    weight = ((k - depth[lower]) / step).astype(np.float32)[:, None, None]
    return (1 - weight) * images[lower] + weight * images[upper]


def _as_stack(slices: list[Slice], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Position of each slice along k in voxels, ascending (n,), and its pixels (n, J, I) on the lattice."""
    steps = grid.ijk_to_ras[:3, :3] / grid.spacing_ijk
    found = []
    for image in slices:
        if np.abs(steps[:, :2].T @ image.plane.normal).max() > 1e-3:
            raise InputError(
                f"{image.name}: not parallel to the axial planes of the output; this baseline needs one "
                "stack."
            )
        depth = (grid.ras_to_ijk[:3, :3] @ image.plane.centre + grid.ras_to_ijk[:3, 3])[2]
        matrix = grid.ijk_to_ras.copy()
        matrix[:3, 3] += matrix[:3, 2] * depth
        own, lattice = (
            Grid((1, *image.plane.shape_ji), image.plane.ij_to_ras),
            Grid((1, *grid.shape_kji[1:]), matrix),
        )
        found.append((depth, resample(Volume(image.pixels[None], own), lattice).array[0]))
    found.sort(key=lambda pair: pair[0])
    return np.array([d for d, _ in found]), np.stack([p for _, p in found])
