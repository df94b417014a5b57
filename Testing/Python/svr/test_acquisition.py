"""Orders of acquisition: when each slice was taken, and what that is worth to slices that show little."""

from dataclasses import replace

import numpy as np
import pytest
from svr.phantom import SCAN, body

from SparseVolumeReconstructionLib.experiments.merging import registration_errors
from SparseVolumeReconstructionLib.svr.acquisition import Acquisition
from SparseVolumeReconstructionLib.svr.search import Level, find_motion
from SparseVolumeReconstructionLib.svr.simulate import simulate

SHOTS = {
    "ascending": (Acquisition(), [0, 1, 2, 3, 4, 5, 6]),
    "descending": (Acquisition(order="descending"), [6, 5, 4, 3, 2, 1, 0]),
    "odd places first": (Acquisition(order="interleaved"), [0, 4, 1, 5, 2, 6, 3]),
    "even places first": (Acquisition(order="interleaved-even"), [3, 0, 4, 1, 5, 2, 6]),
    "every third": (Acquisition(order="interleaved", step=3), [0, 3, 5, 1, 4, 6, 2]),
    "two at once": (Acquisition(multiband=2), [0, 1, 2, 3, 0, 1, 2]),
    "two at once, interleaved": (Acquisition(order="interleaved", multiband=2), [0, 2, 1, 3, 0, 2, 1]),
}


@pytest.mark.parametrize("name", SHOTS)
def test_places_are_taken_in_the_order_that_is_said(name):
    acquisition, shots = SHOTS[name]
    assert acquisition.shots(7).tolist() == shots
    for count in range(1, 30):
        taken = acquisition.shots(count)
        assert sorted(set(taken)) == list(range(taken.max() + 1)) or acquisition.multiband > 1
        assert np.bincount(taken).max() <= acquisition.multiband


def test_the_right_order_helps_and_a_wrong_one_does_not_destroy():
    """Pairs of slices taken at once, every second place first; the body moves evenly in between."""
    scan = replace(SCAN, acquisition=Acquisition(order="interleaved", multiband=2), knots=6)
    levels = (Level(4.0, 4.0, 4, started=3, starts=16, degrees=12.0, mm=8.0), Level(2.5, 2.2, 2))
    given = simulate(body(), scan, 8.0, 10.0, seed=1)
    away = {}
    for name, slices in {
        "right": given.slices,
        "wrong": [replace(each, shot=each.place) for each in given.slices],
    }.items():
        found = find_motion(slices, levels=levels)
        errors, _ = registration_errors(given, found)
        away[name] = errors[~given.spoiled]
        shots = {(s.stack, s.shot): pose for s, pose in zip(slices, found.poses, strict=True)}
        own = [shots[s.stack, s.shot] for s in slices]
        assert all(bool((a == b).all()) for a, b in zip(own, found.poses, strict=True))
    assert away["right"].mean() < 0.5 * away["wrong"].mean()
    assert np.median(away["wrong"]) < 1.5 and np.mean(away["wrong"] < 4.0) > 0.9
