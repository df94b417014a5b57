"""Measures of sets of volumes against closed forms and against computations by hand."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.regression import compute_ms_ssim
from scipy.signal import correlate

from SparseVolumeReconstructionLib.evaluation.distributions import (
    WEIGHTS,
    median_distance,
    mmd_as_printed,
    ms_ssim,
    ms_ssim_as_printed,
    pairwise_rms,
    random_pairs,
    rbf_mmd,
)

seeds = st.integers(0, 2**31)


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(seed: int, count: int, shape=(20, 18, 16)) -> torch.Tensor:
    """Volumes in [0, 1] that are alike at large scales."""
    noise = torch.rand(count + 1, 1, *shape, generator=chance(seed))
    volumes = torch.nn.functional.avg_pool3d(noise, 3, 1, 1)[:, 0]
    return (0.6 * volumes[:1] + 0.6 * volumes[1:] - 0.1).clamp(0, 1)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, batch=st.integers(2, 6))
def test_printed_mmd_of_whole_sets_is_the_distance_of_means(seed, batch):
    """And that is what the formula with Gram matrices gives."""
    x, y = torch.rand(2, batch, 2, 3, 4, generator=chance(seed), dtype=torch.float64)
    value, spread = mmd_as_printed(x, y, chance(seed), batch=batch, tests=3)
    a, b = (2 * x - 1).flatten(1), (2 * y - 1).flatten(1)
    gram = ((a @ a.T).sum() + (b @ b.T).sum() - 2 * (a @ b.T).sum()) / batch**2
    assert value == pytest.approx(float(gram), rel=1e-9) and spread < 1e-9


def test_printed_mmd_rewards_samples_that_vary_less():
    """Its expectation is |difference of means|^2 + (variance + variance) / 8, so a constant beats the
    truth.
    """
    real, other = (0.5 + 0.1 * torch.randn(400, 1, 4, 4, generator=chance(seed)) for seed in (1, 2))
    same, _ = mmd_as_printed(real, other, chance(0), tests=400)
    constant, _ = mmd_as_printed(real, torch.full_like(real, 0.5), chance(0), tests=400)
    assert same == pytest.approx(16 * 4 * 0.01 * 2 / 8, rel=0.1) and constant == pytest.approx(
        16 * 4 * 0.01 / 8, rel=0.1
    )
    with pytest.raises(ValueError, match="7 generated volumes; expected at least 8"):
        mmd_as_printed(real, other[:7], chance(0))


@settings(max_examples=20, deadline=None)
@given(seed=seeds, m=st.integers(3, 6), n=st.integers(3, 6))
def test_rbf_mmd_and_its_jackknife_by_hand(seed, m, n):
    x, y = (
        torch.rand(m, 1, 2, 2, generator=chance(seed)).double(),
        torch.rand(n, 1, 2, 2, generator=chance(seed + 1)).double(),
    )

    def by_hand(x, y):
        def kernel(a, b):
            return float(torch.exp(-((a - b) ** 2).sum() / (2 * 0.7**2)))

        within = [np.mean([kernel(a, b) for a, b in itertools.permutations(part, 2)]) for part in (x, y)]
        return sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])

    value, error = rbf_mmd(x, y, 0.7)
    assert value == pytest.approx(by_hand(x, y), abs=1e-9)
    left = [
        [by_hand(torch.cat([x[:i], x[i + 1 :]]), y) for i in range(m)],
        [by_hand(x, torch.cat([y[:i], y[i + 1 :]])) for i in range(n)],
    ]
    assert error**2 == pytest.approx(sum((len(v) - 1) * np.var(v) for v in left), rel=1e-6, abs=1e-12)


def test_rbf_mmd_of_gaussians_is_the_closed_form_within_its_standard_error():
    size, shift, spread, bandwidth = 6, 0.5, 1.4, 3.0

    def expected(variance: float, distance2: float) -> float:
        return (bandwidth**2 / (bandwidth**2 + variance)) ** (size / 2) * np.exp(
            -distance2 / (2 * (bandwidth**2 + variance))
        )

    truth = expected(2, 0) + expected(2 * spread**2, 0) - 2 * expected(1 + spread**2, size * shift**2)
    draws = []
    for seed in range(60):
        x = torch.randn(30, 1, 1, size, generator=chance(seed))
        y = shift + spread * torch.randn(25, 1, 1, size, generator=chance(1000 + seed))
        draws.append(rbf_mmd(x, y, bandwidth))
    values, errors = np.array(draws).T
    assert abs(values.mean() - truth) < 3 * values.std() / np.sqrt(len(values)) and truth > 0.02
    assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.3)


def test_rbf_mmd_of_one_distribution_is_about_zero_and_may_be_negative():
    values = [rbf_mmd(*torch.randn(2, 12, 1, 2, 2, generator=chance(seed)), 2.0)[0] for seed in range(60)]
    assert min(values) < 0 < max(values) and abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)
    with pytest.raises(ValueError, match="2 generated volumes; expected at least 3"):
        rbf_mmd(torch.rand(5, 1, 2, 2), torch.rand(2, 1, 2, 2), 1.0)


def by_hand(one, other, printed: bool, scales: int = 5) -> float:
    """MS-SSIM of two volumes with loops and an explicit window."""
    one, other = (np.asarray(a, np.float64) for a in (one, other))
    if printed:
        one, other = 2 * one - 1, 2 * other - 1
    terms = []
    for scale in range(scales):
        if scale:
            one, other = (a[tuple(slice(s // 2 * 2) for s in a.shape)] for a in (one, other))
            one, other = (
                a.reshape(*(n for s in a.shape for n in (s // 2, 2))).mean((1, 3, 5)) for a in (one, other)
            )
        sides = [np.exp(-((np.arange(n) - (n - 1) / 2) ** 2) / 4.5) for n in (min(11, s) for s in one.shape)]
        window = np.einsum("i,j,k->ijk", *(side / side.sum() for side in sides))

        def blurred(values, window=window):
            return correlate(values, window, "valid")

        mx, my = blurred(one), blurred(other)
        sxx, syy, sxy = (
            blurred(one * one) - mx**2,
            blurred(other * other) - my**2,
            blurred(one * other) - mx * my,
        )
        contrast = (2 * sxy + 9e-4) / (sxx + syy + 9e-4)
        terms.append((((2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4) * contrast).mean(), contrast.mean()))
    last = terms[-1][0] ** (WEIGHTS[-1] * (4 if printed else 1))
    return float(np.prod([terms[n][1] ** WEIGHTS[n] for n in range(scales - 1)]) * last)


@pytest.mark.parametrize("shape", [(20, 18, 16), (24, 33, 17), (64, 16, 16)])
def test_ms_ssim_by_hand(shape):
    one, other = smooth(3, 2, shape)
    assert float(ms_ssim(one[None], other[None])) == pytest.approx(by_hand(one, other, False), abs=2e-4)
    assert float(ms_ssim_as_printed(one[None], other[None])) == pytest.approx(
        by_hand(one, other, True), abs=2e-4
    )


def test_ms_ssim_is_that_of_monai_where_no_window_is_cut():
    one, other = smooth(4, 3, (24, 26, 22)), smooth(5, 3, (24, 26, 22))
    expected = compute_ms_ssim(one[:, None], other[:, None], 3, weights=(0.4, 0.6))[:, 0]
    assert torch.allclose(ms_ssim(one, other, (0.4, 0.6)), expected, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_ms_ssim_is_symmetric_and_one_for_equals_alone(seed):
    one, other = smooth(seed, 2)[:, None]
    for measure in (ms_ssim, ms_ssim_as_printed):
        assert float(measure(one, one)) == pytest.approx(1, abs=1e-4)
        assert float(measure(one, other)) == pytest.approx(float(measure(other, one)), abs=1e-5)
        assert 0 <= float(measure(one, other)) < 0.99


def test_ms_ssim_needs_sixteen_voxels():
    with pytest.raises(ValueError, match="at least 16 along every axis"):
        ms_ssim(torch.rand(1, 20, 15, 20), torch.rand(1, 20, 15, 20))


def test_pairs_are_different_and_of_different_volumes():
    pairs = random_pairs(6, 10, chance(0))
    assert (
        pairs.shape == (10, 2)
        and len(set(map(tuple, pairs.tolist()))) == 10
        and (pairs[:, 0] < pairs[:, 1]).all()
    )
    assert len(random_pairs(4, 100, chance(0))) == 6


def test_distances_by_hand():
    volumes = torch.tensor([0.0, 0.3, 0.9])[:, None, None, None].expand(3, 2, 2, 2)
    assert pairwise_rms(volumes) == pytest.approx((0.3 + 0.9 + 0.6) / 3, rel=1e-6)
    assert median_distance(volumes) == pytest.approx(0.6 * 8**0.5, rel=1e-6)
