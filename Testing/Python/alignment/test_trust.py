"""The probability that a frame is right."""

from dataclasses import replace

import numpy as np
import pytest

from SparseVolumeReconstructionLib.alignment.align import Alignment
from SparseVolumeReconstructionLib.alignment.head import head_reader
from SparseVolumeReconstructionLib.alignment.intensity import MonotoneMap
from SparseVolumeReconstructionLib.alignment.limits import MIN_PROBABILITY, rounded_down
from SparseVolumeReconstructionLib.alignment.pose import quarter_turns
from SparseVolumeReconstructionLib.alignment.trust import frame_probability
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.reconstruction.provenance import doubt_about_frame, doubts


@pytest.fixture(scope="module")
def slices(shared_data) -> list:
    """Three axial slices of a whole head."""
    volume = read_volume(shared_data / "heads_t1_ixi" / "IXI080_T1w.nii.gz")
    shown = np.flatnonzero(volume.array.max((1, 2)) > 60)
    return [slice_of(volume, int(k)) for k in np.quantile(shown, (0.5, 0.62, 0.75))]


@pytest.fixture(scope="module")
def right(slices) -> Alignment:
    """About the frame that single slices tell."""
    readings = head_reader().read(slices)
    matrix = np.eye(4)
    places, points = (np.concatenate([getattr(r, name) for r in readings]) for name in ("places", "points"))
    matrix[:3, 3] = places.mean(0) - points.mean(0)
    return Alignment(matrix, MonotoneMap.identity(), None, 0.85, {})


def test_a_frame_that_is_good_by_all_that_is_known_is_trusted(slices, right):
    assert frame_probability(right, slices, head_reader().read(slices)) > 0.9
    assert frame_probability(replace(right, score=None), slices, head_reader().read(slices)) is None
    assert frame_probability(right, slices, []) is None


@pytest.mark.parametrize("wrong", [{"score": 0.45}, {"score": 0.6, "margin": 0.0}, "far", "little"])
def test_a_frame_that_is_bad_by_one_of_it_is_not(slices, right, wrong):
    readings = head_reader().read(slices)
    if wrong == "far":
        matrix = right.patient_to_canonical.copy()
        matrix[2, 3] += 70
        changed = replace(right, patient_to_canonical=matrix, score=0.7)
    elif wrong == "little":
        readings = [replace(r, brain=r.brain * 0, points=r.points[:0]) for r in readings]
        changed = replace(right, score=0.7)
    else:
        changed = replace(right, **wrong)
    assert frame_probability(changed, slices, readings) < MIN_PROBABILITY


def test_axes_that_were_mixed_up_do_not_make_a_right_frame_improbable(slices, right):
    mixed_up = np.eye(4)
    mixed_up[:3, :3] = quarter_turns()[5]
    turned = [s.transformed(mixed_up) for s in slices]
    matrix = right.patient_to_canonical @ np.linalg.inv(mixed_up)
    found = replace(right, patient_to_canonical=matrix, turned_deg=90.0)
    assert frame_probability(found, turned, head_reader().read(turned)) > 0.9


def test_what_is_below_a_limit_never_looks_equal_to_it():
    """Numbers are printed beside the limit that they miss."""
    assert [rounded_down(value) for value in (0.6499, 0.65, 0.29, 0.0)] == ["0.64", "0.65", "0.29", "0.00"]
    matched = Alignment(np.eye(4), MonotoneMap.identity(), None, 0.6499, {})
    assert "(0.64 inside the anatomy; above 0.65 expected)" in doubts(matched)[0]
    assert "probability of 69% only" in doubt_about_frame(0.6999)[0]
