"""The experiments on questions to a posterior end to end, on bodies."""

import json
from copy import copy

import pytest
import torch

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.experiments.models import GAUSSIAN
from SparseVolumeReconstructionLib.experiments.questions import untempered
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.card import MeanTempering


@pytest.fixture(scope="module")
def run(folders, models_dir, tmp_path_factory):
    """run(name, ...): the table that an experiment has written, of one test subject."""

    def go(name, *data):
        out = tmp_path_factory.mktemp(name)
        words = ["--cohort", folders / "some", *data, "--split", folders / "split.json", "--scale", "tiny"]
        words += ["--no-training", "--models", models_dir, "--subjects", "1", "--device", "cpu", "--out", out]
        assert main([str(word) for word in ["experiment", name, *words]]) == 0
        return json.loads((out / "findings.json").read_text())["tables"][0]

    return go


def test_suggested_planes_leave_less_variance(run):
    rows = {(row[0], row[1]): row[2:] for row in run("next-plane")["rows"]}
    assert len(rows) == 9 and all(0 < row[0] < 1 and row[1] >= row[2] > 0 for row in rows.values())
    for count in (2, 3, 4):
        assert rows["any", count][0] < rows["even", count][0]
        assert rows["even", count][4:] == [None] * 3
        assert rows["any", count][4] == int(rows["any", count][1] < rows["even", count][1])


def test_no_planes_gain_by_a_mean_that_is_tempered_for_parallel_ones_alone(trained):
    prior = copy(trained.get(GAUSSIAN))
    axial = [slice_of(prior.reference, k) for k in (4, 9)]
    plain = prior.condition(axial).mean()
    prior.card = prior.card.model_copy(update={"tempering": MeanTempering(shared=0.5, power=2)})
    assert not torch.equal(prior.condition(axial).mean(), plain)
    assert torch.equal(untempered(prior).condition(axial).mean(), plain)
    assert prior.card.tempering is not None


def test_single_slices_are_located(run):
    rows = {row[0]: row[1:] for row in run("locate")["rows"]}
    assert set(rows) == {"axial", "any orientation"}
    assert all(row[0] > 0 and row[2] > 0 and 0 <= row[3] <= 1 and 0 < row[4] <= 1 for row in rows.values())


def test_surprise_in_people_and_patients(run, folders):
    """The others are no patients: nobody has a T1w volume there, so the healthy are alone in the table."""
    (row,) = run("surprise", "--patients", folders / "others")["rows"]
    assert row[:2] == ["healthy", 1] and 0 <= row[3] < 0.2
