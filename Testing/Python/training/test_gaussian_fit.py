"""The streaming fit against the same numbers computed densely."""

import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import Grid
from SparseVolumeReconstructionLib.priors.gaussian import fit
from SparseVolumeReconstructionLib.priors.gaussian.fit import (
    Rows,
    fit_gaussian,
    hat_functions,
    knot_solution,
)
from SparseVolumeReconstructionLib.priors.gaussian.parameters import SD_FLOOR

GRID = Grid.centred((6, 7, 8), 3.0)
RANK, FOLDS = 3, 4


@pytest.fixture(scope="module")
def mask():
    return np.random.default_rng(1).random(GRID.shape_kji) < 0.8


@pytest.fixture(scope="module")
def rows(mask):
    """Ten subjects and their doubles (same group), three strong modes and noise."""
    random = np.random.default_rng(0)
    modes = random.normal(size=(3, mask.sum())) * np.array([0.3, 0.2, 0.1])[:, None]
    subjects = 0.5 + random.normal(size=(10, 3)) @ modes
    values = np.concatenate([subjects, subjects]) + 0.05 * random.normal(size=(20, mask.sum()))
    return Rows(values.astype(np.float16), np.tile(np.arange(10), 2), np.tile(np.arange(20, 30.0), 2))


def dense_fit(rows: Rows, rank: int, folds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, loadings and held-out sd of a cohort without covariate, from singular values of the data
    themselves.
    """
    x = rows.values.astype(float)
    residual, variance = np.zeros_like(x), np.zeros(rank)
    for fold in range(folds):
        test = np.isin(rows.group, np.unique(rows.group)[fold::folds])
        mean = x[~test].mean(0)
        directions = np.linalg.svd(x[~test] - mean, full_matrices=False)[2][:rank]
        scores = (x[test] - mean) @ directions.T
        residual[test] = x[test] - mean - scores @ directions
        variance += (scores**2).sum(0)
    mean = x.mean(0)
    _, singular, directions = np.linalg.svd(x - mean, full_matrices=False)
    spread = np.sqrt(np.minimum(variance / len(x), singular[:rank] ** 2 / len(x)))
    return mean, directions[:rank] * spread[:, None], np.sqrt((residual**2).mean(0))


def test_fit_equals_the_dense_computation(rows, mask, monkeypatch):
    monkeypatch.setattr(fit, "_BLOCK", 50)
    fitted = fit_gaussian(rows, mask, GRID, GRID, rank=RANK, folds=FOLDS)
    mean, loadings, sd = dense_fit(rows, RANK, FOLDS)
    assert np.abs(fitted.means[0].numpy() - mean).max() < 1e-4
    assert np.abs(fitted.sd.numpy() - sd.clip(SD_FLOOR)).max() < 1e-4
    signs = np.sign((fitted.loadings.numpy() * loadings).sum(1, keepdims=True))
    assert np.abs(fitted.loadings.numpy() * signs - loadings).max() < 1e-3
    assert fitted.loadings.shape == (RANK, mask.sum()) and fitted.mask is mask


def test_folds_never_split_a_group(rows, mask):
    """With a double of every subject in the fit, nothing would be left over but noise."""
    together = fit_gaussian(rows, mask, GRID, GRID, rank=6, folds=FOLDS).sd.mean()
    apart = fit_gaussian(
        Rows(rows.values, np.arange(20), rows.covariate), mask, GRID, GRID, rank=6, folds=20
    ).sd.mean()
    assert together > 1.02 * apart


def test_rank_is_bounded_by_the_cohort(rows, mask):
    fitted = fit_gaussian(rows.subset(rows.group < 4), mask, GRID, GRID, rank=40)
    assert len(fitted.loadings) == 6 and np.isfinite(fitted.loadings.numpy()).all()


def test_knot_means_follow_a_line_to_the_knot_beyond_the_data(mask):
    covariate = np.repeat(np.arange(20, 30.0), 3)
    line = 0.1 + 0.02 * (covariate - 20)
    rows = Rows(np.tile(line[:, None], mask.sum()).astype(np.float16), np.arange(30), covariate)
    knots = np.array([20.0, 24.0, 28.0, 32.0])
    fitted = fit_gaussian(rows, mask, GRID, GRID, rank=2, knots=knots)
    assert np.abs(fitted.means.numpy() - (0.1 + 0.02 * (knots - 20))[:, None]).max() < 0.005
    assert fitted.sd.max() < 0.02


def test_a_knot_without_rows_continues_its_neighbours():
    knots = np.array([0.0, 1.0, 2.0])
    at_knots = knot_solution(hat_functions(np.array([0.0, 0.0, 1.0, 1.0]), knots)) @ np.array(
        [1.0, 1.0, 3.0, 3.0]
    )
    assert at_knots == pytest.approx([1.0, 3.0, 5.0], abs=0.1)
    assert knot_solution(np.ones((4, 1))) @ np.array([1.0, 2.0, 3.0, 6.0]) == pytest.approx(3.0)
