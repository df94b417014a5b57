"""Augmentation: as random as asked for, and the background stays 0."""

import torch

from SparseVolumeReconstructionLib.data.augment import augment
from SparseVolumeReconstructionLib.data.config import AugmentationConfig, DataConfig

DATA = DataConfig(size=16, slices=6, field_mm=160, height_mm=60)
NOTHING = {"deformation_mm": 0, "gamma": 0, "bias": 0, "noise": 0, "mirror": False}


def changed(volumes, seed=0, **changes):
    """The volumes with only some of the changes."""
    config = AugmentationConfig(**(NOTHING | changes))
    return augment(volumes, config, DATA, torch.Generator().manual_seed(seed))


def test_nothing_asked_nothing_done(volumes):
    assert torch.allclose(changed(volumes), volumes, atol=1e-6)


def test_each_change_is_seeded_and_keeps_range_and_background(volumes):
    for key, value in {
        "deformation_mm": 5.0,
        "gamma": 0.3,
        "bias": 0.3,
        "noise": 0.05,
        "mirror": True,
    }.items():
        tilted = volumes * torch.linspace(0.5, 1, 16)
        one, two, other = (changed(tilted, seed, **{key: value}) for seed in (0, 0, 1))
        assert torch.equal(one, two) and not torch.equal(one, other), key
        assert one.min() >= 0 and one.max() <= 1 and not torch.allclose(one, tilted), key
        if key not in ("deformation_mm", "mirror"):
            assert (one[tilted == 0] == 0).all(), key


def test_deformation_is_in_millimetres():
    ramp = torch.linspace(0, 1, 16).expand(400, 6, 16, 16)
    moved = changed(ramp, deformation_mm=4.0, nodes=2)[:, 0, 0, 8] - ramp[0, 0, 0, 8]
    assert (
        2.3 < float(moved.std()) * 15 * 10 < 3.4
    )  # 4 mm at the nodes, less between them; one pixel is 10 mm and 1/15 of the ramp
