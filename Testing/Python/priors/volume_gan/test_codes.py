"""Codes found by descent against the exact posterior of a linear generator."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.priors.volume_gan.codes import CodesGiven, closest_codes

LATENT, SEEN = 4, 9
DRAWS = 1500


def problem(seed: int = 0, steps: int = 20) -> tuple[CodesGiven, torch.Tensor, torch.Tensor]:
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
    assert torch.allclose(codes.mode(), mean, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_samples_of_a_linear_generator_are_exact(seed):
    codes, mean, covariance = problem(seed)
    drawn = torch.stack([codes.sample(number, mean) for number in range(DRAWS)])
    sd = covariance.diagonal().sqrt()
    assert float(((drawn.mean(0) - mean) / sd).abs().max()) < 4 / math.sqrt(DRAWS)
    scaled = torch.cov(drawn.T) / (sd[:, None] * sd)
    assert float((scaled - covariance / (sd[:, None] * sd)).abs().max()) < 0.12
    wide = torch.eye(LATENT) / (sd[:, None] * sd)
    assert float((wide - covariance / (sd[:, None] * sd)).abs().max()) > 1, "the observation tells something"


def test_log_joint_is_that_of_torch():
    codes, *_ = problem(3)
    z = torch.randn(LATENT, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal
    wanted = (
        normal(0.0, 1.0).log_prob(z).sum()
        + normal(codes.observe(z[None])[0], codes.sd).log_prob(codes.seen).sum()
    )
    assert codes.log_joint(z) == pytest.approx(float(wanted), abs=1e-3)


def test_a_seed_decides_a_sample():
    codes, mean, _ = problem()
    one, other, again = (codes.sample(seed, mean) for seed in (5, 6, 5))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_closest_codes_show_the_volume_again():
    weights = torch.randn(3, 8 * 4 * 4, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([[0.5, -1.0, 0.2], [1.0, 0.3, -0.4]])

    def generator(codes):
        return (codes @ weights).reshape(-1, 8, 4, 4)

    assert torch.allclose(closest_codes(generator, generator(wanted), 3), wanted, atol=0.05)
