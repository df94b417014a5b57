"""Models that are built on another model: whom they learn from, in the space of the base, and their card."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data.registration import on_grid
from ..data.subjects import Subjects
from ..geometry import Grid, Volume
from ..priors.base import Prior
from ..priors.card import BaseModelReference, ModelCard, ModelEntry
from ..priors.systems import prior_systems
from .facts import CardFacts
from .loop.config import validated


@dataclass(frozen=True, eq=False)
class RegisteredSubjects:
    """Subjects as they lie in the base's space.

    matrices: 4x4 (RAS mm) from its points to theirs, by name. fit, validation, test: names.
    """

    subjects: Subjects
    matrices: dict[str, np.ndarray]
    fit: list[str]
    validation: list[str]
    test: list[str]

    def truth(self, name: str, grid: Grid) -> Volume:
        """A subject on a canonical grid, (K, J, I), [0, 1]."""
        return Volume(on_grid(self.subjects.volume(name), grid, self.matrices[name]), grid)


def card_on_base(
    system: str, base: Prior, entry: ModelEntry, people: RegisteredSubjects, facts: CardFacts, limits: str
) -> ModelCard:
    """The card of a model of `system` on a base.

    Args:
        system: id.
        base: whose anatomy, space and units it has.
        entry: of the base.
        people: whom it learned from and was measured on.
        facts: of the user.
        limits: what it cannot do; those of the base are added.
    """
    known = base.card
    words = {
        "id": facts.model_id,
        "title": f"{prior_systems()[system].title}, {known.anatomy} {known.modality}",
        "system": system,
        "version": "1",
        "anatomy": known.anatomy,
        "modality": known.modality,
        "canonical_space": known.canonical_space,
        "units": known.units,
        "licence": facts.licence,
        "data": facts.data,
        "split": {"fit": people.fit, "validation": people.validation, "test": people.test},
        "base": BaseModelReference(id=known.id, sha256=entry.sha256),
        "limits": f"{limits} {known.limits} {facts.limits}".strip(),
    }
    return validated(ModelCard, words, "the model's card")
