"""Where a person's anatomy lies, as far as slices show it: donors are deformed until they explain them.

What the deformations change of the donors' average is what the mean of the process lacks for these slices.
Each is a smooth field of displacements on coarse nodes, whose differences between neighbours are Gaussian
before anything is seen, with its maximum a posteriori given the observed pixels alone, found by Adam (Kingma
and Ba, ICLR 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import grid_sample

from ...geometry import Grid
from ...observation.points import PointOperator
from ...observation.slices import Slice
from ...solvers.adam import Adam
from ..card import MeanWarping
from .parameters import GaussianParameters

_SIZE_MM, _PIXELS = 2.5, 4000  # that are looked at in a step
_AREA_MM2 = 220.0  # in which pixels are not independent
_STEPS, _RATE_MM = 35, 0.7
_MIN_NODES = 4
_STIFF = 0.1  # of a displacement itself, beside the differences between neighbours
_NODES_MM = 20.0  # for which the deviation of differences is meant: those of one field go with the distance
_TOGETHER = 5  # donors
_MAX_DONORS = 30  # of them, those nearest to the slices: more are no better
MIN_SHARE = 0.02  # of a change: less does not matter


@dataclass(frozen=True, eq=False)
class SeenPixels:
    """Pixels of slices in the anatomy.

    points: RAS mm, (m, 3). values: canonical units, (m,). weight: of their mean squared difference from what
    is expected: as many as are independent, over the variance of what no deformation explains.
    """

    points: torch.Tensor
    values: torch.Tensor
    weight: float

    @classmethod
    def of(cls, slices: Sequence[Slice], parameters: GaussianParameters) -> SeenPixels:
        """Those of slices, on a lattice of some mm.

        Args:
            slices: canonical mm and units; what they show is taken to lie in the middle of their thickness.
            parameters: say where the anatomy is, and the standard deviation of the residual there.
        """
        lattices = [s.no_finer(_SIZE_MM) for s in slices]
        areas = np.concatenate([np.full(s.pixels.size, np.prod(s.plane.spacing_ij)) for s in lattices])
        points = torch.as_tensor(np.concatenate([s.plane.points_ras() for s in lattices])).float()
        values = torch.as_tensor(np.concatenate([s.pixels.ravel() for s in lattices])).float()
        maps = torch.zeros(2, *parameters.grid.shape_kji)
        maps[:, torch.as_tensor(parameters.mask)] = torch.stack(
            [torch.ones_like(parameters.sd), parameters.sd]
        )
        anatomy, sd = PointOperator(parameters.grid, points).forward(maps)
        inside = anatomy > 0.5
        variance = float(sd[inside].square().mean()) if inside.any() else 1.0
        return cls(points[inside], values[inside], float(areas[inside.numpy()].sum()) / _AREA_MM2 / variance)


def warped_change(
    donors: torch.Tensor,
    source: Grid,
    seen: SeenPixels,
    grid: Grid,
    wanted: torch.Tensor,
    how: MeanWarping,
    check: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """What deforming donors to slices changes of their average, (K, J, I) on `grid`, canonical units.

    Of many donors those are taken who differ least from the slices as they are. On the CPU, so that it is the
    same, bit by bit, on every device.

    Args:
        donors: (n, K', J', I') on `source`.
        source: a grid with the canonical axes.
        seen: of the slices.
        grid: where the change is wanted.
        wanted: (K, J, I) bool; 0 elsewhere.
        how: how stiff displacements are.
        check: called in every step; raise from it to cancel.
    """
    change = torch.zeros(grid.shape_kji)
    if not len(seen.values):
        return change
    away = (_looked(donors, _unit(source, seen.points).expand(len(donors), -1, -1)) - seen.values).square()
    donors = donors[away.mean(1).argsort(stable=True)[:_MAX_DONORS]]
    nodes = _fitted(donors, source, seen, how, check)
    where = _unit(source, torch.as_tensor(grid.points_ras()[wanted.flatten().numpy()]).float())
    total = -len(donors) * _looked(donors.mean(0, keepdim=True), where[None])[0]
    for part, moved in zip(donors.split(_TOGETHER), nodes.split(_TOGETHER), strict=True):
        check()
        total += _looked(part, where + _shift(moved, where) * _per_mm(source)).sum(0)
    change[wanted] = total / len(donors)
    return change


def counting(slices: Sequence[Slice], grid: Grid, how: MeanWarping) -> torch.Tensor:
    """How much of what the change does to the mean counts, (K, J, I): less far from all slices.

    There displacements are not known, and donors who were moved at random are no nearer to the truth.

    Args:
        slices: one at least, in the space of the grid.
        grid: where that is asked.
        how: gain and reach.
    """
    points = grid.points_ras()
    away = np.full(len(points), np.inf)
    for plane in (s.plane for s in slices):
        np.minimum(away, np.abs(points @ plane.normal - plane.centre @ plane.normal), out=away)
    share = how.gain * np.exp(-away / how.reach_mm)
    return torch.as_tensor(share, dtype=torch.float32).reshape(grid.shape_kji)


def _fitted(
    donors: torch.Tensor,
    source: Grid,
    seen: SeenPixels,
    how: MeanWarping,
    check: Callable[[], None],
) -> torch.Tensor:
    """Displacements of the nodes of every donor, (n, 3, Z, Y, X) in mm along x, y, z of the source.

    Of many pixels each step takes some, and later ones the others.
    """
    extent = np.array(source.shape_kji) * source.spacing_ijk[::-1]
    counts = [max(_MIN_NODES, round(float(mm) / how.nodes_mm) + 1) for mm in extent]
    nodes = torch.zeros(len(donors), 3, *counts, requires_grad=True)
    adam = Adam([nodes], lr=_RATE_MM)
    where, per_mm = _unit(source, seen.points), _per_mm(source)
    variance = how.neighbours_mm**2 * _NODES_MM / how.nodes_mm
    parts = -(-len(where) // _PIXELS)
    for step in range(_STEPS):
        check()
        adam.zero_grad()
        at, values = where[step % parts :: parts], seen.values[step % parts :: parts]
        misfit = (
            seen.weight * (_looked(donors, at + _shift(nodes, at) * per_mm) - values).square().mean(1).sum()
        )
        rough = sum((nodes.diff(dim=n).square().sum() for n in (2, 3, 4)), _STIFF * nodes.square().sum())
        (misfit / 2 + rough / (2 * variance)).backward()
        adam.step()
    return nodes.detach()


def _unit(grid: Grid, points: torch.Tensor) -> torch.Tensor:
    """RAS mm (m, 3) in the grid's own units: -1 and 1 are the outer faces of its outer voxels."""
    matrix = torch.as_tensor(grid.ras_to_ijk, dtype=torch.float32)
    size = torch.as_tensor(grid.shape_kji[::-1])
    return (2 * (points @ matrix[:3, :3].T + matrix[:3, 3]) + 1) / size - 1


def _per_mm(grid: Grid) -> torch.Tensor:
    """These units in a mm along x, y, z, (3,)."""
    return torch.as_tensor(2 / (grid.spacing_ijk * grid.shape_kji[::-1]), dtype=torch.float32)


def _shift(nodes: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Displacements (n, 3, Z, Y, X) between the nodes, (n, m, 3); the outer nodes lie on the outer faces."""
    channels = nodes.reshape(1, -1, *nodes.shape[2:])
    found = grid_sample(channels, where[None, None, None], align_corners=True, padding_mode="border")
    return found.reshape(len(nodes), 3, -1).movedim(1, 2)


def _looked(volumes: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Volumes (n, K, J, I) at points of their own, (n, m, 3): (n, m)."""
    return grid_sample(volumes[:, None], where[:, None, None], align_corners=False)[:, 0, 0, 0]
