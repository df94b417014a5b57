"""Rigid poses of many slices against one volume, by maximum likelihood, all at once.

Levenberg and Marquardt's method on six numbers a group (a slice, the slices of a shot, or a whole stack); the
gain of every slice is solved for within. The curvature at the end gives standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import grid_sample

from ..geometry import Grid
from ..observation.rotations import rotation_matrices
from .pixels import Pixels

PROFILE_STEP_MM = 1.0
GAIN_PULL = 1 / 0.2**2  # 1 / variance of the gains of slices around 1
_DAMPING, _LESS, _MORE = 1e-2, 0.3, 8.0


@dataclass(frozen=True, eq=False)
class Target:
    """What slices are registered to.

    Attributes:
        channels: (4, K, J, I): a volume and its gradient along R, A, S, 1 / mm.
        grid: isotropic, along R, A and S.
        centre: (3,) about which is turned, mm; float64, on the CPU as all poses.
    """

    channels: torch.Tensor
    grid: Grid
    centre: torch.Tensor

    @classmethod
    def of(cls, volume: torch.Tensor, grid: Grid, centre: torch.Tensor) -> Target:
        """volume: (K, J, I) on the grid."""
        spacing = float(grid.spacing_ijk[0])
        slopes = torch.gradient(volume, spacing=spacing, dim=(2, 1, 0))
        return cls(torch.stack([volume, *slopes]), grid, centre.double().cpu())

    def at(self, points: torch.Tensor, channels: int = 4) -> torch.Tensor:
        """The first channels at points (n, 3) RAS mm, (channels, n); 0 outside."""
        size = torch.as_tensor(self.grid.shape_kji[::-1], dtype=points.dtype, device=points.device)
        origin = torch.tensor(self.grid.ijk_to_ras[:3, 3].tolist(), dtype=points.dtype, device=points.device)
        unit = (points - origin) * (2 / ((size - 1) * float(self.grid.spacing_ijk[0]))) - 1
        return grid_sample(self.channels[None, :channels], unit[None, None, None], align_corners=True)[
            0, :, 0, 0
        ]


@dataclass(frozen=True, eq=False)
class Fit:
    """How well slices fit a target at poses.

    Attributes:
        cost: (S,) minus the log-likelihood, up to a constant.
        gain: (S,), a slice is so many times what the target gives.
        expected: (P,) what the target gives.
    """

    cost: torch.Tensor
    gain: torch.Tensor
    expected: torch.Tensor


@dataclass(frozen=True, eq=False)
class Motion:
    """A Gaussian prior of the poses of groups: how far each is from where its neighbours in time say.

    Attributes:
        expected: (G, 4, 4) poses.
        precision: (G, 6), of rotation (1 / rad^2) and translation (1 / mm^2) about the target's centre.
    """

    expected: torch.Tensor
    precision: torch.Tensor

    def of(self, chosen: torch.Tensor) -> Motion:
        """That of some groups, by their numbers."""
        return Motion(self.expected[chosen], self.precision[chosen])


@dataclass(frozen=True, eq=False)
class Registered:
    """Poses (G, 4, 4), scanner to body, RAS mm, float64; sd: (G, 6) rad and mm; fit: of the slices."""

    poses: torch.Tensor
    sd: torch.Tensor
    fit: Fit


def exp_rigid(xi: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Rigid matrices (n, 4, 4): turns by rotation vectors about a centre, then translations; xi: (n, 6)."""
    turn = rotation_matrices(xi[:, :3])
    out = torch.eye(4, dtype=xi.dtype, device=xi.device).repeat(len(xi), 1, 1)
    out[:, :3, :3] = turn
    out[:, :3, 3] = centre + xi[:, 3:] - turn @ centre
    return out


