"""Values and sizes that are none are named before anything is fitted."""

import re
from dataclasses import replace

import numpy as np
import pytest

from SparseVolumeReconstructionLib.alignment.plausible import check_size, check_values, has_noise_outside
from SparseVolumeReconstructionLib.geometry import InputError, Plane
from SparseVolumeReconstructionLib.observation import Slice

RANDOM = np.random.default_rng(0)


def head(stripped: bool = True) -> np.ndarray:
    """(60, 60): tissue of 200 to 900, and around it nothing, or a rim and noise."""
    j, i = np.mgrid[-1:1:60j, -1:1:60j]
    radius = np.hypot(i, j)
    brain = np.where(radius < 0.7, 500 + 300 * np.sin(9 * i) * np.cos(7 * j), 0.0)
    return (
        brain
        if stripped
        else np.where((radius > 0.75) & (radius < 0.85), 900, brain + RANDOM.rayleigh(12, brain.shape))
    )


def slices(pixels, spacing=2.5) -> list[Slice]:
    return [
        Slice(pixels, Plane((60, 60), np.diag([spacing, spacing, 1, 1]), 5.0), "head:0", False, "head", 0)
    ]


WRONG = {
    "air of CT": (np.where(head() > 0, head(), -1024), "background is -1024 .*set those pixels to 0"),
    "offset": (head() - 500, "background is -500"),
    "brighter background": (np.where(head() > 0, head(), 300), "background is 300"),
    "inverted": (1.05 * head().max() - head(), "background is .*exchange dark and bright"),
    "z-scores": ((head(False) - 300) / 250, "negative .*normalised"),
    "mask": ((head() > 0).astype(float), "only 1 different values above 0; a mask or label map"),
    "label map": (np.digitize(head(), [1, 400, 600]).astype(float), "only 3 different values above 0"),
    "many labels": (np.digitize(head(), np.linspace(1, 800, 8)) ** 2.0, "same value: a label map"),
    "CT": (np.where(head() > 0, head() - 400, RANDOM.normal(-1000, 5, (60, 60))), "look like CT"),
    "CT with clipped air": (np.where(head() > 0, head() - 400, -1000), "look like CT"),
}


@pytest.mark.parametrize("case", WRONG)
def test_values_that_are_no_mr_are_named(case):
    pixels, says = WRONG[case]
    with pytest.raises(InputError, match=says):
        check_values(slices(pixels))


@pytest.mark.parametrize(
    "pixels",
    [
        head(),
        head(False),
        np.minimum(head(), 400),
        np.maximum(head(), 20),
        head() / 1000,
        head() * 30,
        head() - 3 * (RANDOM.random((60, 60)) < 0.05),
    ],
)
def test_values_of_scans_pass(pixels):
    check_values(slices(pixels))


def test_noise_outside_says_that_nothing_was_removed():
    assert has_noise_outside(slices(head(False))) and not has_noise_outside(slices(head()))
    ringing = head() + 0.5 * np.abs(RANDOM.normal(0, 1, (60, 60)))
    assert not has_noise_outside(slices(ringing))


@pytest.mark.parametrize(
    ("spacing", "says"),
    [
        (2500.0, "is the unit microns? Then divide spacing and origin by 1000."),
        (25.0, "expected about 170: correct the spacing in its header."),
        (0.25, "is the unit cm? Then multiply spacing and origin by 10."),
        (0.0025, "is the unit m? Then multiply spacing and origin by 1000."),
    ],
)
def test_a_size_of_another_unit_is_named(spacing, says):
    """Also where a series in mm is given with it, and a part of a slice is not taken for one."""
    other = [replace(image, source="other") for image in slices(head(), spacing)]
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        check_size([*slices(head()), *other], 170.0, "brain")
    assert str(caught.value).startswith("other: ") and "expected about 170" in str(caught.value)
    check_size(slices(head()), 170.0, "brain")
    check_size(slices(np.where(np.arange(60) < 6, 500.0, 0) * np.ones((60, 1))), 170.0, "brain")
