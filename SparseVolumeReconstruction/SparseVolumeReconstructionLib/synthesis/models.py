"""The synthesis networks that the extension brings, by id."""

from __future__ import annotations

from pathlib import Path

from ..geometry import InputError
from ..priors.card import ModelEntry
from ..zoo.manifest import EMBEDDED, read_manifest
from ..zoo.store import StoredModel

FOLDER = EMBEDDED / "synthesis"


def synthesis_models() -> list[ModelEntry]:
    """Those of the extension, with their cards. Raises InputError for a damaged list."""
    return read_manifest(FOLDER)


def weights_of(model: str) -> Path:
    """The weights file of a network.

    Args:
        model: its id, or the path of a file that `./run train synthesis` made.

    Raises:
        InputError: no such id or file, or one of the extension's that is damaged.
    """
    by_id = {entry.card.id: entry for entry in synthesis_models()}
    if model not in by_id and (Path(model).suffix or Path(model).exists()):
        return Path(model)
    if model not in by_id:
        raise InputError(
            f'no synthesis network "{model}"; known: {", ".join(by_id) or "none"}. A file of '
            "./run train synthesis is given by its path (.safetensors)."
        )
    stored = StoredModel(by_id[model], FOLDER / by_id[model].file)
    stored.verify()
    return stored.path
