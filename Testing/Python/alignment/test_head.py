"""Whole heads: the brain is found in single slices of any contrast, and stripped brains stay as they are."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.alignment import reader
from SparseVolumeReconstructionLib.alignment.head import disagreement_mm, head_reader
from SparseVolumeReconstructionLib.alignment.head_network import FIELD, HeadNetwork
from SparseVolumeReconstructionLib.alignment.reader import load_reader
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.observation.slices import slice_of

PEOPLE = ("IXI080", "IXI274", "IXI518")  # of the validation


def four(volume, shown) -> list:
    """Four axial slices between the 20th and 80th percentile of where `shown` is above 0."""
    return [slice_of(volume, int(k)) for k in np.quantile(np.nonzero(shown)[0], (0.2, 0.4, 0.6, 0.8))]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Dice's coefficient of two masks."""
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_the_network_gives_classes_and_places_of_every_pixel():
    logits, places, spread = HeadNetwork()(torch.zeros(2, 1, FIELD, FIELD), torch.zeros(2, 3, 64, 64))
    assert logits.shape == (2, 4, FIELD, FIELD) and places.shape == spread.shape == (2, 3, 64, 64)


@pytest.mark.parametrize("name", ["head-reader", "fetal-reader"])
def test_a_damaged_file_is_refused(tmp_path, monkeypatch, name):
    shutil.copytree(reader.EMBEDDED / "readers", tmp_path / "readers")
    file = tmp_path / "readers" / f"{name}.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(reader, "EMBEDDED", tmp_path)
    with pytest.raises(InputError, match="damaged"):
        load_reader(name)


def test_a_slice_is_read_once_however_often_it_comes_and_whatever_comes_with_it():
    reader, calls = head_reader(), []
    pixels = np.random.default_rng(3).random((3, 40, 50)).astype(np.float32)  # which no other test reads
    still, moving = (slice_of(Volume(pixels, Grid.centred(pixels.shape, 4.0)), k) for k in (0, 1))
    hook = reader.network.register_forward_hook(lambda *_: calls.append(1))
    try:
        first = reader.read([still, moving])
        assert len(calls) == 4  # twice for each
        lifted = np.eye(4)
        lifted[2, 3] = 3.0
        again = reader.read([replace(still, name="of another update"), moving.transformed(lifted)])
        assert len(calls) == 6
        np.testing.assert_array_equal(again[0].brain, first[0].brain)
        changed = replace(still, pixels=still.pixels[::-1])
        alone = reader.read([changed])[0]
        assert len(calls) == 8 and not np.array_equal(alone.brain, first[0].brain)
    finally:
        hook.remove()


@pytest.mark.parametrize("name", PEOPLE)
def test_the_brain_is_found_in_whole_heads(shared_data, name):
    files = [shared_data / "heads_t1_ixi" / f"{name}_{kind}.nii.gz" for kind in ("T1w", "dlmuse")]
    volume, labels = (read_volume(file) for file in files)
    brain = head_reader().brain_of(four(volume, labels.array))
    masks = [
        overlap(m, labels.array[s.volume_index] > 0) for m, s in zip(brain.masks, brain.slices, strict=True)
    ]
    assert np.mean(masks) > 0.94 and min(masks) > 0.88
    for image, mask in zip(brain.slices, brain.masks, strict=True):
        assert np.array_equal(image.pixels, np.where(mask, volume.array[image.volume_index], 0))


@pytest.mark.parametrize("grey", [lambda x: x, lambda x: x**0.5, lambda x: (1.4 * x.max() - x) * (x > 15)])
def test_any_contrast_will_do(shared_data, grey):
    files = [shared_data / "heads_t1_ixi" / f"{PEOPLE[0]}_{kind}.nii.gz" for kind in ("T1w", "dlmuse")]
    volume, labels = (read_volume(file) for file in files)
    slices = [replace(s, pixels=grey(s.pixels)) for s in four(volume, labels.array)]
    brain = head_reader().brain_of(slices)
    pairs = zip(brain.masks, brain.slices, strict=True)
    assert np.mean([overlap(m, labels.array[s.volume_index] > 0) for m, s in pairs]) > 0.9


@pytest.mark.parametrize("file", ["ds000011_sub-02_inplaneT2", "ms_patient12_study1_FLAIR"])
def test_thick_slices_of_other_scanners_are_whole_heads_too(shared_data, file):
    volume = read_volume(shared_data / "real_scans" / f"{file}.nii.gz")
    slices = four(volume, volume.array > 0.2 * volume.array.max())
    brain = head_reader().brain_of(slices)
    areas = [
        m.sum() * np.prod(s.plane.spacing_ij) / 100 for m, s in zip(brain.masks, brain.slices, strict=True)
    ]
    assert len(areas) >= 3 and 100 < max(areas) < 220  # cm2


@pytest.mark.parametrize(("person", "numbers"), [("02", (7, 12, 17, 22)), ("03", (12, 13, 14, 16))])
def test_a_dark_scalp_does_not_make_a_head_look_stripped(shared_data, person, numbers):
    """A third of what is outermost above a tenth of the brightest is brain in these T2w."""
    volume = read_volume(shared_data / "real_scans" / f"ds000011_sub-{person}_inplaneT2.nii.gz")
    slices = [slice_of(volume, k) for k in numbers]
    found = head_reader().brain_of(slices)
    assert found is not None and len(found.slices) == 4
    masked = [replace(s, pixels=np.where(m, s.pixels, 0)) for s, m in zip(slices, found.masks, strict=True)]
    assert head_reader().brain_of(masked) is None


@pytest.mark.parametrize("name", ["sub-04", "sub-32", "sub-60"])
def test_stripped_brains_stay_as_they_are(shared_data, name):
    volume = read_volume(next((shared_data / "brain_t1").glob(f"{name}*.nii.gz")))
    slices = four(volume, volume.array > 0)
    assert head_reader().brain_of(slices) is None
    assert head_reader().brain_of([replace(s, pixels=s.pixels[::-1]) for s in slices[1:3]]) is None


def test_a_frame_that_is_far_off_is_told(shared_data):
    volume = read_volume(shared_data / "heads_t1_ixi" / f"{PEOPLE[0]}_T1w.nii.gz")
    readings = head_reader().read(four(volume, volume.array > 60))
    points = np.concatenate([r.points for r in readings])
    right = np.eye(4)
    right[:3, 3] = np.concatenate([r.places for r in readings]).mean(0) - points.mean(0)
    wrong = right.copy()
    wrong[2, 3] += 50
    assert disagreement_mm(readings, right) < 22 < 30 < disagreement_mm(readings, wrong)


def test_slices_beside_the_head_are_left_out(shared_data):
    """They show noise, in which a brain is easily seen."""
    volume = read_volume(shared_data / "real_scans" / "ds000011_sub-01_T1w.nii.gz")
    slices = [slice_of(volume, k) for k in (86, 102, 118, 166, 182)]
    assert head_reader().brain_of(slices).left_out == ["volume:166", "volume:182"]
