"""Rows of an experiment, kept as they are made, so that it goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..geometry import InputError, file_errors

ROWS = "rows.jsonl"  # in the folder of the experiment
Row = dict[str, Any]


def finished(path: Path, names: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Rows of a file by their values of some names; none where there is no file.

    A line that was cut off, as by a run that was killed, counts as not there.

    Raises:
        InputError: a line is no row of this experiment.
    """
    found: dict[tuple[Any, ...], list[Row]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
            found.setdefault(tuple(row[name] for name in names), []).append(row)
        except (ValueError, KeyError, TypeError) as error:
            if not line.strip() or (isinstance(error, ValueError) and line.startswith("{")):
                continue  # it was cut off
            raise InputError(f"{path}: {line[:60]!r} is no row of this experiment; remove it.") from error
    return found


def keep(rows: list[Row], path: Path) -> None:
    """Add rows that belong together to a file, a line of JSON each. Raises InputError where it cannot be."""
    with file_errors(f"{path}: could not be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.seek(max(0, file.tell() - 1))
            start = "\n" if file.read(1) not in (b"", b"\n") else ""  # a line that was cut off stays alone
            file.write((start + "".join(json.dumps(row) + "\n" for row in rows)).encode())
