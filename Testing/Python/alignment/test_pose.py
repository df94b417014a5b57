"""The family of frames: the matrix says what apply does, and the prior prefers what it should."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.alignment.pose import PoseFamily, quarter_turns, spread_rotations

THETA = st.lists(st.floats(-3, 3, width=32), min_size=9, max_size=9)


def family(count: int, start=None, log_scale=0.1, rotation_sd=0.35) -> PoseFamily:
    """A family of `count` starts at one of 24 orientations, or at the patient's own."""
    rotation = (torch.eye(3) if start is None else spread_rotations(24)[start]).expand(count, 3, 3)
    return PoseFamily(
        torch.tensor([10.0, -20, 30]),
        torch.tensor([1.0, 2, 3]),
        rotation,
        torch.full((count,), log_scale),
        rotation_sd,
        0.1,
    )


@given(st.lists(THETA, min_size=1, max_size=3), st.integers(0, 23))
@settings(max_examples=50, deadline=None)
def test_the_matrix_is_what_apply_does(thetas, start):
    theta, frames = torch.tensor(thetas), family(len(thetas), start)
    points = 80 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    matrix = frames.matrix(theta)
    expected = points @ matrix[:, :3, :3].transpose(1, 2) + matrix[:, None, :3, 3]
    torch.testing.assert_close(frames.apply(theta, points), expected, rtol=1e-4, atol=2e-2)
    chosen = frames.select(torch.tensor([len(thetas) - 1]))
    torch.testing.assert_close(chosen.matrix(theta[-1:]), matrix[-1:], rtol=1e-4, atol=1e-2)
    assert (torch.linalg.det(matrix[:, :3, :3]) > 0).all()


def test_at_rest_the_centres_meet_at_the_expected_size():
    frames = family(1, log_scale=float(np.log(1.2)))
    theta = torch.zeros(1, 9)
    torch.testing.assert_close(
        frames.apply(theta, torch.tensor([[10.0, -20, 30]])), torch.tensor([[[1.0, 2, 3]]])
    )
    torch.testing.assert_close(frames.linear(theta)[0], 1.2 * torch.eye(3))
    assert float(frames.penalty(theta)[0]) == 0


def test_the_prior_of_the_pose():
    """Turns cost as much as their width says, size as much as its own, changes of aspect more; shifts
    nothing.
    """
    frames = family(5)
    theta = torch.zeros(5, 9)
    theta[1, 0] = 3.5  # 0.35 rad: one standard deviation
    theta[2, 3:6] = 4.0
    theta[3, 6:] = 2.0  # 0.1: one standard deviation of the size
    theta[4, 6] = 2.0
    cost = frames.penalty(theta)
    np.testing.assert_allclose(cost[:4].numpy(), [0, 0.5, 0, 0.5], atol=0.01)
    assert cost[4] > cost[3]


def test_axes_that_were_mixed_up_are_possible_but_cost_more_than_a_tilt():
    turns = quarter_turns()
    assert len({tuple(turn.ravel().tolist()) for turn in turns}) == 24 and torch.equal(turns[0], torch.eye(3))
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(24))
    frames = PoseFamily(torch.zeros(3), torch.zeros(3), turns, torch.zeros(24), 0.35, 0.1)
    cost = frames.penalty(torch.zeros(24, 9))
    assert cost[0] == 0 and (cost[1:] == cost[1]).all() and 0.5 < cost[1] < (1 - np.cos(np.pi / 2)) / 0.35**2


def test_spread_rotations_leave_no_orientation_far_away():
    rotations = spread_rotations(576).double()
    torch.testing.assert_close(
        rotations @ rotations.transpose(1, 2), torch.eye(3).double().expand(576, 3, 3), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(576).double())
    any_pose = torch.as_tensor(Rotation.random(2000, random_state=0).as_matrix())
    trace = torch.einsum("aij,bij->ab", any_pose, rotations).amax(1)
    nearest = torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)))
    assert nearest.mean() < 20 and nearest.max() < 32
