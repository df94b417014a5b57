"""Registration of whole volumes: the transform that was applied is found again, and what cannot be registered
is refused.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.data.registration import pose_of, register_affine
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume


def body(matrix=None) -> Volume:
    """Two soft balls of different size in a box, their places moved by a 4x4 matrix (RAS mm)."""
    grid = Grid.centred((32, 36, 34), 3.0)
    to_body = np.linalg.inv(np.eye(4) if matrix is None else matrix)
    points = grid.points_ras() @ to_body[:3, :3].T + to_body[:3, 3]
    balls = [(np.array([10, 8, -6]), 22.0, 1.0), (np.array([-15, -10, 12]), 14.0, 0.6)]
    values = sum(
        height / (1 + np.exp(np.linalg.norm(points - centre, axis=1) - radius))
        for centre, radius, height in balls
    )
    return Volume(values.reshape(grid.shape_kji).astype(np.float32), grid)


def test_a_shift_is_found():
    matrix = np.eye(4)
    matrix[:3, 3] = (6, -4, 3)
    found = register_affine(body(), body(matrix))
    corners = np.c_[body().grid.corners_ras() * 0.4, np.ones(8)]
    assert np.abs((corners @ found.T - corners @ matrix.T)[:, :3]).max() < 1.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scans_that_lie_on_one_another_keep_their_poses_and_others_are_found(seed):
    """Another contrast with noise: exactly the identity; a turn of 3 degrees and 4 mm are found to 1 mm."""
    random = np.random.default_rng(seed)

    def other(matrix=None) -> Volume:
        shown = body(matrix)
        greys = 0.9 - 0.6 * shown.array + random.normal(0, 0.03, shown.array.shape)
        return Volume(np.where(shown.array > 0.02, greys.clip(0.03), 0).astype(np.float32), shown.grid)

    assert np.array_equal(pose_of(body(), other()), np.eye(4))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(3) * np.array([0.6, 0.0, 0.8])).as_matrix()
    matrix[:3, 3] = (4, 0, 0)
    found = pose_of(body(), other(matrix))
    corners = np.c_[body().grid.corners_ras() * 0.4, np.ones(8)]
    assert np.linalg.norm((corners @ found.T - corners @ matrix.T)[:, :3], axis=1).mean() < 1.0


def test_volumes_apart_are_refused():
    far = np.eye(4)
    far[:3, 3] = (5000, 0, 0)
    with pytest.raises(InputError, match="could not be registered"):
        register_affine(body(), body(), initial=far)
