"""The store of models: those embedded in the extension and those a user has imported."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..folders import models_folder
from ..geometry import InputError, file_errors
from ..priors.card import ModelCard, ModelEntry
from ..priors.systems import prior_systems
from .manifest import EMBEDDED, read_manifest, write_manifest
from .weights import amended, describe, load_prior, read_card, sha256

if TYPE_CHECKING:
    from ..priors.base import Prior


@cache
def _blind_to(kind: str) -> frozenset[str]:
    """The systems that cannot be conditioned on a kind of observation; front ends ask all the time."""
    return frozenset(name for name, system in prior_systems().items() if kind not in system.observes)


@dataclass(frozen=True)
class StoredModel:
    """A model and the place of its weights file, as the manifest states them."""

    entry: ModelEntry
    path: Path

    def check_there(self) -> None:
        """Raise InputError where the weights file is missing."""
        if not os.path.isfile(self.path):  # Path.is_file raises for names that are too long
            raise InputError(
                f'model "{self.entry.card.id}": its weights file {self.path} is missing; install or import '
                "it again."
            )

    def verify(self) -> None:
        """Raise InputError unless the weights file is there and has the SHA-256 of the manifest."""
        self.check_there()
        name = self.entry.card.id
        with file_errors(f'model "{name}": {self.path} cannot be read'):
            digest = sha256(self.path)
        if digest != self.entry.sha256:
            raise InputError(
                f'model "{name}": {self.path} is damaged (its SHA-256 is not that of the manifest); install '
                "or import it again."
            )


class ModelStore:
    """Models by id.

    Loaded priors stay in memory.

    Args:
        user_dir: where imported models lie (`models_folder()` if None); embedded ones lie in
            Resources/Models.
    """

    def __init__(self, user_dir: Path | None = None):
        self.user_dir = Path(user_dir) if user_dir is not None else models_folder()
        self._loaded: dict[tuple[str, str], Prior] = {}

    def entries(self) -> list[ModelEntry]:
        """All models, the embedded ones first.

        Raises:
            InputError: for a damaged manifest.
        """
        return [*read_manifest(EMBEDDED), *read_manifest(self.user_dir)]

    def entries_for(self, kind: str) -> list[ModelEntry]:
        """The models that can be conditioned on a kind of observation, such as "slice".

        Raises:
            InputError: for a damaged manifest.
        """
        return [entry for entry in self.entries() if entry.card.system not in _blind_to(kind)]

    def is_embedded(self, model_id: str) -> bool:
        """True for a model that is part of the extension."""
        return any(entry.card.id == model_id for entry in read_manifest(EMBEDDED))

    def find(self, model_id: str) -> StoredModel:
        """A model with the place of its weights; every manifest is read once.

        Raises:
            InputError: for an unknown id or a damaged manifest.
        """
        models = [
            StoredModel(entry, folder / entry.file)
            for folder in (EMBEDDED, self.user_dir)
            for entry in read_manifest(folder)
        ]
        by_id = {model.entry.card.id: model for model in reversed(models)}  # an embedded one comes first
        if model_id not in by_id:
            raise InputError(f'no model "{model_id}"; known: {", ".join(sorted(by_id)) or "none"}.')
        return by_id[model_id]

    def entry(self, model_id: str) -> ModelEntry:
        """The entry of a model.

        Raises:
            InputError: for an unknown id.
        """
        return self.find(model_id).entry

    def path(self, model_id: str) -> Path:
        """The weights file of a model.

        Raises:
            InputError: for an unknown id or a missing file.
        """
        model = self.find(model_id)
        model.check_there()
        return model.path

    def verify(self, model_id: str) -> None:
        """Raise InputError unless the weights file is there and has the SHA-256 of the manifest."""
        self.find(model_id).verify()

    def load(self, model: str | StoredModel, device: str = "auto") -> Prior:
        """The prior of a model, verified before it is read; loaded ones are kept.

        Args:
            model: its id, or what `find` returned.
            device: "auto", "cpu", "cuda:0".

        Returns:
            The prior on that device.

        Raises:
            InputError: an unknown id, a missing, damaged or foreign file, or a device that is not there.
        """
        from ..priors.device import resolve_device

        target = resolve_device(device)
        model = self.find(model) if isinstance(model, str) else model
        key = (model.entry.sha256, str(target))
        if key not in self._loaded:
            model.verify()
            card = amended(read_card(model.path), model.entry.card)
            self._loaded[key] = load_prior(model.path, card, target, self._base(card, device))
        return self._loaded[key]

    def load_file(self, path: Path, device: str = "auto") -> tuple[ModelEntry, Prior]:
        """A weights file that need not be in the store; what it is built on must be.

        What a manifest says of the use of the same file holds for it as well.

        Args:
            path: of the file.
            device: "auto", "cpu", "cuda:0".

        Returns:
            What a manifest would say of it, and the prior on that device.

        Raises:
            InputError: no model of this version, one whose base is not in the store, or a device that is not
                there.
        """
        from ..priors.device import resolve_device

        entry = describe(path)
        known = (each.card for each in self.entries() if each.sha256 == entry.sha256)
        card = amended(entry.card, next(known, entry.card))
        return entry, load_prior(path, card, resolve_device(device), self._base(card, device))

    def _base(self, card: ModelCard, device: str) -> Prior | None:
        """The prior that a model is built on, loaded; None for a model without one. Raises InputError."""
        if card.base is None:
            return None
        try:
            base = self.find(card.base.id)
        except InputError as error:
            raise InputError(
                f'model "{card.id}" is built on "{card.base.id}", which is not here; import that first.'
            ) from error
        if base.entry.sha256 != card.base.sha256:
            raise InputError(
                f'model "{card.id}" is built on another version of "{card.base.id}" (SHA-256 '
                f"{card.base.sha256[:12]}..., here {base.entry.sha256[:12]}...); import that version."
            )
        return self.load(base, device)

    def import_file(self, path: Path) -> ModelEntry:
        """Copy a weights file into the user's models; a user's model of the same id is replaced.

        Raises InputError, with nothing changed, where the file is not a model that can be loaded, has the id
        of an embedded model or of one that others are built on, or cannot be copied.
        """
        card = describe(Path(path)).card
        if self.is_embedded(card.id):
            raise InputError(
                f'{path}: a model "{card.id}" is part of the extension; give the file\'s model another id.'
            )
        with file_errors(f"{self.user_dir}: the model could not be imported"):
            self.user_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".import-", dir=self.user_dir) as staging:
                copy = Path(shutil.copyfile(path, Path(staging) / "weights.safetensors"))
                entry, _ = self.load_file(copy, "cpu")
                self._check_not_needed(card.id, "replaced", entry.sha256)
                entry = entry.model_copy(update={"file": f"{card.id}-{entry.sha256[:12]}.safetensors"})
                os.replace(copy, self.user_dir / entry.file)
                self._replace(card.id, entry)
        return entry

    def remove(self, model_id: str) -> None:
        """Delete a model of the user.

        Raises:
            InputError: for an unknown or embedded id, a model that others are built on, or a folder that
                cannot be written.
        """
        self.entry(model_id)
        if self.is_embedded(model_id):
            raise InputError(f'model "{model_id}" is part of the extension and cannot be removed.')
        self._check_not_needed(model_id, "removed")
        with file_errors(f"{self.user_dir}: the model could not be removed"):
            self._replace(model_id, None)

    def _check_not_needed(self, model_id: str, verb: str, new_sha256: str = "") -> None:
        """Raise InputError where models of the store are built on another version than the new one."""
        bases = [(entry.card.id, entry.card.base) for entry in self.entries()]
        built = [name for name, base in bases if base and base.id == model_id and base.sha256 != new_sha256]
        if built:
            raise InputError(
                f'model "{model_id}" cannot be {verb}: {", ".join(built)} would not work without it; remove '
                "what is built on it first."
            )

    def _replace(self, model_id: str, new: ModelEntry | None) -> None:
        """Put `new` (nothing if None) in the place of a user's model.

        Then delete files that no entry names any more.
        """
        old = read_manifest(self.user_dir)
        kept = [entry for entry in old if entry.card.id != model_id]
        write_manifest(self.user_dir, [*kept, new] if new else kept)
        named = {entry.file for entry in kept} | ({new.file} if new else set())
        for entry in old:
            if entry.file not in named:
                (self.user_dir / entry.file).unlink(missing_ok=True)
