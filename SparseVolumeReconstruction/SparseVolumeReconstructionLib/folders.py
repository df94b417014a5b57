"""Where the files of a user lie, by the custom of each system: imported models and the cache."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "SparseVolumeReconstruction"


def models_folder() -> Path:
    """$SVR_MODELS_DIR, or the folder of the user's own models (Linux: ~/.local/share/NAME/models)."""
    return _folder("SVR_MODELS_DIR", "data", "models", Path.home() / ".local" / "share" / NAME / "models")


def cache_folder() -> Path:
    """$SVR_CACHE, or the user's cache (Linux: ~/.cache/NAME); made where it is not there."""
    folder = _folder("SVR_CACHE", "cache", "", Path.home() / ".cache" / NAME)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _folder(variable: str, kind: str, within: str, earlier: Path) -> Path:
    """The folder that a variable names, else that of the system.

    earlier: where earlier releases kept it on all systems; it stays in use as long as it is the only one.
    """
    if given := os.environ.get(variable):
        return Path(given)
    import platformdirs  # not at the top: the panel opens before it is installed

    customary = getattr(platformdirs, f"user_{kind}_path")(NAME, appauthor=False) / within
    return earlier if earlier.is_dir() and not customary.exists() else customary
