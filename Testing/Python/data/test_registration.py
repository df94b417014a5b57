"""Registration of whole volumes: the transform that was applied is found again, and what cannot be registered
is refused.
"""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
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


def contrast(random, matrix=None) -> Volume:
    """The body in another contrast, with noise."""
    shown = body(matrix)
    greys = 0.9 - 0.6 * shown.array + random.normal(0, 0.03, shown.array.shape)
    return Volume(np.where(shown.array > 0.02, greys.clip(0.03), 0).astype(np.float32), shown.grid)


def off_mm(found, matrix) -> float:
    """How far apart two poses put the corners of the body, mean."""
    corners = np.c_[body().grid.corners_ras() * 0.4, np.ones(8)]
    return float(np.linalg.norm((corners @ found.T - corners @ matrix.T)[:, :3], axis=1).mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scans_that_lie_on_one_another_keep_their_poses_and_others_are_found(seed):
    """Another contrast with noise: exactly the identity; a turn of 3 degrees and 4 mm are found to 1 mm."""
    random = np.random.default_rng(seed)
    assert np.array_equal(pose_of(body(), contrast(random)), np.eye(4))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(3) * np.array([0.6, 0.0, 0.8])).as_matrix()
    matrix[:3, 3] = (4, 0, 0)
    assert off_mm(pose_of(body(), contrast(random, matrix)), matrix) < 1.0


@pytest.mark.parametrize("voxels", [5, -5])
def test_a_mask_that_was_put_on_both_scans_does_not_hold_them(voxels):
    """The mask of one scan, cut out of the other, which lies 15 mm above or below."""
    grid = Grid.centred((32, 36, 34), 3.0)
    inside = np.linalg.norm(grid.points_ras(), axis=1).reshape(grid.shape_kji) < 44
    tissue = gaussian_filter(np.random.default_rng(0).normal(0, 1, (42, 36, 34)), 2.5)
    tissue = np.clip(0.5 + 0.2 * tissue / tissue.std(), 0.1, 0.9).astype(np.float32)
    scan, other = tissue[5:-5], 1 - tissue[5 - voxels : 37 - voxels]
    matrix = np.eye(4)
    matrix[2, 3] = 3.0 * voxels
    found = pose_of(*(Volume(np.where(inside, each, 0), grid) for each in (scan, other)))
    assert off_mm(found, matrix) < 2.0


def test_volumes_apart_are_refused():
    far = np.eye(4)
    far[:3, 3] = (5000, 0, 0)
    with pytest.raises(InputError, match="could not be registered"):
        register_affine(body(), body(), initial=far)
