"""What the systems cost."""

import pytest
import torch

from SparseVolumeReconstructionLib.experiments import batching
from SparseVolumeReconstructionLib.experiments.cost import measured
from SparseVolumeReconstructionLib.experiments.models import slice_models, volume_models
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.training.loop.task import make_task


@pytest.mark.parametrize("name", ["bruno-64-tiny", "alpha-wgan-64-tiny"])
def test_every_number_of_a_configuration_is_measured(name):
    config = read_config(name)
    parameters, slices, step, hours, volume, mean, sample, memory = measured(config, "cpu")
    networks = make_task(config).networks
    assert parameters == sum(p.numel() for p in networks.parameters()) / 1e6
    assert slices == config.data.slices
    assert hours == pytest.approx(step * config.steps / 3600)
    assert mean > volume > 0 and sample > 0 and memory > 100


def test_there_is_a_configuration_of_every_system():
    for key in (*slice_models(), *volume_models()):
        for scale in ("tiny", "cpu", "gpu"):
            read_config(f"{key}-64-{scale}")


@pytest.mark.parametrize("system", ["bruno", "gqn"])
def test_the_loop_over_slices_computes_the_same_gradient(system):
    network = make_task(read_config(f"{system}-64-tiny")).networks
    chance = torch.Generator().manual_seed(1)
    images = torch.rand(2, 6, 64, 64, generator=chance)
    index = torch.stack([torch.randperm(24, generator=chance)[:6] for _ in range(2)])
    noise = torch.rand(2, 6, *getattr(network, "noise_shape", (64, 64)), generator=chance)
    gradients = []
    for step in (getattr(batching, f"{system}_together"), getattr(batching, f"{system}_apart")):
        network.zero_grad()
        step(network, images, index, noise).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert gradients[0].norm() > 0
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[0].norm()
