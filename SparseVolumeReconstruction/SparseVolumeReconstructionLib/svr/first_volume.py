"""The first volume: the posterior of a prior given slices that belong together, or the stacks as they lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..alignment.motion import proposed, stillness
from ..alignment.reader import area_mm2
from ..geometry import Grid, InputError, Volume
from ..observation import Slice
from ..priors.base import Prior
from ..progress import Progress
from ..reconstruction.patient_posterior import condition_patient
from .pixels import MaskedSlice
from .search import FAR, LEVELS, Found, find_motion

_SPACING_MM = 1.6
_MARGIN_MM = 15.0
_COUNT = 4  # slices of the template


@dataclass(frozen=True, eq=False)
class Template:
    """A first volume, and which slices of which stack it is made from."""

    volume: Volume
    stack: int
    slices: list[int]


def template_of(slices: list[MaskedSlice], prior: Prior, progress: Progress) -> Template:
    """The posterior mean of a prior given the slices that belong together, of the stack that moved least.

    Raises:
        InputError: no stack has slices that belong together, or they do not look like the prior's anatomy.
    """
    best: tuple[float, list[MaskedSlice]] = (0.0, [])
    for stack in sorted({s.stack for s in slices}):
        own = [s for s in slices if s.stack == stack]
        found = stillness([_stripped(s) for s in own])
        chosen = proposed(found, [area_mm2(s.image, s.mask) for s in own], _COUNT)
        together = sum(f.together for f in found) / len(found)
        if len(chosen) == _COUNT and together > best[0]:
            best = (together, [own[n] for n in chosen])
    if not best[1]:
        raise InputError(
            "No stack has slices that belong together; expected some without motion between them."
        )
    return Template(template_from(best[1], prior, progress), best[1][0].stack, [s.place for s in best[1]])


def template_from(still: list[MaskedSlice], prior: Prior, progress: Progress) -> Volume:
    """The posterior mean of a prior given still slices, in their patient space and unit.

    Raises:
        InputError: they do not look like the prior's anatomy.
    """
    points = np.concatenate([s.image.plane.points_ras()[s.mask.ravel()] for s in still])
    reach = float(np.ptp(points, axis=0).max())
    middle = (points.min(0) + points.max(0)) / 2
    box = np.stack([middle - reach / 2 - _MARGIN_MM, middle + reach / 2 + _MARGIN_MM])
    grid = Grid.covering(box, _SPACING_MM)
    mean = condition_patient(prior, [_stripped(s) for s in still], grid=grid, progress=progress).mean()
    return Volume(mean.astype(np.float32), grid)


def _stripped(each: MaskedSlice) -> Slice:
    return replace(each.image, pixels=np.where(each.mask, each.image.pixels, 0))


def agreement(slices: list[MaskedSlice], found: Found) -> float:
    """How well slices agree with the volume: their correlations, averaged by their area."""
    if found.judged is None:
        return 0.0
    area = np.array([float(s.mask.sum()) for s in slices])
    return float(np.average(np.nan_to_num(found.judged.ncc.numpy()), weights=area))


def by_template(
    slices: list[MaskedSlice], template: Volume, *, seed: int, device: torch.device | str, progress: Progress
) -> Found:
    """Coarse poses by a template: searched near by, or far around, whichever slices agree with better."""
    found = [
        find_motion(
            slices, template, levels=(level,), seed=seed, device=device, progress=progress.part(*told)
        )
        for level, told in ((LEVELS[0], (0.0, 0.4)), (FAR, (0.4, 1.0)))
    ]
    return max(found, key=lambda each: agreement(slices, each))


def chosen_by_evidence(
    slices: list[MaskedSlice], template: Volume, seed: int, device: torch.device | str, progress: Progress
) -> tuple[Found, bool, tuple[float, float]]:
    """Coarse poses from the stacks as they lie and from a template; those by which slices fit better.

    Returns:
        What was found, whether by the template, and how well slices agree (correlation, their mean weighted
        by pixels) from the stacks and from the template.
    """
    average = find_motion(
        slices, levels=LEVELS[:1], seed=seed, device=device, progress=progress.part(0.0, 0.3)
    )
    seeded = by_template(slices, template, seed=seed, device=device, progress=progress.part(0.3, 1.0))
    scores = (agreement(slices, average), agreement(slices, seeded))
    chosen = scores[1] > scores[0]
    return (seeded if chosen else average), chosen, scores
