"""The command line as a process of its own."""

import subprocess

import pytest

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture
def models_dir(tmp_path, write_weights):
    """A folder of imported models that holds "tiny"."""
    ModelStore(tmp_path / "models").import_file(write_weights(tmp_path / "tiny.safetensors"))
    return tmp_path / "models"


@pytest.fixture
def environment(tmp_path, library_environment):
    """Environment with a models folder of the test's own."""
    return {
        **library_environment,
        "SVR_MODELS_DIR": str(tmp_path / "models"),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "2",
    }


@pytest.fixture
def svr(python, environment, tmp_path):
    """svr("models", ...) runs the command line in a folder of the test's own and returns the finished
    process.
    """

    def run(*words):
        command = [python, "-m", "SparseVolumeReconstructionLib.cli", *map(str, words)]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture
def refused(environment, tmp_path, monkeypatch, capsys):
    """refused("models", ..., says=[...]) asserts exit code 2 and one line on stderr that holds the words; in
    this process.
    """
    monkeypatch.setenv("SVR_MODELS_DIR", environment["SVR_MODELS_DIR"])
    monkeypatch.chdir(tmp_path)

    def check(*words, says=()):
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        assert (code, printed.out) == (2, ""), printed.err
        assert len(printed.err.splitlines()) == 1 and printed.err.startswith("error: ")
        assert all(word in printed.err for word in says), printed.err

    return check
