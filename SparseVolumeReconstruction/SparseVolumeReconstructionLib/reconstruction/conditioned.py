"""A prior conditioned on a patient's slices: the posterior together with the frame and the intensity map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..geometry import Grid, SliceImage, Volume
from ..geometry.resample import resample
from ..priors.base import Posterior, Prior
from .align import Alignment, align, fixed_frame
from .intensity import MonotoneMap
from .progress import Progress


@dataclass(frozen=True, eq=False)
class Conditioned:
    """A posterior as the patient sees it: every array is float32 on `grid` and in patient intensities.

    posterior: on a canonical grid, canonical units. alignment: frame and intensity map.
    """

    posterior: Posterior
    alignment: Alignment
    grid: Grid

    @property
    def patient_to_canonical(self) -> np.ndarray:
        """4x4 RAS mm."""
        return self.alignment.patient_to_canonical

    @property
    def covariate(self) -> float | None:
        """The covariate given or inferred; None for priors without one."""
        return self.alignment.covariate

    def to_patient(self, canonical: np.ndarray) -> np.ndarray:
        """Canonical intensities as patient intensities, not below 0."""
        return np.maximum(self.alignment.intensity.to_patient(canonical), 0)

    def carry(self, canonical: torch.Tensor, grid: Grid | None = None) -> np.ndarray:
        """A canonical volume (K, J, I) on the patient's grid (or another patient grid), values unchanged."""
        grid, array = grid or self.grid, canonical.cpu().numpy()
        if grid.same_as(self.posterior.grid) and np.array_equal(self.patient_to_canonical, np.eye(4)):
            return array
        return resample(Volume(array, self.posterior.grid), grid, self.patient_to_canonical, antialias=False).array

    def mean(self) -> np.ndarray:
        """Posterior mean, (K, J, I)."""
        return self.to_patient(self.carry(self.posterior.mean()))

    def std(self) -> np.ndarray:
        """Posterior standard deviation, (K, J, I)."""
        mean, std = self.carry(self.posterior.mean()), self.carry(self.posterior.std())
        return self.alignment.intensity.spread_to_patient(mean, std)

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of the central interval that holds `level` (0..1) of the truth."""
        low, high = self.posterior.interval(level)
        return self.to_patient(self.carry(low)), self.to_patient(self.carry(high))

    def sample(self, seeds: list[int]) -> np.ndarray:
        """One posterior sample per seed, (len(seeds), K, J, I)."""
        samples = [self.to_patient(self.carry(s)) for s in self.posterior.sample(seeds)]
        return np.stack(samples) if samples else np.zeros((0, *self.grid.shape_kji), np.float32)


def condition_registered(
    prior: Prior,
    slices: list[SliceImage],
    *,
    grid: Grid,
    covariate: float | None = None,
    check: Callable[[], None] = lambda: None,
) -> Conditioned:
    """Posterior on a canonical grid for slices that are in canonical space already (only the intensities are matched)."""
    alignment = _in_frame(prior, slices, np.eye(4), covariate)
    return Conditioned(_condition(prior, slices, alignment, grid, check), alignment, grid)


def condition_patient(
    prior: Prior,
    slices: list[SliceImage],
    *,
    grid: Grid,
    frame: np.ndarray | None = None,
    covariate: float | None = None,
    progress: Progress | None = None,
) -> Conditioned:
    """Posterior for slices in patient space, seen on the patient's `grid`.

    frame: 4x4 patient to canonical (RAS mm), found from the slices if None. Raises InputError when the slices do not
    look like the prior's anatomy.
    """
    progress = progress or Progress()
    if frame is None and slices:
        alignment = align(slices, prior.alignment_model(), progress, covariate)
    else:
        alignment = _in_frame(prior, slices, np.eye(4) if frame is None else frame, covariate)
    progress.update("conditioning", 0.4)
    return Conditioned(_condition(prior, slices, alignment, prior.grid, progress.check), alignment, grid)


def _in_frame(prior: Prior, slices: list[SliceImage], frame: np.ndarray, covariate: float | None) -> Alignment:
    if slices:
        return fixed_frame(slices, prior.alignment_model(), frame, covariate)
    known = prior.card.covariate
    return Alignment(frame, MonotoneMap.identity(), covariate if covariate or not known else (known.low + known.high) / 2, None, {})


def _condition(prior: Prior, slices: list[SliceImage], alignment: Alignment, grid: Grid, check) -> Posterior:
    matrix, intensity = alignment.patient_to_canonical, alignment.intensity
    canonical = [
        SliceImage(intensity.to_canonical(s.pixels), s.plane.transformed(matrix), s.name, s.thickness_assumed, s.source, s.volume_index)
        for s in slices
    ]
    return prior.condition(canonical, grid=grid, covariate=alignment.covariate, check=check)
