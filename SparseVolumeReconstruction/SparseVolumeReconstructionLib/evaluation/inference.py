"""What a prior says of one case, computed once and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..alignment.align import Alignment
from ..alignment.intensity import MonotoneMap
from ..data.bids import contrast_in
from ..geometry import Grid
from ..observation import Slice
from ..priors.base import Prior
from ..progress import Progress
from ..reconstruction.other_contrast import contrasts_of
from ..reconstruction.patient_posterior import (
    PatientPosterior,
    align_patient,
    condition,
    condition_patient,
    condition_registered,
)
from ..reconstruction.view import view_of
from .cases import as_array

_FRESH_SEED = 2**32


@dataclass(frozen=True, eq=False)
class Inferred:
    """A posterior on the grid of a case, its mean (K, J, I) and samples (K, J, I).

    Observed slices are not put into the arrays yet.

    Attributes:
        prior: that was conditioned: the one that was given, or the same in the contrast of the slices.
        seconds: by the names that scores have.
    """

    prior: Prior
    posterior: PatientPosterior
    mean: np.ndarray
    samples: list[np.ndarray]
    seconds: dict[str, float]


def _condition_own(prior: Prior, slices: list[Slice], *, grid: Grid) -> PatientPosterior:
    """For a prior whose space and units are those of the case."""
    own = Alignment(np.eye(4), MonotoneMap.identity(), None, None, {})
    return PatientPosterior(condition(prior, slices, own, grid=grid), own, grid)


def _condition_in_contrast(
    prior: Prior, slices: list[Slice], grid: Grid, frame: str, stated: str | None
) -> tuple[Prior, PatientPosterior]:
    """As a reconstruction does it: the contrast told from the slices where none is stated, and then seen."""
    contrasts = contrasts_of(slices, None, prior.card, stated)
    registered = frame == "registered"
    known = np.eye(4) if registered else None
    found = align_patient(prior, contrasts.for_prior, frame=known, progress=Progress())
    view = view_of(prior, contrasts, found)
    made = condition(view.prior, view.slices, view.alignment, grid=grid if registered else None)
    return view.prior, PatientPosterior(made, view.alignment, grid)


CONDITION: dict[str, Callable[..., PatientPosterior]] = {
    "registered": condition_registered,
    "patient": condition_patient,
    "own": _condition_own,
}


def infer(
    prior: Prior,
    slices: list[Slice],
    grid: Grid,
    frame: str,
    samples: int,
    contrast: str | None = None,
) -> Inferred:
    """Condition a prior on the slices of a case. Sample n has seed n.

    Args:
        prior: a system, or a baseline of the case.
        slices: of the case.
        grid: of the case.
        frame: "registered", "patient", or "own" for a baseline.
        samples: how many are drawn.
        contrast: of the slices, as `data.bids.contrast_of` calls it; told from them if None.

    Raises:
        InputError: the slices cannot be used.
    """
    start = time.perf_counter()
    if frame == "own" or not slices or contrast == contrast_in(prior.card.modality):
        posterior = CONDITION[frame](prior, slices, grid=grid)
    else:
        prior, posterior = _condition_in_contrast(prior, slices, grid, frame, contrast)
    conditioned = time.perf_counter()
    mean = as_array(posterior.mean())
    seconds = {"seconds_condition": conditioned - start, "seconds_mean": time.perf_counter() - conditioned}
    drawn = [as_array(posterior.sample([seed]))[0] for seed in range(samples)]
    return Inferred(prior, posterior, mean, drawn, seconds)


def sampling_seconds(inferred: Inferred) -> float:
    """Seconds that one more sample takes, after a warm one."""
    inferred.posterior.sample([_FRESH_SEED])
    start = time.perf_counter()
    inferred.posterior.sample([_FRESH_SEED + 1])
    return time.perf_counter() - start
