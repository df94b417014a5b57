"""Slices of volumes: what is refused, and which two slices contradict each other."""

from dataclasses import replace

import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.observation.slices import check_slices_agree, slice_of


@pytest.fixture
def volume():
    """Noise on a grid of 2 mm."""
    return Volume(np.random.default_rng(0).random((6, 7, 8), np.float32), Grid.centred((6, 7, 8), 2.0))


@pytest.mark.parametrize("index", [-1, 6, 99])
def test_an_index_out_of_range_is_refused(volume, index):
    with pytest.raises(InputError, match=f"index {index} is out of range; the volume has slices 0..5"):
        slice_of(volume, index)


@pytest.mark.parametrize(
    ("value", "says"),
    [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (-np.inf, "NaN or infinite")],
)
def test_a_pixel_that_is_no_number_is_refused(volume, value, says):
    volume.array[2, 3, 3] = value
    slice_of(volume, 1)
    with pytest.raises(InputError, match=says):
        slice_of(volume, 2)


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_slice_is_refused(volume, value):
    volume.array[2] = value
    with pytest.raises(InputError, match="empty"):
        slice_of(volume, 2)


def test_a_given_thickness_is_not_an_assumed_one(volume):
    assert slice_of(volume, 1).plane.thickness_mm == 2.0 and slice_of(volume, 1).thickness_assumed
    given = slice_of(volume, 1, 4.5)
    assert given.plane.thickness_mm == 4.5 and not given.thickness_assumed


@pytest.mark.parametrize(("spacing", "thickness"), [(0.8, 0.8), (5.0, 5.0), (5.5, 5.0), (25.0, 5.0)])
def test_a_gap_is_no_thickness(spacing, thickness):
    """Nobody acquires slices of 25 mm: where they lie so far apart there is nothing between them."""
    grid = Grid((3, 8, 8), np.diag([1.0, 1.0, spacing, 1.0]))
    image = slice_of(
        Volume(np.random.default_rng(0).uniform(size=grid.shape_kji).astype(np.float32), grid), 1
    )
    assert image.plane.thickness_mm == thickness and image.thickness_assumed


def test_only_slices_at_the_same_place_can_disagree(volume):
    first, second = slice_of(volume, 1), slice_of(volume, 2)
    check_slices_agree([first, second, first])
    check_slices_agree([first, replace(first, pixels=first.pixels + 0.01)])
    elsewhere = replace(second, plane=first.plane, name="other")
    with pytest.raises(InputError, match=r"volume:1 and other .* disagree"):
        check_slices_agree([first, elsewhere])


def test_a_slice_seen_from_behind_is_at_the_same_place(volume):
    """The same plane with its columns in the opposite order."""
    first, second = slice_of(volume, 1), slice_of(volume, 2)
    matrix = first.plane.ij_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 0] * 7
    matrix[:3, 0] *= -1
    plane = replace(first.plane, ij_to_ras=matrix)
    check_slices_agree([first, replace(first, plane=plane, pixels=first.pixels[:, ::-1])])
    with pytest.raises(InputError, match="disagree"):
        check_slices_agree([first, replace(second, plane=plane)])


def test_two_hundred_slices_are_compared_quickly(volume):
    big = Volume(
        np.random.default_rng(0).random((200, 160, 160), np.float32), Grid.centred((200, 160, 160), 1.0)
    )
    check_slices_agree([slice_of(big, k) for k in range(200)])
