"""What is made of a posterior: a table of outputs, each with the function that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..alignment.align import Alignment
from ..alignment.reader import Brain
from ..geometry import Grid, Volume
from ..observation import Observation, Radiograph, observed_voxels
from ..priors.base import Prior
from ..progress import Progress
from .extent import covering
from .patient_posterior import PatientPosterior, condition_aligned
from .radiographs import fused_mean, left_over, reprojection
from .request import ReconstructionRequest
from .whole_head import brain_mask, motion_of

_DEFAULT_SPACING_MM = 1.0
_SMALL_ANIMAL_MM = 0.5  # models with smaller voxels are shown on these
_BATCH = 4  # samples that are drawn at once


@dataclass(frozen=True, eq=False)
class Source:
    """What outputs are made of; what several of them need is made once.

    observations, alignment: patient mm and units. shown: the observations whose values stand in the result,
    in its units. like: output grid, None for an isotropic one that covers the anatomy. brain: what was found
    in whole heads.
    """

    request: ReconstructionRequest
    prior: Prior
    observations: list[Observation]
    shown: list[Observation]
    alignment: Alignment
    like: Grid | None
    brain: Brain | None
    progress: Progress

    @cached_property
    def covering(self) -> Grid:
        """Isotropic patient grid around the anatomy. Raises InputError when it would be too large."""
        grid, frame = self.prior.grid, self.alignment.patient_to_canonical
        own = float(grid.spacing_ijk.max())
        small = own < _SMALL_ANIMAL_MM
        if small and self.request.spacing_mm is None and np.array_equal(frame, np.eye(4)):
            return grid
        spacing_mm = self.request.spacing_mm or (own if small else _DEFAULT_SPACING_MM)
        around = covering(self.prior, frame, spacing_mm)
        if not self.has_radiographs:
            return around
        back = np.linalg.inv(frame)  # rays cross all of the field
        return Grid.covering(grid.corners_ras() @ back[:3, :3].T + back[:3, 3], spacing_mm)

    @property
    def has_radiographs(self) -> bool:
        """Whether rays were observed, which cross all of the field."""
        return any(isinstance(one, Radiograph) for one in self.observations)

    @cached_property
    def canonical_mean(self) -> np.ndarray:
        """Posterior mean on the output grid, canonical units; it gives the radiographs, if wanted."""
        mean = Volume(self.posterior.canonical_mean, self.posterior.grid)
        return fused_mean(mean, self.observations, self.request.fusion, self.progress.check)

    @cached_property
    def posterior(self) -> PatientPosterior:
        """On the output grid."""
        covering = self.covering  # too large a grid is refused before anything is computed
        return condition_aligned(
            self.prior,
            self.observations,
            self.alignment,
            grid=self.like or covering,
            check=self.progress.check,
            fast=self.request.fast,
        )

    @cached_property
    def observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Which voxels of the output grid were observed, and their values."""
        return observed_voxels(self.shown, self.posterior.grid)

    @cached_property
    def around_anatomy(self) -> PatientPosterior:
        """On the grid that covers the anatomy."""
        return self.posterior.on(self.covering)

    @cached_property
    def anatomy(self) -> np.ndarray:
        """(K, J, I) bool on the grid that covers the anatomy."""
        mask = self.prior.anatomy_mask.float()
        return self.around_anatomy.resample_to_patient(mask, self.prior.grid) >= 0.5


@dataclass(frozen=True)
class Output:
    """One row of the table.

    words, begins: what progress says while it is made, at which fraction of the work. wanted: whether a
    request needs it. make: its value. told: what result.json says of the value, JSON-ready.
    """

    words: str
    begins: float
    wanted: Callable[[Source], bool]
    make: Callable[[Source], Any]
    told: Callable[[Any], dict[str, Any]] = lambda made: {}


def make_outputs(source: Source, timed: Callable[[str], Any]) -> dict[str, Any]:
    """All that the request wants, by name, in the order of the table.

    Args:
        source: what it is made of.
        timed: context manager around the making of each name.

    Raises:
        InputError: when the output grid would be too large.
        Cancelled: when asked to stop.
    """
    made = {}
    for name, output in OUTPUTS.items():
        if output.wanted(source):
            source.progress.update(output.words, output.begins)
            with timed(name):
                made[name] = output.make(source)
    return made


def told_of_outputs(made: dict[str, Any]) -> dict[str, Any]:
    """What result.json says of outputs, given by name."""
    return {key: said for name, value in made.items() for key, said in OUTPUTS[name].told(value).items()}


def _keep_observed(source: Source, array: np.ndarray, values: np.ndarray | float) -> np.ndarray:
    """Put observed values into (..., K, J, I), where the request wants that."""
    if source.request.keep_observed:
        observed = source.observed[0]
        array[..., observed] = values[observed] if isinstance(values, np.ndarray) else values
    return array


