"""Which voxels count as observed, and with what value."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, Plane, Volume
from SparseVolumeReconstructionLib.observation import Slice, observed_voxels
from SparseVolumeReconstructionLib.observation.slices import slice_of

GRID = Grid.centred((9, 10, 11), 2.0)


def test_slices_on_the_grid_are_reproduced_and_nothing_else():
    volume = Volume(np.random.default_rng(0).random(GRID.shape_kji, np.float32), GRID)
    mask, values = observed_voxels([slice_of(volume, 2), slice_of(volume, 6, 8.0)], GRID)
    expected = np.zeros(GRID.shape_kji, bool)
    expected[[2, 6]] = True
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_allclose(values[mask], volume.array[mask], atol=1e-6)
    assert not values[~mask].any()


@given(st.tuples(*[st.floats(-3, 3)] * 3), st.tuples(*[st.floats(-6, 6)] * 3), st.floats(0, 6))
@settings(max_examples=40, deadline=None)
def test_an_oblique_slice_marks_one_layer_of_voxels(angles, centre, thickness):
    """Against the definition, voxel by voxel; a ramp is reproduced where it was seen."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = np.array(centre) - matrix[:3, :2] @ [7.0, 5.0]
    plane, slope = Plane((11, 15), matrix, thickness), np.array([0.3, -0.2, 0.5])
    pixels = (plane.points_ras() @ slope + 50).reshape(11, 15)
    mask, values = observed_voxels([Slice(pixels, plane)], GRID)
    points = GRID.points_ras().astype(float)
    local = (points - plane.centre) @ matrix[:3, :3]
    half = np.abs(plane.normal @ GRID.ijk_to_ras[:3, :3]).sum() / 2
    inside = (np.abs(local[:, 2]) <= half) & (np.abs(local[:, 0]) <= 7.5) & (np.abs(local[:, 1]) <= 5.5)
    edge = (np.abs(np.abs(local) - [7.5, 5.5, half]) < 1e-3).any(1)
    np.testing.assert_array_equal(mask.ravel()[~edge], inside[~edge])
    deep = mask.ravel() & (np.abs(local[:, 0]) < 5) & (np.abs(local[:, 1]) < 3)
    foot = points - np.outer((points - plane.centre) @ plane.normal, plane.normal)
    np.testing.assert_allclose(values.ravel()[deep], (foot @ slope + 50)[deep], atol=0.05)


def test_crossing_slices_are_averaged_and_slices_elsewhere_ignored():
    first = Slice(np.full((10, 11), 10.0) + np.eye(10, 11), Plane((10, 11), _at(GRID, 4)))
    second = Slice(np.full((10, 11), 20.0) + np.eye(10, 11), Plane((10, 11), _at(GRID, 4)))
    away = Slice(np.eye(10, 11), Plane((10, 11), _at(GRID, 400)))
    mask, values = observed_voxels([first, second, away], GRID)
    assert mask.sum() == 110 and values[4, 2, 7] == pytest.approx(15)
    assert not observed_voxels([away], GRID)[0].any() and not observed_voxels([], GRID)[0].any()


def _at(grid: Grid, index: int) -> np.ndarray:
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2] * index
    return matrix
