"""Volumes in files are those in memory, to the bit, and are read when they are asked for."""

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.data import stored
from SparseVolumeReconstructionLib.data.stored import StoredVolumes
from SparseVolumeReconstructionLib.geometry import InputError

SHAPE = (5, 16, 24)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("stacks"), np.random.default_rng(0)
    files = [folder / f"{n}.npy" for n in range(37)]
    for file in files:
        np.save(file, random.random(SHAPE).astype(np.float16))
    return files


@pytest.fixture(scope="module")
def memory(files):
    """The same as a tensor, (37, 5, 16, 24) float32."""
    return torch.as_tensor(np.stack([np.load(file) for file in files]).astype(np.float32))


def test_they_are_read_as_a_tensor_is(files, memory):
    volumes = StoredVolumes(files, SHAPE)
    assert volumes.shape == tuple(memory.shape) and len(volumes) == len(memory)
    for index in (0, -1, slice(3, 9), slice(None), torch.tensor([7, 2, 2])):
        assert volumes[index].dtype == torch.float32 and volumes[index].equal(memory[index])
    assert all(one.equal(other) for one, other in zip(volumes, memory, strict=True))
    assert StoredVolumes([], SHAPE)[:].equal(memory[:0])
    assert volumes.to("meta")[0].is_meta


@pytest.mark.parametrize("at_once", [1, 37 * 100, 2**22], ids=["32 voxels", "64 voxels", "all"])
def test_means_over_all_are_those_of_a_tensor_to_the_bit(files, memory, at_once, monkeypatch):
    monkeypatch.setattr(stored, "_AT_ONCE", at_once)
    volumes = StoredVolumes(files, SHAPE)
    assert volumes.mean(0).equal(memory.mean(0)) and volumes.std(0).equal(memory.std(0))


def test_a_file_that_went_away_is_one_clear_line(files, tmp_path):
    with pytest.raises(InputError, match=r"gone.npy: cannot be read \(No such file"):
        StoredVolumes([*files, tmp_path / "gone.npy"], SHAPE)[:]
