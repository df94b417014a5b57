"""What all questions begin with: the slices of a request as the prior understands them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ..geometry import Grid, InputError, Plane
from ..observation import Observation, Slice
from ..priors.base import Prior
from ..priors.gaussian.field import GaussianField
from ..priors.structured_gaussian.prior import StructuredGaussian
from ..progress import Progress
from ..reconstruction.patient_posterior import in_common_units
from ..reconstruction.provenance import provenance
from ..reconstruction.run import Clock, Understood, understand
from ..zoo.store import ModelStore, StoredModel
from .request import Question


@dataclass(frozen=True, eq=False)
class Patient:
    """Slices of one body, understood.

    known: their frame, contrast and intensities. prior: in their contrast. said: what every answer says of
    itself, JSON-ready.
    """

    known: Understood
    prior: StructuredGaussian
    said: dict[str, Any]

    @property
    def observations(self) -> list[Observation]:
        """What the posterior is given, canonical mm and units."""
        alignment = self.known.view.alignment
        common = in_common_units([*self.known.view.slices, *self.known.others], alignment)
        matrix, intensity = alignment.patient_to_canonical, alignment.intensity
        return [one.transformed(matrix).with_intensity(intensity) for one in common]

    @property
    def planes(self) -> list[Plane]:
        """Where slices were observed, canonical mm."""
        return [one.plane for one in self.observations if isinstance(one, Slice)]

    def field(self, grid: Grid | None = None) -> GaussianField:
        """The process of the patient's covariate, on the canonical grid if None."""
        return self.prior.field(grid, self.known.alignment.covariate)


def understood(question: Question, store: ModelStore, progress: Progress) -> Patient:
    """Load the model and understand the slices; warnings are told.

    Args:
        question: what was observed.
        store: has the model.
        progress: told of steps and warnings, asked whether to stop.

    Raises:
        InputError: wrong input, or a model whose posterior is not exact.
        Cancelled: when asked to stop.
    """
    progress.update("loading the model", 0.0)
    model, request = store.find(question.prior), question.reconstruction()
    prior = exact(store.load(model, question.device))
    clock = Clock()
    known = understand(request, prior, progress, clock)
    for warning in known.warnings:
        progress.warn(warning)
    observations = [*known.slices, *known.others]
    said = provenance(request, prior, observations, known.alignment, known.contrasts, known.warnings)
    said |= told_of(question, model, prior, clock) | {"frame_probability": known.trusted}
    return Patient(known, exact(known.view.prior), said)


def told_of(question: Question, model: StoredModel, prior: Prior, clock: Clock) -> dict[str, Any]:
    """What an answer says of how it was made, JSON-ready; in place of what a reconstruction says there."""
    card = prior.card
    return {
        "request": question.model_dump(),
        "prior": {
            "id": card.id,
            "version": card.version,
            "system": card.system,
            "licence": card.licence,
            "sha256": model.entry.sha256,
        },
        "device": str(prior.device),
        "seconds": clock.seconds,
    }


def exact(prior: Prior) -> StructuredGaussian:
    """The prior, if it knows the covariance of all voxels. Raises InputError."""
    if not isinstance(prior, StructuredGaussian):
        raise InputError(
            f"{prior.card.id} has no covariance that could be asked; expected a structured Gaussian such as "
            "brain-t1 or fetal-t2."
        )
    return prior


def seconds_since(start: float) -> float:
    """Seconds since a `time.perf_counter()`, to 0.1 ms."""
    return round(time.perf_counter() - start, 4)
