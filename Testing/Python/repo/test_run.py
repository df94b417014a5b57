"""The entry script, as far as it can be tried without installing."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import COMMANDS as OF_THE_LIBRARY

COMMANDS = ("test", *OF_THE_LIBRARY)


def run(repository, *words, **environment):
    command = [str(repository / "run"), *words]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_scripts_are_executable_and_sound(repository):
    for name in ("run", ".ci/run", ".ci/slicer"):
        assert os.access(repository / name, os.X_OK)
        assert subprocess.run(["bash", "-n", str(repository / name)], check=False).returncode == 0


def test_help_names_all_commands_and_installs_nothing(repository, tmp_path):
    done = run(repository, "--help", SVR_VENV=str(tmp_path / "venv"))
    assert done.returncode == 0 and all(
        re.search(rf"^  {name} ", done.stdout, re.MULTILINE) for name in COMMANDS
    )
    done = run(repository, "test", "--help", SVR_VENV=str(tmp_path / "venv"))
    assert done.returncode == 0 and done.stdout.startswith("usage: ./run test ") and "--fast" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_no_command_is_wrong_input(repository):
    done = run(repository)
    assert done.returncode == 2 and done.stdout == "" and "usage" in done.stderr


def test_unsuitable_python_is_one_clear_line(repository, tmp_path):
    done = run(repository, "models", SVR_PYTHON=str(tmp_path / "none"), SVR_VENV=str(tmp_path / "venv"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "no Python 3.10 to 3.13" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_folder_with_other_files_is_left_alone(repository, tmp_path):
    precious = tmp_path / "mine" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work")
    done = run(repository, "models", SVR_VENV=str(precious.parent))
    assert done.returncode == 1 and "holds other files" in done.stderr
    assert [path.name for path in precious.parent.iterdir()] == ["thesis.txt"]


def test_an_environment_of_two_checkouts_runs_the_code_of_each(repository, tmp_path):
    """The packages of one environment are those of the checkout that installed last."""
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    said = []
    for name in ("one", "other", "one", "one"):
        (tmp_path / name).mkdir(exist_ok=True)
        for file in ("run", "pyproject.toml"):
            shutil.copy(repository / file, tmp_path / name / file)
        shutil.copytree(repository / "requirements", tmp_path / name / "requirements", dirs_exist_ok=True)
        done = run(tmp_path / name, "models", SVR_VENV=str(tmp_path / "env"))
        assert done.returncode == 0, done.stderr
        said.append("installing" in done.stderr)
    assert said == [True, True, True, False]


def test_an_environment_that_is_ready_is_used_at_once(repository):
    if not (Path(sys.prefix) / "ready").exists():
        pytest.skip("this Python's environment was not made by ./run")
    start = time.monotonic()
    done = run(repository, "models", "list", SVR_VENV=sys.prefix)
    assert done.returncode == 0 and done.stderr == ""
    assert time.monotonic() - start < 10
