"""A prior conditioned on what was observed of a patient: the posterior with frame and intensity map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from ..alignment.align import Alignment, align, fixed_frame, gains_in_frame, in_known_frame
from ..alignment.intensity import MonotoneMap
from ..geometry import Grid, InputError, Volume
from ..geometry.resample import resample
from ..observation import Observation, Slice, split_slices
from ..priors.base import Posterior, Prior
from ..progress import Progress

_STEPS = 5  # between the bounds of an interval, where brighter in the model is not brighter in the patient


@dataclass(frozen=True, eq=False)
class PatientPosterior:
    """A posterior as the patient sees it: every array is float32 on `grid` and in patient intensities.

    Mean and standard deviation are computed and resampled once, however often they are asked for.

    posterior: on a canonical grid, canonical units. alignment: frame and intensity map. grid: patient RAS mm.
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

    def on(self, grid: Grid) -> PatientPosterior:
        """The same on another patient grid; itself where the grid is the same: nothing is made twice."""
        return self if self.grid.same_as(grid) else replace(self, grid=grid)

    def to_patient(self, canonical: np.ndarray) -> np.ndarray:
        """Canonical intensities as patient intensities, not below 0."""
        return self.alignment.to_patient(canonical)

    def resample_to_patient(self, canonical: torch.Tensor, source: Grid | None = None) -> np.ndarray:
        """A canonical volume on the patient's grid, values unchanged.

        Args:
            canonical: (K, J, I) on `source`.
            source: a canonical grid, the posterior's own if None.

        Returns:
            (K, J, I) on `grid`; 0 outside `source`.
        """
        source = source or self.posterior.grid
        array = canonical.cpu().numpy()
        if self.grid.same_as(source) and np.array_equal(self.patient_to_canonical, np.eye(4)):
            return array
        return resample(Volume(array, source), self.grid, self.patient_to_canonical, antialias=False).array

    @cached_property
    def canonical_mean(self) -> np.ndarray:
        """Posterior mean on `grid`, canonical units."""
        return self.resample_to_patient(self.posterior.mean())

    @cached_property
    def _canonical_std(self) -> np.ndarray:
        """Posterior standard deviation on `grid`, canonical units."""
        return self.resample_to_patient(self.posterior.std())

    def mean(self) -> np.ndarray:
        """Posterior mean, a new array (K, J, I)."""
        return self.to_patient(self.canonical_mean)

    def std(self) -> np.ndarray:
        """Posterior standard deviation, a new array (K, J, I)."""
        return self.alignment.spread_to_patient(self.canonical_mean, self._canonical_std)

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of the central interval that holds `level` (0..1) of the truth, each (K, J, I)."""
        low, high = (self.resample_to_patient(bound) for bound in self.posterior.interval(level))
        between = [
            self.to_patient(low + f * (high - low))
            for f in np.linspace(0, 1, _STEPS if self.alignment.shown else 2)
        ]
        return np.minimum.reduce(between), np.maximum.reduce(between)

    def sample(self, seeds: list[int]) -> np.ndarray:
        """One posterior sample per seed, (len(seeds), K, J, I)."""
        samples = [self.to_patient(self.resample_to_patient(s)) for s in self.posterior.sample(seeds)]
        return np.stack(samples) if samples else np.zeros((0, *self.grid.shape_kji), np.float32)


def condition_registered(
    prior: Prior,
    observations: Sequence[Observation],
    *,
    grid: Grid,
    covariate: float | None = None,
    check: Callable[[], None] = lambda: None,
) -> PatientPosterior:
    """Posterior on a canonical grid for observations that are in canonical space already.

    Only the intensities are matched.

    Args:
        observations: canonical mm, intensities of the patient.
        grid: canonical; the posterior lives and is seen on it.
        covariate: inferred from the slices if None.
        check: called in inner loops; raise from it to cancel.
    """
    alignment = _in_frame(prior, split_slices(observations)[0], np.eye(4), covariate)
    posterior = condition(prior, observations, alignment, grid=grid, check=check)
    return PatientPosterior(posterior, alignment, grid)


def condition_patient(
    prior: Prior,
    observations: Sequence[Observation],
    *,
    grid: Grid,
    frame: np.ndarray | None = None,
    covariate: float | None = None,
    progress: Progress | None = None,
) -> PatientPosterior:
    """Posterior for observations in patient space, seen on the patient's `grid`.

    Args:
        observations: patient mm and intensities.
        grid: of the patient.
        frame: 4x4 patient to canonical (RAS mm), found from the slices if None.
        covariate: inferred from the slices if None.

    Raises:
        InputError: the slices do not look like the prior's anatomy, or nothing shows the frame.
        Cancelled: when asked to stop.
    """
    progress = progress or Progress()
    alignment = align_patient(prior, observations, frame=frame, covariate=covariate, progress=progress)
    progress.update("conditioning", 0.4)
    return condition_aligned(prior, observations, alignment, grid=grid, check=progress.check)


def condition_aligned(
    prior: Prior,
    observations: Sequence[Observation],
    alignment: Alignment,
    *,
    grid: Grid,
    check: Callable[[], None] = lambda: None,
    fast: bool = False,
) -> PatientPosterior:
    """Posterior for observations whose place is known, on the prior's own grid, seen on the patient's.

    Args:
        prior: what is conditioned.
        observations: patient mm and intensities.
        alignment: their frame and intensity map.
        grid: of the patient.
        check: called in inner loops; raise from it to cancel.
        fast: a rough and quick mean.

    Returns:
        The posterior on `grid`.
    """
    return PatientPosterior(
        condition(prior, observations, alignment, check=check, fast=fast), alignment, grid
    )


def align_patient(
    prior: Prior,
    observations: Sequence[Observation],
    *,
    frame: np.ndarray | None = None,
    covariate: float | None = None,
    intensity: MonotoneMap | None = None,
    gains: dict[str, float] | None = None,
    progress: Progress,
    fast: bool = False,
) -> Alignment:
    """Frame and intensity map of observations in patient space, by their slices; see `condition_patient`.

    Args:
        observations: patient mm and intensities.
        frame: 4x4 patient to canonical (RAS mm). If None, found from the slices; the identity where there is
            no observation at all, or the intensity map is known.
        covariate: inferred if None; the middle of the prior's range without slices.
        intensity, gains: found before, together with the frame (and the covariate, where there is one); the
            gain of a series that was added since is found.
        fast: match fewer pixels in a given frame.

    Raises:
        InputError: as `align`, and where the frame is to be found and nothing shows it.
        Cancelled: when asked to stop.
    """
    slices, others = split_slices(observations)
    if intensity is not None:
        frame = np.eye(4) if frame is None else frame
        known = Alignment(frame, intensity, covariate, None, {})
        known = replace(known, gains=_completed(gains or {}, slices, prior, known))
        return in_known_frame(slices, prior.alignment_model(), known) if slices else known
    if frame is None and slices:
        return align(slices, prior.alignment_model(), progress, covariate)
    if frame is None and others:
        raise InputError(
            f"{others[0].name}: where the body lies cannot be found from a {others[0].kind} alone; give the "
            "frame, or slices as well."
        )
    return _in_frame(prior, slices, np.eye(4) if frame is None else frame, covariate, fast)


def _in_frame(
    prior: Prior, slices: list[Slice], frame: np.ndarray, covariate: float | None, fast: bool = False
) -> Alignment:
    if slices:
        return fixed_frame(slices, prior.alignment_model(), frame, covariate, fast)
    known = prior.card.covariate
    return Alignment(
        frame,
        MonotoneMap.identity(),
        covariate if covariate or not known else (known.low + known.high) / 2,
        None,
        {},
    )


def _completed(
    gains: dict[str, float], slices: list[Slice], prior: Prior, known: Alignment
) -> dict[str, float]:
    """Gains of all series, where there are several."""
    sources = {s.source for s in slices}
    if len(sources) == 1 or sources <= gains.keys():
        return gains
    return gains_in_frame(slices, gains, prior.alignment_model(), known) | gains


def in_common_units(observations: Sequence[Observation], alignment: Alignment) -> list[Observation]:
    """Slices as the intensity map expects them, divided by the gain of their series; then all others.

    Args:
        observations: in the units of their files.
        alignment: has the gains.
    """
    slices, others = split_slices(observations)
    return [*alignment.in_common_units(slices), *others]


def condition(
    prior: Prior,
    observations: Sequence[Observation],
    alignment: Alignment,
    *,
    grid: Grid | None = None,
    check: Callable[[], None] = lambda: None,
    fast: bool = False,
) -> Posterior:
    """The prior given aligned observations in patient mm and the units of their files.

    Args:
        alignment: frame, gains, intensity map and covariate.
        grid, check, fast: as in `Prior.condition`.

    Returns:
        The posterior in canonical space and canonical units.
    """
    matrix, intensity = alignment.patient_to_canonical, alignment.intensity
    common = in_common_units(observations, alignment)
    canonical = [observation.transformed(matrix).with_intensity(intensity) for observation in common]
    return prior.condition(canonical, grid=grid, covariate=alignment.covariate, check=check, fast=fast)
