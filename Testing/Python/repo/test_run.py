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


@pytest.fixture
def checkout(repository, tmp_path):
    """Function of a name: a checkout in that folder, and the environment `env` of a Python that only
    notes its words in `words`.
    """
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/words\n')
    python.chmod(0o755)

    def make(name: str) -> Path:
        (tmp_path / name).mkdir()
        for file in ("run", "pyproject.toml"):
            shutil.copy(repository / file, tmp_path / name / file)
        shutil.copytree(repository / "requirements", tmp_path / name / "requirements")
        return tmp_path / name

    return make


def test_an_environment_of_two_checkouts_runs_the_code_of_each(checkout, tmp_path):
    """The packages of one environment are those of the checkout that installed last."""
    one, other, said = checkout("one"), checkout("other"), []
    for each in (one, other, one, one):
        done = run(each, "models", SVR_VENV=str(tmp_path / "env"))
        assert done.returncode == 0, done.stderr
        said.append("installing" in done.stderr)
    assert said == [True, True, True, False]


def test_only_where_it_is_said_others_than_the_checked_versions_are_installed(checkout, tmp_path):
    root, words = checkout("one"), tmp_path / "words"
    editable = f"--editable {root}"
    for unlocked in ("", "1"):
        done = run(root, "models", SVR_VENV=str(tmp_path / "env"), SVR_UNLOCKED=unlocked)
        assert done.returncode == 0 and ("nobody has checked" in done.stderr) is bool(unlocked), done.stderr
        installs = [line for line in words.read_text().splitlines() if " install " in line]
        if unlocked:  # with what they need, but for torch, which stays
            (install,) = installs
            assert f"--constraint {tmp_path}/env/constraints.txt {editable}[demo]" in install
            assert not {"--no-deps", "--require-hashes"} & {*install.split()}
        else:
            packages, own = installs
            assert f"--no-deps --require-hashes --requirement {root}/requirements/demo.txt" in packages
            assert "--no-deps --no-build-isolation" in own and own.endswith(editable)
        assert run(root, "models", SVR_VENV=str(tmp_path / "env")).stderr == "", "it is ready"
        words.unlink()
        (tmp_path / "env" / "ready").unlink()


def test_an_environment_that_is_ready_is_used_at_once(repository):
    if not (Path(sys.prefix) / "ready").exists():
        pytest.skip("this Python's environment was not made by ./run")
    start = time.monotonic()
    done = run(repository, "models", "list", SVR_VENV=sys.prefix)
    assert done.returncode == 0 and done.stderr == ""
    assert time.monotonic() - start < 10
