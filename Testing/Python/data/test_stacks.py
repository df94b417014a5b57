"""From a folder to stacks: damaged files are named, sizes may differ, what was prepared is used again."""

import json

import numpy as np
import pytest

from SparseVolumeReconstructionLib.data.cohort import Cohort
from SparseVolumeReconstructionLib.data.config import DataConfig
from SparseVolumeReconstructionLib.data.stacks import load_stacks, stack_grid
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.progress import Progress

DATA = {"size": 16, "slices": 10, "field_mm": None, "height_mm": None, "reference": None, "spacing_mm": 6}


@pytest.fixture(scope="module")
def folder(cohort_dir, tmp_path_factory):
    """Four bodies, one of them on a grid of another size and spacing, one damaged file and one without
    anatomy.
    """
    folder = tmp_path_factory.mktemp("mixed")
    for age in (20, 21, 22):
        (folder / f"age{age}.nii.gz").write_bytes((cohort_dir / f"age{age}.nii.gz").read_bytes())
    other = read_volume(cohort_dir / "age23.nii.gz")
    matrix = other.grid.ijk_to_ras @ np.diag([1, 2, 1, 1])
    write_volume(Volume(other.array[2:, ::2], Grid((22, 11, 20), matrix)), folder / "age23.nii.gz")
    (folder / "age24.nii.gz").write_bytes(b"damaged")
    write_volume(
        Volume(np.zeros((9, 9, 9), np.float32), Grid.centred((9, 9, 9), 5.0)), folder / "age25.nii.gz"
    )
    return folder


def load(folder, fit, **changes):
    """The stacks of a folder."""
    split = {"fit": [f"age{n}" for n in fit], "test": []}
    data = DataConfig(**(DATA | changes))
    return load_stacks([folder], data, split, "", Progress(), seed=0, validation=0.3)


def test_mixed_sizes_are_brought_together_and_damaged_files_are_named(folder):
    stacks = load(folder, range(20, 26))
    assert len(stacks.names["fit"]) == 3 and len(stacks.names["validation"]) == 1
    assert sorted(stacks.names["fit"] + stacks.names["validation"]) == ["age20", "age21", "age22", "age23"]
    volumes = stacks.volumes("fit")[:]
    assert volumes.shape == (3, 10, 16, 16) and float(volumes.min()) >= 0 and 0.8 < float(volumes.max()) <= 1
    assert set(stacks.cohort.skipped) == {"age24.nii.gz", "age25.nii.gz"}
    assert (
        "cannot be read" in stacks.cohort.skipped["age24.nii.gz"]
        and "empty" in stacks.cohort.skipped["age25.nii.gz"]
    )
    every = {
        name: volume.array.ravel()
        for part in ("fit", "validation")
        for name, volume in stacks.subjects(part).items()
    }
    assert np.corrcoef([*every.values()]).min() > 0.8, "they lie on each other"


def test_what_was_prepared_is_used_again(folder, monkeypatch):
    first = load(folder, (20, 21, 22), reference=str(folder / "age20.nii.gz")).volumes("fit")[:]
    monkeypatch.setattr(Cohort, "volume", lambda self, name: pytest.fail(f"{name} was read again"))
    assert load(folder, (20, 21, 22), reference=str(folder / "age20.nii.gz")).volumes("fit")[:].equal(first)


def test_too_few_volumes_are_refused_with_the_reason(folder):
    with pytest.raises(
        InputError, match=r"2 volumes to fit; at least 3 are needed.*\(2 files skipped\). age24.nii.gz: "
    ):
        load(folder, (20, 21, 24, 25))


def test_stacks_of_brains_lie_on_the_protocols_grid(repository):
    """A 218 mm field of 64 x 64 pixels, the middle 120 mm in 120 slices, where the embedded brain model has
    its own.
    """
    from SparseVolumeReconstructionLib.data.space import canonical_space

    protocol = canonical_space("mni152", Cohort({}), 2.0, warn=print).protocol
    config = DataConfig()
    assert stack_grid(protocol, config).same_as(protocol)
    fine = stack_grid(protocol, DataConfig(size=128, slices=60))
    assert fine.shape_kji == (60, 128, 128) and np.allclose(fine.spacing_ijk, [218 / 128, 218 / 128, 2])
    assert np.allclose(fine.corners_ras().mean(0), protocol.corners_ras().mean(0))
    assert json.loads(config.model_dump_json())["reference"] == "mni152"
