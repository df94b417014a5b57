"""The shape of a fetal brain, fitted to what a network sees of one in all slices of a stack.

The mean brain of `fetal-t2`, at the pose and of the size that are likeliest given the network's
probabilities: what no such brain covers (face, placenta) loses, tips that the network misses win.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations, product

import numpy as np
import torch
from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt, map_coordinates
from torch.nn.functional import avg_pool2d, grid_sample

from ..observation.rotations import rotation_matrices
from ..zoo import ModelStore

_WEEKS = 28.0  # the canonical brain has one size, and nearly one outline, at all ages
_SHOWN = 0.08  # grey values of the model that are brain
_GRID, _STEP_MM = 72, 2.0
_HALF_MM = (_GRID - 1) / 2 * _STEP_MM
_CLIP = 3.0  # a network is never surer than this, nats
_EDGE_MM = 3.0  # how sharp the outline is in the fit
_REACH_MM = 80.0  # around the brain, in which the fit looks
_AXES_SPREAD = 0.025  # of the logarithms of size along the axes, per square root of a millilitre
_STAGES = ((8, 40, 24), (4, 50, 3))  # pixels that are joined, steps, poses that begin
_UNITS = torch.tensor([1.0, 1, 1, 40, 40, 40, 1, 1, 1])  # of turn (rad), shift (mm) and log size in one step
_SEEN, _OUTLINE_MM = 0.5, 3.5  # weights of network and distance in the sum; chosen on templates kept apart


def with_shape(seen: np.ndarray, first: np.ndarray, along_mm: np.ndarray, pixel_mm: float) -> np.ndarray:
    """Probabilities of brain (n, rows, columns) float32 that go with the shape of one.

    Args:
        seen: what the network says of parallel slices, pixels at one place in the plane.
        first: bool, in the same shape: a mask that has the brain, to begin with; not empty.
        along_mm: places (n,) of the slices along their normal.
        pixel_mm: size of the pixels.
    """
    odds = torch.from_numpy(
        np.clip(np.log(np.maximum(seen, 1e-3) / np.maximum(1 - seen, 1e-3)), -_CLIP, _CLIP)
    )
    points = _points(seen.shape, along_mm, pixel_mm)
    inside = points[torch.from_numpy(first)]
    volume = pixel_mm**2 * float(np.abs(np.gradient(along_mm)).mean())
    size = float(np.log(len(inside) * volume / _shape()[1])) / 3
    turns = _turns()
    found = torch.zeros(len(turns), 9)
    found[:, 3:6] = inside.mean(0)
    found[:, 6:] = size
    near = ((points - inside.mean(0)) ** 2).sum(-1)
    for joined, steps, count in _STAGES:
        found, turns = found[:count], turns[:count]
        at = torch.stack([avg_pool2d(p, joined) for p in points.unbind(-1)], -1)
        kept = avg_pool2d(near, joined) < _REACH_MM**2
        found, order = _climbed(
            found, turns, at[kept], avg_pool2d(odds, joined)[kept], volume * joined**2, steps
        )
        turns = turns[order]
    with torch.no_grad():
        away = _distance(found[:1], turns[:1], points.reshape(-1, 3)).reshape(seen.shape)
    return torch.sigmoid(_SEEN * odds + away / _OUTLINE_MM).float().numpy()


def _climbed(
    start: torch.Tensor, turns: torch.Tensor, points: torch.Tensor, odds: torch.Tensor, mm3: float, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses (S, 9) that are likelier than those of the start, the likeliest first, and their order (S,)."""
    units = (start / _UNITS).requires_grad_(True)
    climber = torch.optim.Adam([units], lr=0.05)
    odds = odds * (mm3 / 1e3)
    for step in range(steps):
        climber.param_groups[0]["lr"] = 0.05 * (1 - step / steps) + 0.005
        pose = units * _UNITS
        covered = torch.sigmoid(_distance(pose, turns, points) / _EDGE_MM)
        uneven = pose[:, 6:] - pose[:, 6:].mean(1, keepdim=True)
        likely = (covered * odds).sum(1) - (uneven**2).sum(1) / (2 * _AXES_SPREAD**2)
        climber.zero_grad()
        (-likely.sum()).backward()
        climber.step()
    order = likely.detach().argsort(descending=True)
    return (units.detach() * _UNITS)[order], order


def _distance(pose: torch.Tensor, turns: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Distances (S, N) of points (N, 3) from the outline of the brain at poses (S, 9), mm, above 0 inside."""
    size = torch.exp(pose[:, 6:])
    turn = rotation_matrices(pose[:, :3]) @ turns
    at = (points - pose[:, None, 3:6]) @ turn.transpose(1, 2) / size[:, None]
    shape = _shape()[0].expand(len(pose), -1, -1, -1, -1)
    found = grid_sample(shape, (at / _HALF_MM)[:, None, None], padding_mode="border", align_corners=True)
    return found[:, 0, 0, 0] * size.mean(1, keepdim=True)


def _points(shape: tuple[int, ...], along_mm: np.ndarray, pixel_mm: float) -> torch.Tensor:
    """Positions (n, rows, columns, 3) of pixels along columns, rows and the normal, mm."""
    v, u = ((np.arange(n) - (n - 1) / 2) * pixel_mm for n in shape[1:])
    z, y, x = np.meshgrid(along_mm, v, u, indexing="ij")
    return torch.from_numpy(np.stack([x, y, z], -1).astype(np.float32))


@lru_cache(maxsize=1)
def _turns() -> torch.Tensor:
    """The 24 rotations of a cube, (24, 3, 3)."""
    signed = (np.eye(3)[list(p)] * s for p in permutations(range(3)) for s in product((1, -1), repeat=3))
    return torch.tensor(np.array([m for m in signed if np.linalg.det(m) > 0]), dtype=torch.float32)


@lru_cache(maxsize=1)
def _shape() -> tuple[torch.Tensor, float]:
    """Distance from the outline of the mean brain, (1, 1, n, n, n) mm around its middle; its volume, mm3."""
    prior = ModelStore().load("fetal-t2", "cpu")
    mean = np.pad(prior.condition([], covariate=_WEEKS).mean().numpy(), 20)
    mask = binary_fill_holes(binary_closing(mean > _SHOWN, iterations=4))
    spacing = float(prior.grid.spacing_ijk[0])
    away = (distance_transform_edt(mask) - distance_transform_edt(~mask)) * spacing
    steps = (np.arange(_GRID) - (_GRID - 1) / 2) * _STEP_MM / spacing
    at = [steps + middle for middle in np.argwhere(mask).mean(0)]
    found = map_coordinates(away, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
    return torch.from_numpy(found[None, None].astype(np.float32)), float(mask.sum() * spacing**3)
