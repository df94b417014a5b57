"""The linear operator of slices: volume on a grid -> pixels on planes at any pose, and its adjoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array

from ..geometry import Grid, Plane
from .operator import LinearOperator

_PROFILE_STEP_MM = 1.0


def slice_profile(thickness_mm: float, step_mm: float = _PROFILE_STEP_MM) -> tuple[np.ndarray, np.ndarray]:
    """Offsets along the normal (mm) and weights (sum 1) of a box profile of full width `thickness_mm`.

    A slice not thicker than `step_mm` is taken as an ideal plane.

    Args:
        thickness_mm: 0 or more.
        step_mm: the offsets are this far apart, or less.
    """
    count = max(1, int(np.ceil(thickness_mm / step_mm)))
    if count == 1:
        return np.zeros(1), np.ones(1)
    edges = np.linspace(-thickness_mm / 2, thickness_mm / 2, count + 1)
    return (edges[:-1] + edges[1:]) / 2, np.full(count, 1.0 / count)


def gaussian_profile(thickness_mm: float, step_mm: float = _PROFILE_STEP_MM) -> tuple[np.ndarray, np.ndarray]:
    """The same of a Gaussian profile whose full width at half maximum is `thickness_mm`.

    It is cut off at twice that width.

    Args:
        thickness_mm: one not above `step_mm` is taken as an ideal plane.
        step_mm: the offsets are this far apart, or less.
    """
    count = 2 * int(np.ceil(thickness_mm / step_mm)) + 1
    if thickness_mm <= step_mm:
        return np.zeros(1), np.ones(1)
    offsets = np.linspace(-thickness_mm, thickness_mm, count)
    weights = np.exp2(-((2 * offsets / thickness_mm) ** 2))
    return offsets, weights / weights.sum()


@dataclass(frozen=True, eq=False)
class PlaneOperator(LinearOperator):
    """Sparse matrix A of size (observed pixels, voxels of a grid).

    keep: per plane, bool (rows, columns): which pixels are observed. Rows of A run over planes in order,
    pixels in row-major order.
    """

    matrix: torch.Tensor
    transposed: torch.Tensor
    keep: list[np.ndarray]
    shape_kji: tuple[int, int, int]

    @property
    def count(self) -> int:
        """Number of observed pixels."""
        return self.matrix.shape[0]

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """(n, K, J, I) volumes -> (n, count) pixels."""
        return (self.matrix @ volumes.reshape(len(volumes), self.matrix.shape[1]).T).T

    def adjoint(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, count) pixels -> (n, K, J, I): the transposed matrix."""
        return (self.transposed @ pixels.T).T.reshape(len(pixels), *self.shape_kji)

    def split(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """(n, count) -> one (n, rows, columns) image per plane, 0 where a pixel was not observed."""
        images = []
        start = 0
        for keep in self.keep:
            mask = torch.as_tensor(keep, device=pixels.device)
            image = pixels.new_zeros(len(pixels), *keep.shape)
            stop = start + int(keep.sum())
            image[:, mask] = pixels[:, start:stop]
            images.append(image)
            start = stop
        return images

    def join(self, images: list[torch.Tensor]) -> torch.Tensor:
        """The inverse of `split`: observed pixels of the images, (n, count)."""
        return torch.cat(
            [
                image[:, torch.as_tensor(keep, device=image.device)]
                for image, keep in zip(images, self.keep, strict=True)
            ],
            1,
        )


def corner_weights(ijk: np.ndarray, shape_kji: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Flat indices and trilinear weights of the 8 voxels around index points (n, 3), (n, 8) each.

    Args:
        ijk: in voxels of the grid, fractions included.
        shape_kji: of the grid.

    Returns:
        Indices, always of the grid, and weights; the weight is 0 outside the grid.
    """
    low = np.floor(ijk).astype(np.int64)
    part = ijk - low
    index = np.zeros((len(ijk), 1), np.int64)
    weight = np.ones((len(ijk), 1))
    for axis, size in zip((2, 1, 0), shape_kji, strict=True):  # the voxels along i change fastest
        voxel = low[:, axis, None] + np.arange(2)
        share = np.stack([1 - part[:, axis], part[:, axis]], 1) * ((voxel >= 0) & (voxel < size))
        shape = len(ijk), 2 * index.shape[1]
        index = (index[:, :, None] * size + voxel.clip(0, size - 1)[:, None]).reshape(shape)
        weight = (weight[:, :, None] * share[:, None]).reshape(shape)
    return index, weight


def observed_pixels(plane: Plane, grid: Grid, mask: np.ndarray | None = None) -> np.ndarray:
    """Which pixels (rows, columns) have their centre on the grid, and in `mask` (K, J, I) bool if given.

    Args:
        plane: in the space of the grid.
        grid: reaches half a voxel beyond its outer voxel centres.
        mask: looked up at the voxel nearest to the pixel's centre.
    """
    ijk = plane.points_ras() @ grid.ras_to_ijk[:3, :3].T + grid.ras_to_ijk[:3, 3]
    nearest = np.rint(ijk).astype(int)
    valid: np.ndarray = ((nearest >= 0) & (nearest < grid.shape_kji[::-1])).all(1)
    if mask is not None:
        valid[valid] = np.asarray(mask, bool)[tuple(nearest[valid].T[::-1])]
    return valid.reshape(plane.shape_ji)


def plane_operator(
    planes: list[Plane],
    grid: Grid,
    mask: np.ndarray | None = None,
    device: torch.device | str = "cpu",
    profile: Callable[[float], tuple[np.ndarray, np.ndarray]] = slice_profile,
    keep: Sequence[np.ndarray] | None = None,
) -> PlaneOperator:
    """Operator of planes on a grid: trilinear interpolation averaged over the slice profile.

    Args:
        planes: in the space of the grid; there may be none.
        grid: where the volume lives.
        mask: (K, J, I) bool; only pixels whose centre lies in it are taken as observed (the whole grid if
            None).
        device: where the operator computes.
        profile: offsets in mm and weights of a slice of some thickness in mm.
        keep: which pixels of every plane are observed, bool (rows, columns), wherever they lie; `mask` is not
            looked at.
    """
    ras_to_ijk = grid.ras_to_ijk
    rows = []
    columns = []
    values = []
    keeps = []
    start = 0
    for number, plane in enumerate(planes):
        kept = observed_pixels(plane, grid, mask) if keep is None else keep[number]
        keeps.append(kept)
        points = plane.points_ras()[kept.ravel()] @ ras_to_ijk[:3, :3].T + ras_to_ijk[:3, 3]
        normal = ras_to_ijk[:3, :3] @ plane.normal
        for offset, share in zip(*profile(plane.thickness_mm), strict=True):
            index, weight = corner_weights(points + offset * normal, grid.shape_kji)
            rows.append(np.repeat(np.arange(start, start + len(points)), 8))
            columns.append(index.ravel())
            values.append(weight.ravel() * share)
        start += len(points)
    size = (start, grid.size)
    row, column, value = (np.concatenate(parts or [np.zeros(0)]) for parts in (rows, columns, values))
    sparse = csr_array((value.astype(np.float32), (row.astype(np.int64), column.astype(np.int64))), size)
    return PlaneOperator(
        sparse_tensor(sparse, device), sparse_tensor(sparse.T.tocsr(), device), keeps, grid.shape_kji
    )


def sparse_tensor(sparse: csr_array, device: torch.device | str) -> torch.Tensor:
    """A sparse matrix of scipy as one of torch."""
    rows, columns, values = (torch.as_tensor(part) for part in (sparse.indptr, sparse.indices, sparse.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")
        return torch.sparse_csr_tensor(
            rows, columns, values, sparse.shape, device=device, check_invariants=False
        )
