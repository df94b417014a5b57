"""Fetal stacks without masks: the brain is found and told, and decides the model."""

import numpy as np
import pytest
from alignment.pregnancy import Pregnancy
from svr.phantom import moving

from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.svr.masks import inside_of
from SparseVolumeReconstructionLib.svr.request import SvrRequest


@pytest.fixture(scope="module")
def fetus() -> tuple[Volume, Volume]:
    """A stack of mother and fetus, and the mask of the brain."""
    return Pregnancy().stack()


def found_in(stack, prior="auto"):
    """What is used of one stack, and what is told."""
    told: list[str] = []
    request = SvrRequest(stacks=[{"path": "/stack.nii.gz"}], output="/out", prior=prior)
    return inside_of(request, [stack], ["stack"], told.append), told


def slices_of(volume: Volume) -> list:
    """Those that show something."""
    return [slice_of(volume, k, None, "stack") for k, pixels in enumerate(volume.array) if pixels.any()]


def test_the_brain_of_an_unmasked_stack_is_found_and_decides_the_model(fetus):
    volume, mask = fetus
    inside, told = found_in(slices_of(volume))
    found, brain = np.stack(inside.masks[0]), mask.array > 0
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.85
    assert inside.anatomy == "fetal-t2"
    assert len(told) == 1 and "stack" in told[0] and " ml" in told[0] and "--mask" in told[0]


def test_a_masked_brain_is_recognised_and_its_mask_is_kept(fetus):
    volume, mask = fetus
    inside, told = found_in(slices_of(Volume(volume.array * mask.array, volume.grid)))
    used, brain = np.stack(inside.masks[0]), mask.array[mask.array.any((1, 2))] > 0
    assert inside.anatomy == "fetal-t2" and told == []
    assert used[brain].all()


def test_nothing_is_looked_for_where_no_model_is_wanted(fetus):
    inside, told = found_in(slices_of(fetus[0]), "none")
    assert inside.anatomy is None and told == [] and np.all(inside.masks[0])


def test_what_is_no_brain_is_used_whole():
    body = [s.image for s in moving(1.0, 1.0, seed=4).slices if s.stack == 0]
    mother = slices_of(Pregnancy().stack(brains=0)[0])
    for stack in (body, mother):
        inside, told = found_in(stack)
        assert inside.anatomy is None and told == []


def test_adult_heads_are_not_taken_for_fetuses(shared_data):
    """The network of fetuses sees 80 to 380 ml of brain in them."""
    scan = read_volume(shared_data / "real_scans" / "ds000011_sub-01_inplaneT2.nii.gz")
    inside, told = found_in(slices_of(scan))
    assert inside.anatomy is None and told == []


def test_stacks_of_a_real_fetus_are_recognised(shared_data):
    """In two directions, by brains of nearly one size in nearly one place."""
    folder = shared_data / "fetal_stacks"
    stacks = [slices_of(read_volume(folder / f"sub-01_run-{run}_T2w.nii.gz")) for run in (1, 3)]
    request = SvrRequest(stacks=[{"path": "/a.nii.gz"}, {"path": "/b.nii.gz"}], output="/out")
    told: list[str] = []
    assert inside_of(request, stacks, ["a", "b"], told.append).anatomy == "fetal-t2" and len(told) == 1
