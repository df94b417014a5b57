"""Fetal stacks as scanned: the brain is found in every slice, and masked ones stay as they are."""

import time

import numpy as np
import pytest
from alignment.pregnancy import Pregnancy

from SparseVolumeReconstructionLib.alignment.fetal import Near, as_one, fetal_reader, shaped
from SparseVolumeReconstructionLib.geometry import InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.reconstruction.whole_head import told_of


@pytest.fixture(scope="module")
def fetus() -> Pregnancy:
    """One fetus for all tests."""
    return Pregnancy()


def slices_of(volume: Volume, shown=None, source: str = "stack") -> list:
    """The slices of a volume, or those `shown`."""
    return [
        slice_of(volume, int(k), None, source) for k in (range(len(volume.array)) if shown is None else shown)
    ]


def mask_of(brain, like: Volume, source: str = "stack") -> np.ndarray:
    """The masks of slices on the grid they came from."""
    out = np.zeros(like.array.shape, bool)
    for image, mask in zip(brain.slices, brain.masks, strict=True):
        if image.source == source:
            out[image.volume_index] = mask
    return out


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Dice's coefficient of two masks."""
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def near(seen: np.ndarray, places: np.ndarray) -> Near:
    """What a network would see of slices at places along their normal."""
    return Near(list(range(len(places))), [], seen.astype(np.float32), places)


def test_the_brain_is_found_in_a_stack(fetus):
    volume, mask = fetus.stack()
    stack = slices_of(volume)
    brain = fetal_reader().brain_of(stack)
    assert overlap(mask_of(brain, volume), mask.array > 0) > 0.85
    assert len(brain.slices) + len(brain.left_out) == len(stack)
    for image, inside in zip(brain.slices, brain.masks, strict=True):
        assert np.array_equal(image.pixels, np.where(inside, volume.array[image.volume_index], 0))


def test_some_slices_in_any_order_will_do(fetus):
    volume, mask = fetus.stack()
    brain = fetal_reader().brain_of(slices_of(volume, (15, 8, 11)))
    assert [s.volume_index for s in brain.slices] == [15, 8, 11]
    pairs = zip(brain.masks, brain.slices, strict=True)
    assert min(overlap(m, mask.array[s.volume_index] > 0) for m, s in pairs) > 0.85


def test_a_masked_stack_stays_as_it_is(fetus):
    volume, mask = fetus.stack()
    assert (
        fetal_reader().brain_of(slices_of(Volume(volume.array * mask.array, volume.grid), range(4, 18)))
        is None
    )


def test_a_stack_without_a_brain_is_refused(fetus):
    with pytest.raises(InputError, match="No brain was found"):
        fetal_reader().brain_of(slices_of(fetus.stack(brains=0)[0]))


def test_twins_are_told(fetus):
    """One brain is taken, whole; a single fetus is not taken for two."""
    volume, mask = fetus.stack(brains=2)
    brain = fetal_reader().brain_of(slices_of(volume))
    assert brain.seconds == ["stack"] and "a second brain" in " ".join(told_of(brain, fetal_reader().card))
    taken = mask_of(brain, volume)
    side = np.broadcast_to(np.arange(mask.array.shape[2]) < mask.array.shape[2] // 2, mask.array.shape)
    shares = [overlap(taken, (mask.array > 0) & half) for half in (side, ~side)]
    assert max(shares) > 0.6 and min(shares) < 0.05
    assert fetal_reader().brain_of(slices_of(fetus.stack()[0])).seconds == []


def test_what_belongs_to_no_brain_is_left_out_and_tips_are_put_in():
    k, j, i = np.ogrid[-60:61:4, -76.2:77:1.2, -76.2:77:1.2]
    body = (k / 38) ** 2 + (j / 45) ** 2 + (i / 36) ** 2 < 1
    arm = (abs(i) < 3) & (abs(j) < 70) & (abs(k) < 20)
    lobe = (j - 52) ** 2 + i**2 + k**2 < 18**2
    apart = (j + 62) ** 2 + (i - 60) ** 2 + k**2 < 12**2
    seen = np.where(body | arm | lobe | apart, 0.9, 0.1) + 0 * i
    seen[[6, 14]] = np.where(body[[6, 14]], 0.4, 0.1)  # two slices are not sure, one of them the first
    assert body[6].any() and not body[5].any()
    places = np.arange(-60.0, 61, 4)
    found = shaped([near(seen, places)])[0] > 0.5
    assert overlap(found, body) > max(0.93, overlap(seen > 0.5, body) + 0.03)
    assert found[14].any() and found[6].any()
    assert not found[:, j.ravel() < -60].any() and not found[:, j.ravel() > 62].any()
    few = near(seen[12:16], places[12:16])  # do not tell a shape
    nothing = near(seen[:0], places[:0])
    same, empty = shaped([few, nothing])
    assert np.array_equal(same, as_one(few.seen, few.away_mm)) and empty.shape == seen[:0].shape


def test_stacks_of_a_visit_tell_the_size_of_one_brain():
    """Where one shows half of it, another says how large it is; one of another size changes nothing."""
    k, j, i = np.ogrid[-48:49:8, -56.4:57:1.2, -56.4:57:1.2]
    places = np.arange(-48.0, 49, 8)
    axial, sagittal, small = (
        (k / a) ** 2 + (j / b) ** 2 + (i / c) ** 2 < 1
        for a, b, c in ((38, 45, 36), (36, 45, 38), (19, 22, 18))
    )
    shown = [near(np.where(body, 0.9, 0.1), places) for body in (axial, sagittal & (j < 12), small)]
    alone = shaped(shown[1:2])[0] > 0.5
    _, together, apart = (brain > 0.5 for brain in shaped(shown))
    assert overlap(together, sagittal) > overlap(alone, sagittal) + 0.01
    assert overlap(apart, small) > 0.9


def test_real_stacks_of_a_moving_fetus(shared_data):
    files = [shared_data / "fetal_stacks" / f"sub-01_run-{run}_T2w" for run in (1, 3, 5)]  # one in each plane
    volumes = [read_volume(f"{file}.nii.gz") for file in files]
    start = time.process_time()
    stacks = [slices_of(v, None, f.name) for v, f in zip(volumes, files, strict=True)]
    brain = fetal_reader().brain_of([image for stack in stacks for image in stack])
    assert time.process_time() - start < 20  # of both cores together, for 66 slices
    assert brain.seconds == []
    for volume, file in zip(volumes, files, strict=True):
        manual = read_volume(f"{file}_desc-brain_mask.nii.gz").array > 0
        mask = mask_of(brain, volume, file.name)
        assert overlap(mask, manual) > 0.72 and not (manual.any((1, 2)) & ~mask.any((1, 2))).any(), file.name
