"""A small untrained generator of stacks, and a prior around it."""

import pytest
import torch

from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.volume_gan.network import Generator, VolumeSettings
from SparseVolumeReconstructionLib.priors.volume_gan.prior import VolumeGanPrior

SLICES, SIZE = 10, 16


@pytest.fixture(scope="session")
def space(make_ball_space):
    """10 slices of 16 x 16 pixels."""
    return make_ball_space(SLICES, SIZE)


@pytest.fixture(scope="session")
def prior(space):
    """A prior whose generator is random, but does depend on the codes."""
    torch.manual_seed(3)
    words = dict.fromkeys(
        ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data"), "test"
    )
    card = ModelCard(id="small", system="volume-model", **words)
    generator = Generator(VolumeSettings(depth=8, size=SIZE, slices=SLICES, latent=5, widths=(6, 8)))
    return VolumeGanPrior(generator, torch.full((SLICES, SIZE, SIZE), 0.05), space, card)
