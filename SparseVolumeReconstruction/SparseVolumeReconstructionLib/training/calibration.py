"""Interval widths measured on subjects left out of the fit, through the whole of intensity map and
posterior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ..data.cohort import brain_mask
from ..evaluation.cases import context_positions
from ..geometry import Volume
from ..observation.slices import slice_of
from ..priors.base import Prior
from ..priors.card import ModelCard
from ..priors.intervals import LEVELS
from ..priors.structured_gaussian.parameters import GaussianParameters
from ..priors.structured_gaussian.prior import StructuredGaussian
from ..reconstruction.patient_posterior import condition_registered
from .gaussian_fit import Rows, fit_gaussian

_COUNTS = (1, 3, 4, 9)
_FOLDS = 3
_PER_CASE = 5000


def held_out_scores(
    parameters: GaussianParameters,
    card: ModelCard,
    rows: Rows,
    names: list[str],
    truth: Callable[[str], Volume],
    on_step: Callable[[str, float], None],
) -> tuple[GaussianParameters, dict]:
    """Parameters with measured interval multipliers, and what was measured.

    In each of three folds a model is fitted without the fold and conditioned on 1, 3, 4 and 9 slices of each
    subject of the fold; the multipliers are quantiles of |truth - mean| / std over foreground voxels that
    were not observed. card: of the model to be. truth(name): the subject on the protocol grid, (K, J, I), [0,
    1].
    """
    scores = {count: [] for count in _COUNTS}
    generator = np.random.default_rng(0)
    for fold in range(_FOLDS):
        left_out = np.arange(len(names))[fold::_FOLDS]
        part = fit_gaussian(
            rows.subset(~np.isin(rows.group, left_out)),
            parameters.mask,
            parameters.grid,
            parameters.evaluation_grid,
            rank=len(parameters.loadings),
            knots=parameters.knots.numpy(),
            scale_knots=parameters.scale_knots.numpy(),
        )
        prior = StructuredGaussian(part, card)
        for done, subject in enumerate(left_out):
            on_step(f"calibrating on {names[subject]}", (fold + done / len(left_out)) / _FOLDS)
            volume = truth(names[subject])
            for count in _COUNTS:
                scores[count].append(_standardised(prior, volume, count, generator))
    multipliers, coverage = _multipliers(scores)
    return replace(parameters, multipliers=multipliers), {
        "cross-validated coverage of 90 % intervals by number of slices": coverage
    }


def measured_multipliers(
    prior: Prior, subjects: dict[str, Volume], on_step: Callable[[str, float], None]
) -> tuple[tuple, dict]:
    """Interval multipliers of a prior from subjects it was not fitted on, and what was measured, for the
    card.

    subjects: by name, on the prior's protocol grid, (K, J, I), [0, 1].
    """
    scores = {count: [] for count in _COUNTS}
    generator = np.random.default_rng(0)
    for done, (name, truth) in enumerate(subjects.items()):
        on_step(f"calibrating on {name}", done / len(subjects))
        for count in _COUNTS:
            if count <= truth.grid.shape_kji[0] // 2:
                scores[count].append(_standardised(prior, truth, count, generator))
    multipliers, coverage = _multipliers({count: s for count, s in scores.items() if s})
    return multipliers, {"coverage of 90 % intervals on validation subjects by number of slices": coverage}


def _multipliers(scores: dict[int, list[np.ndarray]]) -> tuple[tuple[float, ...], dict[str, float]]:
    """Quantiles of all scores at LEVELS, and the share of each count's that the 90 % interval holds."""
    pooled = np.concatenate([np.concatenate(s) for s in scores.values()])
    multipliers = tuple(float(q) for q in np.quantile(pooled, LEVELS))
    held = {
        str(count): float(np.mean(np.concatenate(s) <= multipliers[LEVELS.index(0.9)]))
        for count, s in scores.items()
    }
    return multipliers, {count: round(share, 3) for count, share in held.items()}


def _standardised(prior: Prior, truth: Volume, count: int, generator: np.random.Generator) -> np.ndarray:
    """A random part of |truth - mean| / std over foreground voxels that were not observed, canonical
    units.
    """
    positions = context_positions(count, truth.grid.shape_kji[0])
    slices = [slice_of(truth, k) for k in positions]
    conditioned = condition_registered(prior, slices, grid=truth.grid)
    canonical = conditioned.alignment.intensity.to_canonical(truth.array)
    hidden = brain_mask(truth.array)
    hidden[positions] = False
    posterior = conditioned.posterior
    z = torch.abs(torch.as_tensor(canonical) - posterior.mean().cpu()) / posterior.std().cpu()
    return generator.choice(z.numpy()[hidden], _PER_CASE)
