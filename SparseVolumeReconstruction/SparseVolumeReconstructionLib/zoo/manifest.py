"""The manifest models.json: a JSON list of model entries beside the weights files it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..geometry import InputError, file_errors, first_problem
from ..geometry.io import write_atomically
from ..priors.card import ModelEntry

EMBEDDED = Path(__file__).resolve().parents[2] / "Resources" / "Models"
_ENTRIES = TypeAdapter(list[ModelEntry])


def read_manifest(folder: Path) -> list[ModelEntry]:
    """The entries of a folder of models; none if it has no models.json.

    Raises:
        InputError: for a damaged one.
    """
    path = folder / "models.json"
    if not path.exists():
        return []
    try:
        with file_errors(f"{path}: cannot be read"):
            entries = _ENTRIES.validate_json(path.read_bytes())
    except ValidationError as error:
        why = first_problem(error, "file")
        raise InputError(f"{path}: not a list of models ({why}); repair it or move it away.") from error
    for entry in entries:
        if Path(entry.file).name != entry.file:
            raise InputError(f'{path}: "{entry.file}" is not the name of a file beside it.')
    return entries


def write_manifest(folder: Path, entries: list[ModelEntry]) -> None:
    """Write models.json of a folder atomically. Raises OSError.

    Args:
        folder: is there already.
        entries: all of them; an older list is replaced.
    """
    write_atomically(
        folder / "models.json",
        lambda temporary: Path(temporary).write_bytes(_ENTRIES.dump_json(entries, indent=2) + b"\n"),
    )


def manifest_schema() -> dict[str, Any]:
    """JSON schema of models.json."""
    return _ENTRIES.json_schema()
