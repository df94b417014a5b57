"""Merging simulated stacks: errors do not depend on where the whole lies, and evidence chooses."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from svr.phantom import SCAN, body, moving

from SparseVolumeReconstructionLib.experiments import merging
from SparseVolumeReconstructionLib.experiments.base import Setting
from SparseVolumeReconstructionLib.experiments.merging import AVERAGE, COLUMNS, EVIDENCE, registration_errors
from SparseVolumeReconstructionLib.experiments.without_model import COLUMNS as GAINS
from SparseVolumeReconstructionLib.experiments.without_model import interpolated, scores
from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.svr import first_volume
from SparseVolumeReconstructionLib.svr.first_volume import chosen_by_evidence
from SparseVolumeReconstructionLib.svr.search import Found, Level, middle_of
from SparseVolumeReconstructionLib.svr.simulate import random_pose


def found_at(given, poses) -> Found:
    count = len(given.slices)
    return Found(
        torch.as_tensor(poses), torch.zeros(count, 6), torch.ones(count), None, None, middle_of(given.slices)
    )


def test_errors_are_those_after_one_movement_of_the_whole():
    given = moving(3.0, 4.0, seed=5)
    whole = random_pose(np.random.default_rng(0), 30.0, 90.0, np.zeros(3))
    errors, to_truth = registration_errors(given, found_at(given, whole @ given.poses))
    assert errors.max() < 1e-6 and np.allclose(to_truth @ whole, np.eye(4), atol=1e-6)
    poses = given.poses.copy()
    poses[7, :3, 3] += [0.0, 3.0, 4.0]
    errors, _ = registration_errors(given, found_at(given, poses))
    assert errors[7] == pytest.approx(5.0, abs=1e-6) and np.delete(errors, 7).max() < 1e-6


def test_a_stack_at_rest_is_interpolated_to_where_the_body_is():
    """And a merge of what moved gains over all stacks as they lie."""
    given = moving(0.0, 0.0, spoiled=0.0, seed=5)
    for stack in range(3):
        made = interpolated(given, stack, body().grid)
        assert np.corrcoef(made.ravel(), body().array.ravel())[0, 1] > 0.97
    gained = dict(zip(GAINS, scores(body(), 0, "cpu", Progress()), strict=True))
    assert gained["gain over the mean dB"] > 1 and gained["gain over one stack dB"] > 1
    assert gained["merged dB"] - gained["gain over the mean dB"] == pytest.approx(gained["mean of stacks dB"])


def test_evidence_takes_a_good_template_where_the_body_moved_far():
    given = moving(14.0, 25.0, seed=6)
    found, by_template, (average, template) = chosen_by_evidence(given.slices, body(), 0, "cpu", Progress())
    assert by_template and template > average
    errors, _ = registration_errors(given, found)
    assert np.median(errors[~given.spoiled]) < 1.5


def test_finished_simulations_are_kept_and_not_made_again(tmp_path, monkeypatch):
    """A second call takes their rows from the file; the table holds means over bodies and seeds."""
    write_volume(body(), tmp_path / "one.nii.gz")
    write_volume(body(), tmp_path / "two.nii.gz")
    models = SimpleNamespace(split={"test": ["one", "two", "not there"]})
    setting = Setting({"cohort": tmp_path}, tmp_path / "out", "cpu", models, False, Progress(), seeds=2)
    made = []

    def measured(body, prior, motion, *, seed, device, progress):
        made.append((motion, seed))
        return [
            (name, merging.Score((float(seed),) * len(COLUMNS), 0.9, 0.1)) for name in (AVERAGE, EVIDENCE)
        ]

    monkeypatch.setattr(merging, "merges", measured)
    found = merging.simulated(setting)
    assert len(made) == len(set(made)) * 2 == 16 and [seed for _, seed in made] == [0] * 8 + [1] * 8
    whole, bodies = found.tables
    assert whole.rows[0][:3] == ["0 mm, 0°: " + AVERAGE, 4, 0.5] and len(whole.rows) == 8
    assert [row[:2] for row in bodies.rows[:2]] == [["0 mm, 0°: one", 2], ["0 mm, 0°: two", 2]]
    path = tmp_path / "out" / "rows.jsonl"
    lines = path.read_text().splitlines()
    assert json.loads(lines[0])["TRE mm"] == 0 and len(lines) == 32
    path.write_text("\n".join(lines[2:]) + "\n")  # stopped before the last one
    assert merging.simulated(setting) == found and made[16:] == [((0.0, 0.0), 0)]
    path.write_text("rows")
    with pytest.raises(InputError, match="no row"):
        merging.simulated(setting)


def test_a_simulation_is_scored_from_each_first_volume_and_by_evidence(tmp_path, monkeypatch):
    """On coarse levels; its rows are plain numbers, those of the choice are of one of the others."""
    levels = (Level(8.0, 6.0, 1), Level(6.0, 6.0, 1))
    monkeypatch.setattr(merging, "LEVELS", levels)
    monkeypatch.setattr(first_volume, "LEVELS", levels)
    monkeypatch.setattr(first_volume, "FAR", replace(levels[0], far_rounds=1))
    monkeypatch.setattr(merging, "Scan", lambda: replace(SCAN, pixel_mm=6.0, thickness_mm=8.0))
    monkeypatch.setattr(merging, "template_from", lambda *_: body(14, 4.0))
    write_volume(body(14, 4.0), tmp_path / "one.nii.gz")
    case = merging.Case(tmp_path / "one.nii.gz", (2.0, 4.0), 1)
    rows = merging.rows_of(case, object(), torch.device("cpu"), Progress())
    assert [row["first"] for row in json.loads(json.dumps(rows))] == [AVERAGE, merging.TEMPLATE, EVIDENCE]
    best = max(rows[:2], key=lambda row: row["agreement"])
    assert all(rows[2][name] == best[name] for name in COLUMNS if name != "seconds")
    assert rows[2]["seconds"] > best["seconds"] and 0 < rows[2]["NCC"] <= 1