def log_rigid(matrices: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """The inverse of `exp_rigid` for turns below half a turn."""
    turn = matrices[:, :3, :3]
    cosine = ((turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)
    angle = torch.arccos(cosine)
    axis = torch.stack(
        [turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], 1
    )
    factor = torch.where(angle > 1e-4, angle / (2 * torch.sin(angle).clamp(min=1e-9)), 0.5)
    shift = matrices[:, :3, 3] - centre + turn @ centre
    return torch.cat([axis * factor[:, None], shift], 1)


def fit_of(
    target: Target, pixels: Pixels, poses: torch.Tensor, precision: torch.Tensor, slopes: bool = False
) -> tuple[Fit, torch.Tensor]:
    """How well slices fit at poses (S, 4, 4), and derivatives of what is expected, (P, 6), or (0, 6).

    Args:
        precision: (P,), 1 / variance of every pixel.
        slopes: with derivatives by turns about the target's centre and translations.
    """
    points, normals = _moved(pixels, poses)
    offsets = _offsets(pixels.thickness)
    thickness = pixels.thickness[pixels.owner]
    seen = points.new_zeros(4 if slopes else 1, len(points))
    for offset in offsets:
        seen += target.at(points + (offset * thickness)[:, None] * normals, len(seen))
    seen /= len(offsets)
    expected = seen[0]
    both = torch.stack([pixels.values * expected, expected**2, pixels.values**2], 1) * precision[:, None]
    cross, square, own = pixels.sums(both).unbind(1)
    gain = (cross + GAIN_PULL) / (square + GAIN_PULL)
    cost = 0.5 * (own - 2 * gain * cross + gain**2 * square + GAIN_PULL * (gain - 1) ** 2)
    fit = Fit(cost, gain, expected)
    if not slopes:
        return fit, points.new_zeros(0, 6)
    gradient = seen[1:].T
    turning = torch.linalg.cross(points - target.centre.to(points), gradient)
    return fit, torch.cat([turning, gradient], 1)


def register(
    target: Target,
    pixels: Pixels,
    poses: torch.Tensor,
    precision: torch.Tensor,
    groups: torch.Tensor,
    *,
    motion: Motion | None = None,
    steps: int = 10,
    check: Callable[[], None] = lambda: None,
) -> Registered:
    """The most likely movement of every group of slices, from poses where each slice is now.

    Args:
        target: what they are fitted to.
        pixels: of S slices.
        poses: (S, 4, 4) float64, scanner to body, RAS mm.
        precision: (P,), 1 / variance of every pixel.
        groups: (S,) number of the group of every slice, 0 to G - 1: they are moved together.
        motion: a prior of the poses of groups that hold one slice, or of what moves as one.
        steps: at most so many.
        check: called in every step; raise from it to cancel.
    """
    count = int(groups.max()) + 1
    damping = torch.full((count,), _DAMPING, dtype=torch.float64)
    first = first_of(groups, count)
    fit, slopes = fit_of(target, pixels, poses, precision, slopes=True)
    total = _group_cost(fit, groups, count, poses[first], motion, target)
    for _ in range(steps):
        check()
        curvature, pull = _normal_equations(pixels, fit, slopes, precision, groups, count)
        if motion is not None:
            away = log_rigid(poses[first] @ torch.linalg.inv(motion.expected), target.centre)
            curvature = curvature + torch.diag_embed(motion.precision)
            pull = pull - motion.precision * away
        xi = _step(curvature, pull, damping)
        moved = exp_rigid(xi, target.centre)[groups] @ poses
        trial, trial_slopes = fit_of(target, pixels, moved, precision, slopes=True)
        new = _group_cost(trial, groups, count, moved[first], motion, target)
        better = new < total
        mine = better[groups]
        here = mine.to(pixels.device)
        poses = torch.where(mine[:, None, None], moved, poses)
        fit = Fit(
            torch.where(here, trial.cost, fit.cost),
            torch.where(here, trial.gain, fit.gain),
            torch.where(here[pixels.owner], trial.expected, fit.expected),
        )
        slopes = torch.where(here[pixels.owner][:, None], trial_slopes, slopes)
        gained = (total - new).clamp(min=0)
        total = torch.where(better, new, total)
        damping = torch.where(better, damping * _LESS, damping * _MORE).clamp(1e-6, 1e6)
        if bool((gained < 1e-4 * (1 + total)).all() and (damping > 1).logical_or(better).all()):
            break
    curvature, _ = _normal_equations(pixels, fit, slopes, precision, groups, count)
    if motion is not None:
        curvature = curvature + torch.diag_embed(motion.precision)
    return Registered(poses, _deviations(curvature), fit)


def best_of_starts(
    target: Target,
    pixels: Pixels,
    poses: torch.Tensor,
    precision: torch.Tensor,
    starts: torch.Tensor,
    groups: torch.Tensor | None = None,
    *,
    finalists: int = 3,
    penalty: Callable[[torch.Tensor], torch.Tensor] | None = None,
    check: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """Poses (S, 4, 4) of every group by itself, after trying starts (B, 6) about each of the given ones.

    All are looked at, the best `finalists` of each group are refined, the best is taken.

    Args:
        groups: (S,) as in `register`; every slice is one if None.
        penalty: minus the log prior (S,) of poses (S, 4, 4).
    """
    centre = target.centre
    groups = torch.arange(pixels.count) if groups is None else groups

    def together(costs: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(costs).index_add_(0, groups, costs)[groups]

    tried, costs = [], []
    for matrix in exp_rigid(starts.double(), centre):
        check()
        moved = matrix @ poses
        cost = fit_of(target, pixels, moved, precision)[0].cost.double().cpu()
        costs.append(together(cost + (penalty(moved) if penalty else 0)))
        tried.append(moved)
    order = torch.stack(costs).argsort(dim=0, stable=True)  # the same for all slices of a group
    every, each = torch.stack(tried), torch.arange(pixels.count)
    best = poses
    lowest = torch.full((pixels.count,), math.inf, dtype=torch.float64)
    for rank in range(min(finalists, len(starts))):
        found = register(target, pixels, every[order[rank], each], precision, groups, steps=6, check=check)
        cost = together(found.fit.cost.double().cpu() + (penalty(found.poses) if penalty else 0))
        better = cost < lowest
        best = torch.where(better[:, None, None], found.poses, best)
        lowest = torch.where(better, cost, lowest)
    return best


def neighbours_in_time(
    poses: torch.Tensor,
    stacks: torch.Tensor,
    times: torch.Tensor,
    trusted: torch.Tensor,
    centre: torch.Tensor,
) -> Motion | None:
    """What neighbours in time say of every slice; how much that counts is learned from all of them.

    Args:
        poses: (S, 4, 4). stacks, times: (S,). trusted: (S,) bool.
    """
    count = len(poses)
    expected = poses.clone()
    known = torch.zeros(count, dtype=torch.bool)
    for stack in stacks.unique():
        own = torch.nonzero((stacks == stack) & trusted)[:, 0]
        own = own[times[own].argsort()]
        for n in torch.nonzero(stacks == stack)[:, 0].tolist():
            before = own[times[own] < times[n]][-1:]
            after = own[times[own] > times[n]][:1]
            near = torch.cat([before, after])
            known[n] = len(near) > 0
            if len(near) == 2:
                half = log_rigid(poses[near[1:]] @ torch.linalg.inv(poses[near[:1]]), centre) / 2
                expected[n] = (exp_rigid(half, centre) @ poses[near[0]])[0]
            elif len(near) == 1:
                expected[n] = poses[near[0]]
    sure = known & trusted
    if sure.sum() < 5:
        return None
    away = log_rigid(poses @ torch.linalg.inv(expected), centre)
    spread = 1.4826 * away[sure].abs().median(0).values
    floor = torch.tensor([0.005] * 3 + [0.15] * 3, dtype=spread.dtype)
    precision = (1 / torch.maximum(spread, floor) ** 2).expand(count, 6) * known[:, None]
    return Motion(expected, precision)


def _moved(pixels: Pixels, poses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and normals (P, 3) of all pixels at poses."""
    poses = poses.to(pixels.points)
    turn, shift = poses[:, :3, :3], poses[:, :3, 3]
    normals = torch.einsum("sij,sj->si", turn, pixels.normals)
    points = torch.einsum("pij,pj->pi", turn[pixels.owner], pixels.points) + shift[pixels.owner]
    return points, normals[pixels.owner]


def _offsets(thickness: torch.Tensor) -> list[float]:
    """Where a box profile is looked at, in thicknesses; enough for the thickest slice."""
    count = max(1, math.ceil(float(thickness.max()) / PROFILE_STEP_MM))
    return [(n + 0.5) / count - 0.5 for n in range(count)] if count > 1 else [0.0]


def first_of(groups: torch.Tensor, count: int) -> torch.Tensor:
    """Number of the first slice of every group, (G,)."""
    return torch.stack([torch.nonzero(groups == g)[0, 0] for g in range(count)])


def _group_cost(
    fit: Fit, groups: torch.Tensor, count: int, poses: torch.Tensor, motion: Motion | None, target: Target
) -> torch.Tensor:
    total = torch.zeros(count, dtype=torch.float64).index_add_(0, groups, fit.cost.double().cpu())
    if motion is None:
        return total
    away = log_rigid(poses @ torch.linalg.inv(motion.expected), target.centre)
    return total + 0.5 * (motion.precision * away**2).sum(1)


def _normal_equations(
    pixels: Pixels, fit: Fit, slopes: torch.Tensor, precision: torch.Tensor, groups: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Curvature (G, 6, 6) and pull (G, 6), float64, of six numbers, the gain of each slice solved for."""
    gain = fit.gain[pixels.owner]
    residual = pixels.values - gain * fit.expected
    scaled = slopes * gain[:, None]
    upper = torch.triu_indices(7, 7)
    wide = torch.cat([scaled, fit.expected[:, None]], 1)
    packed = torch.cat([wide[:, upper[0]] * wide[:, upper[1]], scaled * residual[:, None]], 1)
    sums = pixels.sums(packed * precision[:, None]).double().cpu()
    full = torch.zeros(pixels.count, 7, 7, dtype=torch.float64)
    full[:, upper[0], upper[1]] = sums[:, :28]
    full[:, upper[1], upper[0]] = sums[:, :28]
    gained = full[:, 6, 6] + GAIN_PULL
    curvature = full[:, :6, :6] - full[:, :6, 6:] * full[:, 6:, :6] / gained[:, None, None]
    out = torch.zeros(count, 6, 6, dtype=torch.float64).index_add_(0, groups, curvature)
    return out, torch.zeros(count, 6, dtype=torch.float64).index_add_(0, groups, sums[:, 28:])


def _step(curvature: torch.Tensor, pull: torch.Tensor, damping: torch.Tensor) -> torch.Tensor:
    """The damped step (G, 6)."""
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    floor = diagonal.amax(1, keepdim=True) * 1e-9 + 1e-9
    return torch.linalg.solve(curvature + torch.diag_embed(diagonal * damping[:, None] + floor), pull)


def _deviations(curvature: torch.Tensor) -> torch.Tensor:
    """Standard deviations (G, 6) by the inverse of the curvature; very wide where nothing is known."""
    wide = torch.diag_embed(
        torch.tensor([1.0] * 3 + [1e-3] * 3, dtype=torch.float64).expand(len(curvature), 6)
    )
    return torch.linalg.inv(curvature + wide).diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
