"""Slices in which the head has moved, or lost its signal, are told from those that belong together."""

import numpy as np
import pytest
from alignment.pregnancy import Pregnancy

from SparseVolumeReconstructionLib.alignment.motion import proposed, stillness
from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.observation.slices import slice_of


@pytest.fixture(scope="module")
def fetus() -> Pregnancy:
    """One fetus for all tests."""
    return Pregnancy()


def masked(volume: Volume, mask: Volume, order=slice(None)) -> list:
    """The slices that show enough of the brain, without what is around it."""
    shown = np.flatnonzero(mask.array.sum((1, 2)) > 0.5 * mask.array.sum((1, 2)).max())
    brain = Volume(volume.array * mask.array, volume.grid)
    return [slice_of(brain, int(k)) for k in shown[order]]


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_moved_slices_are_found(fetus, order):
    moved = {8: np.array([0, 7.0, 0]), 12: np.array([-6.0, 3, 0]), 15: np.array([5.0, -3, 0])}
    stack = masked(*fetus.stack(moved), order)
    found = {s.volume_index: f for s, f in zip(stack, stillness(stack), strict=True)}
    assert all(found[k].off_mm > 3 and not found[k].together for k in moved)
    still = [f.together for k, f in found.items() if k not in moved]
    assert np.mean(still) > 0.7


def test_a_slice_without_signal_is_found(fetus):
    volume, mask = fetus.stack()
    volume.array[12] *= 0.4
    stack = masked(volume, mask)
    found = {s.volume_index: f for s, f in zip(stack, stillness(stack), strict=True)}
    assert not found[12].together and found[12].signal < 0.6
    assert np.mean([f.together for k, f in found.items() if k != 12]) > 0.7


def test_four_slices_far_apart_are_proposed(fetus):
    stack = masked(*fetus.stack({10: np.array([0, 9.0, 0])}))
    found = stillness(stack)
    chosen = proposed(found, [float(np.count_nonzero(s.pixels)) for s in stack])
    assert len(chosen) == 4 and all(found[n].together for n in chosen)
    assert chosen == sorted(chosen) and chosen[-1] - chosen[0] > len(stack) / 2
    assert 10 not in [stack[n].volume_index for n in chosen]
    assert proposed([], []) == []
