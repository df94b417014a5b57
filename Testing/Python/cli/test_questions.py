"""./run next-plane, locate and surprise: what they write, and what they refuse."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_affine, write_volume


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


@pytest.fixture
def ball(tmp_path):
    """Three slices of the tiny model's own mean, moved in the patient by 20, -10 and 5 mm."""
    grid = Grid.centred((13, 40, 40), (4.0, 4.0, 10.0), (20.0, -10.0, 5.0))
    radius = np.linalg.norm((grid.points_ras() - [20, -10, 5]) / [60, 75, 62], axis=1)
    array = np.where(radius < 1, 300 + 500 * radius, 0).reshape(grid.shape_kji)
    write_volume(Volume(array.astype(np.float32), grid), tmp_path / "ball.nrrd")
    return "ball.nrrd:2,6,10"


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


def test_modes_of_where_a_slice_lies(models_dir, ask, ball, tmp_path, capsys):
    """The bundled shell is as round as it is simple: a stack of it is found, and probabilities sum to 1."""
    found = ask("locate", "--context", ball, "--thickness", "1")
    assert sum(mode["probability"] for mode in found["modes"]) == pytest.approx(1, abs=0.02)
    first = found["modes"][0]
    assert first["probability"] == max(mode["probability"] for mode in found["modes"])
    assert np.linalg.norm(np.array(first["patient_to_canonical"]) @ [20, -10, 5, 1] - [0, 0, 0, 1]) < 8
    assert 0 < first["region"]["mm"] < 40 and found["region"]["level"] == 0.9
    assert "90 %: within" in capsys.readouterr().out
    assert [one["slice"] for one in found["contexts"]] == [2, 6, 10]


def test_slices_of_unknown_orientation_are_found(models_dir, ask, tmp_path):
    """Turned by 50 degrees about an oblique axis, which no file states: middle and longest axis are found."""
    turn = Rotation.from_rotvec(np.radians(50) * np.array([0.6, 0.0, 0.8])).as_matrix()
    grid = Grid.centred((13, 40, 40), (4.0, 4.0, 10.0))
    radius = np.linalg.norm(grid.points_ras() / [60, 75, 62], axis=1)
    array = np.where(radius < 1, 300 + 500 * radius, 0).reshape(grid.shape_kji).astype(np.float32)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, [20, -10, 5]
    write_volume(Volume(array, Grid(grid.shape_kji, matrix @ grid.ijk_to_ras)), tmp_path / "turned.nrrd")
    words = ["--context", "turned.nrrd:2,6,10", "--thickness", "1", "--orientation", "unknown"]
    found = ask("locate", *words)
    assert found["request"]["orientation"] == "unknown"
    assert sum(mode["probability"] for mode in found["modes"]) == pytest.approx(1, abs=0.02)
    first = np.array(found["modes"][0]["patient_to_canonical"])
    assert np.linalg.norm(first @ [20, -10, 5, 1] - [0, 0, 0, 1]) < 8
    longest = first[:3, :3] @ turn[:, 1]
    assert abs(longest[1]) > 0.9 * np.linalg.norm(longest)
    assert found["region"]["deg"] > 20  # a body that is as round tells little of turns about that axis


def test_a_map_of_what_is_improbable(models_dir, environment, ball, tmp_path, monkeypatch, capsys):
    """A hole in the shell lights up where it is, and as darker than expected; the folder is whole."""
    monkeypatch.setenv("SVR_MODELS_DIR", environment["SVR_MODELS_DIR"])
    monkeypatch.chdir(tmp_path)
    volume = read_volume("ball.nrrd")
    volume.array[6, 24:30, 18:23] *= 0.3
    write_volume(volume, "ball.nrrd")
    hole = volume.grid.ijk_to_ras @ [20, 26.5, 6, 1]
    shift = np.eye(4)
    shift[:3, 3] = [-20, 10, -5]
    write_affine(shift, "frame.tfm")
    words = [
        "--prior",
        "tiny",
        "--device",
        "cpu",
        "--context",
        ball,
        "--frame",
        "frame.tfm",
        "--output",
        "out",
    ]
    assert main(["surprise", *words]) == 0
    assert "stand out" in capsys.readouterr().out
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["surprise.json", "surprise.nrrd"]
    said = json.loads((tmp_path / "out" / "surprise.json").read_text())
    middle = said["slices"][1]
    assert np.linalg.norm(np.array(middle["peak"]["ras"]) - hole[:3]) < 15 and middle["peak"]["score"] < 0
    assert said["threshold"] > 0 and said["prior"]["sha256"] and said["false_discovery_rate"] == 0.05
    found = read_volume("out/surprise.nrrd")
    k, j, i = np.unravel_index(np.abs(found.array).argmax(), found.array.shape)
    assert np.linalg.norm((found.grid.ijk_to_ras @ [i, j, k, 1])[:3] - hole[:3]) < 15
    assert found.array[k, j, i] < -said["threshold"] and np.mean(found.array != 0) < 0.1


def test_questions_that_make_no_sense(models_dir, refused, tmp_path):
    words = ["next-plane", "--prior", "tiny", "--frame", "registered"]
    refused(*words, "--among", "stack", "--json", "a.json", says=["no stack", "--context"])
    refused(*words, "--json", "there/a.json", says=["there/a.json", "does not exist"])
    refused(*words, "--count", "11", "--json", "a.json", says=["count", "10"])
    far = Volume(np.ones((2, 2, 2), np.float32), Grid.centred((2, 2, 2), 5.0, (900, 0, 0)))
    write_volume(far, tmp_path / "roi.nrrd")
    refused(*words, "--roi", "roi.nrrd", "--json", "a.json", says=["roi.nrrd", "lies in the anatomy"])
    refused("locate", "--prior", "tiny", "--json", "a.json", says=["contexts", "at least 1"])
    refused("locate", "--prior", "tiny", "--context", "no.nii", "--json", "a.json", says=["no.nii"])
    refused("surprise", "--prior", "tiny", "--output", "out", says=["contexts", "at least 1"])
    words[2] = "brain-t1-slice-vae"
    refused(*words, "--json", "a.json", says=["brain-t1-slice-vae", "covariance"])
    assert not (tmp_path / "a.json").exists()
