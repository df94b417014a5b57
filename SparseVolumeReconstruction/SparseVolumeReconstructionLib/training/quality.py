"""What a model's card says about its quality: measured on subjects that were not fitted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from ..data.cohort import brain_mask
from ..evaluation.baselines import atlas
from ..evaluation.cases import Case, as_array
from ..evaluation.scores import add_distribution, score_mean, with_observed
from ..geometry import InputError, Volume
from ..observation.rays import radiograph_of
from ..observation.views import VIEWS
from ..priors.base import Prior
from ..reconstruction.patient_posterior import condition_registered
from .calibration import RADIOGRAPH_NOISE

COUNTS = (1, 3, 4, 7, 9)
MEASURES = ("SSIM", "SSIM of the prior mean", "coverage of 90 % intervals")


def measured_quality(
    prior: Prior,
    subjects: Mapping[str, Volume],
    on_step: Callable[[str, float], None],
    cohort: dict[str, str] | None = None,
) -> dict:
    """SSIM of the posterior mean and of the prior mean, and coverage of 90 % intervals.

    The prior mean is that before any slice, at the covariate found; it is the mean atlas only of a Gaussian.
    Observed slices are shown in both; every value is a mean over subjects.

    Args:
        subjects: by name, that the prior was not fitted on; on the protocol grid, (K, J, I), [0, 1].
        on_step: called with a text and the fraction done; may raise to cancel.
        cohort: of each subject; where there are several, each is also shown alone.

    Returns:
        For the card, {measure: {number of slices: value}} and whom it is of; empty without subjects.
    """
    measured: dict[str, dict[str, tuple[float, ...]]] = {}
    for done, (name, truth) in enumerate(subjects.items()):
        on_step(f"measuring {name}", done / len(subjects))
        case = Case(name, truth, brain_mask(truth.array), (0, truth.grid.shape_kji[0]))
        for count in COUNTS:
            try:
                positions = case.positions(count)
                conditioned = condition_registered(prior, case.slices(positions), grid=truth.grid)
            except InputError:
                continue
            scores = score_mean(case, positions, with_observed(as_array(conditioned.mean()), case, positions))
            add_distribution(scores, case, positions, conditioned, [])
            average = with_observed(as_array(atlas(prior, conditioned)), case, positions)
            base = score_mean(case, positions, average)
            found = (scores.values["ssim"], base.values["ssim"], scores.values["coverage_90"])
            measured.setdefault(str(count), {})[name] = found
    if not subjects:
        return {}
    members = {
        name: [n for n in subjects if (cohort or {}).get(n) == name] for name in (cohort or {}).values()
    }
    alone = {name: _means(measured, names) for name, names in members.items()} if len(members) > 1 else {}
    return {"subjects": sorted(subjects), "frame": "registered", **_means(measured, subjects), **alone}


def quality_by_radiograph(
    prior: Prior, subjects: Mapping[str, Volume], on_step: Callable[[str, float], None]
) -> dict:
    """Root mean square error over the field of the prior's mean, and of the mean given one radiograph.

    Args:
        subjects: by name, that the prior was not fitted on; on the canonical grid, (K, J, I), [0, 1].
        on_step: called with a text and the fraction done; may raise to cancel.

    Returns:
        For the card, {measure: {view: value}}, mean over subjects, and whom it is of; empty without any.
    """
    errors: dict[str, list[float]] = {}
    for done, (name, truth) in enumerate(subjects.items()):
        on_step(f"measuring {name}", done / len(subjects))
        pixels = max(truth.grid.shape_kji)
        for view, direction in {"none": None, **VIEWS}.items():
            given = [radiograph_of(truth, np.array(direction), pixels, RADIOGRAPH_NOISE)] if direction else []
            off = prior.condition(given).mean().cpu().clamp(min=0).numpy() - truth.array
            errors.setdefault(view, []).append(float(np.sqrt((off**2).mean())))
    table = {view: round(float(np.mean(each)), 5) for view, each in errors.items()}
    return {"subjects": sorted(subjects), "RMSE by the view of one radiograph": table} if subjects else {}


def _means(measured: dict[str, dict[str, tuple[float, ...]]], names: Collection[str]) -> dict:
    """Means over some subjects of what was measured, {what: {count: value}}. measured: by count and name."""
    table: dict[str, dict[str, float]] = {key: {} for key in MEASURES}
    for count, by_name in measured.items():
        own = [values for name, values in by_name.items() if name in names]
        for key, value in zip(MEASURES, np.mean(own, 0) if own else (), strict=bool(own)):
            table[key][count] = round(float(value), 3)
    return table
