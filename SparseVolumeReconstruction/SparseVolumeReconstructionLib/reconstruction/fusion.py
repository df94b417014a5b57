"""Fusion: a volume is changed as little as needed so that its rays sum up to a radiograph.

Henzler et al. (Computer Graphics Forum 37, 2018) give the error of every pixel to the voxels of its ray in
proportion to a power of their density. Their formula for the error, log(1 - difference of transparencies), is
that of a line integral only where the volume is empty; it is kept here as "as-printed".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..observation.operator import LinearOperator, StackedOperator
from ..solvers.conjugate_gradients import conjugate_gradients
from .request import Fusion

TOLERANCE = 1e-3  # of a transparency, what is promised; the search goes on to a third of it
_BETA = 2.0  # of the paper: shares of a ray's error by density to this power
_SWEEPS = 20  # of the paper's policy, since voxels that reach 0 take no more
_FLOOR = 2e-3  # of the densest voxel: what is thought empty may take a little
_ROUNDS, _INNER, _INNER_TOLERANCE = 60, 30, 0.1
_PATIENCE = 8  # rounds that come no nearer to the radiographs; the nearest is kept
_SOFT = 3e-7  # what a multiplier may leave of a line integral, so that contradictory rays have an answer


def fuse(
    volume: torch.Tensor,
    operators: Sequence[LinearOperator],
    values: torch.Tensor,
    policy: Fusion = "exact",
    check: Callable[[], None] = lambda: None,
) -> torch.Tensor:
    """A volume that gives some line integrals and is not negative.

    Args:
        volume: (K, J, I), canonical units.
        operators: of all radiographs, on its grid.
        values: their line integrals, (count,); below 0, as noise makes them in air, they are 0.
        policy: "exact": the nearest volume by relative entropy, whose rays have the transparencies wherever
            any does that is not negative; "paper": errors are shared along each ray by density squared;
            "as-printed": once, with the printed formula of the error; "none": the volume as it is.
        check: called in every round; raise from it to cancel.
    """
    if policy == "none":
        return volume
    operator = operators[0] if len(operators) == 1 else StackedOperator(operators)
    start, wanted = volume.clamp(min=0), values.clamp(min=0)
    if policy == "exact":
        return _nearest(start + _FLOOR * start.max(), operator, wanted, check)
    fused = start
    for _ in range(1 if policy == "as-printed" else _SWEEPS):
        check()
        reached = operator.forward(fused[None])[0]
        missing = wanted - reached
        if policy == "as-printed":
            missing = -torch.log((1 - torch.exp(-reached) + torch.exp(-wanted)).clamp(min=1e-6))
        fused = _shared(fused, operator, missing)
    return fused


def _shared(volume: torch.Tensor, operator: LinearOperator, missing: torch.Tensor) -> torch.Tensor:
    """A volume to which every ray gives what it misses, by density to the power of beta; none below 0."""
    weight = (volume + 1e-6) ** _BETA
    crossed = operator.adjoint(torch.ones_like(missing)[None])
    share = missing / operator.forward(weight * crossed)[0].clamp(min=1e-20)
    return (volume + weight * operator.adjoint(share[None])[0]).clamp(min=0)


def _nearest(
    start: torch.Tensor, operator: LinearOperator, wanted: torch.Tensor, check: Callable[[], None]
) -> torch.Tensor:
    """The volume above 0 with the smallest relative entropy to another one whose rays sum up as wanted.

    It is the start times exp(A' m); the multipliers m, one per ray, maximise a concave function, here by
    Newton's method with steps as long as an exponential allows (Bach, Electron. J. Stat. 4, 2010).
    """
    multipliers = torch.zeros_like(wanted)
    fused = best = start
    least = float("inf")
    worse = 0
    for _ in range(_ROUNDS):
        check()
        reached = operator.forward(fused[None])[0]
        off = torch.exp(-reached) - torch.exp(-wanted)
        missing = wanted - reached - _SOFT * multipliers
        if min(float(off.abs().max()), float(missing.abs().max())) < TOLERANCE / 3:
            return fused  # the radiographs are met, or nothing more can be done for contradictory ones
        error = float((off**2).sum())
        best, least, worse = (fused, error, 0) if error < least else (best, least, worse + 1)
        if worse == _PATIENCE:
            break
        step = _newton_step(operator, fused, missing, check)
        growth = float(operator.adjoint(step[None])[0].max())
        multipliers += step * (torch.log1p(torch.tensor(growth)) / growth if growth > 1 else 1.0)
        fused = start * torch.exp(operator.adjoint(multipliers[None])[0])
    return best


def _newton_step(
    operator: LinearOperator, volume: torch.Tensor, missing: torch.Tensor, check: Callable[[], None]
) -> torch.Tensor:
    """(A diag(volume) A' + soft)^-1 missing, about."""
    size = operator.forward(volume * operator.adjoint(torch.ones_like(missing)[None]))[0] + _SOFT
    found = conjugate_gradients(
        lambda rows: operator.forward(volume * operator.adjoint(rows)) + _SOFT * rows,
        missing[None],
        lambda rows: rows / size,
        tolerance=_INNER_TOLERANCE,
        iterations=_INNER,
        check=check,
    )
    return found[0]
