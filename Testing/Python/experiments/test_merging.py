"""Merging simulated stacks: errors do not depend on where the whole lies, and evidence chooses."""

import numpy as np
import pytest
import torch
from svr.phantom import body, moving

from SparseVolumeReconstructionLib.experiments.merging import registration_errors
from SparseVolumeReconstructionLib.experiments.without_model import COLUMNS, interpolated, scores
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.svr.first_volume import chosen_by_evidence
from SparseVolumeReconstructionLib.svr.search import Found, middle_of
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
    gained = dict(zip(COLUMNS, scores(body(), 0, Progress()), strict=True))
    assert gained["gain over the mean dB"] > 1 and gained["gain over one stack dB"] > 1
    assert gained["merged dB"] - gained["gain over the mean dB"] == pytest.approx(gained["mean of stacks dB"])


def test_evidence_takes_a_good_template_where_the_body_moved_far():
    given = moving(14.0, 25.0, seed=6)
    found, by_template, (average, template) = chosen_by_evidence(given.slices, body(), 0, Progress())
    assert by_template and template > average
    errors, _ = registration_errors(given, found)
    assert np.median(errors[~given.spoiled]) < 1.5
