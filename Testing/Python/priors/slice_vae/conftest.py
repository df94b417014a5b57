"""A small Gaussian over codes, and a prior with an untrained network around it."""

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.priors.axial import AxialSpace
from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.slice_vae.codes import SliceCodes
from SparseVolumeReconstructionLib.priors.slice_vae.network import SliceVae
from SparseVolumeReconstructionLib.priors.slice_vae.prior import SliceVaePrior
from SparseVolumeReconstructionLib.priors.structured_gaussian import GaussianParameters

SLICES, SIZE = 9, 16
CURVES = [torch.tensor(curve) for curve in ([1.0, 0.6, 0.3], [1.0, 0.5], [1.0, 0.5])]


@pytest.fixture(scope="session")
def codes():
    """Smooth along 9 slices, 8 components, from 12 volumes."""
    generator = torch.Generator().manual_seed(1)
    walk = torch.randn(12, SLICES, 8, generator=generator).cumsum(1) * 0.4
    return SliceCodes.fit(walk + torch.randn(SLICES, 8, generator=generator), rank=6)


@pytest.fixture(scope="session")
def space():
    """A ball in a stack of 9 slices of 16 x 16 pixels of 10 mm."""
    stack = Grid.centred((SLICES, SIZE, SIZE), (10.0, 10.0, 12.0), (1.0, -2.0, 3.0))
    grid = Grid.centred((12, 14, 13), 14.0)

    def ball(on):
        return np.clip(1.2 - np.linalg.norm(on.points_ras() / 70, axis=1), 0, 1).reshape(on.shape_kji).astype(np.float32)

    mask = ball(grid) > 0
    count = int(mask.sum())
    gaussian = GaussianParameters(
        grid,
        stack,
        mask,
        torch.as_tensor(ball(grid)[mask])[None],
        torch.zeros(1),
        0.05 * torch.randn(3, count, generator=torch.Generator().manual_seed(2)),
        torch.full((count,), 0.05),
        tuple(torch.tensor([1.0, 0.5, 0.2]) for _ in "kji"),
        0.02,
        (0.67, 1.28, 1.64, 1.96),
        torch.tensor([[0.0, 0.1]]),
        torch.zeros(grid.shape_kji),
    )
    return AxialSpace(gaussian, Volume(ball(grid), grid), torch.as_tensor(ball(stack)))


@pytest.fixture(scope="session")
def prior(codes, space):
    """A prior whose decoder is random, but does depend on the codes."""
    torch.manual_seed(3)
    words = dict.fromkeys(("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data"), "test")
    card = ModelCard(id="small", system="slice-vae", **words)
    network = SliceVae(SIZE, 4, 2)
    return SliceVaePrior(network, codes, torch.full((SLICES, SIZE, SIZE), 0.05), CURVES, space, card)
