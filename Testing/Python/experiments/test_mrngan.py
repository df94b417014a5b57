"""The experiment of MRNGAN: its measures by hand, and all of it on bodies, as users run it."""

import json

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.experiments.neighbours import (
    PSNR_OF_255,
    by_distance,
    copied,
    from_one,
    slice_scores,
    worst_mean_best,
)
from SparseVolumeReconstructionLib.priors.mrngan.network import State


def test_scores_of_slices_by_hand():
    truth = torch.zeros(2, 8, 8)
    scores = slice_scores(truth, torch.stack([truth[0] + 0.1, truth[1]]))
    np.testing.assert_allclose(scores[0, :2], [0.01, 20.0], rtol=1e-5)
    assert scores[1].tolist() == [0.0, 120.0, 1.0] and scores[0, 2] < 0.1
    assert pytest.approx(48.13, abs=0.005) == PSNR_OF_255
    found = worst_mean_best(np.array([[0.1, 10, 0.5], [0.3, 5, 0.9]]))
    assert found["worst"] == [0.3, 5, 0.5] and found["best"] == [0.1, 10, 0.9]
    assert found["mean"] == pytest.approx([0.2, 7.5, 0.7])


def test_copies_and_interpolation_by_hand():
    volume = torch.arange(7.0)[:, None, None].expand(7, 8, 8) ** 2
    assert copied(volume, [1, 5], False)[:, 0, 0].tolist() == [1, 1, 1, 1, 25, 25, 25]
    assert copied(volume, [1, 5], True)[:, 0, 0].tolist() == [1, 1, 7, 13, 19, 25, 25]
    assert (copied(volume, [3], True) == 9).all()


class Line:
    """A model whose slices are as bright as their place says, in tenths."""

    def begin(self, slices, place):
        return State(slices, slices.new_zeros(len(slices), 1), place)


def test_chains_from_one_slice_go_both_ways_and_are_scored_by_distance():
    def advance(state, way):
        place = state.place + way.long()
        return State((place / 10.0)[:, None, None].expand_as(state.image), state.hidden, place)

    volumes = (torch.arange(8.0) / 10)[None, :, None, None].expand(2, 8, 8, 8)
    known = from_one(Line(), advance, volumes, 3, torch.tensor([3, 3]))
    torch.testing.assert_close(known, volumes)
    misplaced = from_one(Line(), advance, volumes, 3, torch.tensor([4, 4]))
    assert misplaced[0, :, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.5, 0.6, 0.7, 0.8])
    curve = by_distance(volumes, misplaced, 3)
    assert curve.shape == (3, 3) and curve[:, 0] == pytest.approx([0.01] * 3)


@pytest.fixture(scope="module")
def out(folders, models_dir, tmp_path_factory):
    """What the experiment has written; MRNGAN is trained on the way."""
    root = tmp_path_factory.mktemp("mrngan")
    models = root / "models"
    models.mkdir()
    (models / "brain-t1.safetensors").write_bytes((models_dir / "brain-t1.safetensors").read_bytes())
    words = ["--cohort", folders / "some", "--split", folders / "split.json", "--scale", "tiny"]
    words += ["--models", models, "--samples", 2, "--device", "cpu", "--out", root / "out"]
    assert main([str(word) for word in ["experiment", "002-mrngan", *words]]) == 0
    return root / "out"


def test_all_tables_and_figures_are_there(out):
    content = json.loads((out / "findings.json").read_text())
    tables = {table["title"]: {row[0]: row[1:] for row in table["rows"]} for table in content["tables"]}
    places = tables["Table 1: where is this slice?"]
    assert len(places) == 8 and places["CNN (printed)"][1] == 0.9559 and 0 <= places["CNN"][1] <= 1
    flow = tables["Table 2: the next slice"]
    assert flow["pix2pix, mean (printed, with peak 1)"][1] == pytest.approx(27.44, abs=0.01)
    copy, own = (float(flow[name][0]) for name in ("a copy of the slice, mean", "pix2pix, mean"))
    assert 0 < own < 3 * copy and set(tables) >= {"The general brain", "From several slices", "As a prior"}
    by_length = tables["Pix2pix on its own output, upwards"]
    assert float(by_length["a copy, 1 away"][0]) < float(by_length["a copy, 4 away"][0])
    curves = tables["Figure 5: SSIM by distance"]
    assert set(curves) == {
        *("MRNGAN", "MRNGAN, place known", "iterated pix2pix", "copy", "mean atlas", "structured Gaussian")
    }
    assert curves["copy"][0] > curves["copy"][-1], "slices further away are less alike"
    assert len(content["figures"]) == 5
    for figure in content["figures"]:
        assert (out / figure["file"]).stat().st_size > 2000


def test_localisers_are_asked_the_slices_that_the_posterior_places(out, folders, tmp_path):
    words = ["--cohort", folders / "some", "--split", folders / "split.json", "--scale", "tiny"]
    words += ["--no-training", "--subjects", 1, "--models", out.parent / "models", "--out", tmp_path]
    assert main([str(word) for word in ["experiment", "locate", *words, "--device", "cpu"]]) == 0
    _, compared = json.loads((tmp_path / "findings.json").read_text())["tables"]
    rows = {tuple(row[:2]): row[2:] for row in compared["rows"]}
    ways = ("as scanned", "registered in its plane")
    networks = ("FFN", "CNN", "deep CNN", "deep CNN with skips")
    assert set(rows) == {("posterior", ways[0]), *((name, way) for name in networks for way in ways)}
    assert all(0 <= row[0] <= row[1] < 150 and row[2] in range(4) for row in rows.values())
    assert float(rows["CNN", ways[0]][3]) < float(rows["posterior", ways[0]][3])


def test_a_model_without_its_training_is_refused_with_the_way_out(out, folders, tmp_path, capsys):
    models = tmp_path / "models"
    models.mkdir()
    trained = next(out.parent.glob("models/mrngan-64-tiny/brain-t1-mrngan.safetensors"))
    (models / trained.name).write_bytes(trained.read_bytes())
    words = [
        "--cohort",
        folders / "some",
        "--split",
        folders / "split.json",
        "--scale",
        "tiny",
        "--no-training",
    ]
    words += ["--models", models, "--device", "cpu", "--out", tmp_path / "out"]
    assert main([str(word) for word in ["experiment", "002-mrngan", *words]]) == 2
    assert "--config mrngan-64-tiny --out FOLDER/mrngan-64-tiny" in capsys.readouterr().err
