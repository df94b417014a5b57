"""A canonical space by landmarks: specimens in any pose, and those whose landmarks are of another scan."""

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.data.cohort import list_cohort
from SparseVolumeReconstructionLib.data.landmarks import Directions, landmark_space, read_landmarks
from SparseVolumeReconstructionLib.data.registration import on_grid
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume
from SparseVolumeReconstructionLib.geometry.resample import resample

# symmetric about R = 0, longest along A, with one landmark at the front and one at the top
POINTS = np.array(
    [[3, -8, 0], [-3, -8, 0], [5, 0, -2], [-5, 0, -2], [2, 8, 1], [-2, 8, 1], [0, 10, 0], [0, 0, 5]]
)
BODY = Grid.centred((36, 36, 36), 0.8)


def body() -> Volume:
    array = np.zeros(BODY.shape_kji, np.float32)
    at = np.rint(POINTS @ BODY.ras_to_ijk[:3, :3].T + BODY.ras_to_ijk[:3, 3]).astype(int)
    for start, end in [
        (at[6], at[0]),
        (at[6], at[1]),
        (at[2], at[3]),
        (at[7], at[4]),
        (at[7], at[5]),
        (at[6], at[7]),
    ]:
        for f in np.linspace(0, 1, 60):
            array[tuple(np.rint(start + f * (end - start)).astype(int)[::-1])] = 1
    return Volume(gaussian_filter(array, 1.0) * 6, BODY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five specimens in poses of their own; the landmarks of the last are of another scan."""
    folder = tmp_path_factory.mktemp("specimens")
    for n in range(5):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.random(random_state=n).as_matrix()
        pose[:3, 3] = [n, -n, 2]
        write_volume(resample(body(), BODY, np.linalg.inv(pose)), folder / f"m{n}.nii.gz")
        placed = POINTS @ pose[:3, :3].T + pose[:3, 3] + (100 if n == 4 else 0)
        points = [{"label": str(m), "position": (p * [-1, -1, 1]).tolist()} for m, p in enumerate(placed)]
        markups = {"markups": [{"coordinateSystem": "LPS", "controlPoints": points}]}
        (folder / f"m{n}.mrk.json").write_text(json.dumps(markups))
    return folder


def test_specimens_in_any_pose_lie_alike_with_the_nose_in_front(folder):
    cohort = list_cohort(folder)
    space, matrices = landmark_space(cohort, list(cohort.files), Directions("6", "7"), 0.8, 36)
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
        landmark_space(cohort, list(cohort.files), Directions("nose", "7"), 0.8, 36)
    with pytest.raises(InputError, match="0 of 1 volumes have landmarks that lie on them"):
        landmark_space(cohort, ["m4"], Directions("6", "7"), 0.8, 36)
    (tmp_path / "x.mrk.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read as landmarks"):
        read_landmarks(tmp_path / "x.mrk.json")
