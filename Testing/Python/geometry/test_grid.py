"""Grids, planes and slices against SimpleITK, for any orientation, flips included."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Plane, Volume
from SparseVolumeReconstructionLib.geometry.image import to_image
from SparseVolumeReconstructionLib.geometry.io import affine_transform
from SparseVolumeReconstructionLib.observation.slices import slice_of

SIZES = st.tuples(*[st.integers(2, 7)] * 3)
SPACINGS = st.tuples(*[st.floats(0.1, 5)] * 3)


@st.composite
def grids(draw) -> Grid:
    """A grid with any axes at right angles, left-handed ones too."""
    axes = np.linalg.qr(
        np.array(draw(st.lists(st.floats(-1, 1), min_size=9, max_size=9))).reshape(3, 3) + 1.1 * np.eye(3)
    )[0]
    axes = axes * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    matrix = np.eye(4)
    matrix[:3, :3] = axes * draw(SPACINGS)
    matrix[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return Grid(draw(SIZES), matrix)


def physical(image: sitk.Image, ijk) -> np.ndarray:
    """Position of an index in RAS mm, as SimpleITK says."""
    return np.array(image.TransformContinuousIndexToPhysicalPoint([float(n) for n in ijk])) * [-1, -1, 1]


@given(grids())
def test_points_and_corners_are_where_simpleitk_has_them(grid):
    image = to_image(Volume(np.zeros(grid.shape_kji, np.float32), grid))
    upper = np.array(grid.shape_kji[::-1]) - 1
    kji = np.stack(np.unravel_index([0, grid.size // 2, grid.size - 1], grid.shape_kji), 1)
    expected = np.array([physical(image, index[::-1]) for index in kji])
    points = grid.points_ras()[[0, grid.size // 2, grid.size - 1]]
    np.testing.assert_allclose(points, expected, atol=1e-3)
    np.testing.assert_allclose(
        grid.corners_ras()[[0, 1, 7]],
        [physical(image, n) for n in ([0, 0, 0], [upper[0], 0, 0], upper)],
        atol=1e-4,
    )
    np.testing.assert_allclose(grid.spacing_ijk, image.GetSpacing(), atol=1e-9)
    np.testing.assert_allclose(grid.ras_to_ijk @ grid.ijk_to_ras, np.eye(4), atol=1e-9)


@given(grids(), st.data())
def test_slices_lie_where_simpleitk_has_them(grid, data):
    array = np.random.default_rng(0).random(grid.shape_kji, np.float32)
    image = to_image(Volume(array, grid))
    index = data.draw(st.integers(0, grid.shape_kji[0] - 1))
    cut = slice_of(Volume(array, grid), index)
    rows, columns = grid.shape_kji[1:]
    np.testing.assert_allclose(
        cut.plane.points_ras()[-1], physical(image, [columns - 1, rows - 1, index]), atol=1e-4
    )
    np.testing.assert_allclose(
        cut.plane.centre, physical(image, [(columns - 1) / 2, (rows - 1) / 2, index]), atol=1e-4
    )
    np.testing.assert_array_equal(cut.pixels, sitk.GetArrayFromImage(image[:, :, index]))
    assert cut.plane.thickness_mm == pytest.approx(image.GetSpacing()[2]) and cut.thickness_assumed
    np.testing.assert_allclose(
        np.abs(cut.plane.normal @ grid.ijk_to_ras[:3, :3]), [0, 0, grid.spacing_ijk[2]], atol=1e-6
    )


@given(grids(), st.floats(0.3, 4))
def test_a_new_spacing_keeps_the_box(grid, factor):
    other = grid.with_spacing(grid.spacing_ijk * factor)
    np.testing.assert_allclose(grid.corners_ras().mean(0), other.corners_ras().mean(0), atol=1e-6)
    extent, before = other.spacing_ijk * other.shape_kji[::-1], grid.spacing_ijk * grid.shape_kji[::-1]
    assert (
        np.abs(extent - before) <= np.maximum(other.spacing_ijk / 2, other.spacing_ijk - before) + 1e-6
    ).all()


@given(grids(), st.floats(0.5, 3))
def test_a_covering_grid_covers(grid, spacing):
    cover = Grid.covering(grid.corners_ras(), spacing)
    assert (cover.corners_ras().min(0) <= grid.corners_ras().min(0) + 1e-6).all()
    assert (cover.corners_ras().max(0) >= grid.corners_ras().max(0) - 1e-6).all()
    np.testing.assert_allclose(cover.ijk_to_ras[:3, :3], spacing * np.eye(3), atol=1e-12)


@given(grids(), grids())
@settings(max_examples=30)
def test_a_plane_seen_through_an_affine(grid, frame):
    plane = slice_of(Volume(np.random.default_rng(0).random(grid.shape_kji, np.float32), grid), 0).plane
    seen = plane.transformed(frame.ijk_to_ras)
    transform = affine_transform(frame.ijk_to_ras)
    flip = np.array([-1, -1, 1])
    expected = [np.array(transform.TransformPoint((p * flip).tolist())) * flip for p in plane.points_ras()]
    np.testing.assert_allclose(seen.points_ras(), expected, atol=1e-4)
    assert seen.thickness_mm == pytest.approx(
        plane.thickness_mm * np.linalg.norm(frame.ijk_to_ras[:3, :3] @ plane.normal)
    )


@given(grids(), st.floats(0.2, 3))
def test_another_pixel_size_keeps_the_rectangle(grid, size):
    plane = Plane(grid.shape_kji[1:], grid.ijk_to_ras, 1.5)
    other = plane.with_pixel_size(size)
    np.testing.assert_allclose(other.centre, plane.centre, atol=1e-6)
    np.testing.assert_allclose(other.spacing_ij, size, atol=1e-9)
    np.testing.assert_allclose(other.normal, plane.normal, atol=1e-9)
    assert other.thickness_mm == 1.5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({(0, 1): 0.3}, "right angles"),
        ({(0, 0): 0.0}, "above 0"),
        ({(1, 1): np.nan}, "not finite"),
        ({(2, 3): np.inf}, "not finite"),
    ],
)
def test_geometry_that_is_none_is_refused(change, says):
    matrix = np.eye(4)
    for place, value in change.items():
        matrix[place] = value
    with pytest.raises(InputError, match=says):
        Grid((3, 3, 3), matrix)


def test_planes_that_are_none_are_refused():
    for matrix, thickness in (
        (np.diag([1.0, 0, 1, 1]), 1.0),
        (np.full((4, 4), np.nan), 1.0),
        (np.eye(4), -1.0),
        (np.eye(4), np.nan),
        (np.eye(3), 1.0),
    ):
        with pytest.raises(InputError, match="Plane"):
            Plane((4, 4), matrix, thickness)
