"""Markers that a test gets by its folder, its file or what it asks for; `./run test --fast` leaves these out.

Only `slow` is also given by hand, to files and tests that take seconds and that none of these rules tells.
"""

import pytest

BY_FIXTURE = {"browse": "browser", "served": "browser", "shared_data": "data"}
BY_FOLDER = {"experiments": "slow", "training": "slow"}  # they train networks
BY_FILE = {"test_gpu": "gpu"}
MARKERS = {*BY_FIXTURE.values(), *BY_FOLDER.values(), *BY_FILE.values()}


def markers_of(room: str, file: str, fixtures: list[str]) -> set[str]:
    """Markers of a test in a room (folder of Testing/Python) and file (stem) that asks for fixtures."""
    found = {marker for name, marker in BY_FIXTURE.items() if name in fixtures}
    return found | {BY_FOLDER.get(room), BY_FILE.get(file)} - {None}


def pytest_collection_modifyitems(config, items):
    """Give the markers before pytest selects by them; without a GPU, tests that need one say so."""
    here = config.rootpath / "Testing" / "Python"
    for item in items:
        inside = item.path.relative_to(here)
        for marker in sorted(markers_of(inside.parts[0], item.path.stem, item.fixturenames)):
            item.add_marker(marker)


def pytest_runtest_setup(item):
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA GPU")
