"""The operator of slices: exact where the answer is known, and the adjoint is one."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, Plane
from SparseVolumeReconstructionLib.observation.planes import plane_operator, slice_profile

GRID = Grid.centred((14, 15, 16), 2.0, (3, -4, 5))


@st.composite
def planes(draw, shift_mm=25.0) -> Plane:
    """A plane at any pose, some of it often outside the grid."""
    angles = draw(st.tuples(*[st.floats(-3, 3)] * 3))
    rows, columns = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    spacing = draw(st.tuples(st.floats(0.5, 4), st.floats(0.5, 4)))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3) * [
        *spacing,
        draw(st.sampled_from([-1, 1])),
    ]
    centre = np.add(draw(st.tuples(*[st.floats(-shift_mm, shift_mm)] * 3)), [3, -4, 5])
    matrix[:3, 3] = centre - matrix[:3, :2] @ [(columns - 1) / 2, (rows - 1) / 2]
    return Plane((rows, columns), matrix, draw(st.floats(0, 6)))


@given(st.lists(planes(), min_size=1, max_size=3), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_adjoint_is_the_adjoint(some, seed):
    a = plane_operator(some, GRID)
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(2, *GRID.shape_kji, generator=generator), torch.randn(2, a.count, generator=generator)
    left, right = (a.forward(x) * y).sum(1), (x * a.adjoint(y)).flatten(1).sum(1)
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)


@given(planes(shift_mm=2.0))
@settings(max_examples=60, deadline=None)
def test_inside_the_grid_rows_sum_to_one_and_a_ramp_is_exact(plane):
    a = plane_operator([plane], GRID)
    slope = np.array([0.3, -0.2, 0.5])
    reach = np.abs(plane.points_ras() - [3, -4, 5]).max(1) + plane.thickness_mm / 2
    inner = torch.as_tensor(reach[a.keep[0].ravel()] < 13.0)
    ones = a.forward(torch.ones(1, *GRID.shape_kji))[0]
    assert float((ones[inner] - 1).abs().max() if inner.any() else 0) < 1e-5
    ramp = torch.as_tensor((GRID.points_ras() @ slope).reshape(1, *GRID.shape_kji), dtype=torch.float32)
    expected = torch.as_tensor(plane.points_ras()[a.keep[0].ravel()] @ slope, dtype=torch.float32)
    torch.testing.assert_close(a.forward(ramp)[0][inner], expected[inner], rtol=0, atol=1e-4)


@given(planes())
@settings(max_examples=40, deadline=None)
def test_split_and_join_are_inverse(plane):
    a = plane_operator([plane, plane], GRID)
    pixels = torch.arange(a.count, dtype=torch.float32)[None]
    images = a.split(pixels)
    assert [tuple(image.shape[1:]) for image in images] == [plane.shape_ji] * 2
    assert torch.equal(a.join(images), pixels)


@given(st.floats(0, 40), st.floats(0.2, 3))
def test_the_profile_is_a_box_of_the_thickness(thickness, step):
    offsets, weights = slice_profile(thickness, step)
    assert weights.sum() == pytest.approx(1) and (weights > 0).all()
    assert offsets.mean() == pytest.approx(0, abs=1e-9)
    if thickness <= step:
        assert offsets.tolist() == [0.0]
    else:
        assert np.diff(offsets).max() <= step + 1e-9
        assert np.ptp(offsets) + np.diff(offsets)[0] == pytest.approx(thickness)


def test_a_thick_slice_is_the_average_of_thin_ones():
    volume = torch.randn(1, *GRID.shape_kji, generator=torch.Generator().manual_seed(0))
    matrix = GRID.ijk_to_ras.copy()
    matrix[:3, 3] = GRID.ijk_to_ras[:3, 3] + [0, 0, 13.0]

    def seen(offset, thickness):
        moved = matrix.copy()
        moved[2, 3] += offset
        return plane_operator([Plane((15, 16), moved, thickness)], GRID).forward(volume)

    thin = torch.stack([seen(offset, 0.0) for offset in (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)]).mean(0)
    torch.testing.assert_close(seen(0.0, 6.0), thin, rtol=0, atol=1e-5)
    assert (seen(0.0, 6.0) - seen(0.0, 0.0)).abs().max() > 0.1


def test_only_pixels_in_the_mask_are_observed():
    mask = np.zeros(GRID.shape_kji, bool)
    mask[:, 3:6, 2:9] = True
    matrix = GRID.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2] * 4
    a = plane_operator([Plane((15, 16), matrix)], GRID, mask)
    np.testing.assert_array_equal(a.keep[0], mask[4])
    volume = torch.rand(1, *GRID.shape_kji)
    torch.testing.assert_close(a.forward(volume)[0], volume[0, 4][torch.as_tensor(mask[4])])


def test_a_plane_beside_the_grid_observes_nothing():
    matrix = GRID.ijk_to_ras.copy()
    matrix[2, 3] += 500
    a = plane_operator([Plane((15, 16), matrix, 2.0)], GRID)
    assert a.count == 0 and a.forward(torch.rand(3, *GRID.shape_kji)).shape == (3, 0)
    assert not a.adjoint(torch.zeros(2, 0)).any()
