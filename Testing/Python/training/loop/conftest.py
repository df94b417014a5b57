"""A run of seconds: six tiny stacks, a VAE of a few hundred weights."""

import pytest
import torch

from SparseVolumeReconstructionLib.training.loop.config import TrainConfig


@pytest.fixture(scope="session")
def make_config():
    """make_config(**changes) of a run of 12 steps."""

    def make(**changes) -> TrainConfig:
        content = {
            "system": "slice-vae",
            "steps": 12,
            "batch": 2,
            "ema": 0.5,
            "decay": 0.99,
            "clip": 1000,
            "validate_every": 4,
            "checkpoint_every": 3,
            "data": {"size": 16, "slices": 6},
            "model": {"width": 2, "latent_channels": 4, "slices": 4, "rank": 3},
        }
        return TrainConfig.model_validate(content | changes)

    return make


@pytest.fixture(scope="session")
def volumes():
    """(6, 6, 16, 16) smooth bodies in [0, 1] of different brightness."""
    generator = torch.Generator().manual_seed(0)
    k, j, i = torch.meshgrid(
        torch.linspace(-1, 1, 6), torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij"
    )
    body = (1 - k**2 / 2 - j**2 - i**2).clamp(min=0)
    return body * (0.6 + 0.4 * torch.rand(6, 1, 1, 1, generator=generator))
