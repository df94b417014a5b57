"""Which voxels were observed, and what was observed there."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from ..geometry import Grid, SliceImage
from ..geometry.resample import resample_slice


def observed_voxels(slices: list[SliceImage], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Mask (K, J, I) bool of the voxels a slice passes through, and the observed values there (0 elsewhere),
    float32.

    A voxel is observed where its centre is within half a voxel (along the slice's normal) of the mid-plane of
    a slice and inside its rectangle; thicker slices do not mark more voxels, since each of those holds only a
    part of the average. Where slices cross, their values are averaged; finer pixels are averaged to the
    grid's spacing first.
    """
    total, weight = np.zeros(grid.shape_kji), np.zeros(grid.shape_kji)
    size = float(grid.spacing_ijk.min())
    for s in slices:
        box = _box_around(s, grid)
        if box is None:
            continue
        matrix = np.linalg.inv(s.plane.ij_to_ras) @ grid.ijk_to_ras
        k, j, i = np.ogrid[box]
        column, row, distance = (m[0] * i + m[1] * j + m[2] * k + m[3] for m in matrix[:3])
        footprint = np.abs(s.plane.normal @ grid.ijk_to_ras[:3, :3]).sum()
        rows, columns = s.plane.shape_ji
        near = np.abs(distance) <= footprint / 2 + 1e-6
        near &= (column >= -0.5) & (row >= -0.5) & (column <= columns - 0.5) & (row <= rows - 0.5)
        picture = resample_slice(s, size) if size > 1.2 * float(s.plane.spacing_ij.max()) else s
        to_picture = np.linalg.inv(picture.plane.ij_to_ras) @ s.plane.ij_to_ras
        column, row = to_picture[:2, :2] @ [column[near], row[near]] + to_picture[:2, 3:]
        values = map_coordinates(picture.pixels.astype(np.float64), [row, column], order=1, mode="nearest")
        closeness = 1e-3 + 1 - 2 * np.abs(distance[near]) / (footprint + 1e-6)
        total[box][near] += values * closeness
        weight[box][near] += closeness
    mask = weight > 0
    return mask, np.where(mask, total / np.maximum(weight, 1e-12), 0).astype(np.float32)


def _box_around(image: SliceImage, grid: Grid) -> tuple[slice, slice, slice] | None:
    """The part of the grid (k, j, i slices) around a slice, None if they do not meet."""
    rows, columns = image.plane.shape_ji
    corners = np.array([[i, j, 0, 1] for i in (-0.5, columns - 0.5) for j in (-0.5, rows - 0.5)]).T
    ijk = (grid.ras_to_ijk @ image.plane.ij_to_ras @ corners)[:3]
    low = np.maximum(np.floor(ijk.min(1)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(ijk.max(1)).astype(int) + 2, grid.shape_kji[::-1])
    if (low >= high).any():
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
