"""Small networks of random weights."""

import pytest
import torch

from SparseVolumeReconstructionLib.priors.neural_rendering.cvae import Cvae, CvaeSettings
from SparseVolumeReconstructionLib.priors.neural_rendering.gqn import Gqn, GqnSettings

COMMON = {"size": 8, "slices": 10, "tower": 6, "representation": 5, "pose_channels": 3}
OWN = {
    "gqn": {"latent": 2, "steps": 2, "hidden": 6, "kernel": 3, "canvas": 6, "shared": True, "scale": 2},
    "cvae": {"latent": 4, "width": 4, "scales": 3},
}


@pytest.fixture(scope="session")
def make_network():
    """make_network(system, seed=0, **settings): 8 x 8 pixels and 10 slices, in which every layer does
    something.
    """

    def make(system: str, seed: int = 0, **changes):
        torch.manual_seed(seed)
        network, settings = {"gqn": (Gqn, GqnSettings), "cvae": (Cvae, CvaeSettings)}[system]
        made = network(settings(**{**COMMON, **OWN[system], **changes}))
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(1.5)
        return made.eval()

    return make
