"""A canonical space by landmarks: specimens in any pose, and those whose landmarks are of another scan."""

import numpy as np
import pytest
from data.specimens import FRONT, TOP, body, write_specimen

from SparseVolumeReconstructionLib.data.cohort import list_cohort
from SparseVolumeReconstructionLib.data.landmarks import Directions, landmark_space, read_landmarks
from SparseVolumeReconstructionLib.data.registration import on_grid
from SparseVolumeReconstructionLib.geometry import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five specimens in poses of their own; the landmarks of the last are of another scan."""
    folder = tmp_path_factory.mktemp("specimens")
    for n in range(5):
        write_specimen(folder, n, body(), 100.0 if n == 4 else 0.0)
    return folder


def test_specimens_in_any_pose_lie_alike_with_the_nose_in_front(folder):
    cohort = list_cohort(folder)
    space, matrices = landmark_space(cohort, list(cohort.files), Directions(FRONT, TOP), 0.8, 36)
    assert space.grid.shape_kji == (36, 36, 36) and "4 shapes" in space.name
    found = [on_grid(cohort.volume(name), space.grid, matrices[name]) for name in cohort.files]
    for array in found[1:]:
        assert np.corrcoef(found[0].ravel(), array.ravel())[0, 1] > 0.95
    k, j, i = np.argwhere(found[0] > 0.3).T
    assert np.abs(i[j == j.max()] - 17.5).max() < 3 and np.abs(i[k == k.max()] - 17.5).max() < 3  # nose, top
    assert np.abs(i[j == j.min()] - 17.5).max() > 3 and np.abs(i[k == k.min()] - 17.5).max() > 3


def test_landmarks_that_cannot_be_used_are_named(folder, tmp_path):
    cohort = list_cohort(folder)
    with pytest.raises(InputError, match="landmark nose is not in all files"):
        landmark_space(cohort, list(cohort.files), Directions("nose", TOP), 0.8, 36)
    with pytest.raises(InputError, match="0 of 1 volumes have landmarks that lie on them"):
        landmark_space(cohort, ["m4"], Directions(FRONT, TOP), 0.8, 36)
    (tmp_path / "x.mrk.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read as landmarks"):
        read_landmarks(tmp_path / "x.mrk.json")
