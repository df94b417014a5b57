"""MRNGAN as a prior: chains from any slices, observed ones kept, seeds, spread, storage."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.mrngan.chains import Outwards, chain_errors, chains_of
from SparseVolumeReconstructionLib.priors.mrngan.network import State
from SparseVolumeReconstructionLib.priors.mrngan.prior import MrnganPrior, to_tensors

ERRORS = torch.linspace(0.1, 1.0, 10)


@pytest.fixture
def prior(network, space, card) -> MrnganPrior:
    return MrnganPrior(network, torch.full((10, 8, 8), 0.1), ERRORS, space, card)


@pytest.mark.parametrize("positions", [[], [0], [5], [2, 5, 7], list(range(1, 10)), list(range(10))])
def test_any_number_of_contexts_gives_a_posterior_that_keeps_them(prior, body, positions):
    posterior = prior.condition([slice_of(body, k) for k in positions])
    mean, std, samples = posterior.mean(), posterior.std(), posterior.sample([3, 4])
    low, high = posterior.interval(0.9)
    assert mean.shape == std.shape == (10, 8, 8) and samples.shape == (2, 10, 8, 8)
    assert mean.min() >= 0 and mean.max() <= 1 and (low <= mean).all() and (mean <= high).all()
    assert np.isfinite(posterior.log_evidence()) and (posterior.log_evidence() == 0) == (not positions)
    for volume in (
        mean,
        samples[0],
        prior.condition([slice_of(body, k) for k in positions], fast=True).mean(),
    ):
        np.testing.assert_allclose(volume[positions], body.array[positions], atol=1e-6)


def test_the_order_of_slices_does_not_matter(prior, body):
    slices = [slice_of(body, k) for k in (2, 5, 7)]
    one, other = prior.condition(slices), prior.condition(slices[::-1])
    assert torch.equal(one.mean(), other.mean()) and torch.equal(one.sample([1]), other.sample([1]))


def test_a_seed_gives_the_same_sample_whatever_is_drawn_with_it(prior, body):
    posterior = prior.condition([slice_of(body, 4)])
    together = posterior.sample([7, 8])
    assert torch.equal(together[1], prior.condition([slice_of(body, 4)]).sample([8])[0])
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    assert (posterior.mean() - together.mean(0)).abs().mean() < 0.2, "noise is no other body"


def test_what_is_far_from_the_seen_slices_is_less_sure(prior, body):
    std = prior.condition([slice_of(body, 0)]).std().mean((1, 2))
    assert std[0] == pytest.approx(0.01) and (std[1:] >= 0.1 * ERRORS[1:] - 1e-6).all() and std[9] > std[1]


def test_a_cancelled_request_stops(prior, body):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prior.condition([slice_of(body, 4)], check=stop).mean()


def test_weights_survive_storage(prior, space, card, body):
    tensors = to_tensors(prior.network, prior.spread, prior.errors) | space.to_tensors()
    stored = MrnganPrior.from_weights(
        load(save({n: t.contiguous() for n, t in tensors.items()})), card, torch.device("cpu")
    )
    slices = [slice_of(body, k) for k in (2, 7)]
    one, other = prior.condition(slices), stored.condition(slices)
    for a, b in ((one.mean(), other.mean()), (one.std(), other.std()), (one.sample([3]), other.sample([3]))):
        assert (a - b).abs().max() < 0.03


def test_chains_reach_every_hidden_slice():
    for index in ([], [0], [4], [9], [2, 3, 8], list(range(10))):
        reached = {
            start + way * n for start, way, length in chains_of(index, 10) for n in range(1, length + 1)
        }
        assert set(range(10)) - set(index) <= reached <= set(range(10))
        lengths = [length for *_, length in chains_of(index, 10)]
        assert lengths == sorted(lengths, reverse=True)
    assert (2, 1, 3) in chains_of([2, 5], 10) and (5, -1, 2) in chains_of([2, 5], 10)


class Counter:
    """Every step adds one tenth, whatever was seen."""

    general, noise_shape = torch.zeros(10, 8, 8), (1, 1, 1)

    def begin(self, slices, place):
        return State(slices, slices.new_zeros(len(slices), 1), place)

    def step(self, state, direction, noise):
        return State(state.image + 0.1, state.hidden, state.place + direction.long())


def test_where_chains_meet_they_are_averaged_by_their_errors():
    """From 2 (0.0) and 6 (0.5): by hand."""
    pixels = torch.stack([torch.zeros(8, 8), torch.full((8, 8), 0.5)])
    shown = Outwards([2, 6], pixels, Counter()).show(None)[:, 0, 0].tolist()
    even = dict(zip([0, 1, 3, 4, 5, 7, 8, 9], shown, strict=True))
    assert even[0] == pytest.approx(0.2) and even[9] == pytest.approx(0.8), "one chain alone"
    assert even[3] == pytest.approx((0.1 + 0.8) / 2) and even[4] == pytest.approx((0.2 + 0.7) / 2)
    errors = torch.tensor([1.0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    third = Outwards([2, 6], pixels, Counter(), errors).show(None)[2, 0, 0]
    assert float(third) == pytest.approx((0.1 / 1 + 0.8 / 9) / (1 + 1 / 9))


def test_many_draws_at_once_equal_one_after_the_other(network, body):
    pixels = torch.as_tensor(body.array[[3, 6]])
    noise = torch.randn(3, *network.noise_shape)
    chains = Outwards([3, 6], pixels, network, ERRORS)
    together = chains.show(noise)
    for n in range(3):
        torch.testing.assert_close(together[n], chains.show(noise[n : n + 1])[0], atol=1e-5, rtol=1e-4)


def test_errors_by_length_are_shares_of_the_spread_of_people():
    """Bodies that are constant along the stack, where a chain is wrong by a tenth a step."""
    volumes = torch.full((2, 10, 8, 8), 0.2)
    found = chain_errors(Counter(), volumes, torch.full((10, 8, 8), 0.2))
    assert found[1:6].tolist() == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.5]) and (found.diff() >= 0).all()
