"""What one more plane is expected to take of the variance, against dense matrices; and the search for it."""

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.analysis.next_plane import Planner
from SparseVolumeReconstructionLib.analysis.remaining import Anatomy, RemainingVariance
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Plane
from SparseVolumeReconstructionLib.observation.planes import plane_operator
from SparseVolumeReconstructionLib.priors.gaussian.field import GaussianField, correlation_matrix

SPACING = 4.0


@pytest.fixture(scope="module")
def field():
    """A process of 10 x 12 x 11 voxels whose residual is larger on one side (R)."""
    grid = Grid.centred((10, 12, 11), SPACING)
    k, j, i = (torch.linspace(-1, 1, n) for n in grid.shape_kji)
    whole = torch.ones(grid.shape_kji)
    loadings = torch.stack(
        [0.1 * whole, 0.1 * k[:, None, None] * whole, 0.06 * torch.cos(3 * j)[:, None] * whole]
    )
    sd = 0.05 + 0.03 * i * whole
    curve = torch.tensor([1.0, 0.6, 0.3, 0.1])
    correlations = tuple(correlation_matrix(curve, n) for n in grid.shape_kji)
    return GaussianField(grid, 0.5 * whole, loadings, sd, correlations, 0.02)


@pytest.fixture(scope="module")
def covariance(field):
    """Sigma, (n, n) float64."""
    k, j, i = (c.double() for c in field.correlations)
    sd, loadings = field.sd.flatten().double(), field.loadings.flatten(1).double()
    return sd[:, None] * torch.kron(k, torch.kron(j, i)) * sd + loadings.T @ loadings


def grid_plane(grid: Grid, axis: int, number: int) -> Plane:
    """Voxels of the grid with that number along i (0), j (1) or k (2), as a plane."""
    first, second = (n for n in range(3) if n != axis)
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 0], matrix[:3, 1] = grid.ijk_to_ras[:3, first], grid.ijk_to_ras[:3, second]
    matrix[:3, 3] = (grid.ijk_to_ras @ [*(number * np.eye(3)[axis]), 1])[:3]
    size = grid.shape_kji[::-1]
    return Plane((size[second], size[first]), matrix)


def variance_left(covariance, field, planes) -> float:
    """Trace of the covariance given planes, by dense matrices."""
    a = plane_operator(planes, field.grid).matrix.to_dense().double()
    sd = a @ field.sd.flatten().double()
    s = a @ covariance @ a.T + field.noise * torch.diag(sd**2)
    gain = a @ covariance
    return float(covariance.diagonal().sum() - (gain * torch.linalg.solve(s, gain)).sum())


@pytest.mark.parametrize("seen", [[], [(2, 3)], [(2, 7), (0, 2)]], ids=["nothing", "one plane", "two planes"])
def test_the_gain_is_that_of_dense_matrices(field, covariance, seen):
    everywhere = torch.ones(field.grid.shape_kji, dtype=torch.bool)
    remaining = RemainingVariance(Anatomy(field, everywhere), field.grid.points_ras())
    planes = [grid_plane(field.grid, *one) for one in seen]
    for plane in planes:
        remaining.add(plane)
    before = variance_left(covariance, field, planes)
    assert remaining.total == pytest.approx(before, rel=0.04)
    candidates = [grid_plane(field.grid, axis, n) for axis in range(3) for n in range(1, 10, 2)]
    exact = np.array([before - variance_left(covariance, field, [*planes, one]) for one in candidates])
    found = remaining.gains(candidates).numpy()
    assert np.abs(found - exact).max() < 0.12 * exact.max()
    assert np.corrcoef(found, exact)[0, 1] > 0.97
    assert exact[found.argmax()] > 0.97 * exact.max()


def test_a_plane_that_was_seen_has_nothing_more_to_tell(field):
    everywhere = torch.ones(field.grid.shape_kji, dtype=torch.bool)
    remaining = RemainingVariance(Anatomy(field, everywhere), field.grid.points_ras())
    plane = grid_plane(field.grid, 1, 5)
    first = float(remaining.gains([plane]))
    before = remaining.total
    remaining.add(plane)
    assert before - remaining.total == pytest.approx(first, rel=0.02)
    assert float(remaining.gains([plane])) < 0.1 * first


def test_the_search_finds_the_best_plane(field, covariance):
    """The best of all planes of the grid, and planes that are no neighbours of each other after it."""
    everywhere = torch.ones(field.grid.shape_kji, dtype=torch.bool)
    found = Planner(field, everywhere).ranked("orthogonal", 3)
    exact = {
        (axis, n): -variance_left(covariance, field, [grid_plane(field.grid, axis, n)])
        for axis in range(3)
        for n in range(field.grid.shape_kji[2 - axis])
    }
    axis, _ = max(exact, key=exact.get)
    assert np.abs(found[0].plane.normal).argmax() == axis
    assert [one.gain for one in found] == sorted((one.gain for one in found), reverse=True)
    for one, other in ((found[0], found[1]), (found[0], found[2]), (found[1], found[2])):
        turned = abs(one.plane.normal @ other.plane.normal) < 0.9
        assert turned or abs((one.plane.centre - other.plane.centre) @ one.plane.normal) > 10


def test_a_region_draws_planes_to_it_and_stacks_stay_parallel(field):
    everywhere = torch.ones(field.grid.shape_kji, dtype=torch.bool)
    region = torch.zeros_like(everywhere)
    region[:, :, -2:] = True  # R
    planner = Planner(field, everywhere, region=region)
    right = planner.ranked("orthogonal", 1)[0].plane
    assert abs(right.normal[0]) > 0.99 and right.centre[0] > 12
    tilted = np.array([0.0, 0.6, 0.8])
    planned = planner.sequence("stack", 2, tilted)
    assert all(abs(one.plane.normal @ tilted) > 0.999 for one in planned)
    assert abs((planned[0].plane.centre - planned[1].plane.centre) @ tilted) > 4
    with pytest.raises(InputError, match="no part of the region"):
        Planner(field, region, region=~region)
