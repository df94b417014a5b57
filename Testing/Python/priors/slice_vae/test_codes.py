"""The Gaussian over codes against dense float64 computations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.priors.slice_vae.codes import CodePosterior, SliceCodes

SEEN = st.lists(st.integers(0, 8), unique=True, max_size=9)


def observe(codes, index, seed=5):
    """The posterior of random seen codes, with these and their variances, (n, L)."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.randn(len(index), codes.mean.shape[1], generator=generator)
    variance = 0.01 + torch.rand(seen.shape, generator=generator)
    return CodePosterior(codes, index, seen, variance), seen, variance


def dense(codes, index, seen, variance, component):
    """Mean (K,), covariance (K, K) and log density of one component, by the whole joint covariance in
    float64.
    """
    mean, w = codes.mean[:, component].double(), codes.loadings[component].double()
    prior = w @ w.T
    joint = prior[np.ix_(index, index)] + torch.diag(variance[:, component].double())
    difference = seen[:, component].double() - mean[index]
    gain = prior[:, index] @ torch.linalg.inv(joint)
    quadratic = difference @ torch.linalg.inv(joint) @ difference
    log_density = (
        -0.5 * (quadratic + torch.logdet(joint) + len(index) * math.log(2 * math.pi)) if index else 0.0
    )
    return mean + gain @ difference, prior - gain @ prior[index], float(log_density)


@settings(max_examples=25, deadline=None)
@given(index=SEEN, seed=st.integers(0, 99))
def test_conditioning_is_exact(codes, index, seed):
    posterior, seen, variance = observe(codes, index, seed)
    evidence = 0.0
    for component in range(codes.mean.shape[1]):
        mean, covariance, log_density = dense(codes, index, seen, variance, component)
        assert torch.allclose(posterior.mean[:, component].double(), mean, atol=1e-5)
        assert torch.allclose(posterior.variance()[:, component].double(), covariance.diagonal(), atol=1e-5)
        evidence += log_density
    assert posterior.log_evidence() == pytest.approx(evidence, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(index=SEEN, seed=st.integers(0, 99))
def test_order_of_slices_does_not_matter(codes, index, seed):
    _, seen, variance = observe(codes, index, seed)
    order = list(range(len(index)))[::-1]
    one, other = (
        CodePosterior(codes, [index[n] for n in o], seen[o], variance[o])
        for o in (list(range(len(index))), order)
    )
    assert torch.allclose(one.mean, other.mean, atol=1e-5) and one.log_evidence() == pytest.approx(
        other.log_evidence(), abs=1e-4
    )


@pytest.mark.parametrize("index", [[], [4], [1, 2, 7]])
def test_samples_have_the_posteriors_moments(codes, index):
    posterior, seen, variance = observe(codes, index)
    drawn = torch.stack([posterior.sample(seed) for seed in range(4000)]).double()
    for component in range(0, 8, 3):
        mean, covariance, _ = dense(codes, index, seen, variance, component)
        sd = covariance.diagonal().clamp(min=1e-9).sqrt()
        assert float(((drawn[..., component].mean(0) - mean) / sd).abs().max()) < 5 / math.sqrt(4000)
        found = torch.cov(drawn[..., component].T)
        assert float((found - covariance).abs().max() / covariance.diagonal().max()) < 0.12


def test_a_seed_decides_a_sample(codes):
    posterior, *_ = observe(codes, [2])
    assert torch.equal(posterior.sample(7), posterior.sample(7)) and not torch.equal(
        posterior.sample(7), posterior.sample(8)
    )


def test_fit_is_the_sample_covariance():
    drawn = torch.randn(10, 6, 3, generator=torch.Generator().manual_seed(0)).double()
    codes = SliceCodes.fit(drawn, rank=6)
    for component in range(3):
        w = codes.loadings[component]
        assert torch.allclose(w @ w.T, torch.cov(drawn[..., component].T, correction=0), atol=1e-8)
    assert torch.allclose(codes.mean, drawn.mean(0))
    few = SliceCodes.fit(drawn, rank=2)
    assert few.loadings.shape == (3, 6, 2) and torch.allclose(
        few.loadings.abs(), codes.loadings[..., :2].abs()
    )


def test_a_nearer_slice_says_more(codes):
    (near, *_), (nothing, *_) = observe(codes, [4]), observe(codes, [])
    left = near.variance().sum(1) / nothing.variance().sum(1)
    assert int(left.argmin()) == 4 and left[4] < 0.7 * left[8] and left[4] < 0.7 * left[0]


def test_stored_codes_are_nearly_the_same(codes):
    again = SliceCodes.from_tensors(codes.to_tensors())
    assert torch.allclose(again.loadings, codes.loadings, atol=0.01 * float(codes.loadings.abs().max()))
    assert torch.allclose(again.mean, codes.mean, atol=2e-3)
