"""What a prior says of one case, computed once and timed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ..geometry import Grid, SliceImage
from ..priors.base import Prior
from ..reconstruction.conditioned import Conditioned, condition_patient, condition_registered
from .cases import as_array


@dataclass(frozen=True, eq=False)
class Inferred:
    """A posterior on the grid of a case, its mean (K, J, I) and samples (K, J, I), and the times they took in seconds.

    Observed slices are not put into the arrays yet. Times of samples are per sample; nan without any.
    """

    posterior: Conditioned
    mean: np.ndarray
    samples: list[np.ndarray]
    seconds_condition: float
    seconds_mean: float
    seconds_sample: float

    @property
    def seconds(self) -> dict[str, float]:
        """The times by the names that scores have."""
        return {name: getattr(self, name) for name in ("seconds_condition", "seconds_mean", "seconds_sample")}


def infer(prior: Prior, slices: list[SliceImage], grid: Grid, frame: str, samples: int) -> Inferred:
    """Condition a prior on the slices of a case; frame: "registered" or "patient". Sample n has seed n. Raises InputError."""
    start = time.perf_counter()
    condition = condition_registered if frame == "registered" else condition_patient
    posterior = condition(prior, slices, grid=grid)
    conditioned = time.perf_counter()
    mean = as_array(posterior.mean())
    ready = time.perf_counter()
    drawn = [as_array(posterior.sample([seed]))[0] for seed in range(samples)]
    per_sample = (time.perf_counter() - ready) / samples if samples else float("nan")
    return Inferred(posterior, mean, drawn, conditioned - start, ready - conditioned, per_sample)
