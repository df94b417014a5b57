"""A cube of voxels as the network sees it: turned so that its last axis runs along the rays."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import grid_sample

from ...geometry import Grid


def cube_grid(grid: Grid, size: int) -> Grid:
    """The cube of size^3 voxels that a network sees of a grid: as long as its longest side."""
    corners = grid.corners_ras()
    return Grid.centred((size,) * 3, side_mm(grid) / size, (corners[0] + corners[-1]) / 2)


def side_mm(grid: Grid) -> float:
    """Of that cube."""
    return float((grid.spacing_ijk * np.array(grid.shape_kji[::-1])).max())


def turned(volumes: torch.Tensor, axes: torch.Tensor) -> torch.Tensor:
    """Cubes seen along other axes: (B, depth, rows, columns), 0 outside.

    Args:
        volumes: (B, K, J, I) cubes with RAS axes.
        axes: (B, 3, 3), rows as `observation.views.view_axes` gives them.
    """
    size = volumes.shape[-1]
    at = torch.linspace(-1, 1, size, dtype=volumes.dtype, device=volumes.device)
    z, y, x = torch.meshgrid(at, at, at, indexing="ij")
    with torch.autocast(volumes.device.type, enabled=False):  # places need all of their digits
        points = torch.stack([x, y, z], -1).reshape(1, -1, 3) @ axes.to(volumes)
    grid = points.reshape(-1, size, size, size, 3)
    return grid_sample(volumes[:, None], grid, align_corners=True)[:, 0]


def transparency(seen: torch.Tensor, chi: float) -> torch.Tensor:
    """exp(-chi * mean along the rays) of cubes (B, depth, rows, columns): (B, rows, columns).

    The mean of so many slices is the integral over one side of the cube.
    """
    return torch.exp(-chi * seen.clamp(min=0).mean(1))
