"""Folders of a user: by the custom of the system, and where earlier releases kept them."""

import sys
from pathlib import Path

import platformdirs
import pytest

from SparseVolumeReconstructionLib.data.cache import kept
from SparseVolumeReconstructionLib.folders import cache_folder, models_folder
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder with nothing in it, and no variable that names another place."""
    for name in ("SVR_MODELS_DIR", "SVR_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="the places of Linux")
def test_the_places_of_linux_stay(home):
    assert models_folder() == home / ".local/share/SparseVolumeReconstruction/models"
    assert not models_folder().exists(), "models are not looked for by making folders"
    assert cache_folder() == home / ".cache/SparseVolumeReconstruction" and cache_folder().is_dir()
    assert ModelStore().user_dir == models_folder()


def test_a_variable_names_another_place(home, monkeypatch):
    monkeypatch.setenv("SVR_MODELS_DIR", str(home / "models"))
    monkeypatch.setenv("SVR_CACHE", str(home / "new" / "cache"))
    assert (models_folder(), cache_folder()) == (home / "models", home / "new" / "cache")
    kept("numbers", [b"x"], lambda: [1.0])
    assert [path.suffix for path in (home / "new" / "cache").iterdir()] == [".npy"]


def test_what_lies_where_it_lay_before_is_found_elsewhere_too(home, monkeypatch):
    """As on a system whose custom is another: what is there stays in use until the new folder is there."""
    custom = home / "Library"
    for kind in ("data", "cache"):
        monkeypatch.setattr(platformdirs, f"user_{kind}_path", lambda name, appauthor: custom / name)
    assert models_folder() == custom / "SparseVolumeReconstruction" / "models"
    before = Path(".local/share/SparseVolumeReconstruction/models"), Path(".cache/SparseVolumeReconstruction")
    for folder in before:
        (home / folder).mkdir(parents=True)
    assert (models_folder(), cache_folder()) == tuple(home / folder for folder in before)
    (custom / "SparseVolumeReconstruction" / "models").mkdir(parents=True)
    assert models_folder() == custom / "SparseVolumeReconstruction" / "models"
    assert cache_folder() == custom / "SparseVolumeReconstruction"
