"""What stands out in FLAIR and not in what was made of it."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.synthesis.lost import lost_in, lost_of
from SparseVolumeReconstructionLib.synthesis.scans import Field

GRID = Grid.centred((44, 48, 44), 2.0)
POINTS = GRID.points_ras().reshape(*GRID.shape_kji, 3)
SPOT = np.linalg.norm(POINTS - [14.0, -6.0, 8.0], axis=-1) < 7


def head(seed):
    """FLAIR and T1w of a ball of white matter in grey matter, with noise and shading of the FLAIR."""
    chance = np.random.default_rng(seed)
    reach = np.linalg.norm(POINTS, axis=-1)
    inside, white = reach < 42, np.clip((34 - reach) / 6, 0, 1)
    flair = (0.75 - 0.15 * white) * (1 + 0.001 * POINTS[..., 1]) + chance.normal(0, 0.03, reach.shape)
    t1w = 0.5 + 0.35 * white + chance.normal(0, 0.01, reach.shape)
    return flair * inside, t1w * inside, inside


def found(flair, t1w):
    return lost_in(*(Volume(each.clip(0, 1).astype(np.float32), GRID) for each in (flair, t1w)))


def test_a_bright_spot_that_was_not_made_is_told_with_its_place():
    flair, t1w, inside = head(0)
    lost = found(flair + 0.25 * SPOT, t1w)
    (place,) = lost.places
    np.testing.assert_allclose(place["ras_mm"], [14, -6, 8], atol=2)
    assert 1 < place["ml"] / (0.008 * SPOT.sum()) < 3 and lost.millilitres == place["ml"]  # with a rim
    assert lost.mask.array[SPOT].all() and lost.mask.array[inside & ~SPOT].mean() < 0.02
    told = lost.told("T1w")
    assert told.startswith("1 place (") and "around R 1" in told and "missing in the T1w" in told
    other = Grid(GRID.shape_kji, GRID.ijk_to_ras)
    scan, made = (Volume(each.astype(np.float32), other) for each in (flair + 0.25 * SPOT, t1w))
    assert lost_of(scan, made, Field((48, 48, 48), 2.0)).places[0]["ml"] == pytest.approx(
        place["ml"], rel=0.3
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_was_made_what_is_dark_and_noise_are_not_told(seed):
    """A head without any, a spot as grey as the made contrast says, and one that is darker."""
    flair, t1w, _ = head(seed)
    alike = flair + 0.15 * SPOT, t1w - 0.35 * SPOT
    for pair in ((flair, t1w), alike, (flair - 0.25 * SPOT, t1w)):
        lost = found(*pair)
        assert not lost.places and not lost.mask.array.any() and lost.told("T1w") is None


def test_a_place_that_stands_out_no_more_than_shading_does_is_not_told_beside_one_that_does():
    flair, t1w, _ = head(0)
    faint = np.linalg.norm(POINTS - [-14.0, 10.0, -8.0], axis=-1) < 7
    lost = found(flair + 0.25 * SPOT + 0.02 * faint, t1w)
    assert lost.score.array[faint].max() > lost.threshold and len(lost.places) == 1
    assert not lost.mask.array[faint].any()


def test_a_scan_too_small_to_look_into_has_nothing():
    assert not found(np.zeros(GRID.shape_kji), np.zeros(GRID.shape_kji)).places
