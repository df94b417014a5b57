"""Attenuation volumes from label maps, and the rigid space of volumes that lie in patient axes."""

import numpy as np
import pytest
from data.specimens import BODY, body
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.data.attenuation import attenuation
from SparseVolumeReconstructionLib.data.cohort import list_cohort
from SparseVolumeReconstructionLib.data.registration import on_grid
from SparseVolumeReconstructionLib.data.rigid import rigid_space
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.geometry.resample import resample

GRID = Grid.centred((24, 24, 24), 2.0)
RADIUS = np.linalg.norm(GRID.points_ras(), axis=1).reshape(GRID.shape_kji)
SHELLS = {
    "freesurfer": {511: 22, 515: 20, 516: 17, 2: 14, 4: 4},
    "brainweb": {6: 22, 7: 20, 11: 17, 2: 14, 1: 4},
}


def head(kind: str) -> Volume:
    """Skin, bone, marrow, brain and fluid around each other, and a sinus of air in the bone."""
    labels = np.zeros(GRID.shape_kji)
    for label, radius in SHELLS[kind].items():
        labels[radius > RADIUS] = label
    labels[11:13, 1:4, 11:13] = 0
    return Volume(labels, GRID)


@pytest.mark.parametrize("kind", SHELLS)
def test_tissues_attenuate_as_in_ct(kind):
    labels = head(kind)
    shown = attenuation(labels, kind, "one").array
    skin, bone, marrow, brain, _ = (float(np.median(shown[labels.array == each])) for each in SHELLS[kind])
    assert 1.8 < bone < 3 and 1.2 < marrow < 1.8 and skin == pytest.approx(1.03, abs=0.03)
    assert brain == pytest.approx(1.035, abs=0.02) and not shown[labels.array == 0].any()
    assert shown[labels.array == 2].std() > 0.005, "texture"
    again, other = (attenuation(labels, kind, name).array for name in ("one", "other"))
    assert np.array_equal(shown, again) and not np.array_equal(shown, other)
    with pytest.raises(InputError, match="one: a label map without bone"):
        attenuation(Volume((RADIUS < 20).astype(float), GRID), kind, "one")


def test_the_command_makes_a_cohort_of_a_folder_of_label_maps(tmp_path, capsys):
    (tmp_path / "maps").mkdir()
    write_volume(head("brainweb"), tmp_path / "maps" / "person_seg_1.nii.gz")
    words = [
        "attenuation",
        "--labels",
        "brainweb",
        "--cohort",
        tmp_path / "maps",
        "--output",
        tmp_path / "heads",
    ]
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    made = list_cohort(tmp_path / "heads")
    assert list(made.files) == ["person_1"] and not made.skipped
    assert read_volume(made.files["person_1"]).grid.same_as(GRID) and made.volume("person_1").array.max() == 1


def test_volumes_in_patient_axes_come_to_lie_on_one_another_and_symmetric(tmp_path):
    """Turned, shifted and of any origin; size stays."""
    turns = ((0, 0, 0.12), (0.1, 0, 0), (0, -0.1, 0.05))
    for number, turn in enumerate(turns):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
        pose[:3, 3] = 2.0 * number, -1.5, 1.0
        moved = resample(body(), BODY, np.linalg.inv(pose))
        far = moved.grid.ijk_to_ras.copy()
        far[:3, 3] += 300 * number
        write_volume(Volume(moved.array, Grid(moved.grid.shape_kji, far)), tmp_path / f"m{number}.nii.gz")
    cohort = list_cohort(tmp_path)
    space, matrices = rigid_space(cohort, list(cohort.files), 0.8, 36)
    seen = [on_grid(cohort.volume(name), space.grid, matrix) for name, matrix in matrices.items()]
    for one in seen:
        assert np.corrcoef(one.ravel(), seen[0].ravel())[0, 1] > 0.95
        assert np.corrcoef(one.ravel(), one[..., ::-1].ravel())[0, 1] > 0.9
    for matrix in matrices.values():
        assert np.linalg.svd(matrix[:3, :3])[1] == pytest.approx(1, abs=1e-3)
    assert space.name == "rigid space of 3 volumes" and space.grid.shape_kji == (36, 36, 36)


def test_a_head_that_ends_at_the_skull_base_lies_as_the_others_do(tmp_path):
    """A neck is long, short or not there at all; the bone of the skull says how the head lies."""
    grid = Grid.centred((40, 36, 32), 4.0)
    r, a, s = grid.points_ras().T.reshape(3, *grid.shape_kji)
    within = (r / 44) ** 2 + (a / 56) ** 2 + ((s - 24) / 46) ** 2
    bony = ((within > 0.8) & (within < 1)) | ((abs(r) < 30) & (abs(a - 46) < 8) & (abs(s + 36) < 6))
    neck = (abs(r) < 32) & (abs(a) < 50) & (s < 0)
    whole = np.where(bony, 1.0, (0.45 - s / 1000) * ((within < 1) | neck)).astype(np.float32)
    for number, ends in enumerate((2, 7, 18)):  # the last one below the brain
        part = whole.copy()
        part[:ends] = 0
        write_volume(Volume(part, grid), tmp_path / f"m{number}.nii.gz")
    cohort = list_cohort(tmp_path)
    _, matrices = rigid_space(cohort, list(cohort.files), 4.0, 48)
    first, *others = matrices.values()
    for other in others:
        off = np.linalg.inv(first) @ other
        assert np.rad2deg(Rotation.from_matrix(off[:3, :3]).magnitude()) < 4
        assert np.linalg.norm(off[:3, 3]) < 4
