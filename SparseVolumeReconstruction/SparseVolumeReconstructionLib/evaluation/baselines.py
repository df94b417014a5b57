"""Baselines that every report shows beside a generative system.

Each is used like a prior: `condition(slices, grid, frame)` gives something with `mean()`, the volume on
`grid` in the slices' own intensities. frame: 4x4 RAS-to-RAS from patient points (of slices and grid) to
points of the library. None of them knows an uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from ..geometry import Grid, InputError, Plane, Volume
from ..geometry.resample import resample
from ..observation import Slice

PCA_RANK = 40
PCA_RIDGE = 1.0
_MAX_PIXELS = 8192


@dataclass(frozen=True, eq=False)
class Estimate:
    """One volume and nothing else: (K, J, I) float32 on `grid`."""

    grid: Grid
    array: np.ndarray

    def mean(self) -> np.ndarray:
        """The volume, (K, J, I)."""
        return self.array


class NearestSlice:
    """Every slice of the volume is a copy of the nearest context."""

    name = "nearest-slice"

    def condition(self, slices: list[Slice], grid: Grid, frame: np.ndarray) -> Estimate:
        """Raises InputError unless the slices are parallel to the grid's k planes."""
        depth, images = _as_stack(slices, grid)
        nearest = np.abs(np.arange(grid.shape_kji[0])[:, None] - depth).argmin(1)
        return Estimate(grid, images[nearest])


class LinearInterpolation:
    """Linear between neighbouring contexts, constant outside of them."""

    name = "linear-interpolation"

    def condition(self, slices: list[Slice], grid: Grid, frame: np.ndarray) -> Estimate:
        """Raises InputError unless the slices are parallel to the grid's k planes."""
        depth, images = _as_stack(slices, grid)
        k = np.clip(np.arange(grid.shape_kji[0]), depth[0], depth[-1])
        upper = np.clip(np.searchsorted(depth, k, side="left"), min(1, len(depth) - 1), len(depth) - 1)
        lower = np.maximum(upper - 1, 0)
        step = np.where(upper > lower, depth[upper] - depth[lower], 1.0)
        weight = ((k - depth[lower]) / step).astype(np.float32)[:, None, None]
        return Estimate(grid, (1 - weight) * images[lower] + weight * images[upper])


def _as_stack(slices: list[Slice], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Position of each slice along k in voxels, ascending (n,), and its pixels on the grid's lattice (n, J,
    I).
    """
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


def _on_lattice(image: Slice, lattice: Plane) -> np.ndarray:
    """The pixels (J, I) of a slice on another lattice in the same plane."""
    source, target = (Grid((1, *plane.shape_ji), plane.ij_to_ras) for plane in (image.plane, lattice))
    return resample(Volume(image.pixels[None], source), target).array[0]


@dataclass(frozen=True, eq=False)
class Library:
    """Whole volumes of other subjects on one grid: volumes {name: (K, J, I)} and their Gram matrix (n, n)."""

    grid: Grid
    volumes: dict[str, np.ndarray]
    gram: np.ndarray

    @classmethod
    def of(cls, grid: Grid, volumes: dict[str, np.ndarray]) -> Library:
        """Build the Gram matrix; volumes are kept as float16 arrays."""
        kept = {name: np.asarray(v, np.float16) for name, v in volumes.items()}
        flat = [v.ravel() for v in kept.values()]
        gram = np.zeros((len(flat), len(flat)))
        for block in np.array_split(np.arange(grid.size), max(1, grid.size // 65536)):
            rows = (
                np.stack([v[block] for v in flat]).astype(np.float32)
                if flat
                else np.zeros((0, 1), np.float32)
            )
            gram += rows @ rows.T
        return cls(grid, kept, gram)

    def without(self, name: str) -> Library:
        """The library without one subject (itself when the subject is not in it)."""
        keep = [n for n, other in enumerate(self.volumes) if other != name]
        names = [list(self.volumes)[n] for n in keep]
        return Library(self.grid, {n: self.volumes[n] for n in names}, self.gram[np.ix_(keep, keep)])

    def at(self, points_ras: np.ndarray) -> np.ndarray:
        """Values of every volume at points (p, 3) in library mm, linear and 0 outside, (n, p) float32."""
        kji = (points_ras @ self.grid.ras_to_ijk[:3, :3].T + self.grid.ras_to_ijk[:3, 3])[:, ::-1].T
        return np.stack([map_coordinates(v.astype(np.float32), kji, order=1) for v in self.volumes.values()])

    def combined(self, weights: np.ndarray) -> np.ndarray:
        """Weighted sum of the volumes, (K, J, I) float32."""
        return sum(
            np.float32(w) * v.astype(np.float32)
            for w, v in zip(weights, self.volumes.values(), strict=True)
            if w
        )


@dataclass(frozen=True, eq=False)
class FromLibrary:
    """A weighted sum of other subjects' volumes.

    `weigh(sampled (n, p), pixels (p,), gram (n, n)) -> (n,)` chooses the weights.
    """

    name: str
    library: Library
    weigh: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

    def condition(self, slices: list[Slice], grid: Grid, frame: np.ndarray) -> Estimate:
        """Choose the weights from the slices alone and bring the sum onto `grid`."""
        points, pixels = [], []
        for image in slices:
            stride = int(np.ceil(np.sqrt(image.pixels.size / _MAX_PIXELS)))
            points.append(
                image.plane.points_ras().reshape(*image.pixels.shape, 3)[::stride, ::stride].reshape(-1, 3)
            )
            pixels.append(image.pixels[::stride, ::stride].ravel())
        canonical = np.concatenate(points) @ frame[:3, :3].T + frame[:3, 3]
        weights = self.weigh(self.library.at(canonical), np.concatenate(pixels), self.library.gram)
        volume = Volume(self.library.combined(weights), self.library.grid)
        if not volume.grid.same_as(grid) or not np.allclose(frame, np.eye(4)):
            volume = resample(volume, grid, frame)
        return Estimate(grid, np.clip(volume.array, 0.0, 1.0))


def nearest_weights(sampled: np.ndarray, pixels: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """All weight on the volume whose context slices are nearest in L2, (n,)."""
    weights = np.zeros(len(sampled))
    weights[((sampled - pixels) ** 2).sum(1).argmin()] = 1.0
    return weights


def pca_weights(sampled: np.ndarray, pixels: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Weights of the least-squares fit of the leading principal components to the contexts, (n,).

    x = m + W z with W = C' U / sqrt(n) from the centred Gram matrix C C' = U S^2 U', rank at most 40;
    z = argmin |y - m_c - W_c z|^2 + PCA_RIDGE |z|^2 over the context pixels alone.
    """
    count = len(sampled)
    centring = np.eye(count) - 1.0 / count
    values, vectors = np.linalg.eigh(centring @ gram @ centring)
    leading = values.argsort()[::-1][: min(PCA_RANK, count - 1)]
    loadings = centring @ vectors[:, leading] / np.sqrt(count)
    design = sampled.T @ loadings
    residual = pixels - sampled.mean(0)
    z = np.linalg.solve(design.T @ design + PCA_RIDGE * np.eye(len(leading)), design.T @ residual)
    return 1.0 / count + loadings @ z


def baselines(library: Library) -> list:
    """The baselines that need contexts.

    Those that need other subjects only where the library holds at least three.
    """
    found = [NearestSlice(), LinearInterpolation()]
    if len(library.volumes) >= 3:
        found += [
            FromLibrary("nearest-volume", library, nearest_weights),
            FromLibrary("pca", library, pca_weights),
        ]
    return found
