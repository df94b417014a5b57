"""The discretised process: its covariance, its draws, and the same process seen on another grid."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, InputError
from SparseVolumeReconstructionLib.priors.gaussian.field import (
    axis_operator,
    correlation_matrix,
    evidence_scale,
)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=12), st.integers(2, 40))
@settings(deadline=None)
def test_correlation_matrices_are_positive_definite(tail, size):
    matrix = correlation_matrix(torch.tensor([1.0, *tail]), size).double()
    assert matrix.shape == (size, size) and torch.allclose(matrix, matrix.T, rtol=0, atol=1e-6)
    torch.testing.assert_close(matrix.diagonal(), torch.ones(size, dtype=torch.float64), rtol=0, atol=1e-5)
    assert float(torch.linalg.eigvalsh(matrix)[0]) > 1e-5
    torch.linalg.cholesky(matrix.float())


def test_a_curve_that_is_a_correlation_is_kept():
    curve = torch.exp(-torch.arange(8) / 3.0)
    matrix = correlation_matrix(curve, 20)
    torch.testing.assert_close(matrix[0, :8], curve, rtol=0, atol=1e-4)
    torch.testing.assert_close(matrix[0], torch.exp(-torch.arange(20) / 3.0), rtol=0, atol=1e-3)


def test_draws_have_the_mean_and_covariance_of_the_process(make_field, dense):
    field = make_field((3, 4, 3))
    exact = dense(field, torch.zeros(0, 36), torch.zeros(0))
    draws = field.draw([torch.Generator().manual_seed(n) for n in range(20000)]).flatten(1).double()
    scale = exact.prior.diagonal().sqrt()
    assert float(((draws.mean(0) - field.mean.flatten()) / scale).abs().max()) < 0.04
    assert float(((draws.T.cov() - exact.prior) / scale / scale[:, None]).abs().max()) < 0.05


def test_on_the_same_grid_it_is_the_same(make_field):
    field = make_field()
    assert field.on(Grid(field.grid.shape_kji, field.grid.ijk_to_ras + 1e-9)) is field


def test_on_a_turned_grid_it_is_refused(make_field):
    field = make_field()
    matrix = (
        field.grid.ijk_to_ras
        @ torch.linalg.matrix_exp(
            torch.tensor([[0, -0.1, 0, 0], [0.1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0.0]])
        ).numpy()
    )
    with pytest.raises(InputError, match="rotated"):
        field.on(Grid(field.grid.shape_kji, matrix))


@pytest.mark.parametrize("spacing", [1.0, 3.0, (2.0, 4.0, 3.0)])
def test_on_another_grid_draws_have_the_statistics_of_resampled_draws(make_field, spacing):
    """The sd is carried separately from the correlation, so where it varies from voxel to voxel the two
    differ a little.
    """
    field = make_field((8, 7, 6))
    smooth = torch.linspace(0.1, 0.2, 8)[:, None, None].expand(8, 7, 6).contiguous()
    field = type(field)(field.grid, field.mean, field.loadings, smooth, field.correlations, field.noise)
    grid = Grid.centred((3, 3, 3), spacing)
    other = field.on(grid)
    ratio, offset = (
        grid.spacing_ijk / field.grid.spacing_ijk,
        (field.grid.ras_to_ijk @ grid.ijk_to_ras[:, 3])[:3],
    )
    h = [
        axis_operator(field.grid.shape_kji[n], grid.shape_kji[n], offset[2 - n], ratio[2 - n])
        for n in range(3)
    ]
    draws = field.draw([torch.Generator().manual_seed(n) for n in range(8000)])
    moved = torch.einsum("ak,bj,ci,nkji->nabc", *h, draws).flatten(1).double()
    exact = other.residual_covariance(torch.eye(27).reshape(27, 3, 3, 3)).flatten(1).double()
    exact += other.loadings.flatten(1).double().T @ other.loadings.flatten(1).double()
    scale = exact.diagonal().sqrt()
    assert float(((moved.mean(0) - other.mean.flatten()) / scale).abs().max()) < 0.06
    assert float(((moved.T.cov() - exact) / scale / scale[:, None]).abs().max()) < 0.1


def test_coarser_sampling_averages_and_finer_interpolates():
    torch.testing.assert_close(axis_operator(20, 10, 0.5, 2.0).sum(1), torch.ones(10))
    line = torch.arange(20.0)
    torch.testing.assert_close(
        (axis_operator(20, 8, 2.5, 2.0) @ line), 2.5 + 2.0 * torch.arange(8), rtol=0, atol=0.05
    )
    torch.testing.assert_close(
        axis_operator(20, 30, 0.25, 0.5) @ line, 0.25 + 0.5 * torch.arange(30), rtol=0, atol=1e-5
    )
    assert not axis_operator(5, 3, 50.0, 2.0).any() and not axis_operator(5, 3, 50.0, 0.5).any()


@given(st.floats(1.0, 3.0), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_evidence_finds_the_scale_of_the_residual(factor, seed):
    """y = W z + factor * r with white r: the estimate is within its own sampling error."""
    g = torch.Generator().manual_seed(seed)
    w = torch.randn(3, 4000, generator=g, dtype=torch.float64)
    y = torch.randn(3, generator=g, dtype=torch.float64) @ w + factor * torch.randn(
        4000, generator=g, dtype=torch.float64
    )
    assert evidence_scale(float(y @ y), w @ y, w @ w.T, 4000) == pytest.approx(factor, rel=0.06)


def test_nothing_observed_leaves_the_scale():
    assert evidence_scale(0.0, torch.zeros(3), torch.zeros(3, 3), 0) == 1.0
