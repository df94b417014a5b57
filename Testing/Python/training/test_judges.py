"""./run train mirror-judge, frame-judge and contrast-judge on small made-up brains."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from training.label_maps import head

from SparseVolumeReconstructionLib.alignment.align import Alignment
from SparseVolumeReconstructionLib.alignment.intensity import MonotoneMap
from SparseVolumeReconstructionLib.alignment.mirrored import MirrorJudge
from SparseVolumeReconstructionLib.alignment.trust import MEASURES
from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.gaussian.parameters import GaussianParameters
from SparseVolumeReconstructionLib.training.readers import frames, mirrored
from SparseVolumeReconstructionLib.training.readers.judges import fitted_judge
from SparseVolumeReconstructionLib.zoo import ModelStore
from SparseVolumeReconstructionLib.zoo.weights import read_tensors, save_weights, stored_card

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def shape(points: np.ndarray) -> np.ndarray:
    """What all brains have in common, at points (..., 3) mm: bright in front and on top, 0 outside."""
    inside = np.linalg.norm(points / [60, 75, 62], axis=-1) < 1
    bumps = [np.exp(-(((points - at) / 28) ** 2).sum(-1)) for at in ((0, 35, -10), (0, -30, 35))]
    return inside * (0.35 + 0.35 * bumps[0] + 0.25 * bumps[1] + 0.001 * points[..., 1])


def brain(seed: int) -> Volume:
    """One person: with a texture of his own, and a brighter lobe on the right."""
    random, grid = np.random.default_rng(seed), Grid.centred((36, 42, 34), 4.0)
    points = grid.points_ras().reshape(*grid.shape_kji, 3)
    texture = 0.2 * gaussian_filter(random.normal(size=grid.shape_kji), 1.5)
    lobe = 0.12 * np.exp(-(((points - (32, 20, 5)) / (22, 30, 40)) ** 2).sum(-1))
    image = shape(points)
    return Volume(np.where(image > 0, image + texture + lobe, 0).clip(0).astype(np.float32), grid)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Nine people of one scanner."""
    folder = tmp_path_factory.mktemp("scanner")
    for n in range(9):
        write_volume(brain(n), folder / f"person{n}.nii.gz")
    return folder


@pytest.fixture
def tiny(write_weights, tmp_path, monkeypatch):
    """A model of such brains in the user's store."""
    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    path = write_weights(tmp_path / "tiny.safetensors")
    parameters, card = GaussianParameters.from_tensors(read_tensors(path)), stored_card(path)
    grid = parameters.grid
    reference = shape(grid.points_ras().reshape(*grid.shape_kji, 3))
    means = torch.as_tensor(reference[parameters.mask][None], dtype=torch.float32)
    fitted = replace(parameters, reference=torch.as_tensor(reference), means=means)
    save_weights(fitted.to_tensors(), card, path)
    ModelStore().import_file(path)
    return "tiny"


