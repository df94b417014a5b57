"""Result folders: all or nothing."""

import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.reconstruction.result import FILES, Reconstruction, write_result

GRID = Grid.centred((20, 21, 22), 2.0)


@pytest.fixture
def result() -> Reconstruction:
    """Noise, so that files are about as large as their arrays."""
    random = np.random.default_rng(0)
    noise = {
        name: Volume(random.random(GRID.shape_kji, np.float32), GRID)
        for name in ("mean", "std", "template", "atlas")
    }
    masks = {
        name: Volume(np.ones(GRID.shape_kji, np.uint8), GRID)
        for name in ("observed", "template_mask", "brain_mask")
    }
    samples = random.random((3, *GRID.shape_kji), np.float32)
    return Reconstruction(np.eye(4), {"seed": 1}, samples=samples, **noise, **masks)


@contextmanager
def full_disk(size: int):
    """No file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_all_files_are_there_and_nothing_else(result, tmp_path):
    written = write_result(result, tmp_path / "a" / "b")
    assert set(written) == set(FILES) == {p.name for p in (tmp_path / "a" / "b").iterdir()}
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]
    np.testing.assert_array_equal(read_volume(written["mean.nrrd"]).array, result.mean.array)


def test_an_older_result_is_replaced_and_other_files_stay(result, tmp_path):
    write_result(result, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    written = write_result(
        Reconstruction(np.eye(4), mean=result.std, observed=result.observed), tmp_path / "out", compress=False
    )
    assert set(written) == {"mean.nrrd", "observed.nrrd", "frame.h5", "result.json"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*written, "notes.txt"}
    assert (tmp_path / "out" / "mean.nrrd").stat().st_size > 4 * GRID.size
    np.testing.assert_array_equal(read_volume(written["mean.nrrd"]).array, result.std.array)


@pytest.mark.parametrize("size", [0, 2000, 20_000, 36_000, 100_000])
def test_a_full_disk_is_told_and_the_old_result_stays(result, tmp_path, size):
    write_result(result, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with full_disk(size), pytest.raises(InputError, match="could not be written") as caught:
        write_result(result, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_is_told(result, tmp_path):
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file", tmp_path / "file" / "out", "/proc/out"):
        with pytest.raises(InputError, match="could not be written"):
            write_result(result, target)
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_told(result, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match="Permission denied"):
        write_result(result, tmp_path / "closed" / "out")
