"""Scores of one estimate, and their summary over subjects."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import metrics, sample_scores
from .cases import Case, as_array

COVERAGE = {f"coverage_{round(level * 100)}": level for level in metrics.LEVELS}
OF_SAMPLES = (
    "ssim_of_samples",
    "cc_slice_of_samples",
    "sample_difference",
    "sample_spread",
    "sample_coverage_90",
    "sample_auc",
    "sample_error",
    "sample_error_observed",
    "donor_distance",
    "donor_distance_observed",
)
MEANS = (
    "ssim",
    "ssim_excluding_contexts",
    "ssim_in_brain",
    "cc_volume",
    "cc_slice",
    "psnr",
    *OF_SAMPLES,
    *COVERAGE,
)
MEDIANS = ("seconds_condition", "seconds_mean", "seconds_sample")
KEYS = MEANS + MEDIANS


@dataclass
class Scores:
    """Scores of one subject at one number of contexts.

    Attributes:
        values: by the names in KEYS.
        curve: SSIM of each slice.
        coverage: {level name: (distance bins, 2) voxels, inside}.
        spread, spectrum_db: of samples, see `sample_scores`; None without them.
    """

    values: dict[str, float]
    curve: np.ndarray
    coverage: dict[str, np.ndarray] = field(default_factory=dict)
    spread: np.ndarray | None = None
    spectrum_db: np.ndarray | None = None


def with_observed(estimate: np.ndarray, case: Case, positions: list[int]) -> np.ndarray:
    """A float32 copy of `estimate` that shows the observed slices where they were observed.

    Args:
        estimate: (K, J, I), array or tensor.
        case: its truth holds the observed slices.
        positions: their numbers.
    """
    estimate = as_array(estimate).copy()
    estimate[positions] = case.truth.array[positions]
    return estimate


def score_mean(case: Case, positions: list[int], estimate: np.ndarray) -> Scores:
    """Scores of one volume (K, J, I) with the observed slices already in it.

    Args:
        case: has the truth and the mask of the brain.
        positions: numbers of the observed slices.
        estimate: in [0, 1].
    """
    truth = case.truth.array
    similarity = metrics.ssim_map(truth, estimate)
    curve = metrics.slice_ssim(similarity)
    return Scores(
        {
            "ssim": float(curve.mean()),
            "ssim_excluding_contexts": float(np.delete(curve, positions).mean()),
            "ssim_in_brain": metrics.masked_mean(similarity, case.brain),
            "cc_volume": metrics.pearson(truth, estimate),
            "cc_slice": metrics.slice_pearson(truth, estimate),
            "psnr": metrics.psnr(truth, estimate),
        },
        curve,
    )


def add_distribution(
    scores: Scores, case: Case, positions: list[int], posterior, samples: list[np.ndarray]
) -> None:
    """Add the scores of samples (K, J, I) and the coverage of the intervals.

    Over brain voxels that were not observed.

    Args:
        scores: of the same case; is added to.
        positions: numbers of the observed slices.
        posterior: with `interval` and `mean` on the grid of the case, such as a PatientPosterior.
        samples: of it, without the observed slices; may be empty. Their spread and spectrum need two, their
            coverage `sample_scores.MIN_FOR_QUANTILES`.
    """
    truth = case.truth.array
    hidden = case.brain.copy()
    hidden[positions] = False
    distance = metrics.context_distance(len(truth), positions, case.truth.grid.spacing_ijk[2])
    for key, level in COVERAGE.items():
        low, high = (as_array(bound) for bound in posterior.interval(level))
        inside = (low <= truth) & (truth <= high)
        scores.values[key] = metrics.masked_mean(inside, hidden)
        scores.coverage[key] = metrics.coverage_by_distance(inside, hidden, distance)
    if samples:
        shown = [with_observed(sample, case, positions) for sample in samples]
        scores.values["ssim_of_samples"] = float(
            np.mean([metrics.slice_ssim(metrics.ssim_map(truth, s)).mean() for s in shown])
        )
        scores.values["cc_slice_of_samples"] = float(
            np.mean([metrics.slice_pearson(truth, s) for s in shown])
        )
    if len(samples) > 1:
        drawn = np.stack(samples)
        mean = as_array(posterior.mean())
        variance = drawn[:, hidden].var(0, ddof=1, dtype=np.float64)
        scores.values["sample_difference"] = math.sqrt(2 * variance.mean()) if hidden.any() else math.nan
        column, row = case.truth.grid.spacing_ijk[:2]
        scores.spread = sample_scores.spread_by_distance(drawn, mean, truth, hidden, distance)
        scores.values["sample_spread"] = sample_scores.spread_ratio(scores.spread)
        scores.spectrum_db = sample_scores.spectrum_db(drawn, truth, (float(row), float(column)))
        if len(samples) >= sample_scores.MIN_FOR_QUANTILES:
            scores.values["sample_coverage_90"] = sample_scores.coverage_of_samples(drawn, truth, hidden, 0.9)


class Tally:
    """Collects scores by system, number of contexts and subject."""

    def __init__(self):
        self._scores: dict[str, dict[int, dict[str, Scores]]] = {}
        self._extent: dict[str, tuple[int, int]] = {}

    def add(self, system: str, count: int, case: Case, scores: Scores) -> None:
        """Keep the scores of one system for one subject.

        Args:
            count: number of contexts.
            case: gives the subject's name and extent.
        """
        self._scores.setdefault(system, {}).setdefault(count, {})[case.name] = scores
        self._extent[case.name] = case.extent

    def summary(self, systems: list[str], counts: list[int]) -> dict[str, dict[str, dict[str, float | None]]]:
        """{system: {count: {key: value}}}: means over subjects, medians of times, None without any number.

        Args:
            systems: names, as they were added; those without scores have None everywhere.
            counts: numbers of contexts.

        Returns:
            See above; counts are texts there, keys those of KEYS.
        """
        return {
            s: {str(n): {key: self._over_subjects(s, n, key) for key in KEYS} for n in counts}
            for s in systems
        }

    def _over_subjects(self, system: str, count: int, key: str) -> float | None:
        values = [s.values.get(key, math.nan) for s in self._scores.get(system, {}).get(count, {}).values()]
        values = [v for v in values if math.isfinite(v)]
        if not values:
            return None
        return float(np.median(values) if key in MEDIANS else np.mean(values))

    def by_subject(self) -> dict:
        """{system: {count: {subject: {key: value}}}}; values that are not finite become None."""
        return {
            system: {
                str(n): {
                    name: {key: float(v) if math.isfinite(v) else None for key, v in scores.values.items()}
                    for name, scores in subjects.items()
                }
                for n, subjects in counts.items()
            }
            for system, counts in self._scores.items()
        }

    def curves(self) -> dict:
        """{system: {count: [mean SSIM over subjects from the first to the last slice of their extents]}}."""
        places = max((length for _, length in self._extent.values()), default=0)

        def resampled(name: str, curve: np.ndarray) -> np.ndarray:
            first, length = self._extent[name]
            return np.interp(np.linspace(first, first + length - 1, places), np.arange(len(curve)), curve)

        return {
            system: {
                str(n): np.mean([resampled(name, s.curve) for name, s in subjects.items()], 0)
                .round(4)
                .tolist()
                for n, subjects in counts.items()
            }
            for system, counts in self._scores.items()
        }

    def coverage_by_distance(self) -> dict:
        """Voxels in each distance bin and the share that intervals hold, over all subjects together.

        Returns {system: {count: {bin: {"voxels": n, "coverage_50": share, ...}}}}.
        """
        table: dict = {}
        for system, counts in self._scores.items():
            for n, subjects in counts.items():
                total: dict[str, Any] = {
                    key: sum(s.coverage[key] for s in subjects.values() if key in s.coverage)
                    for key in COVERAGE
                }
                if not isinstance(total["coverage_90"], np.ndarray):
                    continue
                table.setdefault(system, {})[str(n)] = {
                    name: {
                        "voxels": int(total["coverage_90"][b, 0]),
                        **{k: float(t[b, 1] / t[b, 0]) for k, t in total.items()},
                    }
                    for b, name in enumerate(metrics.bin_names())
                    if total["coverage_90"][b, 0]
                }
        return table

    def samples(self) -> dict:
        """{system: {count: {"spread": {bin: ratio}, "spectrum_db": [means over subjects]}}} of samples."""
        table: dict = {}
        for system, counts in self._scores.items():
            for n, subjects in counts.items():
                spreads = [s.spread for s in subjects.values() if s.spread is not None]
                spectra = [s.spectrum_db for s in subjects.values() if s.spectrum_db is not None]
                if not spreads:
                    continue
                total = np.sum(spreads, 0)
                ratios = dict(zip(metrics.bin_names(), map(sample_scores.spread_ratio, total), strict=True))
                decibel = np.mean(spectra, 0)
                table.setdefault(system, {})[str(n)] = {
                    "spread": {name: round(r, 3) for name, r in ratios.items() if math.isfinite(r)},
                    "spectrum_db": [round(float(v), 2) if math.isfinite(v) else None for v in decibel],
                }
        return table
