"""The shape of a fetal brain, fitted to what a network sees of one in all slices of the stacks of a visit.

The mean brain of `fetal-t2`, at the pose and of the size that are likeliest given the network's
probabilities: what no such brain covers (face, placenta) loses, tips that the network misses win.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import permutations, product

import numpy as np
import torch
from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt, map_coordinates
from torch.nn.functional import avg_pool2d, grid_sample

from ..observation.rotations import rotation_matrices
from ..solvers.adam import Adam
from ..zoo import ModelStore

_WEEKS = 28.0  # the canonical brain has one size, and nearly one outline, at all ages
_SHOWN = 0.08  # grey values of the model that are brain
_GRID, _STEP_MM = 72, 2.0
_HALF_MM = (_GRID - 1) / 2 * _STEP_MM
_CLIP = 3.0  # a network is never surer than this, nats
_EDGE_MM = 3.0  # how sharp the outline is in the fit
_REACH_MM = 80.0  # around the brain, in which the fit looks
_AXES_SPREAD = 0.025  # of the logarithms of size along the axes, per square root of a millilitre
_SIZES_ALIKE = 0.4  # logarithm of size, around the middle one: stacks further off show something else
_STAGES = ((8, 40, 24), (4, 50, 3))  # pixels that are joined, steps, poses that begin
_UNITS = torch.tensor([1.0, 1, 1, 40, 40, 40, 1, 1, 1])  # of turn (rad), shift (mm) and log size in one step
_SEEN, _OUTLINE_MM = 0.5, 3.5  # weights of network and distance in the sum; chosen on templates kept apart


@dataclass(frozen=True, eq=False)
class SeenStack:
    """What a network sees of a brain in parallel slices.

    seen: probabilities (n, rows, columns), pixels at one place in the plane. first: a mask of the brain, bool
    in the same shape, to begin with; not empty. along_mm: places (n,) of the slices along their normal.
    pixel_mm: size of the pixels.
    """

    seen: np.ndarray
    first: np.ndarray
    along_mm: np.ndarray
    pixel_mm: float

    @cached_property
    def odds(self) -> torch.Tensor:
        """Logarithms of the odds of brain, as far as a network is trusted."""
        odds = np.log(np.maximum(self.seen, 1e-3) / np.maximum(1 - self.seen, 1e-3))
        return torch.from_numpy(np.clip(odds, -_CLIP, _CLIP))

    @cached_property
    def points(self) -> torch.Tensor:
        """Positions of the pixels (n, rows, columns, 3) along columns, rows and the normal, mm."""
        v, u = ((np.arange(n) - (n - 1) / 2) * self.pixel_mm for n in self.seen.shape[1:])
        z, y, x = np.meshgrid(self.along_mm, v, u, indexing="ij")
        return torch.from_numpy(np.stack([x, y, z], -1).astype(np.float32))

    @property
    def inside(self) -> torch.Tensor:
        """Positions (N, 3) of the mask."""
        return self.points[torch.from_numpy(self.first)]

    @property
    def mm3(self) -> float:
        """Of a pixel."""
        return self.pixel_mm**2 * float(np.abs(np.gradient(self.along_mm)).mean())

    def joined(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions (N, 3) of squares of pixels near the brain, and their odds (N,) times their ml."""
        near = ((self.points - self.inside.mean(0)) ** 2).sum(-1)
        at = torch.stack([avg_pool2d(p, count) for p in self.points.unbind(-1)], -1)
        kept = avg_pool2d(near, count) < _REACH_MM**2
        return at[kept], avg_pool2d(self.odds, count)[kept] * (self.mm3 * count**2 / 1e3)


def with_shape(stacks: Sequence[SeenStack]) -> list[np.ndarray]:
    """Probabilities of brain (n, rows, columns) float32 of each stack that go with the shape of one.

    Args:
        stacks: of one fetus, which may have moved between them: each has a pose of its own; those that agree
            about the size have one in common.
    """
    found = [_alone(stack) for stack in stacks]
    sizes = [float(pose[6:].mean()) for pose, _ in found]
    middle = float(np.median(sizes)) if sizes else 0.0
    alike = [n for n, size in enumerate(sizes) if abs(size - middle) < _SIZES_ALIKE]
    if len(alike) > 1:
        poses = _of_one_size([stacks[n] for n in alike], [found[n] for n in alike])
        for n, pose in zip(alike, poses, strict=True):
            found[n] = (pose, found[n][1])
    shaped = []
    for stack, (pose, turn) in zip(stacks, found, strict=True):
        with torch.no_grad():
            away = _distance(pose[None], turn[None], stack.points.reshape(-1, 3)).reshape(stack.seen.shape)
        shaped.append(torch.sigmoid(_SEEN * stack.odds + away / _OUTLINE_MM).float().numpy())
    return shaped


