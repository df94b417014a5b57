"""Simulated sites: the same people on two scanners, as files that a training reads."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.synthesis.scans import Field, load_visits
from SparseVolumeReconstructionLib.synthesis.simulated import SCANNERS, read_anatomies, write_site


@pytest.fixture(scope="module")
def label_maps(tmp_path_factory):
    """Two balls of cortex (3) around white matter (2) with a ventricle (4), 4 mm, FreeSurfer's numbers."""
    folder = tmp_path_factory.mktemp("maps")
    for n in range(2):
        grid = Grid.centred((36, 36, 36), 4.0, (5.0 * n, 0.0, 0.0))
        reach = np.linalg.norm(grid.points_ras().reshape(36, 36, 36, 3) - [5.0 * n, 0, 0], axis=-1)
        labels = np.select([reach < 14 + 3 * n, reach < 40, reach < 56], [4, 2, 3], 0)
        write_volume(Volume(labels.astype(np.uint8), grid), folder / f"training_seg_{n}.nii.gz")
    return folder


def test_two_scanners_show_the_same_people_differently_and_always_alike(label_maps, tmp_path):
    """White matter is brightest in T1w and fluid in T2w on both; a seed gives the same files."""
    people = read_anatomies({"freesurfer": label_maps}, 6.0, Progress())
    assert list(people) == ["person01", "person02"]
    files = {}
    for name, scanner in SCANNERS.items():
        files[name] = write_site(people, scanner, tmp_path / name, seed=3)
        again = write_site(people, scanner, tmp_path / "again", seed=3)
        for one, other in zip(files[name], again, strict=True):
            assert np.array_equal(read_volume(one).array, read_volume(other).array)
    assert not np.allclose(read_volume(files["one"][0]).array, read_volume(files["two"][0]).array, atol=0.05)
    for anatomy in people.values():
        pure = anatomy.shares > 0.95
        assert pure.any((1, 2, 3)).all() and anatomy.shares.sum(0).max() < 1.01
        for name, bright in {"T1w": 2, "T2w": 0}.items():
            subject = "person01" if anatomy is people["person01"] else "person02"
            for site in SCANNERS:
                shown = read_volume(tmp_path / site / f"{subject}_{name}.nii.gz").array
                assert np.argmax([shown[each].mean() for each in pure]) == bright
    scans = load_visits(tmp_path / "one", ["flair", "t2", "t1"], Field((24, 24, 24), 6.0), Progress())
    assert {name: tuple(each.shape) for name, each in scans.items()} == dict.fromkeys(people, (3, 24, 24, 24))


def test_tissues_on_another_grid_lie_where_the_images_do(label_maps):
    """Half a voxel further, where the nearest voxel of a map of names would be half a voxel off."""
    (anatomy, *_) = read_anatomies({"freesurfer": label_maps}, 6.0, Progress(), most=1).values()
    matrix = anatomy.grid.ijk_to_ras.copy()
    matrix[:3, 3] += 2.99
    moved = anatomy.on(Grid(anatomy.grid.shape_kji, matrix)).tissues
    for number in range(1, 4):
        centres = []
        for volume in (anatomy.tissues, moved):
            voxels = np.argwhere(volume.array == number)[:, ::-1]
            centres.append(voxels.mean(0) @ volume.grid.ijk_to_ras[:3, :3].T + volume.grid.ijk_to_ras[:3, 3])
        np.testing.assert_allclose(*centres, atol=1.0)
