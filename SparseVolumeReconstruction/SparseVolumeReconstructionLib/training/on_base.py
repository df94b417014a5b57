"""Models that are built on another model: whom they learn from, in the space of the base, and their card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..data.registration import on_grid
from ..data.subjects import Subjects, list_subjects
from ..geometry import Grid, InputError, Volume
from ..priors.base import Prior
from ..priors.card import BaseModelReference, ModelCard, ModelEntry
from ..priors.systems import prior_systems
from ..progress import Progress
from ..zoo.weights import save_weights
from .deep import how_trained
from .facts import CardFacts
from .loop.config import TrainConfig, validated


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


@dataclass(frozen=True)
class BaseData:
    """What a model on a structured Gaussian is trained on, and of what base.

    base: id of the model. strip, match: as for the structured Gaussian. split: {"fit": [...], "test": [...]};
    that of the base's card if None.
    """

    base: str
    strip: tuple[str, ...] = ("",)
    match: bool = False
    split: dict[str, list[str]] | None = None


def people_of_base(
    folders: list[Path],
    base: Prior,
    config: TrainConfig,
    facts: CardFacts,
    data: BaseData,
    progress: Progress,
) -> RegisteredSubjects:
    """Registered to the reference of the base; a share of those to fit is kept for validation.

    Args:
        folders: of the people that the base was fitted on.
        base: in whose space they lie.
        config: seed, share for validation, and how many folds there are.
        facts: their modality.
        data: see BaseData.
        progress: told of each.

    Raises:
        InputError: too few can be used.
    """
    subjects = list_subjects(folders, facts.modality, (0,), None, config.seed, data.strip)
    cohort = subjects.cohort
    split = data.split or base.card.split
    wanted = [name for part in ("fit", "test") for name in split.get(part, []) if name in cohort.files]
    matrices = cohort.registered(base.reference, wanted, lambda step, done: progress.update(step, done))
    cohort.warn(progress)
    names, test = ([n for n in split.get(part, []) if n in matrices] for part in ("fit", "test"))
    count = max(1, round(config.validation * len(names)))
    if len(names) < 2 * count + config.model.get("folds", 2):
        raise InputError(
            f"{len(names)} people to fit; more are needed ({len(cohort.skipped)} files skipped)."
        )
    kept = set(np.random.default_rng(config.seed).permutation(names)[:count])
    fitted = [name for name in names if name not in kept]
    return RegisteredSubjects(subjects, matrices, fitted, [name for name in names if name in kept], test)


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


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that was trained in `out` by `config`, with what the user says of it and how long it took.

    minutes: as `fit` gives them.
    """

    network: torch.nn.Module
    config: TrainConfig
    facts: CardFacts
    minutes: float
    out: Path


def stored(trained: Trained, tensors: dict[str, torch.Tensor], card: ModelCard, quality: dict) -> Path:
    """Write a model whose card says what its training took and how good it is; returns the file.

    Args:
        trained: its network.
        tensors: the weights by name, float32, as the prior reads them.
        card: see `card_on_base`.
        quality: as measured on subjects that were not fitted.
    """
    training = how_trained(trained.network, trained.config, trained.facts, trained.minutes)
    fitted = len(card.split["fit"])
    spent = f"Trained on {fitted} subjects; {training['minutes']} min on {training['device']}."
    words = {"quality": quality, "time_and_memory": spent, "training": training}
    path = trained.out / f"{trained.facts.model_id}.safetensors"
    save_weights(tensors, card.model_copy(update=words), path)
    return path
