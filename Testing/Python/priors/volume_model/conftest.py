"""A small untrained generator of stacks, and a prior around it."""

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.priors.axial import AxialSpace
from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.structured_gaussian import GaussianParameters
from SparseVolumeReconstructionLib.priors.volume_model.network import Generator, VolumeSettings
from SparseVolumeReconstructionLib.priors.volume_model.prior import VolumeModelPrior

SLICES, SIZE = 10, 16


@pytest.fixture(scope="session")
def space():
    """A ball in a stack of 10 slices of 16 x 16 pixels of 10 mm."""
    stack = Grid.centred((SLICES, SIZE, SIZE), (10.0, 10.0, 12.0), (1.0, -2.0, 3.0))
    grid = Grid.centred((12, 14, 13), 14.0)

    def ball(on):
        return np.clip(1.2 - np.linalg.norm(on.points_ras() / 70, axis=1), 0, 1).reshape(on.shape_kji).astype(np.float32)

    mask = ball(grid) > 0
    gaussian = GaussianParameters(
        grid,
        stack,
        mask,
        torch.as_tensor(ball(grid)[mask])[None],
        torch.zeros(1),
        0.05 * torch.randn(3, int(mask.sum()), generator=torch.Generator().manual_seed(2)),
        torch.full((int(mask.sum()),), 0.05),
        tuple(torch.tensor([1.0, 0.5, 0.2]) for _ in "kji"),
        0.02,
        (0.67, 1.28, 1.64, 1.96),
        torch.tensor([[0.0, 0.1]]),
        torch.zeros(grid.shape_kji),
    )
    return AxialSpace(gaussian, Volume(ball(grid), grid), torch.as_tensor(ball(stack)))


@pytest.fixture(scope="session")
def prior(space):
    """A prior whose generator is random, but does depend on the codes."""
    torch.manual_seed(3)
    words = dict.fromkeys(("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data"), "test")
    card = ModelCard(id="small", system="volume-model", **words)
    generator = Generator(VolumeSettings(depth=8, size=SIZE, slices=SLICES, latent=5, widths=(6, 8)))
    return VolumeModelPrior(generator, torch.full((SLICES, SIZE, SIZE), 0.05), space, card)
