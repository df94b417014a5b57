"""./run next-plane: planes in patient millimetres, and what is said where a question makes no sense."""

import json

import numpy as np
import pytest

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_affine, write_volume


@pytest.fixture
def ask(environment, tmp_path, monkeypatch):
    """ask(command, ...) answers a question of "tiny" in this process: the JSON file."""
    monkeypatch.setenv("SVR_MODELS_DIR", environment["SVR_MODELS_DIR"])
    monkeypatch.chdir(tmp_path)

    def answered(command, *words):
        done = main(
            [command, "--prior", "tiny", "--device", "cpu", "--json", "answer.json", *map(str, words)]
        )
        assert done == 0
        return json.loads((tmp_path / "answer.json").read_text())

    return answered


def test_the_next_plane_in_the_patient(models_dir, ask, tmp_path, capsys):
    """The same planes as in the model's space, moved with the patient."""
    own = ask("next-plane", "--frame", "registered", "--among", "orthogonal", "--count", "2")
    said = capsys.readouterr().out.splitlines()
    assert len(own["planes"]) == len(own["sequence"]) == 2 and "instead 1: " in said[0]
    assert own["planes"][0]["gain"] >= own["planes"][1]["gain"] > 0
    assert 1 > own["sequence"][0]["variance_left"] > own["sequence"][1]["variance_left"] > 0
    turn = np.array([[0.0, -1, 0, 30], [1, 0, 0, -20], [0, 0, 1, 10], [0, 0, 0, 1]])  # canonical to patient
    write_affine(np.linalg.inv(turn), tmp_path / "frame.tfm")
    moved = ask("next-plane", "--frame", "frame.tfm", "--among", "orthogonal", "--count", "2")
    for one, other in zip(own["planes"], moved["planes"], strict=True):
        assert np.allclose(turn[:3, :3] @ one["origin"] + turn[:3, 3], other["origin"], atol=1e-3)
        assert np.allclose(turn[:3, :3] @ one["normal"], other["normal"], atol=1e-3)
        assert np.allclose(np.cross(other["right"], other["down"]), other["normal"], atol=1e-3)
        assert one["orientation"] == other["orientation"]
    assert moved["prior"]["sha256"] and moved["notice"] and moved["region"] == "anatomy"


def test_questions_that_make_no_sense(models_dir, refused, tmp_path):
    words = ["next-plane", "--prior", "tiny", "--frame", "registered"]
    refused(*words, "--among", "stack", "--json", "a.json", says=["no stack", "--context"])
    refused(*words, "--json", "there/a.json", says=["there/a.json", "does not exist"])
    refused(*words, "--count", "11", "--json", "a.json", says=["count", "10"])
    far = Volume(np.ones((2, 2, 2), np.float32), Grid.centred((2, 2, 2), 5.0, (900, 0, 0)))
    write_volume(far, tmp_path / "roi.nrrd")
    refused(*words, "--roi", "roi.nrrd", "--json", "a.json", says=["roi.nrrd", "lies in the anatomy"])
    words[2] = "brain-t1-slice-vae"
    refused(*words, "--json", "a.json", says=["brain-t1-slice-vae", "covariance"])
    assert not (tmp_path / "a.json").exists()
