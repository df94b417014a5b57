"""A small network of random weights."""

import pytest
import torch

from SparseVolumeReconstructionLib.priors.mrngan.network import Mrngan, MrnganSettings


@pytest.fixture(scope="session")
def network() -> Mrngan:
    """10 slices of 8 x 8 pixels, in which every layer does something."""
    torch.manual_seed(0)
    words = {"localiser": 4, "dense": 3, "flow": (3, 4), "hidden": 3, "noise": 2}
    made = Mrngan(MrnganSettings(size=8, slices=10, **words))
    with torch.no_grad():
        for parameter in (*made.cell.out.parameters(), *made.flow.ups[-1].parameters()):
            parameter.normal_(0, 0.3)
        made.general.copy_(torch.rand(made.general.shape))
    return made.eval().requires_grad_(False)