def _alone(stack: SeenStack) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest pose (9,) of a stack by itself, and the turn (3, 3) that it began with."""
    turns, inside = _turns(), stack.inside
    found = torch.zeros(len(turns), 9)
    found[:, 3:6] = inside.mean(0)
    found[:, 6:] = float(np.log(len(inside) * stack.mm3 / _shape()[1])) / 3
    for joined, steps, count in _STAGES:
        points, odds = stack.joined(joined)
        turns = turns[:count]
        likely = partial(_likely, turns=turns, points=points, odds=odds)
        found, order = _climbed(found[:count], likely, steps)
        turns = turns[order]
    return found[0], turns[0]


def _of_one_size(
    stacks: list[SeenStack], found: list[tuple[torch.Tensor, torch.Tensor]]
) -> list[torch.Tensor]:
    """The likeliest poses (9,) of stacks that show one brain, from those of each by itself."""
    joined, steps, _ = _STAGES[-1]
    turns = [turn[None] for _, turn in found]
    seen = [(turn, *stack.joined(joined)) for stack, turn in zip(stacks, turns, strict=True)]

    def likely(poses: torch.Tensor) -> torch.Tensor:
        size = poses[:, 6:].mean(0)
        each = [
            _agreement(torch.cat([pose[:6], size])[None], *one) for pose, one in zip(poses, seen, strict=True)
        ]
        return torch.cat(each).sum() - _unevenness(size[None]).sum()

    poses, _ = _climbed(torch.stack([pose for pose, _ in found]), likely, steps)
    return [torch.cat([pose[:6], poses[:, 6:].mean(0)]) for pose in poses]


def _likely(
    poses: torch.Tensor, turns: torch.Tensor, points: torch.Tensor, odds: torch.Tensor
) -> torch.Tensor:
    """As `_agreement`, with what is known of brains."""
    return _agreement(poses, turns, points, odds) - _unevenness(poses[:, 6:])


def _agreement(
    poses: torch.Tensor, turns: torch.Tensor, points: torch.Tensor, odds: torch.Tensor
) -> torch.Tensor:
    """How likely the odds (N,) at points (N, 3) are for brains at poses (S, 9): (S,), nats."""
    return (torch.sigmoid(_distance(poses, turns, points) / _EDGE_MM) * odds).sum(1)


def _unevenness(sizes: torch.Tensor) -> torch.Tensor:
    """How unlikely it is that brains are so much larger along one axis; (S, 3) logarithms: (S,), nats."""
    return ((sizes - sizes.mean(1, keepdim=True)) ** 2).sum(1) / (2 * _AXES_SPREAD**2)


def _climbed(
    start: torch.Tensor, likely: Callable[[torch.Tensor], torch.Tensor], steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses (S, 9) that are likelier than those of the start, the likeliest first, and their order.

    As they stand where `likely` gives one number for all of them.
    """
    units = (start / _UNITS).requires_grad_(True)
    climber = Adam([units], lr=0.05)
    for step in range(steps):
        climber.param_groups[0]["lr"] = 0.05 * (1 - step / steps) + 0.005
        each = likely(units * _UNITS)
        climber.zero_grad()
        (-each.sum()).backward()
        climber.step()
    order = each.detach().argsort(descending=True) if each.ndim else torch.arange(len(start))
    return (units.detach() * _UNITS)[order], order


def _distance(pose: torch.Tensor, turns: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Distances (S, N) of points (N, 3) from the outline of the brain at poses (S, 9), mm, above 0 inside."""
    size = torch.exp(pose[:, 6:])
    turn = rotation_matrices(pose[:, :3]) @ turns
    at = (points - pose[:, None, 3:6]) @ turn.transpose(1, 2) / size[:, None]
    shape = _shape()[0].expand(len(pose), -1, -1, -1, -1)
    found = grid_sample(shape, (at / _HALF_MM)[:, None, None], padding_mode="border", align_corners=True)
    return found[:, 0, 0, 0] * size.mean(1, keepdim=True)


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
