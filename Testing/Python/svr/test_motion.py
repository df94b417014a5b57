"""Stacks of a moving body and their average: exact where the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.observation.planes import gaussian_profile
from SparseVolumeReconstructionLib.svr.average import gaussian_average
from SparseVolumeReconstructionLib.svr.motion import acquire, random_translations, stack_planes

MM = 2.0
GRID = Grid.centred((12, 14, 16), MM, (3, -4, 5))


def body(shift_ijk=(0, 0, 0)) -> Volume:
    """Noise in the middle of an empty volume, shifted by whole voxels along i, j, k."""
    array = np.zeros(GRID.shape_kji, np.float32)
    array[3:-3, 3:-3, 3:-3] = np.random.default_rng(0).uniform(0.1, 1, (6, 8, 10))
    return Volume(np.roll(array, shift_ijk[::-1], (0, 1, 2)), GRID)


def thin(axis: int) -> list:
    return stack_planes(GRID, axis, MM, MM, 0.0)


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1, 2)])
def test_without_motion_thin_slices_give_back_the_volume(axes):
    slices = [image for axis in axes for image in acquire(body(), thin(axis), np.zeros((len(thin(axis)), 3)))]
    assert np.abs(gaussian_average(slices, GRID).array - body().array).max() < 1e-5


@given(st.tuples(*[st.integers(-3, 3)] * 3), st.integers(0, 2))
@settings(max_examples=20, deadline=None)
def test_a_body_that_is_shifted_is_seen_shifted(shift, axis):
    planes = thin(axis)
    slices = acquire(body(), planes, np.tile(MM * np.array(shift), (len(planes), 1)))
    assert np.abs(gaussian_average(slices, GRID).array - body(shift).array).max() < 1e-4


def test_the_planes_fill_the_box_and_are_where_they_should_be():
    for axis, count in enumerate(GRID.shape_kji[::-1]):
        planes = stack_planes(GRID, axis, 1.0, 3.0, 3.3)
        extent = MM * (count - 1)
        assert len(planes) == int(extent // 3.0) + 1 and {p.thickness_mm for p in planes} == {3.3}
        normal = np.eye(3)[axis]
        assert all(abs(abs(p.normal @ normal) - 1) < 1e-9 for p in planes)
        depth = [float(p.centre @ normal) for p in planes]
        assert np.allclose(np.diff(depth), 3.0) and depth[0] == pytest.approx(GRID.corners_ras()[0] @ normal)


def test_motion_spoils_the_average_and_only_the_slices_that_moved():
    still, moved = np.zeros((12, 3)), np.zeros((12, 3))
    moved[5] = [2 * MM, 0, 0]
    difference = (
        gaussian_average(acquire(body(), thin(2), moved), GRID).array
        - gaussian_average(acquire(body(), thin(2), still), GRID).array
    )
    assert np.flatnonzero(np.abs(difference).max((1, 2)) > 1e-3).tolist() == [5]
    errors = []
    for most in (0.0, 2.0, 8.0):
        slices = [
            s
            for axis in range(3)
            for s in acquire(body(), thin(axis), random_translations(len(thin(axis)), most, axis))
        ]
        errors.append(float(((gaussian_average(slices, GRID).array - body().array) ** 2).mean()))
    assert errors[0] < 1e-9 < errors[1] < errors[2]


def test_translations_are_those_of_the_seed_and_of_the_size_asked_for():
    found = random_translations(5000, 10.0, 1)
    assert found.shape == (5000, 3) and np.array_equal(found, random_translations(5000, 10.0, 1))
    assert not np.array_equal(found, random_translations(5000, 10.0, 2))
    assert np.abs(found).max() <= 10 and found.std(0) == pytest.approx([10 / 3**0.5] * 3, rel=0.03)


def test_the_gaussian_profile_has_the_width_asked_for():
    offsets, weights = gaussian_profile(4.0)
    assert weights.sum() == pytest.approx(1) and np.abs(offsets).max() == 4
    peak = weights[len(weights) // 2]
    assert weights[np.isclose(np.abs(offsets), 2.0)] == pytest.approx([peak / 2] * 2)
    assert gaussian_profile(0.5)[0].tolist() == [0.0]
