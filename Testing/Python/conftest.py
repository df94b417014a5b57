"""What all tests share."""

import os
import sys
from pathlib import Path

import pytest
from markers import pytest_collection_modifyitems, pytest_runtest_setup  # noqa: F401
from workers import pytest_xdist_make_scheduler  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def library_environment() -> dict[str, str]:
    """Environment for a Python of its own that finds the library."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT / "SparseVolumeReconstruction"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real volumes for measuring: $SVR_DATA, or shared/data beside the repository; skips where
    there is none.
    """
    folder = Path(os.environ.get("SVR_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("needs the folder of real volumes; set SVR_DATA")
    return folder


@pytest.fixture(scope="session")
def python() -> str:
    """The Python that runs the tests."""
    return sys.executable


@pytest.fixture(scope="session")
def write_weights():
    """write_weights(path, **changes of the card) writes a real, tiny structured Gaussian (12x14x13 voxels of
    12 mm, RAS).
    """
    from tiny_model import write_tiny

    return write_tiny