@pytest.mark.slow
def test_a_mirror_judge_is_trained_and_tells_mirrored_brains(people, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mirrored, "_COUNTS", (9,))
    split = {"fit": [f"person{n}" for n in range(8)], "test": ["person8"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    words = ["--cohort", people, "--base", tiny, "--split", tmp_path / "split.json"]
    out = tmp_path / "my-mirror.safetensors"
    assert main([str(w) for w in ["train", "mirror-judge", *words, "--out", out]]) == 0
    card = stored_card(out)
    assert card.system == "mirror-judge" and card.split == split
    (told,) = card.quality.values()
    assert told[people.name]["9 slices"] in ([0, 0, 1], [0, 1, 1])
    judge, lying = MirrorJudge.read(out), Alignment(np.eye(4), MonotoneMap.identity(), None, 1.0, {})
    told_mirrored = []
    for seed in range(50, 58):
        volume = brain(seed)
        slices = [slice_of(volume, k, None, "head") for k in range(6, 30, 3)]
        turned = [s.transformed(MIRROR) for s in slices]
        told_mirrored.append(judge.tells_of(turned, lying))
        assert not judge.tells_of(slices, lying) and not judge.tells_of(turned[3:4], lying), seed
    assert sum(told_mirrored) > 4, told_mirrored
    assert judge.tells((-1.3, 0.9)) and not judge.tells((-0.4, 0.8)), "as little may be a lesion"


def test_a_judge_tells_kinds_and_how_sure_that_is():
    """Of two kinds that overlap, as probably as they are; and of three that do not."""
    random = np.random.default_rng(0)
    kind = np.repeat([0, 1], 400)
    table = np.column_stack([random.normal(2.0 * kind), random.normal(size=800)])
    judge = fitted_judge(table, kind, ["wrong", "right"], ["useful", "noise"])
    for value, right in ((1.0, 0.5), (2.0, 1 / (1 + np.exp(-2.0)))):
        assert abs(judge.probabilities({"useful": value})["right"] - right) < 0.08
    apart = fitted_judge(3 * np.eye(3).repeat(9, 0), np.arange(3).repeat(9), list("abc"), list("xyz"))
    said = apart.probabilities({"y": 3.0})
    assert max(said, key=said.get) == "b"


@pytest.mark.slow
def test_a_frame_judge_is_trained_and_stands_beside_others(people, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(frames, "_SETS", ({"axial": (0.3, 0.5), "coronal": (0.5,)},))
    monkeypatch.setattr(frames, "RIGHT_MM", 15.0)
    (tmp_path / "names.json").write_text(json.dumps(["person0", "person1"]))
    out = tmp_path / "judgements.json"
    out.write_text(json.dumps({"other": {"kinds": []}}))
    words = ["--cohort", people, "--base", tiny, "--people", tmp_path / "names.json", "--data", "made-up"]
    assert main([str(w) for w in ["train", "frame-judge", *words, "--out", out]]) == 0
    written = json.loads(out.read_text())
    assert set(written) == {"other", "frame"} and written["frame"]["fitted on"] == "made-up"
    judge = written["frame"]
    assert judge["weights"][1][0] > 0, "frames that explain the slices well are right"
    assert judge["kinds"] == ["wrong", "right"] and judge["measures"] == list(MEASURES)
    assert judge["people"] == 2 and "told right" in judge["quality of people left out"]
    assert "told right" in capsys.readouterr().out


def test_a_contrast_judge_is_trained(tmp_path, capsys):
    """Three heads in three contrasts; the embedded network reads them."""
    shades = {"T1w": (0.18, 0.55, 0.82), "T2w": (0.97, 0.58, 0.38), "FLAIR": (0.1, 0.62, 0.48)}
    for n in range(3):
        labels = head(n)
        tissues = [np.isin(labels.array, codes) for codes in ((4, 43, 24), (3, 42, 10, 49), (2, 41, 16))]
        for name, greys in shades.items():
            image = np.select(tissues, greys, np.where(labels.array > 500, 0.35, 0.0))
            image = 500 * gaussian_filter(image * (image > 0), 0.3)
            write_volume(Volume(image.astype(np.float32), labels.grid), tmp_path / f"head{n}_{name}.nii.gz")
    out = tmp_path / "judgements.json"
    command = ["train", "contrast-judge", "--cohort", str(tmp_path), "--out"]
    assert main([*command, str(tmp_path / "nowhere" / out.name)]) == 2
    assert "the folder to write into does not exist" in capsys.readouterr().err
    assert main([*command, str(out)]) == 0
    judge = json.loads(out.read_text())["contrast"]
    assert judge["kinds"] == ["FLAIR", "T1w", "T2w"] and np.shape(judge["weights"]) == (3, 8)
    assert judge["people"] == 3 and judge["quality of people left out"]["cases"] == 9
    assert judge["quality of people left out"]["told right"] > 0.6
