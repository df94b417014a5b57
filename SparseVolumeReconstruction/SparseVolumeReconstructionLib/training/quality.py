"""What a model's card says about its quality: measured on subjects that were not fitted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..data.cohort import brain_mask
from ..evaluation.baselines import atlas
from ..evaluation.cases import Case, as_array
from ..evaluation.scores import add_distribution, score_mean, with_observed
from ..geometry import InputError, Volume
from ..priors.base import Prior
from ..reconstruction.patient_posterior import condition_registered

COUNTS = (1, 3, 4, 7, 9)


def measured_quality(
    prior: Prior, subjects: dict[str, Volume], on_step: Callable[[str, float], None]
) -> dict:
    """SSIM of the posterior mean and of the prior mean (before any slice, at the covariate found), and
    coverage of 90 % intervals.

    subjects: on the protocol grid, (K, J, I), [0, 1]. The prior mean is the mean atlas only of a Gaussian.
    Observed slices are shown in both; every value is a mean over subjects.
    """
    values: dict[str, dict[str, list[float]]] = {
        "SSIM": {},
        "SSIM of the prior mean": {},
        "coverage of 90 % intervals": {},
    }
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
            measured = (scores.values["ssim"], base.values["ssim"], scores.values["coverage_90"])
            for key, value in zip(values, measured, strict=True):
                values[key].setdefault(str(count), []).append(value)
    table = {
        key: {count: round(float(np.mean(v)), 3) for count, v in by_count.items()}
        for key, by_count in values.items()
    }
    return {"subjects": sorted(subjects), "frame": "registered", **table} if subjects else {}
