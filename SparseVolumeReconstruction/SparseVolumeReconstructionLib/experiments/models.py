"""The models of an experiment: found, or else trained; and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..geometry import InputError
from ..priors.base import Prior
from ..priors.card import ModelEntry
from ..priors.device import resolve_device
from ..priors.structured_gaussian.training import TrainingOptions, train
from ..priors.systems import trained_systems
from ..progress import Progress
from ..training.deep import train_deep
from ..training.facts import CardFacts
from ..training.loop.config import read_config
from ..training.presets import shipped_presets
from ..zoo import ModelStore
from ..zoo.manifest import EMBEDDED
from .findings import Table

GAUSSIAN = "structured-gaussian"
SCALES = ("tiny", "cpu", "gpu")
_TINY_RANK = 8


def slice_models() -> tuple[str, ...]:
    """The variants of all systems that draw slices, as experiments name models."""
    return _variants("slices")


def volume_models() -> tuple[str, ...]:
    """The variants of all systems that draw whole volumes."""
    return _variants("volumes")


def _variants(drawn: str) -> tuple[str, ...]:
    systems = trained_systems().values()
    return tuple(variant for system in systems if system.draws == drawn for variant in system.variants)


class LeftOut(InputError):
    """A model that is not there and is not to be, or cannot be, trained."""


@dataclass(frozen=True)
class Population:
    """Whose volumes models are trained on.

    Attributes:
        name: of the structured Gaussian, of the split file, and what all ids begin with.
        kind: comes between system and size in the names of configurations.
        other fields: for the cards.
    """

    name: str
    kind: str
    anatomy: str
    modality: str
    licence: str
    data: str

    @property
    def split(self) -> Path:
        """The file that says who is fitted and who is tested."""
        return EMBEDDED / "splits" / f"{self.name}.json"


POPULATIONS = {
    "brain-t1": Population(
        "brain-t1",
        "",
        "brain",
        "T1w MRI",
        "CC0 (data); Apache-2.0 (model)",
        "OpenNeuro ds002748, sub-01 to sub-60, adult T1w, one scanner, skull-stripped",
    ),
    "mouse-xray": Population(
        "mouse-xray",
        "",
        "mouse head",
        "CT",
        "GPL-3 (data)",
        "Micro-CT heads of 43 mouse strains, Maga et al. 2017",
    ),
    "head-xray": Population(
        "head-xray",
        "",
        "head",
        "CT",
        "Apache-2.0",
        "Label maps of 20 whole heads of SynthSeg, made into attenuation volumes; no CT was seen",
    ),
    "fetal-t2": Population(
        "fetal-t2",
        "fetal-",
        "fetal brain",
        "T2w MRI",
        "research use only: the neurotypical atlas carries no licence of its own; spina bifida atlas CC0; "
        "model Apache-2.0",
        "T2w templates of two atlases: neurotypical (Wu 2021, redistributed under BSD-3) and with spina "
        "bifida (Fidon 2021)",
    ),
}


@dataclass
class Models:
    """Models by the name of their system: "slice-vae", "bruno", "bruno-pose", "structured-gaussian" ...

    The id of a model is the population's name, the system's and the size where it is not 64. It is looked for
    as FOLDER/<id>.safetensors, in the folder FOLDER/<config>/ of its training, and in the store; else it is
    trained there with the shipped configuration <system>-<kind><size>-<scale>. scale "tiny": a trial on
    bodies of any kind; the store's models are not theirs. cohorts: folders to train on. split: {"fit": [...],
    "test": [...]}. may_train: see LeftOut. used: entries of what was given out, by key; left_out: {key: why}.
    """

    folder: Path
    population: Population
    cohorts: list[Path]
    split: dict[str, list[str]]
    scale: str
    device: str
    may_train: bool
    progress: Progress
    store: ModelStore = field(default_factory=ModelStore)
    used: dict[str, ModelEntry] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    _loaded: dict[str, Prior] = field(default_factory=dict)
    _drawing: dict[tuple[str, str | None], Prior] = field(default_factory=dict)

    def get(
        self, key: str, size: int = 64, progress: Progress | None = None, draws: str | None = "gaussian"
    ) -> Prior:
        """The prior of a system for slices of size x size pixels.

        Samples of the Gaussian are its own: the papers know no donors.

        Args:
            key: of the system, as above; a model is loaded once.
            size: in the names of configurations and, where it is not 64, of models.
            progress: of a training; `self.progress` if None.
            draws: what samples start from where the prior has a choice; what the model's do if None.

        Raises:
            LeftOut: the model is not there and is not to be, or cannot be, trained.
            InputError: training fails, or the file is damaged.
        """
        name = key if size == 64 else f"{key}-{size}"
        if name not in self._loaded:
            path = self._path(key, size, progress or self.progress)
            self.used[name], prior = self.store.load_file(path, self.device)
            self._loaded[name] = prior
        prior = self._loaded[name]
        if draws not in prior.draws or draws == prior.draws[0]:
            return prior
        if (name, draws) not in self._drawing:
            self._drawing[name, draws] = prior.drawing(draws)
        return self._drawing[name, draws]

    def several(self, keys: list[str]) -> dict[str, Prior]:
        """The priors that can be had; `left_out` names the others."""
        found = {}
        for number, key in enumerate(keys):
            try:
                found[key] = self.get(
                    key, progress=self.progress.part(number / len(keys), (number + 1) / len(keys))
                )
            except LeftOut as error:
                self.left_out[key] = str(error)
        return found

    def _path(self, key: str, size: int, progress: Progress) -> Path:
        """The weights file of a system, trained if need be."""
        config = f"{key}-{size if self.scale == 'tiny' else f'{self.population.kind}{size}'}-{self.scale}"
        model_id = (
            self.population.name + ("" if key == GAUSSIAN else f"-{key}") + ("" if size == 64 else f"-{size}")
        )
        path = self.file(model_id, config)
        if path.is_file():
            return path
        if self.scale != "tiny" and any(entry.card.id == model_id for entry in self.store.entries()):
            self.store.verify(model_id)
            return self.store.path(model_id)
        if not self.may_train:
            raise LeftOut(f"there is no model {model_id}, and training was not wanted")
        if key == GAUSSIAN:
            self._fit_gaussian(model_id, path, progress)
        else:
            self._train(model_id, config, path, progress)
        return path

    def file(self, model_id: str, config: str) -> Path:
        """Where a model lies, be it there or not.

        Args:
            model_id: name of the file but for ".safetensors".
            config: name of the configuration of its training.

        Returns:
            In the folder itself, or else where its training leaves it.
        """
        plain = self.folder / f"{model_id}.safetensors"
        return plain if plain.is_file() else self.folder / config / plain.name

    def _train(self, model_id: str, config: str, path: Path, progress: Progress) -> None:
        """Train in the folder of `path`, or continue there."""
        if config not in shipped_presets():
            raise LeftOut(f"no configuration {config} is shipped")
        facts = CardFacts(model_id, *self._facts(), config=config)
        progress.update(f"training {model_id}", 0.0)
        if (
            train_deep(self.cohorts, read_config(config), path.parent, True, facts, self.split, progress)
            is None
        ):
            raise InputError(
                "experiments run in one process; train the models by ./run train under torchrun first."
            )

    def _fit_gaussian(self, model_id: str, path: Path, progress: Progress) -> None:
        """On the grid of the other models of this scale; only tiny ones are not embedded."""
        data = read_config(f"slice-vae-64-{self.scale}").data
        space: dict[str, Any] = {
            "spacing_mm": data.spacing_mm,
            "protocol_slices": data.slices,
            "reference": data.reference,
        }
        words: dict[str, Any] = dict(
            zip(
                ("model_id", "anatomy", "modality", "licence", "data"),
                (model_id, *self._facts()),
                strict=True,
            )
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        split = {part: self.split[part] for part in ("fit", "test")}  # the papers know no donors
        options = TrainingOptions(**words, **space, rank=_TINY_RANK, split=split)
        train(self.cohorts, path, options, progress)

    def _facts(self) -> tuple[str, str, str, str]:
        if self.scale == "tiny":
            return "body", "any", "not stated", "a trial"
        return (
            self.population.anatomy,
            self.population.modality,
            self.population.licence,
            self.population.data,
        )

    def provenance(self) -> Table:
        """What is known of every model that was used."""
        header = [
            "model",
            "file",
            "sha256",
            "config",
            "config sha256",
            "device",
            "date",
            "minutes",
            "million parameters",
        ]
        rows = []
        for key, entry in self.used.items():
            facts = entry.card.training
            million = facts["parameters"] / 1e6 if "parameters" in facts else None
            digest = facts.get("config_sha256", "")[:12] or None
            known = [facts.get(name) for name in ("device", "date", "minutes")]
            rows.append([key, entry.file, entry.sha256[:12], facts.get("config"), digest, *known, million])
        rows += [[key, f"left out: {why}", *[None] * 7] for key, why in self.left_out.items()]
        return Table(
            "Models", header, rows, "First 12 digits of SHA-256; – where the model's card does not tell."
        )


def default_samples(device: str) -> int:
    """Posterior samples scored per case: 100 as in the papers on a GPU, 8 on a CPU."""
    return 100 if resolve_device(device).type == torch.device("cuda").type else 8
