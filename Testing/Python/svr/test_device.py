"""Merging on another device than the CPU: nothing is left behind, and the result is the same."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from elsewhere import a_second_device
from svr.phantom import SCAN, body

from SparseVolumeReconstructionLib.observation import planes
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.svr.check import checked
from SparseVolumeReconstructionLib.svr.search import Level, find_motion
from SparseVolumeReconstructionLib.svr.simulate import simulate
from SparseVolumeReconstructionLib.svr.volume import merged_volume

COARSE = Level(8.0, 6.0, 1, started=1, starts=2, degrees=5.0, mm=3.0)
FINE = Level(6.0, 6.0, 1, started=1, starts=2, degrees=5.0, mm=3.0, parts=2)


def everything(device) -> list[np.ndarray]:
    """Poses, volume, deviations, weights and predictions of a small merge."""
    given = simulate(body(14, 4.0), replace(SCAN, pixel_mm=6.0, thickness_mm=8.0), 2.0, 4.0, seed=1)
    found = find_motion(given.slices, levels=(COARSE,), device=device)
    found = find_motion(given.slices, known=found, levels=(FINE,), device=device)
    made = merged_volume(given.slices, found, 6.0, samples=1, device=device)
    check = checked(given.slices, found, device, Progress())
    weights = made.judged.slice_.numpy()
    return [found.poses.numpy(), made.mean.array, made.std.array, made.samples, weights, check.after.ncc]


@pytest.fixture
def dense(monkeypatch):
    """Operators as dense matrices: the second device has no sparse ones."""
    monkeypatch.setattr(
        planes, "sparse_tensor", lambda s, device: torch.as_tensor(s.toarray(), device=device)
    )


def test_a_merge_on_another_device_is_that_on_the_cpu(dense):
    here = everything("cpu")
    with a_second_device() as device:
        there = everything(device)
    assert all(np.array_equal(a, b) for a, b in zip(here, there, strict=True))


def test_the_second_device_tells_what_was_left_behind():
    with a_second_device() as device:
        far = torch.as_tensor(np.ones(3, np.float32), device=device)
        assert float((far * 2).sum()) == 6.0 and far.device.type == "meta"
        for wrong in (lambda: far + torch.ones(3), lambda: torch.ones(3)[far > 0], lambda: far.numpy()):
            with pytest.raises((RuntimeError, TypeError)):
                wrong()
