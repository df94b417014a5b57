"""Metrics against closed forms and against scikit-image slice by slice."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from SparseVolumeReconstructionLib.evaluation import metrics


@pytest.fixture
def pair():
    random = np.random.default_rng(1)
    truth = random.uniform(size=(9, 16, 13)).astype(np.float32)
    return truth, np.clip(truth + random.normal(0, 0.1, truth.shape), 0, 1).astype(np.float32)


def test_ssim_of_each_slice_is_that_of_scikit_image(pair):
    truth, estimate = pair
    expected = [
        structural_similarity(t, e, win_size=7, data_range=1.0) for t, e in zip(truth, estimate, strict=True)
    ]
    assert np.allclose(metrics.slice_ssim(metrics.ssim_map(truth, estimate)), expected, atol=1e-6)


def test_ssim_of_a_volume_with_itself_is_one(pair):
    assert np.allclose(metrics.slice_ssim(metrics.ssim_map(pair[0], pair[0])), 1)


def test_ssim_of_two_constants_has_its_closed_form():
    a, b, c1 = 0.2, 0.6, 0.01**2
    value = metrics.slice_ssim(metrics.ssim_map(np.full((1, 20, 20), a), np.full((1, 20, 20), b)))
    assert np.allclose(value, (2 * a * b + c1) / (a * a + b * b + c1), atol=1e-4)


def test_ssim_does_not_change_when_both_are_rolled_along_the_slices(pair):
    a = metrics.slice_ssim(metrics.ssim_map(*pair))
    b = metrics.slice_ssim(metrics.ssim_map(*(np.roll(v, 2, 0) for v in pair)))
    assert np.allclose(np.roll(a, 2), b)


def test_ssim_in_brain_counts_only_the_mask():
    truth = np.random.default_rng(0).uniform(size=(2, 40, 40)).astype(np.float32)
    estimate = truth.copy()
    estimate[:, :, 20:] = 0
    mask = np.zeros(truth.shape, bool)
    mask[:, :, :10] = True
    similarity = metrics.ssim_map(truth, estimate)
    assert metrics.masked_mean(similarity, mask) == pytest.approx(1)
    assert metrics.masked_mean(similarity, ~mask) < 0.6
    assert math.isnan(metrics.masked_mean(similarity, np.zeros_like(mask)))


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(0.2, 3), offset=st.floats(-1, 1))
def test_correlation_ignores_gain_and_offset(gain, offset):
    truth = np.random.default_rng(2).uniform(size=(4, 8, 8))
    assert metrics.pearson(truth, gain * truth + offset) == pytest.approx(1)
    assert metrics.pearson(truth, -gain * truth) == pytest.approx(-1)


def test_correlation_per_slice_leaves_flat_slices_out(pair):
    truth, estimate = pair[0].copy(), pair[1]
    expected = np.mean(
        [np.corrcoef(t.ravel(), e.ravel())[0, 1] for t, e in zip(truth[1:], estimate[1:], strict=True)]
    )
    truth[0] = 0.3
    assert metrics.slice_pearson(truth, estimate) == pytest.approx(expected, abs=1e-6)
    assert math.isnan(metrics.slice_pearson(np.zeros((2, 8, 8)), np.ones((2, 8, 8))))


def test_psnr_has_peak_one(pair):
    assert metrics.psnr(*pair) == pytest.approx(peak_signal_noise_ratio(*pair, data_range=1.0), abs=1e-3)
    assert metrics.psnr(np.zeros((1, 8, 8)), np.full((1, 8, 8), 0.1)) == pytest.approx(20)
    assert metrics.psnr(pair[0], pair[0]) == math.inf


@pytest.mark.parametrize("level", metrics.LEVELS)
def test_coverage_of_a_gaussian_is_nominal(level):
    truth = np.random.default_rng(3).normal(size=(20, 100, 100))
    inside = np.abs(truth) <= norm.ppf(0.5 + level / 2)
    mask = np.ones(truth.shape, bool)
    counts = metrics.coverage_by_distance(inside, mask, metrics.context_distance(20, [10], 2.0))
    assert metrics.masked_mean(inside, mask) == pytest.approx(level, abs=0.005)
    assert counts[:, 0].sum() == truth.size
    filled = counts[counts[:, 0] > 0]
    assert np.allclose(filled[:, 1] / filled[:, 0], level, atol=0.02)


def test_distances_and_their_bins():
    assert metrics.context_distance(7, [1, 5], 2.0).tolist() == [2, 0, 2, 4, 2, 0, 2]
    assert np.isinf(metrics.context_distance(3, [], 1.0)).all()
    mask = np.ones((3, 2, 2), bool)
    counts = metrics.coverage_by_distance(mask, mask, np.array([3.0, 3.1, math.inf]))
    assert counts[0, 0] == 4 and counts[1, 0] == 4 and counts[-1, 0] == 4
    assert metrics.bin_names()[0] == "0-3 mm" and metrics.bin_names()[-1] == "> 30 mm"
