"""What everything is built on is typed, strictly; of the other rooms no annotation is wrong."""

import subprocess

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where mypy brings it
    import tomli as tomllib

NOT_YET = {"panel", "web", "workflow"}


def test_rooms_are_left_out_by_name_alone(repository):
    """A new room is checked, and no module is let off all errors."""
    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    library = repository / "SparseVolumeReconstruction" / "SparseVolumeReconstructionLib"
    rooms = {folder.name for folder in library.iterdir() if (folder / "__init__.py").exists()}
    assert {path.rpartition("/")[2] for path in settings["files"]} == rooms - NOT_YET | {"*.py"}
    assert not any("ignore_errors" in override for override in [settings, *settings["overrides"]])


@pytest.mark.slow
def test_no_room_that_is_checked_has_a_type_error(python, repository, tmp_path):
    """In one run, which takes most of its time for the packages: of a file beside them an error is told."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from SparseVolumeReconstructionLib.priors.base import Prior\n\n\n"
        "def f(prior: Prior) -> int:\n    return prior.protocol_grid\n"
    )
    settings = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    files = [str(path) for name in settings["files"] for path in repository.glob(name)]
    done = subprocess.run(
        [python, "-m", "mypy", *files, str(wrong)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert done.returncode == 1 and not done.stderr, done.stdout + done.stderr
    assert all(f"/{wrong.name}:5: " in line for line in errors), errors
    assert any('"Prior" has no attribute "protocol_grid"' in line for line in errors), errors
