"""Conditional BRUNO used as a prior: any slices in any order, whole volumes out."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from SparseVolumeReconstructionLib.geometry import Grid, InputError
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.bruno.prior import BrunoPrior, to_tensors

PROCESSES = pytest.mark.parametrize("process", ["exchangeable", "pose"])


@pytest.fixture
def make_prior(make_bruno, space, card):
    """make_prior(process, mean_of): a prior of random weights."""
    return lambda process="pose", mean_of="samples": BrunoPrior(
        make_bruno(5, process=process), space, card, mean_of=mean_of
    )


@PROCESSES
@pytest.mark.parametrize("positions", [[], [5], [2, 5, 7], list(range(1, 10))])
def test_any_number_of_contexts_gives_a_posterior(make_prior, body, process, positions):
    posterior = make_prior(process).condition([slice_of(body, k) for k in positions])
    mean, std, samples = posterior.mean(), posterior.std(), posterior.sample([3, 4])
    low, high = posterior.interval(0.9)
    assert mean.shape == std.shape == (10, 8, 8) and samples.shape == (2, 10, 8, 8)
    assert mean.min() >= 0 and mean.max() <= 1 and samples.min() >= 0 and samples.max() <= 1
    assert (std > 0).all() and (low <= mean).all() and (mean <= high).all()
    assert np.isfinite(posterior.log_evidence()) and (posterior.log_evidence() == 0) == (not positions)
    for volume in (mean, samples[0], posterior.decoded_mean()):
        np.testing.assert_allclose(volume[positions], body.array[positions], atol=1e-6)
    assert posterior.sample([]).shape == (0, 10, 8, 8)


@PROCESSES
def test_the_order_of_contexts_does_not_matter(make_prior, body, process):
    prior, slices = make_prior(process), [slice_of(body, k) for k in (2, 5, 7)]
    one, other = prior.condition(slices), prior.condition(slices[::-1])
    for a, b in ((one.mean(), other.mean()), (one.std(), other.std()), (one.sample([1]), other.sample([1]))):
        assert (a - b).abs().max() < 1e-5


def test_the_same_seed_gives_the_same_sample_whatever_is_drawn_with_it(make_prior, body):
    posterior = make_prior().condition([slice_of(body, 4)])
    together = posterior.sample([7, 8])
    assert torch.allclose(together[1], posterior.sample([8])[0], atol=1e-6) and not torch.allclose(
        together[0], together[1]
    )


def test_mean_of_samples_and_mean_of_latents(make_prior, body):
    slices = [slice_of(body, 4)]
    samples, latents = make_prior().condition(slices), make_prior(mean_of="latents").condition(slices)
    assert torch.equal(make_prior().condition(slices, fast=True).mean(), latents.mean())
    assert torch.equal(latents.mean(), samples.decoded_mean()) and not torch.allclose(
        latents.mean(), samples.mean(), atol=1e-3
    )
    mean, variance = samples.moments(100)
    drawn = samples.sample(list(range(400)))
    assert (mean - drawn.mean(0)).abs().mean() < 0.02 < 0.03 < drawn.std(0).mean()
    torch.testing.assert_close(variance.mean((1, 2)), drawn.var(0).mean((1, 2)), atol=1e-6, rtol=0.15)


def test_few_draws_already_give_a_steady_mean(make_prior, body):
    posterior = make_prior().condition([slice_of(body, 4)])
    exact = posterior.moments(400)[0]
    assert (posterior.mean() - exact).abs().mean() < 0.6 * (
        posterior.sample(list(range(16))).mean(0) - exact
    ).abs().mean()


def test_a_prior_that_sees_poses_is_surer_beside_a_context(make_bruno, space, card, body):
    network = make_bruno(5, process="pose", kind="gaussian")
    with torch.no_grad():
        network.process.raw_correlation.fill_(5.0)
        network.process.raw_share.fill_(-5.0)
    posterior = BrunoPrior(network, space, card).condition([slice_of(body, 2)])
    spread = posterior.moments(64)[1].mean((1, 2))
    without = BrunoPrior(network, space, card).condition([]).moments(64)[1].mean((1, 2))
    ratio = spread / without
    assert ratio[3] < 0.8 * ratio[8] and ratio[1] < 0.8 * ratio[8]


@PROCESSES
def test_weights_survive_storage(make_prior, space, card, body, process):
    prior = make_prior(process, "latents")
    tensors = {
        n: t.contiguous() for n, t in (to_tensors(prior.network, "latents") | space.to_tensors()).items()
    }
    stored = BrunoPrior.from_weights(load(save(tensors)), card, torch.device("cpu"))
    slices = [slice_of(body, k) for k in (2, 7)]
    one, other = prior.condition(slices).mean(), stored.condition(slices).mean()
    assert (
        stored.mean_of == "latents" and (one - other).abs().max() < 0.05 and (one - other).abs().mean() < 5e-3
    )
    x = torch.as_tensor(body.array[:4])
    z, _ = stored.network.encode(x, torch.arange(4))
    assert (
        stored.network.decode(z, torch.arange(4)) - x
    ).abs().max() < 1e-3  # exact also with rounded weights


def test_a_network_of_another_size_is_refused(make_bruno, space, card):
    with pytest.raises(ValueError, match="voxels"):
        BrunoPrior(make_bruno(slices=9), space, card)


def test_another_grid_and_slices_that_are_not_axial(make_prior, body):
    prior = make_prior(mean_of="latents")
    fine = Grid.centred((6, 7, 8), 9.0)
    assert prior.condition([slice_of(body, 4)], grid=fine).mean().shape == (6, 7, 8)
    axial = slice_of(body, 4)
    turned = Slice(
        axial.pixels,
        axial.plane.transformed(np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])),
    )
    with pytest.raises(InputError, match="axial slices only"):
        prior.condition([turned])


def test_a_cancelled_request_stops(make_prior, body):
    def stop():
        raise KeyboardInterrupt

    posterior = make_prior().condition([slice_of(body, 4)], check=stop)
    with pytest.raises(KeyboardInterrupt):
        posterior.mean()
