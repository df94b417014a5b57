"""The flow and its inverse, its determinants by autograd, and the likelihood of whole sequences of images."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn.functional import conv2d

from SparseVolumeReconstructionLib.priors.bruno.flow import PosedConvs, PosedLinear, initialising
from SparseVolumeReconstructionLib.priors.bruno.network import BrunoSettings, read_settings
from SparseVolumeReconstructionLib.priors.stored import settings_tensor
from SparseVolumeReconstructionLib.zoo import ModelStore

SHAPES = [
    pytest.param({}, id="two scales"),
    pytest.param({"checkerboard": [2, 2, 4], "channel": [2, 2, 0], "pose": "fourier"}, id="three scales"),
    pytest.param({"checkerboard": [3], "channel": [0], "dense": 0, "standardise": False}, id="one scale"),
    pytest.param({"checkerboard": [0, 2], "channel": [2, 0]}, id="squeezed first"),
]


def images(seed: int, *shape: int) -> torch.Tensor:
    """In [0, 1], a third of it empty background."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(x < 1 / 3, 0.0, x)


@pytest.mark.parametrize("changes", SHAPES)
@given(seed=st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_the_inverse_gives_the_image_back(make_bruno, changes, seed):
    network = make_bruno(seed, **changes)
    x, index = images(seed, 4, 8, 8), torch.arange(4)
    with torch.no_grad():
        z, _ = network.encode(x, index)
        assert z.shape == (4, 64)
        assert (network.decode(z, index) - x).abs().max() < 1e-3


def test_the_inverse_is_exact_at_full_size_and_depth(make_bruno):
    full = BrunoSettings(filters=8, blocks=1, hidden=16).model_dump()
    network = make_bruno(**full)
    x, index = images(0, 2, 64, 64), torch.tensor([0, 119])
    with torch.no_grad():
        z, _ = network.encode(x, index)
        assert (network.decode(z, index) - x).abs().max() < 1e-3
        other, _ = network.encode(x, torch.tensor([1, 60]))
    assert not torch.allclose(z, other, atol=0.1)  # the pose is seen


@pytest.mark.parametrize("changes", SHAPES)
def test_the_log_determinant_is_that_of_the_jacobian(make_bruno, changes):
    network = make_bruno(3, **changes).double()
    x, index = images(5, 1, 8, 8).double(), torch.tensor([4])
    jacobian = torch.autograd.functional.jacobian(lambda image: network.encode(image, index)[0], x).reshape(
        64, 64
    )
    expected = torch.linalg.slogdet(jacobian).logabsdet
    found = network.encode(x, index)[1][0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-6)
    assert abs(float(expected)) > 1  # not trivially 0


@pytest.mark.parametrize("process", ["exchangeable", "pose"])
@pytest.mark.parametrize("kind", ["gaussian", "student"])
def test_likelihood_of_a_sequence_is_the_dense_one(
    make_bruno, dense_covariance, dense_log_density, process, kind
):
    network = make_bruno(2, process=process, kind=kind, size=4, checkerboard=[2], channel=[0]).double()
    x, index = images(1, 1, 4, 4, 4).double(), torch.tensor([[7, 1, 4, 2]])
    z, log_det = network.encode(x, index)
    position = (index[0].numpy() + 0.5) / 10

    def joint(count: int) -> float:
        total = 0.0
        for d in range(16):
            dof = None if network.process.dof is None else network.process.dof[d].item()
            covariance = dense_covariance(network.process, position[:count], d)
            total += dense_log_density(z[0, :count, d].detach().numpy(), covariance, dof)
        return total + float(log_det[0, :count].sum().detach())

    for contexts in (0, 1, 3):
        expected = joint(4) - (joint(contexts) if contexts else 0.0)
        assert float(network(x, index, contexts).detach()) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("process", ["exchangeable", "pose"])
def test_the_order_of_contexts_does_not_matter(make_bruno, process):
    network = make_bruno(1, process=process).double()
    x, index = images(1, 2, 6, 8, 8).double(), torch.tensor([[7, 1, 4, 2, 0, 9], [3, 8, 5, 1, 6, 0]])
    order = [3, 1, 0, 2, 5, 4]
    one, other = (network(x, index, 4), network(x[:, order], index[:, order], 4))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("process", ["exchangeable", "pose"])
def test_gradients_are_finite_and_reach_every_parameter(make_bruno, process):
    network = make_bruno(1, process=process)
    x = torch.zeros(2, 6, 8, 8)
    x[:, :, 2:6] = images(2, 2, 6, 4, 8)
    x[0, 0], x[1, 1] = 0.0, 1.0  # an empty and a saturated slice
    index = torch.arange(6).expand(2, 6)
    network(x, index, 3, torch.rand(x.shape)).sum().backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        one_number = (
            name.endswith("direction") and parameter.shape[-3:].numel() == 1
        )  # its norm is all it has
        assert one_number or parameter.grad.abs().sum() > 0, name


def test_density_integrates_to_one(make_bruno):
    """A flow of 4 pixels (2 x 2), summed over a grid of all images."""
    network = make_bruno(7, size=4, checkerboard=[2], channel=[0], filters=3, kind="gaussian")
    random, total, count = torch.Generator().manual_seed(0), [], 200_000
    for _ in range(4):  # importance sampling from the model's own latents, slightly widened
        z = 1.15 * torch.randn(count // 4, 1, 16, generator=random) * network.process.variance.sqrt()
        proposal = (
            torch.distributions.Normal(0.0, 1.15 * network.process.variance.sqrt()).log_prob(z).sum((1, 2))
        )
        target = network.process.log_density(z, torch.zeros(len(z), 1))
        total.append((target - proposal).exp().mean().item())
    assert np.mean(total) == pytest.approx(1.0, abs=0.05)


def test_mean_and_deviation_are_those_of_all_volumes_seen(make_bruno):
    network, batches = make_bruno(), images(3, 5, 4, 10, 8, 8)
    for step, batch in enumerate(batches):
        network.observe(batch, step)
    share = 0.05 + 0.9 * (255 * batches.flatten(0, 1) + 0.5) / 256
    deviation, mean = torch.std_mean(torch.logit(share), 0, correction=0)
    torch.testing.assert_close(network.standardise.mean, mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        network.standardise.deviation, (deviation**2 + 0.2**2).sqrt(), rtol=1e-3, atol=1e-3
    )


def test_first_batch_sets_the_gains_of_a_dense_layer():
    layer, x, pose = (
        PosedLinear(3, 7, 4),
        5 + 3 * torch.randn(512, 3, generator=torch.Generator().manual_seed(0)),
        torch.zeros(512, 4),
    )
    with initialising(layer):
        layer(x, pose)
    spread, mean = torch.std_mean(layer(x, pose).detach(), 0)
    assert mean.abs().max() < 1e-3 and (spread - 1).abs().max() < 1e-3 and not layer.measure


def test_first_batch_sets_the_gains_of_convolutions_one_after_the_other():
    convolutions, pose = PosedConvs(3, 5, 5, 3, 4), torch.zeros(64, 4)
    x = first = 5 + 3 * torch.randn(64, 5, 6, 6, generator=torch.Generator().manual_seed(0))
    with initialising(convolutions):
        for layer in convolutions.layers(pose, x.dtype):
            x = layer(x)
    y = first
    for layer in convolutions.layers(pose, first.dtype):
        y = layer(y)
        spread, mean = torch.std_mean(y.detach(), (0, 2, 3))
        assert mean.abs().max() < 1e-3 and (spread - 1).abs().max() < 1e-3
    assert torch.allclose(x, y, atol=1e-4) and not convolutions.measure


def test_convolutions_have_weight_norm_and_see_the_pose():
    convolutions, random = PosedConvs(2, 3, 4, 3, 5).double(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in convolutions.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    x, pose = (torch.randn(*shape, generator=random).double() for shape in ((6, 3, 5, 5), (6, 5)))
    for number, layer in enumerate(convolutions.layers(pose, x.dtype)):
        direction, gain = convolutions.direction[number], convolutions.log_gain[number].exp()
        weight = torch.stack([gain[n] * direction[n] / direction[n].square().sum().sqrt() for n in range(4)])
        projected = pose @ convolutions.pose.weight.unflatten(0, (2, 4))[number].T
        expected = conv2d(x, weight, convolutions.bias[number], padding=1) + projected[:, :, None, None]
        torch.testing.assert_close(layer(x), expected)


def test_settings_survive_storage_and_wrong_ones_are_refused():
    settings = BrunoSettings(process="pose", filters=3)
    assert read_settings(settings_tensor(settings)) == settings
    for wrong in ({"checkerboard": [1]}, {"size": 6}, {"filter": 3}, {"alpha": 0.5}):
        with pytest.raises(ValidationError):
            BrunoSettings(**wrong)


def test_the_embedded_flow_is_inverted():
    network = ModelStore().load("brain-t1-bruno-pose", "cpu").network
    images = torch.cat(
        [torch.rand(6, 64, 64, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 64, 64)]
    )
    index = torch.arange(0, 120, 15)
    with torch.no_grad():
        z, log_det = network.encode(images, index)
        assert torch.isfinite(z).all() and torch.isfinite(log_det).all()
        assert (network.decode(z, index) - images).abs().max() < 1e-3
