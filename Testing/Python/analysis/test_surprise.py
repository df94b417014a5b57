"""What is improbable in slices: scores under the model itself, p-values, and a lesion that was put in."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from SparseVolumeReconstructionLib.analysis.surprise import NullDistribution, discoveries, scores
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.base import seeded_generator
from SparseVolumeReconstructionLib.priors.gaussian.field import GaussianField, correlation_matrix

POSITIONS = (4, 8, 12)
LEVELS = (0.5, 0.1, 0.02, 0.005)


@pytest.fixture(scope="module")
def field():
    """A process of 16 x 24 x 24 voxels of 4 mm."""
    grid = Grid.centred((16, 24, 24), 4.0)
    whole = torch.ones(grid.shape_kji)
    k, j, i = (torch.linspace(-1, 1, n) for n in grid.shape_kji)
    loadings = torch.stack(
        [0.2 * whole, 0.2 * k[:, None, None] * whole, 0.2 * torch.cos(2 * j)[:, None] * i * whole]
    )
    curve = torch.tensor([1.0, 0.5, 0.2])
    correlations = tuple(correlation_matrix(curve, n) for n in grid.shape_kji)
    return GaussianField(grid, 2.0 * whole, loadings, 0.4 * whole, correlations, 0.02)


def body(field, seed):
    """A draw of the process."""
    return field.draw([seeded_generator(seed)])[0].numpy()


def judge(field, array):
    slices = [slice_of(Volume(array, field.grid), k, 0.0, "draw") for k in POSITIONS]
    return scores(field, np.ones(field.grid.shape_kji, bool), slices)


@pytest.fixture(scope="module")
def draws(field):
    return [judge(field, body(field, seed)) for seed in range(12)]


@pytest.fixture(scope="module")
def null(draws):
    """From half of the draws."""
    return NullDistribution.fit(
        np.abs(np.concatenate([s.pixels[s.inside] for d in draws[:6] for s in d])), LEVELS
    )


def test_slices_are_as_far_from_the_others_as_the_model_says(draws):
    assert np.mean([s.alone for d in draws for s in d]) == pytest.approx(1, abs=0.08)


def test_p_values_are_uniform_under_the_model(draws, null):
    p = np.concatenate([null.p_values(s.pixels[s.inside]) for d in draws[6:] for s in d])
    for level in (0.5, 0.1, 0.02):
        assert np.mean(p <= level) == pytest.approx(level, rel=0.25)
    assert kstest(p[p < 0.5] / 0.5, "uniform").statistic < 0.12  # log-linear between the levels
    assert np.all(np.diff(null.p_values(np.linspace(0, 20, 50))) < 0)


def test_what_is_no_part_of_the_model_stands_out(field, null):
    array = body(field, 99).copy()
    array[7:10, 8:12, 8:12] -= 2.5
    scored = judge(field, array)
    p = [null.p_values(s.pixels) for s in scored]
    limit = discoveries(np.concatenate([v[s.inside] for v, s in zip(p, scored, strict=True)]))
    found = [(v <= limit) & s.inside for v, s in zip(p, scored, strict=True)]
    assert limit > 0 and found[1][8:12, 8:12].mean() > 0.7
    assert (
        found[1].sum() - found[1][7:13, 7:13].sum() + found[0].sum() + found[2].sum() < 0.1 * found[1].sum()
    )
    row, column = np.unravel_index(np.abs(scored[1].pixels).argmax(), scored[1].pixels.shape)
    assert 8 <= row < 12 and 8 <= column < 12 and scored[1].pixels[row, column] < 0


def test_the_rate_is_that_of_benjamini_and_hochberg():
    assert discoveries(np.array([0.01, 0.02, 0.03, 0.9]), 0.05) == 0.03
    assert discoveries(np.array([0.04, 0.5, 0.9]), 0.05) == 0.0
    generator = np.random.default_rng(0)
    false = [discoveries(generator.uniform(size=500)) > 0 for _ in range(400)]
    assert np.mean(false) == pytest.approx(0.05, abs=0.03)
