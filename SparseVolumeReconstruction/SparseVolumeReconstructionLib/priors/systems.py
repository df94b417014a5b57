"""The generative systems there are: every folder here, in training/ and in synthesis/ may declare some.

A folder's `__init__` holds `SYSTEMS`, a tuple of `System`. It imports nothing heavy, so that the command
line, the zoo and the tables of experiments know all systems without torch. Nothing else lists them.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .base import Prior

_LIBRARY = __package__.rpartition(".")[0]
_ROOMS = ("priors", "training", "synthesis")
PRESETS = "presets.yaml"


@dataclass(frozen=True)
class System:
    """What the rest of the program knows of a system.

    id: in model cards, configurations and on the command line.
    package: `__name__` of the folder that declares it.
    title: of its models. summary: one line of help.
    prior: "module:Class" in the folder; the class has `from_weights(tensors: dict[str, Tensor],
        card: ModelCard, device: torch.device)`. None for a network that is no prior.
    task: "module:Class" of its training, see training.loop.task.Task; None where the common loop does not
        train it.
    variants: what begins the names of its presets, <variant>-<size>-<scale>; experiments compare them.
    draws: what its network draws at a time.
    place: systems are listed from small to large.
    observes: kinds of observation that its models can be conditioned on, as `Prior.observes`.
    """

    id: str
    package: str
    title: str
    summary: str
    prior: str | None = None
    task: str | None = None
    variants: tuple[str, ...] = ()
    draws: Literal["slices", "volumes"] = "slices"
    place: int = 100
    observes: tuple[str, ...] = ("slice",)

    def prior_class(self) -> type[Prior]:
        """The class of the prior, whose module is imported now."""
        found: type[Prior] = self._load(self.prior)
        return found

    def task_class(self) -> type[Any]:
        """The class of the training, whose module is imported now."""
        found: type[Any] = self._load(self.task)
        return found

    @property
    def presets(self) -> Path:
        """The file of its presets, be it there or not."""
        return Path(str(importlib.import_module(self.package).__file__)).with_name(PRESETS)

    def _load(self, name: str | None) -> Any:
        if name is None:
            raise LookupError(f"{self.id}: declares no such class")
        module, name = name.split(":")
        return getattr(importlib.import_module(f"{self.package}.{module}"), name)


def all_systems() -> dict[str, System]:
    """All that can be trained or loaded, by id. A folder that appears later is found as well."""
    found: list[System] = []
    for room in _ROOMS:
        package = importlib.import_module(f"{_LIBRARY}.{room}")
        for folder in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if folder.ispkg:
                found += getattr(importlib.import_module(folder.name), "SYSTEMS", ())
    return {system.id: system for system in sorted(found, key=lambda system: system.place)}


def prior_systems() -> dict[str, System]:
    """The systems whose models are priors, by id."""
    return {name: system for name, system in all_systems().items() if system.prior}


def trained_systems() -> dict[str, System]:
    """The priors that the common loop trains, by id."""
    return {name: system for name, system in prior_systems().items() if system.task}


def system_class(system: str) -> type[Prior]:
    """The class of a prior, whose module is imported now. Raises KeyError for an unknown name."""
    return prior_systems()[system].prior_class()
