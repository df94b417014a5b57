"""What shows anatomy, in any units; and how clearly one frame is the best."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.alignment.anatomy import anatomy_level
from SparseVolumeReconstructionLib.alignment.finalists import MAX_MARGIN, margin_of


@pytest.mark.parametrize("unit", [0.01, 1.0, 4000.0])
def test_the_level_lies_between_air_and_tissue(unit):
    rng = np.random.default_rng(0)
    air, tissue = rng.uniform(0, 0.04, 800), rng.uniform(0.3, 1, 200)
    assert air.max() * unit < anatomy_level(np.concatenate([air, tissue]) * unit) < tissue.min() * unit
    assert anatomy_level(np.zeros(0)) == 0.0


def test_the_margin_is_over_frames_that_lie_elsewhere():
    model = SimpleNamespace(size=150.0, centre=torch.tensor([0.0, -17.0, 5.0]))
    frames = torch.eye(4).repeat(3, 1, 1)
    frames[1, 0, 3], frames[2, 2, 3] = 3.0, 25.0
    evidence = torch.tensor([10.0, 9.5, 4.0])
    assert margin_of(frames, evidence, model) == pytest.approx(6.0)
    assert margin_of(frames[:2], evidence[:2], model) == MAX_MARGIN
