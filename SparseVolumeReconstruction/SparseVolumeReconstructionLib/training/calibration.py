"""Interval widths measured on subjects left out of the fit, through the whole of intensity map and posterior.

Quantiles of held-out errors over their standard deviations, as in split conformal prediction with such a
score (Lei et al., J. Am. Stat. Assoc. 113, 2018), pooled over voxels, so that coverage is measured, not
guaranteed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from ..data.cohort import brain_mask
from ..evaluation.cases import context_positions
from ..geometry import Volume
from ..observation.rays import radiograph_of
from ..observation.slices import slice_of
from ..priors.base import Prior
from ..priors.intervals import LEVELS
from ..reconstruction.patient_posterior import condition_registered

COUNTS = (1, 3, 4, 9)
_PER_CASE = 5000
RADIOGRAPH_NOISE = 0.005  # of line integrals


def measured_multipliers(
    prior: Prior, subjects: Mapping[str, Volume], on_step: Callable[[str, float], None]
) -> tuple[tuple, dict]:
    """Interval multipliers of a prior and what was measured, for the card.

    Args:
        prior: its own multipliers do not count.
        subjects: by name, that it was not fitted on; on the prior's protocol grid, (K, J, I), [0, 1].
        on_step: called with a text and the fraction done; may raise to cancel.

    Returns:
        A factor on the standard deviation for every level in LEVELS, and {words: {number of slices: share of
        voxels that 90 % intervals hold}}.
    """
    scores: dict[int, list[np.ndarray]] = {count: [] for count in COUNTS}
    generator = np.random.default_rng(0)
    for done, (name, truth) in enumerate(subjects.items()):
        on_step(f"calibrating on {name}", done / len(subjects))
        for count in COUNTS:
            if count <= truth.grid.shape_kji[0] // 2:
                scores[count].append(standardised_errors(prior, truth, count, generator))
    multipliers, coverage = multipliers_of({count: s for count, s in scores.items() if s})
    return multipliers, {"coverage of 90 % intervals on validation subjects by number of slices": coverage}


def multipliers_of(scores: dict[int, list[np.ndarray]]) -> tuple[tuple[float, ...], dict[str, float]]:
    """Quantiles at LEVELS of all scores (n,), and the share of each count that 90 % intervals hold."""
    pooled = np.concatenate([np.concatenate(s) for s in scores.values()])
    multipliers = tuple(float(q) for q in np.quantile(pooled, LEVELS))
    held = {
        str(count): float(np.mean(np.concatenate(s) <= multipliers[LEVELS.index(0.9)]))
        for count, s in scores.items()
    }
    return multipliers, {count: round(share, 3) for count, share in held.items()}


def standardised_errors(
    prior: Prior, truth: Volume, count: int, generator: np.random.Generator
) -> np.ndarray:
    """A random part of |truth - mean| / std over foreground voxels that were not observed.

    Args:
        truth: a subject that the prior was not fitted on, on its protocol grid, [0, 1].
        count: number of axial slices that are shown.
        generator: chooses the voxels.

    Returns:
        (5000,), drawn with replacement; truth, mean and deviation are in canonical units.
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


def errors_by_slices(prior: Prior, truth: Volume, generator: np.random.Generator) -> dict[int, np.ndarray]:
    """`standardised_errors` by the number of slices."""
    return {count: standardised_errors(prior, truth, count, generator) for count in COUNTS}


def errors_by_radiograph(
    prior: Prior, truth: Volume, generator: np.random.Generator
) -> dict[int, np.ndarray]:
    """The same for {1: one radiograph from a random, known direction}, truth on the canonical grid."""
    pixels = max(truth.grid.shape_kji)
    seen = radiograph_of(truth, generator.normal(size=3), pixels, RADIOGRAPH_NOISE)
    posterior = prior.condition([seen])
    z = (torch.as_tensor(truth.array) - posterior.mean().cpu().clamp(min=0)).abs() / posterior.std().cpu()
    return {1: generator.choice(z.numpy()[brain_mask(truth.array)], _PER_CASE)}
