"""The operators of rays: sums along lines, as a sparse matrix, or differentiable in where they run."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from scipy.sparse import csr_array, vstack

from ..geometry import Grid, Volume
from .operator import LinearOperator
from .planes import corner_weights, sparse_tensor
from .points import PointOperator
from .projection import CHI, Radiograph, Rays
from .views import detector, middle_of, rolled, view_axes

_RAYS = 4096  # whose steps are looked up at a time


class RayOperator(LinearOperator):
    """Sums along rays, differentiable in their points."""

    def __init__(self, grid: Grid, points: torch.Tensor, weights: torch.Tensor):
        """Points (steps, n, 3) RAS mm, and what the sum of each ray is multiplied with, (n,)."""
        self.shape_kji = grid.shape_kji
        self._points = PointOperator(grid, points, points.new_ones(len(points)))
        self._weights = weights

    @property
    def count(self) -> int:
        """Number of rays."""
        return len(self._weights)

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """(n, K, J, I) volumes -> (n, count) integrals."""
        return self._points.forward(volumes) * self._weights

    def adjoint(self, values: torch.Tensor) -> torch.Tensor:
        """(n, count) integrals -> (n, K, J, I): every value smeared back along its ray."""
        return self._points.adjoint(values * self._weights)


class RayMatrix(LinearOperator):
    """The same as a sparse matrix (rays, voxels), for many applications."""

    def __init__(self, matrix: csr_array, shape_kji: tuple[int, int, int], device: torch.device | str):
        """Both the matrix and its transpose are kept."""
        self.shape_kji = shape_kji
        self._matrix, self._transposed = (sparse_tensor(m, device) for m in (matrix, matrix.T.tocsr()))

    @property
    def count(self) -> int:
        """Number of rays."""
        return self._matrix.shape[0]

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """(n, K, J, I) volumes -> (n, count) integrals."""
        return _each(self._matrix, volumes.reshape(len(volumes), -1))

    def adjoint(self, values: torch.Tensor) -> torch.Tensor:
        """(n, count) integrals -> (n, K, J, I)."""
        return _each(self._transposed, values).reshape(len(values), *self.shape_kji)


def _each(matrix: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """A sparse matrix applied to each of some rows; to one alone in a third of the time of a product."""
    return (matrix @ rows[0])[None] if len(rows) == 1 else (matrix @ rows.T).T


def ray_matrix(rays: Rays, grid: Grid, attenuation: float, device: torch.device | str) -> RayMatrix:
    """The sparse operator of rays through a grid, trilinear at every step."""
    to_ijk = grid.ras_to_ijk
    parts = []
    for start in range(0, len(rays.pixels), _RAYS):
        points, lengths = rays.points(slice(start, start + _RAYS))
        ijk = points.swapaxes(0, 1).reshape(-1, 3) @ to_ijk[:3, :3].T + to_ijk[:3, 3]  # ray by ray
        inside = ((ijk > -1) & (ijk < grid.shape_kji[::-1])).all(1)
        index, weight = corner_weights(ijk[inside], grid.shape_kji)
        hit = weight > 0
        ends = np.cumsum(inside)[len(points) - 1 :: len(points)]
        ends = np.concatenate([[0], np.cumsum(hit.sum(1))])[np.concatenate([[0], ends])]
        part = csr_array(
            (weight[hit].astype(np.float32), index[hit].astype(np.int32), ends.astype(np.int32)),
            (len(lengths), grid.size),
        )
        part.sum_duplicates()
        part.data *= np.repeat((lengths * attenuation).astype(np.float32), np.diff(part.indptr))
        parts.append(part)
    return RayMatrix(csr_array(vstack(parts, "csr")), grid.shape_kji, device)


@lru_cache(maxsize=4)  # a result asks for the same operators again and again
def operator_of(
    seen: Radiograph, shape_kji: tuple[int, int, int], ijk_to_ras: bytes, device: str
) -> RayMatrix:
    """The operator of a radiograph on a grid, whose matrix (4, 4) is given as bytes."""
    grid = Grid(shape_kji, np.frombuffer(ijk_to_ras).reshape(4, 4))
    return ray_matrix(Rays.of(seen, grid), grid, seen.attenuation_per_mm, device)


def radiograph_of(
    volume: Volume, direction: np.ndarray, pixels: int, noise: float = 0.0, roll: float = 0.0
) -> Radiograph:
    """What a volume shows along parallel rays, with the attenuation of the paper.

    Args:
        volume: canonical units.
        direction: of the rays, RAS (3,).
        pixels: along both sides of a detector as wide as the longest side of the grid.
        noise: standard deviation that is stated of its values; none is added.
        roll: of the detector in its plane, rad.
    """
    grid = volume.grid
    side_mm = float((grid.spacing_ijk * grid.shape_kji[::-1]).max())
    plane = detector(rolled(view_axes(direction), roll), middle_of(grid), (pixels, pixels), side_mm / pixels)
    blank = Radiograph(np.eye(pixels), plane, "made", "made", attenuation_per_mm=CHI / side_mm, noise=noise)
    shown = blank.operator(grid).forward(torch.as_tensor(volume.array, dtype=torch.float32)[None])[0]
    return replace(blank, integrals=shown.reshape(pixels, pixels).numpy())


def unplaced(seen: Radiograph, view: str) -> Radiograph:
    """A radiograph in the space of its own detector, of which no more is said than a view's word."""
    plane = detector(np.eye(3), np.zeros(3), seen.plane.shape_ji, float(seen.plane.spacing_ij[0]))
    return replace(seen, plane=plane, view=view, attenuation_per_mm=0.0)


def moved_rays(seen: Radiograph, grid: Grid, pose: torch.Tensor) -> RayOperator:
    """The operator of a radiograph that is moved with its source, differentiable in the movement.

    Args:
        seen: before it is moved.
        grid: of the volumes.
        pose: 4x4, rigid, mm to mm, RAS.

    Raises:
        InputError: the source lies in the grid.
    """
    Rays.of(seen.transformed(pose.detach().cpu().double().numpy()), grid)

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, dtype=pose.dtype, device=pose.device)

    turn, shift = pose[:3, :3], pose[:3, 3]
    normal = turn @ tensor(seen.plane.normal)
    pixels = tensor(seen.plane.points_ras()[seen.kept_pixels.ravel()]) @ turn.T + shift
    along = (tensor(grid.corners_ras()) - (turn @ tensor(seen.plane.centre) + shift)) @ normal
    half = 0.5 * (normal @ tensor(grid.ijk_to_ras[:3, :3])).abs().max()
    low, high = along.min() - half, along.max() + half
    step = (high - low) / seen.steps
    depth = low + step * (torch.arange(seen.steps, dtype=pose.dtype, device=pose.device) + 0.5)
    if seen.source_ras is None:
        direction = normal
        length = torch.ones_like(pixels[:, 0])
    else:
        direction = pixels - (turn @ tensor(seen.source_ras) + shift)
        direction = direction / (direction @ normal)[:, None]
        length = direction.norm(dim=1)
    points = pixels + depth[:, None, None] * direction
    return RayOperator(grid, points, length * step * seen.attenuation_per_mm)
