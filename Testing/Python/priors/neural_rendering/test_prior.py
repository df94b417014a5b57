"""GQN and the conditional VAE used as priors: any slices in any order, whole volumes out."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch.distributions import Normal

from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.neural_rendering.prior import NeuralRenderingPrior, to_tensors

SYSTEMS = pytest.mark.parametrize("system", ["gqn", "cvae"])


@pytest.fixture
def make_prior(make_network, space, card):
    """make_prior(system, coherent=True): a prior of random weights."""
    return lambda system, coherent=True, **s: NeuralRenderingPrior(
        make_network(system, **s), space, card, coherent=coherent
    )


@SYSTEMS
@pytest.mark.parametrize("positions", [[], [5], [2, 5, 7], list(range(1, 10)), list(range(10))])
def test_any_number_of_contexts_gives_a_posterior(make_prior, body, system, positions):
    posterior = make_prior(system).condition([slice_of(body, k) for k in positions])
    mean, std, samples = posterior.mean(), posterior.std(), posterior.sample([3, 4])
    low, high = posterior.interval(0.9)
    assert mean.shape == std.shape == (10, 8, 8) and samples.shape == (2, 10, 8, 8)
    assert mean.min() >= 0 and mean.max() <= 1 and samples.min() >= 0 and samples.max() <= 1
    assert (low <= mean).all() and (mean <= high).all()
    assert np.isfinite(posterior.log_evidence()) and (posterior.log_evidence() == 0) == (not positions)
    for volume in (mean, samples[0]):
        np.testing.assert_allclose(volume[positions], body.array[positions], atol=1e-6)
    assert posterior.sample([]).shape == (0, 10, 8, 8)


@SYSTEMS
def test_no_voxel_is_surer_than_the_noise_of_the_model(make_prior, body, system):
    spread = {}
    for sigma in (0.05, 0.2):
        std = make_prior(system, sigma=sigma).condition([slice_of(body, 4)]).std()
        hidden = std[[k for k in range(10) if k != 4]]
        assert (hidden > sigma).all() and (std[4] - 0.01).abs().max() < 1e-4
        spread[sigma] = hidden**2 - sigma**2
    torch.testing.assert_close(spread[0.05], spread[0.2], atol=1e-5, rtol=1e-3)


@SYSTEMS
def test_the_order_of_slices_does_not_matter(make_prior, body, system):
    prior, slices = make_prior(system), [slice_of(body, k) for k in (2, 5, 7)]
    one, other = prior.condition(slices), prior.condition(slices[::-1])
    for a, b in ((one.mean(), other.mean()), (one.std(), other.std()), (one.sample([1]), other.sample([1]))):
        assert (a - b).abs().max() < 1e-5


@SYSTEMS
@pytest.mark.parametrize("coherent", [True, False])
def test_the_same_seed_gives_the_same_sample_whatever_is_drawn_with_it(make_prior, body, system, coherent):
    prior = make_prior(system, coherent)
    posterior = prior.condition([slice_of(body, 4)])
    together = posterior.sample([7, 8])
    again = prior.condition([slice_of(body, 4)]).sample([8])[0]
    assert torch.equal(together[1], again) and not torch.allclose(together[0], together[1], atol=1e-3)


@SYSTEMS
def test_slices_of_a_coherent_sample_share_their_noise(make_prior, system):
    """What the noise does to one slice says what it does to its neighbour; not so when every slice has its
    own.
    """

    def alike(coherent: bool) -> float:
        posterior = make_prior(system, coherent).condition([])
        deviation = posterior.sample(list(range(40)))
        deviation = deviation - deviation.mean(0)
        one, other = deviation[:, 4].flatten(), deviation[:, 5].flatten()
        return float(torch.corrcoef(torch.stack([one, other]))[0, 1])

    assert alike(True) > 0.5 > 0.2 > abs(alike(False))


@SYSTEMS
def test_the_mean_is_that_of_samples_and_a_fast_one_is_near(make_prior, body, system):
    prior, slices = make_prior(system), [slice_of(body, 4)]
    posterior, fast = prior.condition(slices), prior.condition(slices, fast=True)
    drawn = posterior.sample(list(range(480)))
    exact = drawn.mean(0)
    plain = (
        (drawn.unflatten(0, (-1, 16)).mean(1) - exact).abs().mean()
    )  # of means of 16 draws without opposite noise
    assert (posterior.mean() - exact).abs().mean() < 0.8 * plain
    assert (fast.mean() - exact).abs().mean() < (drawn[0] - exact).abs().mean()
    assert torch.equal(fast.std(), posterior.std())
    hidden = [k for k in range(10) if k != 4]
    spread = posterior.std()[hidden] ** 2 - prior.network.settings.sigma**2
    assert spread.mean() == pytest.approx(float(drawn[:, hidden].var(0).mean()), rel=0.5)


def test_evidence_of_a_decoder_that_ignores_its_latents_is_the_likelihood(make_prior, body):
    """No latent says anything, so that the bound is the density of the pixels given the slices below."""
    prior = make_prior("cvae")
    with torch.no_grad():
        for parameter in (*prior.network.latents.parameters(), *prior.network.posterior.parameters()):
            parameter.zero_()
    expected = 0.0
    for known, k in (([], 2), ([2], 5), ([2, 5], 7)):
        shown = prior.condition([slice_of(body, n) for n in known]).mean()[k]
        expected += (
            Normal(shown, prior.network.settings.sigma).log_prob(torch.as_tensor(body.array[k])).sum().item()
        )
    found = prior.condition([slice_of(body, k) for k in (2, 5, 7)]).log_evidence()
    assert found == pytest.approx(expected, rel=1e-4)


@SYSTEMS
def test_weights_survive_storage(make_prior, space, card, body, system):
    prior = make_prior(system, coherent=False)
    tensors = {n: t.contiguous() for n, t in (to_tensors(prior.network, False) | space.to_tensors()).items()}
    card = card.model_copy(update={"system": system})
    stored = NeuralRenderingPrior.from_weights(load(save(tensors)), card, torch.device("cpu"))
    slices = [slice_of(body, k) for k in (2, 7)]
    one, other = prior.condition(slices), stored.condition(slices)
    assert not stored.coherent and stored.network.settings == prior.network.settings
    assert (one.mean() - other.mean()).abs().max() < 0.02 and (
        one.sample([3]) - other.sample([3])
    ).abs().max() < 0.02


def test_a_network_of_another_size_is_refused(make_network, space, card):
    with pytest.raises(ValueError, match="voxels"):
        NeuralRenderingPrior(make_network("gqn", slices=9), space, card)


def test_a_cancelled_request_stops(make_prior, body):
    def stop():
        raise KeyboardInterrupt

    posterior = make_prior("gqn").condition([slice_of(body, 4)], check=stop)
    with pytest.raises(KeyboardInterrupt):
        posterior.mean()
