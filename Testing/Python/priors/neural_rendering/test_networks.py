"""GQN and the conditional VAE as networks: shapes, the mean over contexts, the divergence, gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.distributions import Normal, kl_divergence

from SparseVolumeReconstructionLib.priors.neural_rendering.cvae import CvaeSettings
from SparseVolumeReconstructionLib.priors.neural_rendering.gqn import Core, GqnSettings
from SparseVolumeReconstructionLib.priors.neural_rendering.parts import Tower, divergence, mean_and_log_sd

SYSTEMS = pytest.mark.parametrize("system", ["gqn", "cvae"])
SHAPES = [
    pytest.param("gqn", {}, id="gqn"),
    pytest.param(
        "gqn", {"shared": False, "steps": 3, "scale": 2, "kernel": 5}, id="gqn with cores of their own"
    ),
    pytest.param("gqn", {"scale": 8, "pose": "one-hot", "size": 32}, id="gqn on coarse maps"),
    pytest.param("cvae", {}, id="cvae"),
    pytest.param("cvae", {"scales": 2, "size": 12}, id="cvae of two scales"),
    pytest.param("cvae", {"scales": 4, "pose": "one-hot", "size": 32}, id="cvae of four scales"),
]


def bodies(network, count: int, slices: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Slices (count, slices, H, W) and their numbers (count, slices), all different."""
    random = torch.Generator().manual_seed(seed)
    s = network.settings
    index = torch.rand(count, s.slices, generator=random).argsort(1)[:, :slices]
    return torch.rand(count, slices, s.size, s.size, generator=random), index


def drawn(network, index, representation, truth=None, seed: int = 1):
    noise = torch.randn(len(index), *network.noise_shape, generator=torch.Generator().manual_seed(seed))
    return network(index, representation, noise, truth)


@pytest.mark.parametrize(("system", "changes"), SHAPES)
@pytest.mark.parametrize("contexts", [0, 1, 4])
def test_any_number_of_contexts_and_queries(make_network, system, changes, contexts):
    network = make_network(system, **changes)
    images, index = bodies(network, 2, contexts)
    representation = network.represent(images, index)
    assert representation.shape == (2, 5, network.side, network.side) and (
        contexts > 0 or (representation == 0).all()
    )
    truth, asked = bodies(network, 2, 1, 3)
    shown, nothing = drawn(network, asked[:, 0], representation)
    inferred, nats = drawn(network, asked[:, 0], representation, truth[:, 0])
    assert shown.shape == inferred.shape == truth[:, 0].shape and nats.shape == (2,)
    assert (nothing == 0).all() and (nats > 0).all() and ((shown > 0) & (shown < 1)).all()
    assert not torch.allclose(shown, drawn(network, asked[:, 0], representation, seed=2)[0], atol=1e-4)


