"""The operator of points: a volume interpolated anywhere, differentiable in where that is."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch.nn.functional import grid_sample

from ..geometry import Grid, Plane
from .operator import LinearOperator
from .planes import observed_pixels, slice_profile


class PointOperator(LinearOperator):
    """Trilinear interpolation at points, and averages of such; differentiable in the points.

    Like the sparse matrix of `PlaneOperator` where both apply; `forward` stores nothing, `adjoint` the voxels
    around every point, once. Spatial transformer networks (Jaderberg et al., NeurIPS 2015) sample alike.
    """

    def __init__(self, grid: Grid, points: torch.Tensor, weights: torch.Tensor | None = None):
        """Where a volume on a grid is looked at.

        Args:
            grid: of the volumes; at least two voxels along every axis. 0 outside of it.
            points: (..., 3) RAS mm; (s, ..., 3) with weights.
            weights: (s,), of the points that are averaged; every point is a value of its own if None.
        """
        self.shape_kji = grid.shape_kji
        self._weights = weights
        size = torch.as_tensor(grid.shape_kji[::-1], dtype=points.dtype, device=points.device)
        self._to_ijk = torch.as_tensor(grid.ras_to_ijk, dtype=points.dtype, device=points.device)
        scale = self._to_ijk[:3, :3].T * 2 / (size - 1)
        self._points = points
        self._unit = (points @ scale + (self._to_ijk[:3, 3] * 2 / (size - 1) - 1)).reshape(1, 1, 1, -1, 3)

    @property
    def count(self) -> int:
        """Number of values."""
        return self._unit.shape[3] // (1 if self._weights is None else len(self._weights))

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """(n, K, J, I) volumes -> (n, count) values."""
        sampled = grid_sample(volumes[None], self._unit, align_corners=True)[0, :, 0, 0]
        if self._weights is None:
            return sampled
        return torch.einsum(
            "nsp,s->np", sampled.reshape(len(volumes), len(self._weights), self.count), self._weights
        )

    def adjoint(self, values: torch.Tensor) -> torch.Tensor:
        """(n, count) values -> (n, K, J, I): every value spread over the 8 voxels around its points."""
        index, weights = self._corners
        spread = (values[:, None, None] * weights).reshape(len(values), -1)
        out = values.new_zeros(len(values), math.prod(self.shape_kji))
        out = out.scatter_add(1, index.expand(len(values), -1), spread)
        return out.reshape(len(values), *self.shape_kji)

    @cached_property
    def _corners(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the 8 voxels around every point: flat numbers (8 s p,), and weights (8, s, p), 0 outside."""
        ijk = self._points.reshape(-1, 3) @ self._to_ijk[:3, :3].T + self._to_ijk[:3, 3]
        low = ijk.detach().floor()
        index = torch.zeros(1, len(ijk), dtype=torch.long, device=ijk.device)
        weight = torch.ones_like(ijk[None, :, 0])
        stride = 1
        for axis, size in enumerate(self.shape_kji[::-1]):
            voxel = low[:, axis].long() + torch.tensor([[0], [1]], device=ijk.device)
            part = ijk[:, axis] - low[:, axis]
            share = torch.stack([1 - part, part]) * ((voxel >= 0) & (voxel < size))
            index = (index[:, None] + stride * voxel.clamp(0, size - 1)).flatten(0, 1)
            weight = (weight[:, None] * share).flatten(0, 1)
            stride *= size
        averaged = weight.new_ones(1) if self._weights is None else self._weights
        return index.flatten(), weight.reshape(8, len(averaged), -1) * averaged[:, None]


def moved_plane_operator(
    plane: Plane, grid: Grid, pose: torch.Tensor, mask: np.ndarray | None, device: torch.device | str = "cpu"
) -> PointOperator:
    """The operator of a plane that is moved, differentiable in the movement.

    Args:
        plane: before it is moved.
        grid: of the volumes.
        pose: 4x4, mm to mm, RAS.
        mask: (K, J, I) bool; only pixels whose centre lies in it when moved are observed (all if None).
        device: where the operator computes.

    Returns:
        The operator of the pixels that are observed, in row-major order. Which ones these are does not follow
        the gradient.
    """
    pose = pose.to(device)
    keep = observed_pixels(plane.transformed(pose.detach().cpu().double().numpy()), grid, mask)
    offsets, weights = slice_profile(plane.thickness_mm)
    points = plane.points_ras()[keep.ravel()] + offsets[:, None, None] * plane.normal
    at = torch.as_tensor(points, dtype=pose.dtype, device=pose.device)
    moved = at @ pose[:3, :3].T + pose[:3, 3]
    return PointOperator(grid, moved, torch.as_tensor(weights, dtype=pose.dtype, device=pose.device))
