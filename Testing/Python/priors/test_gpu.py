"""On a GPU every system says what it says on a CPU."""

import pytest
import torch

from SparseVolumeReconstructionLib.experiments.models import slice_models, volume_models
from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.base import Prior
from SparseVolumeReconstructionLib.priors.systems import system_class
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.training.loop.task import make_task
from SparseVolumeReconstructionLib.zoo import ModelStore

DEVICES = ("cpu", "cuda")


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Without the shorter numbers that a GPU multiplies faster."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def difference(priors: list[Prior], body: Volume, seen: list[int]) -> float:
    """Largest difference between what two priors say of the unseen slices: mean, standard deviation and a
    sample.
    """
    found = []
    for prior in priors:
        posterior = prior.condition([slice_of(body, k) for k in seen], grid=body.grid)
        found.append(torch.stack([posterior.mean(), posterior.std(), posterior.sample([3])[0]]).cpu())
    return float((found[0] - found[1]).abs().max())


@pytest.mark.parametrize("key", [*slice_models(), *volume_models()])
def test_an_untrained_network(key, make_ball_space, card):
    config = read_config(f"{key}-64-tiny")
    space = make_ball_space(config.data.slices, config.data.size)
    bodies = torch.stack([space.atlas * share for share in (0.7, 0.8, 0.9)])
    weights = make_task(config).weights(bodies) | space.to_tensors()
    named = card.model_copy(update={"system": config.system})
    priors = [
        system_class(config.system).from_weights(weights, named, torch.device(device)) for device in DEVICES
    ]
    body = Volume(bodies[0].numpy(), priors[0].grid)
    assert difference(priors, body, [9, 13]) < 1e-3


def test_the_embedded_gaussian():
    priors = [ModelStore().load("brain-t1", device) for device in DEVICES]
    grid = priors[0].evaluation_grid
    body = Volume(priors[0].condition([], grid=grid).sample([0])[0].numpy(), grid)
    assert difference(priors, body, [30, 60, 90]) < 2e-3