def _observed(source: Source) -> Volume:
    return Volume(source.observed[0].astype(np.uint8), source.posterior.grid)


def _counts(observed: Volume) -> dict[str, Any]:
    count = int(observed.array.sum())
    return {"voxels": {"observed": count, "inferred": observed.array.size - count}}


def _mean(source: Source) -> Volume:
    mean = source.posterior.to_patient(source.canonical_mean)
    return Volume(_keep_observed(source, mean, source.observed[1]), source.posterior.grid)


def _reprojection(source: Source) -> Volume | None:
    return reprojection(Volume(source.canonical_mean, source.posterior.grid), source.observations)


def _left_over(source: Source) -> dict[str, float]:
    return left_over(Volume(source.canonical_mean, source.posterior.grid), source.observations)


def _std(source: Source) -> Volume:
    return Volume(_keep_observed(source, source.posterior.std(), 0.0), source.posterior.grid)


def _samples(source: Source) -> np.ndarray:
    """Samples with seeds seed, seed + 1, ..., so that fewer samples are the first of more."""
    count, seed = source.request.samples, source.request.seed
    samples = np.empty((count, *source.posterior.grid.shape_kji), np.float32)
    for start in range(0, count, _BATCH):
        source.progress.update(f"samples {start} of {count}", 0.6 + 0.3 * start / count)
        end = min(start + _BATCH, count)
        samples[start:end] = source.posterior.sample([seed + n for n in range(start, end)])
    return _keep_observed(source, samples, source.observed[1])


def _tissues(source: Source) -> dict[str, Volume]:
    """Shares of the tissues and their standard deviations, [0, 1], on the output grid."""
    posterior = source.posterior
    made = {}
    for name, pair in source.prior.tissues(posterior.posterior).items():
        for suffix, values in zip(("", "_std"), pair, strict=True):
            made[name + suffix] = Volume(posterior.resample_to_patient(values), posterior.grid)
    return made


def _brain_mask(source: Source) -> Volume:
    assert source.brain is not None
    return brain_mask(source.brain, Volume(source.posterior.mean(), source.posterior.grid))


def _motion(source: Source) -> dict[str, Any]:
    assert source.brain is not None
    return motion_of(source.brain)


def _template(source: Source) -> Volume:
    """The mean inside the anatomy."""
    mean = source.around_anatomy.mean()
    return Volume(np.where(source.anatomy, mean, 0).astype(np.float32), source.covering)


def _template_mask(source: Source) -> Volume:
    return Volume(source.anatomy.astype(np.uint8), source.covering)


def _evidence(source: Source) -> float:
    """log p(observations), nats; 0 without any."""
    return source.posterior.posterior.log_evidence() if source.observations else 0.0


def _atlas(source: Source) -> Volume:
    """The prior's mean without slices in patient intensities, on the canonical grid."""
    mean = source.prior.condition([], covariate=source.alignment.covariate).mean()
    return Volume(source.alignment.to_patient(mean.cpu().numpy()), source.prior.grid)


def _asked(name: str) -> Callable[[Source], bool]:
    return lambda source: name in source.request.outputs


def _conditioned(source: Source) -> bool:
    return source.request.on_grid or "template" in source.request.outputs


def _has_radiographs(source: Source) -> bool:
    return source.request.on_grid and source.has_radiographs


OUTPUTS = {
    "condition": Output("conditioning", 0.4, _conditioned, lambda source: source.posterior),
    "observed": Output("observed voxels", 0.49, lambda source: source.request.on_grid, _observed, _counts),
    "mean": Output("mean", 0.5, _asked("mean"), _mean),
    "reprojection": Output("reprojection", 0.54, _has_radiographs, _reprojection),
    "left_over": Output(
        "reprojection",
        0.545,
        _has_radiographs,
        _left_over,
        lambda left: {"reprojection_error": {name: round(error, 6) for name, error in left.items()}},
    ),
    "std": Output("uncertainty", 0.55, _asked("std"), _std),
    "samples": Output("samples", 0.6, lambda source: source.request.samples > 0, _samples),
    "tissues": Output("tissues", 0.88, _asked("tissues"), _tissues),
    "brain_mask": Output(
        "brain mask", 0.9, lambda source: source.request.on_grid and source.brain is not None, _brain_mask
    ),
    "template": Output("template", 0.91, _asked("template"), _template),
    "template_mask": Output("template", 0.91, _asked("template"), _template_mask),
    "evidence": Output(
        "evidence",
        0.92,
        lambda source: _conditioned(source) and not source.request.fast,
        _evidence,
        lambda evidence: {"log_evidence": evidence},
    ),
    "motion": Output(
        "motion between slices",
        0.93,
        lambda source: source.brain is not None and not source.request.fast,
        _motion,
        lambda motion: {"motion": motion},
    ),
    "atlas": Output("atlas", 0.94, _asked("atlas"), _atlas),
}
