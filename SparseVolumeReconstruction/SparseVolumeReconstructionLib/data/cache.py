"""What is slow to compute is kept in a folder under a digest of all it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..folders import cache_folder
from ..geometry.io import write_atomically


def kept_file(name: str, parts: list[bytes], compute: Callable[[], np.ndarray]) -> Path:
    """The file (.npy) in the folder with the array (n, ...) that `compute()` gives.

    Args:
        name: what it is; begins the name of the file.
        parts: the contents of all that it depends on, in a fixed order.
        compute: called only where the file is not there.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    path = cache_folder() / f"{name}-{digest.hexdigest()}.npy"
    if not path.exists():
        array = compute()
        write_atomically(path, lambda temporary: np.save(temporary, array))
    return path


def kept(name: str, parts: list[bytes], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array (n, ...) in that file. Arguments as of `kept_file`."""
    return np.load(kept_file(name, parts, compute), allow_pickle=False)
