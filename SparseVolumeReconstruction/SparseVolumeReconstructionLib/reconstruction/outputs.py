"""The volumes of a result, each made only where it is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ..alignment.align import Alignment
from ..alignment.reader import Brain
from ..geometry import Grid, InputError, Volume
from ..observation import Observation, observed_voxels
from ..priors.base import Prior
from ..progress import Progress
from .patient_posterior import PatientPosterior, condition_aligned
from .request import ReconstructionRequest
from .result import Reconstruction
from .whole_head import brain_mask

_DEFAULT_SPACING_MM = 1.0
_MAX_VOXELS = 60_000_000


@dataclass
class Clock:
    """Seconds of each step."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 4)


@dataclass(frozen=True, eq=False)
class OutputMaker:
    """Makes the volumes that a request asks for from observations that have their place.

    observations, alignment: patient mm and units. observed: those whose values stand in the result, in its
    units. brain: what was found in whole heads. like: output grid, None for an isotropic one that covers the
    anatomy.
    """

    request: ReconstructionRequest
    prior: Prior
    observations: list[Observation]
    observed: list[Observation]
    alignment: Alignment
    like: Grid | None
    clock: Clock
    progress: Progress
    brain: Brain | None = None

    def make(self) -> Reconstruction:
        """All volumes; the result's provenance holds the log evidence and the counts of voxels.

        Raises InputError, Cancelled.
        """
        volumes: dict[str, Any] = {}
        provenance: dict[str, Any] = {}
        if self.request.on_grid or "template" in self.request.outputs:
            spacing_mm = self.request.spacing_mm or _DEFAULT_SPACING_MM
            covering = _covering(self.prior, self.alignment.patient_to_canonical, spacing_mm)
            with self.clock.step("condition"):
                self.progress.update("conditioning", 0.4)
                posterior = condition_aligned(
                    self.prior,
                    self.observations,
                    self.alignment,
                    grid=self.like or covering,
                    check=self.progress.check,
                    fast=self.request.fast,
                )
            if self.request.on_grid:
                volumes |= self._on_grid(posterior)
                observed = int(volumes["observed"].array.sum())
                provenance["voxels"] = {"observed": observed, "inferred": posterior.grid.size - observed}
            if "template" in self.request.outputs:
                with self.clock.step("template"):
                    volumes |= self._template(posterior.on(covering))
            if not self.request.fast:
                provenance["log_evidence"] = self._evidence(posterior)
        if "atlas" in self.request.outputs:
            with self.clock.step("atlas"):
                self.progress.update("atlas", 0.94)
                volumes["atlas"] = self._atlas()
        return Reconstruction(
            **volumes, patient_to_canonical=self.alignment.patient_to_canonical, provenance=provenance
        )

    def _on_grid(self, posterior: PatientPosterior) -> dict[str, Any]:
        """Mean, std and samples on the output grid, with what was observed put into them."""
        made: dict[str, np.ndarray] = {}
        grid = posterior.grid
        if "mean" in self.request.outputs:
            with self.clock.step("mean"):
                self.progress.update("mean", 0.5)
                made["mean"] = posterior.mean()
        if "std" in self.request.outputs:
            with self.clock.step("std"):
                self.progress.update("uncertainty", 0.55)
                made["std"] = posterior.std()
        if self.request.samples:
            with self.clock.step("samples"):
                made["samples"] = self._samples(posterior)
        with self.clock.step("observed"):
            observed, values = observed_voxels(self.observed, grid)
        found = {}
        if self.brain:
            mean = made["mean"] if "mean" in made else posterior.mean()
            found = {"brain_mask": brain_mask(self.brain, Volume(mean, grid))}
        if self.request.keep_observed:
            for name, array in made.items():
                array[..., observed] = 0 if name == "std" else values[observed]
        samples = made.pop("samples", None)
        volumes = {name: Volume(array, grid) for name, array in made.items()}
        return volumes | found | {"observed": Volume(observed.astype(np.uint8), grid), "samples": samples}

    def _samples(self, posterior: PatientPosterior) -> np.ndarray:
        """Samples with seeds seed, seed + 1, ..., so that fewer samples are the first of more."""
        count = self.request.samples
        out = np.empty((count, *posterior.grid.shape_kji), np.float32)
        for start in range(0, count, 4):
            self.progress.update(f"samples {start} of {count}", 0.6 + 0.3 * start / count)
            seeds = [self.request.seed + n for n in range(start, min(start + 4, count))]
            out[start : start + len(seeds)] = posterior.sample(seeds)
        return out

    def _template(self, posterior: PatientPosterior) -> dict[str, Volume]:
        """The mean inside the anatomy, and the anatomy's mask."""
        self.progress.update("template", 0.91)
        anatomy = posterior.resample_to_patient(self.prior.anatomy_mask.float(), self.prior.grid) >= 0.5
        template = np.where(anatomy, posterior.mean(), 0).astype(np.float32)
        return {
            "template": Volume(template, posterior.grid),
            "template_mask": Volume(anatomy.astype(np.uint8), posterior.grid),
        }

    def _evidence(self, posterior: PatientPosterior) -> float:
        """log p(observations), nats; 0 without any."""
        with self.clock.step("evidence"):
            self.progress.update("evidence", 0.92)
            return posterior.posterior.log_evidence() if self.observations else 0.0

    def _atlas(self) -> Volume:
        """The prior's mean without slices in patient intensities, on the canonical grid."""
        mean = self.prior.condition([], covariate=self.alignment.covariate).mean()
        return Volume(self.alignment.to_patient(mean.cpu().numpy()), self.prior.grid)


def _covering(prior: Prior, patient_to_canonical: np.ndarray, spacing_mm: float) -> Grid:
    """Isotropic patient grid that covers the prior's anatomy.

    Raises InputError when it would be too large.
    """
    patient = outline(prior) @ np.linalg.inv(patient_to_canonical)[:3].T
    count = np.prod((patient.max(0) - patient.min(0)) / spacing_mm + 1)
    if count > _MAX_VOXELS:
        raise InputError(
            f"spacing {spacing_mm:g} mm gives {count / 1e6:.0f} million voxels; at most "
            f"{_MAX_VOXELS / 1e6:.0f} million are made."
        )
    return Grid.covering(patient, spacing_mm)


@lru_cache(maxsize=4)
def outline(prior: Prior) -> np.ndarray:
    """Points (n, 4; RAS mm and 1) of the prior's anatomy between which the rest of it lies."""
    kji = prior.anatomy_mask.nonzero().cpu().numpy()
    extremes = np.concatenate(
        [kji[kji[:, axis] == kji[:, axis].min()] for axis in range(3)]
        + [kji[kji[:, a] == kji[:, a].max()] for a in range(3)]
    )
    kji = np.concatenate([extremes, kji[:: max(1, len(kji) // 20000)]])
    outline: np.ndarray = np.c_[kji[:, ::-1], np.ones(len(kji))] @ prior.grid.ijk_to_ras.T
    return outline