@SYSTEMS
@given(st.permutations(range(5)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_contexts_does_not_matter(make_network, system, order):
    network = make_network(system)
    images, index = bodies(network, 2, 5)
    one, other = network.represent(images, index), network.represent(images[:, order], index[:, order])
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@SYSTEMS
def test_the_representation_is_a_mean(make_network, system):
    network = make_network(system)
    images, index = bodies(network, 1, 4)
    each = torch.cat([network.represent(images[:, k : k + 1], index[:, k : k + 1]) for k in range(4)])
    torch.testing.assert_close(network.represent(images, index)[0], each.mean(0))
    twice = network.represent(images.repeat(1, 2, 1, 1), index.repeat(1, 2))
    torch.testing.assert_close(twice[0], each.mean(0))  # a sum would have grown


@SYSTEMS
def test_many_at_once_equal_one_after_the_other(make_network, system):
    network = make_network(system)
    contexts, at = bodies(network, 3, 4)
    truth, asked = bodies(network, 3, 2, 5)
    together = network.represent(contexts, at)
    noise = torch.randn(6, *network.noise_shape, generator=torch.Generator().manual_seed(2))
    shown, nats = network(asked.flatten(), together.repeat_interleave(2, 0), noise, truth.flatten(0, 1))
    for n in range(6):
        b, m = divmod(n, 2)
        alone = network.represent(contexts[b : b + 1], at[b : b + 1])
        one, its = network(asked[b, m : m + 1], alone, noise[n : n + 1], truth[b, m : m + 1])
        torch.testing.assert_close(one[0], shown[n], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(its[0], nats[n], atol=1e-4, rtol=1e-4)


@SYSTEMS
def test_contexts_pose_and_noise_all_reach_the_slice(make_network, system):
    network = make_network(system)
    contexts, at = bodies(network, 1, 3)
    noise = torch.randn(1, *network.noise_shape, generator=torch.Generator().manual_seed(2)).requires_grad_()
    contexts.requires_grad_()
    shown, _ = network(torch.tensor([4]), network.represent(contexts, at), noise)
    for found in torch.autograd.grad(shown.square().sum(), [contexts, noise, network.pose.layer.weight]):
        assert torch.isfinite(found).all() and found.abs().max() > 0
    elsewhere, _ = network(torch.tensor([9]), network.represent(contexts, at), noise)
    assert (elsewhere - shown).abs().max() > 1e-4


@SYSTEMS
@pytest.mark.parametrize("contexts", [0, 3])
def test_gradients_are_finite_and_none_is_missing(make_network, system, contexts):
    """Processes that train together exchange the gradients of all parameters, also in steps without
    contexts.
    """
    network = make_network(system)
    images, index = bodies(network, 2, contexts)
    truth, asked = bodies(network, 2, 1, 3)
    shown, nats = drawn(network, asked[:, 0], network.represent(images, index), truth[:, 0])
    ((shown - truth[:, 0]).square().sum() + nats.sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_the_divergence_is_that_of_torch(seed):
    head, prior = (
        mean_and_log_sd(2 * t)
        for t in torch.randn(2, 3, 8, 2, 2, generator=torch.Generator().manual_seed(seed))
    )
    expected = (
        kl_divergence(Normal(head[0], head[1].exp()), Normal(prior[0], prior[1].exp())).flatten(1).sum(1)
    )
    torch.testing.assert_close(divergence(*head, *prior), expected, rtol=1e-4, atol=1e-4)
    assert (divergence(*head, *head).abs() < 1e-5).all()


def test_the_divergence_of_a_network_is_that_of_its_latents(make_network):
    network = make_network("cvae")
    truth, asked = bodies(network, 3, 1)
    representation = torch.zeros(3, 5, network.side, network.side)
    heads = []
    network.posterior.register_forward_hook(lambda *call: heads.append(call[2]))
    _, nats = drawn(network, asked[:, 0], representation, truth[:, 0])
    mean, log_sd = heads[0].chunk(2, 1)
    expected = kl_divergence(Normal(mean, log_sd.exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(nats, expected)


def test_a_core_is_a_convolutional_lstm():
    """With 1 x 1 convolutions every place is an LSTM cell of torch."""
    core, cell = Core(3, 2, 4, 1), torch.nn.LSTMCell(5, 4)
    weight = torch.cat([core.constant.weight, core.changing.weight], 1)[..., 0, 0].detach()
    forget, enter, leave, new = torch.cat([weight, core.constant.bias.detach()[:, None]], 1).split(4)
    ordered = torch.cat([enter, forget, new, leave])  # torch has i, f, g, o
    with torch.no_grad():
        cell.weight_ih.copy_(ordered[:, :5])
        cell.weight_hh.copy_(ordered[:, 5:9])
        cell.bias_ih.copy_(ordered[:, 9] + torch.tensor([0.0, 1, 0, 0]).repeat_interleave(4))
        cell.bias_hh.zero_()
    constant, changing, hidden, kept = (torch.randn(6, n) for n in (3, 2, 4, 4))
    maps = [t[..., None, None] for t in (constant, changing, hidden, kept)]
    found = core(core.constant(maps[0]), maps[1], (maps[2], maps[3]))
    for one, other in zip(found, cell(torch.cat([constant, changing], 1), (hidden, kept)), strict=True):
        torch.testing.assert_close(one[..., 0, 0], other)


def test_the_tower_halves_as_often_as_its_scale_says():
    for scale in (2, 4, 8, 16):
        s = GqnSettings(size=32, slices=6, tower=4, representation=3, scale=scale)
        assert Tower(s, scale)(torch.rand(2, 32, 32), torch.tensor([1, 5])).shape == (
            2,
            3,
            32 // scale,
            32 // scale,
        )


@pytest.mark.parametrize(
    ("settings_of", "wrong"),
    [
        (GqnSettings, {"scale": 3}),
        (GqnSettings, {"kernel": 4}),
        (GqnSettings, {"size": 30}),
        (GqnSettings, {"sigma": 0.0}),
        (GqnSettings, {"width": 4}),
        (CvaeSettings, {"size": 60}),
        (CvaeSettings, {"scales": 1}),
        (CvaeSettings, {"system": "gqn"}),
    ],
)
def test_wrong_settings_are_refused(settings_of, wrong):
    with pytest.raises(ValidationError):
        settings_of(**wrong)
