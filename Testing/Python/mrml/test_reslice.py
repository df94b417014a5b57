"""Planes cut out of a volume at any orientation, against positions and values known in advance."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.mrml.reslice import reslice_plane


@pytest.fixture
def ramp(rotation):
    """A volume in an oblique frame whose values are a linear function of place, so that interpolation is
    exact.
    """
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation((1, 2, 3), 20.0) @ np.diag([1.0, 1.5, 2.0]), (10, -20, 30)
    grid = Grid((30, 36, 40), matrix)
    return Volume((grid.points_ras() @ [1.0, 2.0, -3.0]).reshape(grid.shape_kji).astype(np.float32), grid)


def slice_to_ras(normal, point) -> np.ndarray:
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    across = np.cross(normal, [0.3, 0.5, -0.8])
    across /= np.linalg.norm(across)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([across, np.cross(normal, across), normal], 1)
    matrix[:3, 3] = point
    return matrix


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_of_the_volume_comes_out_pixel_for_pixel(ramp, axis):
    grid = ramp.grid
    index = np.array([0, 0, 0])
    index[axis] = 7
    place = grid.ijk_to_ras[:3, :3] @ index + grid.ijk_to_ras[:3, 3]
    cut = reslice_plane(ramp, slice_to_ras(grid.ijk_to_ras[:3, axis], place))
    assert np.abs(cut.array[0] - np.take(ramp.array, 7, axis=2 - axis)).max() < 1e-3
    assert np.isclose(cut.grid.spacing_ijk[2], grid.spacing_ijk[axis])


@pytest.mark.parametrize("normal", [(1, 0, 0), (0, 1, 1), (1, 2, 3), (-3, 1, 0.5), (0.1, -0.2, 1)])
def test_an_oblique_plane_has_right_values_at_right_places(ramp, normal):
    middle = ramp.grid.corners_ras().mean(0)
    cut = reslice_plane(ramp, slice_to_ras(normal, middle))
    points = cut.grid.points_ras()
    assert np.abs((points - middle) @ (np.array(normal) / np.linalg.norm(normal))).max() < 1e-3
    assert np.abs(cut.array.ravel() - points @ [1.0, 2.0, -3.0]).max() < 2e-2
    assert min(cut.array.shape[1:]) > 15
    assert cut.grid.spacing_ijk.min() >= 1.0 - 1e-6 and cut.grid.spacing_ijk.max() <= 2.0 + 1e-6


def test_the_rotation_of_the_view_within_the_plane_does_not_matter(ramp, rotation):
    matrix = slice_to_ras((1, 2, 3), ramp.grid.corners_ras().mean(0))
    turned = matrix.copy()
    turned[:3, :3] = rotation((1, 2, 3), 57.0) @ matrix[:3, :3]
    one, other = reslice_plane(ramp, matrix), reslice_plane(ramp, turned)
    assert one.grid.same_as(other.grid) and np.allclose(one.array, other.array)


def test_thickness_is_the_voxel_size_along_the_normal_or_as_given(ramp):
    matrix = slice_to_ras(ramp.grid.ijk_to_ras[:3, 2], ramp.grid.corners_ras().mean(0))
    assert np.isclose(reslice_plane(ramp, matrix).grid.spacing_ijk[2], 2.0)
    assert np.isclose(reslice_plane(ramp, matrix, 5.0).grid.spacing_ijk[2], 5.0)


def test_a_plane_that_misses_or_is_none_is_refused(ramp):
    corner = ramp.grid.corners_ras()[0]
    outwards = corner - ramp.grid.corners_ras().mean(0)
    with pytest.raises(InputError, match="head: the plane does not meet the volume"):
        reslice_plane(ramp, slice_to_ras(outwards, corner + outwards), name="head")
    with pytest.raises(InputError, match="head: the plane only grazes"):
        reslice_plane(ramp, slice_to_ras(outwards, corner - 1e-3 * outwards), name="head")
    for bad in (np.zeros((4, 4)), np.full((4, 4), np.nan)):
        with pytest.raises(InputError, match="not a plane"):
            reslice_plane(ramp, bad)
