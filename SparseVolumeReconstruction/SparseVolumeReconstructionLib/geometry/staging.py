"""Where files are written before they get their names; what a killed run has left there, the next removes."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """An empty folder beside a file or folder that is to be written; it is removed at the end.

    Its name belongs to `target`, and a lock, which ends with its process, says that somebody writes there:
    what a killed process has left for the same target is removed. (Not on Windows, which locks no folders.)

    Args:
        target: its folder must exist.

    Raises:
        OSError: when the folder cannot be made.
    """
    name = f".incomplete-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}"
    folder = target.parent / name
    held = _held(folder)
    if held is None:
        folder = target.parent / f"{name}-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def _held(folder: Path) -> int | None:
    """Make a folder, or empty one that nobody holds: the open descriptor that holds it from now on.

    None where another process holds it, and where the system cannot tell.
    """
    if fcntl is None:
        return None
    folder.mkdir(exist_ok=True)
    try:
        held = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(held), os.stat(folder)):  # not one that its holder has just removed
            _empty(folder)
            return held
    except OSError:
        pass
    os.close(held)
    return None


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
