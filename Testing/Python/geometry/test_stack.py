"""Planes become volumes only where they are a regular grid; every plane stays where it is."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Plane
from SparseVolumeReconstructionLib.geometry.stack import pieces_of

ANGLES = st.tuples(*[st.floats(-3, 3)] * 3)


def planes_at(places, angles=(0, 0, 0), thickness=1.0, shift=0.0) -> list[Plane]:
    """Parallel planes at distances (mm) along their normal, `shift` mm aside for every mm."""
    turn, planes = np.eye(4), []
    turn[:3, :3] = np.array(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3)
    for place in places:
        matrix = np.diag([0.8, 1.1, 1, 1.0])
        matrix[:3, 3] = shift * place, 5, place
        planes.append(Plane((20, 30), turn @ matrix, thickness))
    return planes


def worst(planes, pieces) -> float:
    """The largest distance (mm) between a corner of a plane and where its piece puts it."""
    far = 0.0
    for piece in pieces:
        for k, n in enumerate(piece.members):
            corners = np.array([[i, j, 1] for i in (0, 29) for j in (0, 19)])
            there = corners @ planes[n].ij_to_ras[:3, [0, 1, 3]].T
            here = np.column_stack([corners[:, :2], np.full(4, k), np.ones(4)]) @ piece.grid.ijk_to_ras[:3].T
            far = max(far, float(np.abs(there - here).max()))
    return far


@given(
    st.lists(st.floats(-150, 150), min_size=1, max_size=12, unique_by=lambda x: round(x)),
    ANGLES,
    st.sampled_from([0.0, 0.3]),
    st.floats(0, 0.03),
)
def test_every_plane_is_in_one_piece_and_where_it_was(places, angles, shift, jitter):
    noise = np.random.default_rng(0).uniform(-jitter, jitter, len(places))
    planes = planes_at(np.array(places) + noise, angles, shift=shift)
    pieces, _ = pieces_of(planes)
    assert sorted(n for piece in pieces for n in piece.members) == list(range(len(planes)))
    steps = [piece.grid.spacing_ijk[2] for piece in pieces if len(piece.members) > 1]
    assert worst(planes, pieces) <= max([0.1, *(0.01 * step for step in steps)]) + 1e-6


@given(st.integers(3, 40), st.floats(0.2, 20), ANGLES, st.floats(0, 0.004), st.randoms(use_true_random=False))
def test_an_even_stack_is_one_volume_in_any_order(count, spacing, angles, jitter, random):
    places = np.arange(count) * spacing + np.random.default_rng(0).uniform(-jitter, jitter, count) * spacing
    planes = planes_at(places, angles)
    random.shuffle(planes)
    pieces, why = pieces_of(planes)
    assert len(pieces) == 1 and why == "" and worst(planes, pieces) < max(0.1, 0.011 * spacing)
    assert pieces[0].grid.spacing_ijk[2] == pytest.approx(spacing, rel=0.01)


@pytest.mark.parametrize(
    ("places", "counts", "says"),
    [
        ([*range(60), *range(70, 141)], [60, 71], "slices 60 to 69 of 141 are missing"),
        ([0, 1, 2, 4, 5], [3, 2], "slice 3 of 6 is missing"),
        ([0, 1, 2, 5, 6, 9], [3, 2, 1], "slices 3 to 4, 7 to 8 of 10 are missing"),
        ([0, 11, 12, 13], [1, 3], "slices 1 to 10 of 14"),
        ([0, 35, 47, 90], [1, 1, 1, 1], "unevenly spaced (12 to 43 mm)"),
        ([*range(8), 8.5, 10, 11.5], [8, 3], "unevenly spaced (1 to 1.5 mm)"),
        ([0, 7], [2], ""),
        ([5], [1], ""),
    ],
)
def test_gaps_are_named(places, counts, says):
    pieces, why = pieces_of(planes_at(places))
    assert [len(piece.members) for piece in pieces] == counts and says in why and bool(why) == bool(says)


def test_a_tilt_keeps_slices_single_and_rounding_does_not():
    tilted, why = pieces_of(planes_at(range(9), shift=0.2))
    assert len(tilted) == 9 and "tilted gantry, 11.3 degrees" in why
    assert len(pieces_of(planes_at(range(30), shift=0.0008))[0]) == 1
    assert len(pieces_of(planes_at([0, 1, 2], shift=0.03))[0]) == 1


def test_planes_of_several_directions_and_thicknesses_are_several_pieces():
    several = (
        planes_at([0, 5, 10])
        + planes_at([0, 5, 10], (np.pi / 2, 0, 0))
        + planes_at([0, 5, 10], (0, np.pi / 2, 0))
    )
    pieces, why = pieces_of(several)
    assert [len(piece.members) for piece in pieces] == [3, 3, 3] and why == "the slices have 3 directions"
    radial = [planes_at([0], (0, np.pi * n / 6, 0))[0] for n in range(6)]
    pieces, why = pieces_of(radial)
    assert len(pieces) == 6 and why == "the slices have 6 directions" and worst(radial, pieces) < 1e-9
    pieces, why = pieces_of(planes_at([0, 5]) + planes_at([10, 15], thickness=3.0))
    assert [piece.thickness_mm for piece in pieces] == [1.0, 3.0] and "different thicknesses (1, 3 mm)" in why
    assert pieces_of(planes_at([0], thickness=0.0))[0][0].thickness_mm is None
