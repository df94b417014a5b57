"""A small Gaussian over codes, and a prior with an untrained network around it."""

import pytest
import torch

from SparseVolumeReconstructionLib.priors.card import ModelCard
from SparseVolumeReconstructionLib.priors.slice_vae.codes import SliceCodes
from SparseVolumeReconstructionLib.priors.slice_vae.network import SliceVae
from SparseVolumeReconstructionLib.priors.slice_vae.prior import SliceVaePrior

SLICES, SIZE = 9, 16
CURVES = [torch.tensor(curve) for curve in ([1.0, 0.6, 0.3], [1.0, 0.5], [1.0, 0.5])]


@pytest.fixture(scope="session")
def codes():
    """Smooth along 9 slices, 8 components, from 12 volumes."""
    generator = torch.Generator().manual_seed(1)
    walk = torch.randn(12, SLICES, 8, generator=generator).cumsum(1) * 0.4
    return SliceCodes.fit(walk + torch.randn(SLICES, 8, generator=generator), rank=6)


@pytest.fixture(scope="session")
def space(make_ball_space):
    """9 slices of 16 x 16 pixels."""
    return make_ball_space(SLICES, SIZE)


@pytest.fixture(scope="session")
def prior(codes, space):
    """A prior whose decoder is random, but does depend on the codes."""
    torch.manual_seed(3)
    words = dict.fromkeys(
        ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data"), "test"
    )
    card = ModelCard(id="small", system="slice-vae", **words)
    network = SliceVae(SIZE, 4, 2)
    return SliceVaePrior(network, codes, torch.full((SLICES, SIZE, SIZE), 0.05), CURVES, space, card)
