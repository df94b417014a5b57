"""Codes found by descent against the exact posterior of a linear generator."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.priors.volume_model.codes import CodesGiven, closest_codes

LATENT, SEEN = 4, 9


def problem(seed: int = 0, steps: int = 300) -> tuple[CodesGiven, torch.Tensor, torch.Tensor]:
    """Codes seen through a matrix and a shift, and their exact posterior: mean (L,) and covariance (L, L)."""
    chance = torch.Generator().manual_seed(seed)
    matrix, shift = torch.randn(SEEN, LATENT, generator=chance), torch.randn(SEEN, generator=chance)
    sd = 0.5 + torch.rand(SEEN, generator=chance)
    seen = shift + matrix @ torch.randn(LATENT, generator=chance) + sd * torch.randn(SEEN, generator=chance)
    covariance = torch.linalg.inv(torch.eye(LATENT) + matrix.T @ (matrix / sd[:, None] ** 2))
    mean = covariance @ matrix.T @ ((seen - shift) / sd**2)
    return CodesGiven(lambda z: z @ matrix.T + shift, seen, sd, LATENT, steps), mean, covariance


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 99))
def test_the_mode_of_a_linear_generator_is_its_exact_mean(seed):
    codes, mean, _ = problem(seed)
    starts = torch.randn(3, LATENT, generator=torch.Generator().manual_seed(seed + 1))
    assert torch.allclose(codes.mode(starts), mean, atol=2e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_samples_of_a_linear_generator_are_exact(seed):
    codes, mean, covariance = problem(seed)
    drawn = codes.sample(list(range(4000)), mean)
    sd = covariance.diagonal().sqrt()
    assert float(((drawn.mean(0) - mean) / sd).abs().max()) < 4 / math.sqrt(4000)
    scaled = torch.cov(drawn.T) / (sd[:, None] * sd)
    assert float((scaled - covariance / (sd[:, None] * sd)).abs().max()) < 0.08
    wide = torch.eye(LATENT) / (sd[:, None] * sd)
    assert float((wide - covariance / (sd[:, None] * sd)).abs().max()) > 1, "the observation tells something"


def test_log_joint_is_that_of_torch():
    codes, *_ = problem(3)
    z = torch.randn(2, LATENT, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal
    wanted = normal(0.0, 1.0).log_prob(z).sum(1) + normal(codes.observe(z), codes.sd).log_prob(codes.seen).sum(1)
    assert torch.allclose(codes.log_joint(z), wanted, atol=1e-3)


def test_the_best_of_several_starts_is_followed():
    seen = torch.tensor([1.0])
    codes = CodesGiven(lambda z: torch.where(z > 0, z.tanh(), 0.2 * z.tanh()), seen, torch.tensor([0.05]), 1, 30)
    starts = torch.tensor([[-4.0], [4.0]])
    assert codes.mode(starts) > 0.5 and codes.mode(starts.flip(0)) > 0.5 and codes.mode(starts[:1]) < 0


def test_a_seed_decides_a_sample():
    codes, mean, _ = problem()
    together, alone = codes.sample([5, 6, 5], mean), codes.sample([6], mean)
    assert torch.equal(together[0], together[2]) and not torch.equal(together[0], together[1])
    assert torch.allclose(together[1], alone[0], atol=1e-4)


def test_closest_codes_show_the_volume_again():
    weights = torch.randn(3, 8 * 4 * 4, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([[0.5, -1.0, 0.2], [1.0, 0.3, -0.4]])

    def generator(codes):
        return (codes @ weights).reshape(-1, 8, 4, 4)

    assert torch.allclose(closest_codes(generator, generator(wanted), 3), wanted, atol=0.05)
