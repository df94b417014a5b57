"""The search for the frame: many starts by correlation, the best of them by evidence.

Coarse: many starts in one batch (positions along the slice normal, orientations where the prior does not
trust the patient's, covariate values), ranked by weighted correlation with the prior's mean. Fine: the best
starts maximise the evidence of the low-rank model, tempered because neighbouring pixels are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..observation import Slice
from ..priors.alignment_model import AlignmentModel
from ..progress import Progress
from ..solvers.adam import Adam
from .finalists import distinct
from .intensity import MonotoneMap
from .match import Matcher
from .pose import UNITS, PoseFamily, quarter_turns, spread_rotations

COARSE_MM, FINE_MM = 6.0, 4.0
_SCREEN_MM = 9.0
_COARSE_STEPS, _FINE_STEPS, _FINALISTS = 40, 60, 4
_ROTATIONS, _STARTS, _TURNED_STARTS = 576, 48, 4
_SHIFTS_MM = (-50.0, -35.0, -20.0, -8.0, 8.0, 20.0, 35.0, 50.0)


@dataclass(frozen=True, eq=False)
class Finalists:
    """The frames that are left at the end of a search.

    matcher: of the slices. family, theta (B, 9), value (B,): the frames and their covariate values. maps: B
    intensity maps. evidence: nats, the log prior of the pose included, (B,).
    """

    matcher: Matcher
    family: PoseFamily
    theta: torch.Tensor
    value: torch.Tensor
    maps: list[MonotoneMap]
    evidence: torch.Tensor

    @property
    def matrices(self) -> torch.Tensor:
        """Patient to canonical, RAS mm, (B, 4, 4)."""
        return self.family.matrix(self.theta)


def finalists(
    slices: list[Slice],
    model: AlignmentModel,
    progress: Progress,
    covariate: float | None,
    count: int = _FINALISTS,
) -> Finalists:
    """The best frames of slices, in no order.

    Args:
        slices: patient mm, in common units.
        model: what they are matched with.
        progress: told of steps, asked whether to stop.
        covariate: known value, or None to infer it.
        count: how many at most.
    """
    coarse, fine = (Matcher.of(slices, model, size) for size in (COARSE_MM, FINE_MM))
    family, theta, value = _starts(slices, model, covariate)
    family, theta, value, score = _coarse_search(coarse, family, theta, value, covariate is None, progress)
    best = distinct(score, family.matrix(theta), count)
    family, theta, value = family.select(best), theta[best].clone(), value[best].clone()
    return refined(fine, family, theta, value, covariate is None, progress)


def _starts(
    slices: list[Slice], model: AlignmentModel, covariate: float | None
) -> tuple[PoseFamily, torch.Tensor, torch.Tensor]:
    """Starting family, theta and covariate values of the coarse search: the best of many by correlation."""
    matcher = Matcher.of(slices, model, _SCREEN_MM)
    centre = matcher.points[matcher.foreground()].mean(0)
    normal = torch.as_tensor(
        np.mean([s.plane.normal * np.sign(s.plane.normal @ slices[0].plane.normal) for s in slices], 0)
    )
    rotations = spread_rotations(_ROTATIONS) if model.rotation_sd > 1 else quarter_turns()
    covariates = model.covariate_values(4) if covariate is None else torch.tensor([covariate])
    shifts = torch.tensor(_SHIFTS_MM)
    c, r, s = (
        t.flatten()
        for t in torch.meshgrid(
            *(torch.arange(len(a)) for a in (covariates, rotations, shifts)), indexing="ij"
        )
    )
    value = covariates[c].clone()
    family = PoseFamily(
        centre, model.centre, rotations[r], model.log_scale(value), model.rotation_sd, model.scale_sd
    )
    theta = torch.zeros(len(r), 9)
    direction = (rotations[r] @ normal.float()) * torch.exp(family.log_scale)[:, None]
    theta[:, 3:6] = direction * (shifts[s] * model.size / 160.0)[:, None] / UNITS[3]
    parts = torch.arange(len(r)).split(len(r) // len(covariates))
    score = torch.cat(
        [matcher.quick_correlation(family.select(n), theta[n], float(value[n[0]])) for n in parts]
    )
    if model.rotation_sd > 1:
        best = score.topk(_STARTS).indices
    # all starts in the stated orientation, and the best of each of the other orientations that look best
    else:
        each, where = score.reshape(len(covariates), len(rotations), len(shifts)).amax(0).max(1)
        turned = each[1:].topk(_TURNED_STARTS).indices + 1
        best = torch.cat(
            [(r == 0).nonzero()[:, 0], *(((r == n) & (s == where[n])).nonzero()[:, 0] for n in turned)]
        )
    return family.select(best), theta[best], value[best]


def _coarse_search(
    matcher: Matcher,
    family: PoseFamily,
    theta: torch.Tensor,
    value: torch.Tensor,
    free: bool,
    progress: Progress,
) -> tuple[PoseFamily, torch.Tensor, torch.Tensor, torch.Tensor]:
    optimise = _Descent(theta, value, free and matcher.model.has_covariate, rate=0.35)

    def score() -> torch.Tensor:
        alike = matcher.correlation(_at(family, matcher, optimise.value), optimise.theta, optimise.value)
        return alike * matcher.strength - family.penalty(optimise.theta)

    for step in range(_COARSE_STEPS):
        progress.update("finding the frame", 0.05 + 0.1 * step / _COARSE_STEPS)
        optimise.step(-score())
    with torch.no_grad():
        best = score()
    return (
        _at(family, matcher, optimise.value.detach()),
        optimise.theta.detach(),
        optimise.value.detach(),
        best,
    )


def refined(
    matcher: Matcher,
    family: PoseFamily,
    theta: torch.Tensor,
    value: torch.Tensor,
    free: bool,
    progress: Progress,
) -> Finalists:
    """Frames that ascended from starts to where their evidence is highest.

    Args:
        matcher: of the slices.
        family: B starts.
        theta: their parameters, (B, 9).
        value: their covariate values, (B,).
        free: whether the covariate is inferred, too.
        progress: told of steps, asked whether to stop.
    """
    optimise = _Descent(theta, value, free and matcher.model.has_covariate, rate=0.2)
    maps: list[MonotoneMap] = []
    for step in range(_FINE_STEPS):
        progress.update("refining frame and intensities", 0.15 + 0.2 * step / _FINE_STEPS)
        if step % 12 == 0:
            maps = matcher.intensity_maps(
                _at(family, matcher, optimise.value.detach()),
                optimise.theta.detach(),
                optimise.value.detach(),
            )
        here = _at(family, matcher, optimise.value)
        loss = -matcher.evidence(here, optimise.theta, optimise.value, maps) + here.penalty(optimise.theta)
        optimise.step(loss, 1 - step / _FINE_STEPS)
    with torch.no_grad():
        theta, value = optimise.theta.detach(), optimise.value.detach()
        family = _at(family, matcher, value)
        maps = matcher.intensity_maps(family, theta, value)
        evidence = matcher.evidence(family, theta, value, maps) - family.penalty(theta)
    return Finalists(matcher, family, theta, value, maps, evidence)


def _at(family: PoseFamily, matcher: Matcher, value: torch.Tensor) -> PoseFamily:
    """The family with the size expected at covariate values (B,)."""
    return replace(family, log_scale=matcher.model.log_scale(value))


class _Descent:
    """Adam over poses and covariates of a batch of independent starts."""

    def __init__(self, theta: torch.Tensor, value: torch.Tensor, with_covariate: bool, rate: float):
        self.theta, self.value = theta.clone().requires_grad_(), value.clone().requires_grad_(with_covariate)
        self._rate = rate
        groups = [{"params": [self.theta], "lr": rate}]
        if with_covariate:
            groups.append({"params": [self.value], "lr": rate})
        self._adam = Adam(groups, betas=(0.8, 0.95))

    def step(self, loss: torch.Tensor, rate: float = 1.0) -> None:
        for group in self._adam.param_groups:
            group["lr"] = self._rate * max(rate, 0.05)
        self._adam.zero_grad()
        loss.sum().backward()
        self._adam.step()
