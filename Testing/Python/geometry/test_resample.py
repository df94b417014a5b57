"""Resampling against SimpleITK's own interpolator."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, Plane, Volume
from SparseVolumeReconstructionLib.geometry.image import to_image
from SparseVolumeReconstructionLib.geometry.io import affine_transform
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.observation.slices import resample_slice


def turned(angles, shift=(0, 0, 0), scale=1.0) -> np.ndarray:
    """4x4 of Euler angles (rad), a shift in mm and a scale."""
    matrix = np.eye(4)
    matrix[:3, :3] = scale * np.array(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = shift
    return matrix


ANGLES, SHIFTS = st.tuples(*[st.floats(-3, 3)] * 3), st.tuples(*[st.floats(-5, 5)] * 3)


@given(ANGLES, ANGLES, SHIFTS, st.sampled_from([1, -1]))
@settings(max_examples=40)
def test_any_grid_through_any_affine_is_what_simpleitk_evaluates(source_turn, target_turn, shift, flip):
    source = Grid(
        (9, 10, 11), turned(source_turn) @ np.diag([2, flip * 2.0, 2, 1]) @ turned((0, 0, 0), (-5, -5, -5))
    )
    target = Grid((4, 5, 3), turned(target_turn, shift, 1.3))
    volume = Volume(np.random.default_rng(1).random(source.shape_kji, np.float32), source)
    matrix = turned((0.2, -0.1, 0.3), (1, 2, 3), 0.9)
    out = resample(volume, target, matrix, antialias=False)
    image, transform, flip_xy = to_image(volume), affine_transform(matrix), np.array([-1, -1, 1])
    for point, value in zip(target.points_ras()[::7].astype(float), out.array.ravel()[::7], strict=True):
        index = np.array(
            image.TransformPhysicalPointToContinuousIndex(
                transform.TransformPoint((point * flip_xy).tolist())
            )
        )
        if ((index > 0.01) & (index < np.array(image.GetSize()) - 1.01)).all():
            assert value == pytest.approx(
                image.EvaluateAtContinuousIndex(index.tolist(), sitk.sitkLinear), abs=1e-3
            )


def test_a_linear_ramp_stays_where_it_is():
    source = Grid((20, 22, 24), turned((0.3, 0.1, -0.4), (7, -3, 2), 1.5))
    slope = np.array([0.3, -0.2, 0.5])
    ramp = Volume((source.points_ras() @ slope).reshape(source.shape_kji).astype(np.float32), source)
    target = Grid.centred((4, 4, 4), 4.0, source.corners_ras().mean(0))
    for antialias in (True, False):
        out = resample(ramp, target, antialias=antialias).array.ravel()
        np.testing.assert_allclose(out, target.points_ras() @ slope, atol=0.05 if antialias else 1e-3)


def test_antialiasing_removes_what_the_target_cannot_show():
    source = Grid.centred((40, 40, 40), 1.0)
    stripes = Volume(np.broadcast_to(np.arange(40) % 2, source.shape_kji).astype(np.float32), source)
    inner = Grid.centred((6, 6, 6), 4.0, (0.5, 0, 0))
    np.testing.assert_allclose(resample(stripes, inner).array, 0.5, atol=0.05)
    assert np.abs(resample(stripes, inner, antialias=False).array - 0.5).min() > 0.45


def test_a_slice_on_other_pixels_keeps_its_picture():
    matrix = turned((0.5, 0.2, 0.1), (30, -10, 5)) @ np.diag([1, 1, 1, 1.0])
    plane = Plane((40, 50), matrix, 3.0)
    local = (plane.points_ras() - plane.centre) @ matrix[:3, :2]
    picture = Slice((0.3 * local[:, 0] - 0.1 * local[:, 1]).reshape(40, 50), plane, "a", False, "file", 7)
    coarse = resample_slice(picture, 2.0)
    expected = (coarse.plane.points_ras() - plane.centre) @ matrix[:3, :2] @ [0.3, -0.1]
    np.testing.assert_allclose(
        coarse.pixels[3:-3, 3:-3], expected.reshape(coarse.pixels.shape)[3:-3, 3:-3], atol=0.02
    )
    assert (coarse.name, coarse.source, coarse.volume_index, coarse.thickness_assumed) == (
        "a",
        "file",
        7,
        False,
    )
