"""The contract of observations: one list of promises that every kind keeps, and the operator of points."""

import json
import time
import timeit
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from observation.test_planes import GRID, planes

from SparseVolumeReconstructionLib.geometry import Plane
from SparseVolumeReconstructionLib.observation import Observation, Radiograph, Slice, observed_voxels
from SparseVolumeReconstructionLib.observation.planes import plane_operator
from SparseVolumeReconstructionLib.observation.points import PointOperator, moved_plane_operator


class Doubled:
    """A map of intensities: twice the measured value."""

    def to_canonical(self, values):
        return (2 * values).astype(np.float32)


def a_slice() -> Slice:
    plane = Plane((9, 8), np.diag([2.0, 2.0, 1.0, 1.0]), 3.0)
    return Slice(np.arange(72, dtype=np.float32).reshape(9, 8), plane, "one", source="scan", noise=0.5)


def a_radiograph() -> Radiograph:
    plane = Plane((9, 8), np.diag([2.0, 2.0, 1.0, 1.0]))
    return Radiograph(np.arange(72).reshape(9, 8), plane, "one", source="scan", noise=0.5)


OBSERVATIONS = [pytest.param(a_slice, id="slice"), pytest.param(a_radiograph, id="radiograph")]
TURN = np.array([[0.0, -1, 0, 4], [1, 0, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1]])


@pytest.mark.parametrize("make", OBSERVATIONS)
def test_every_kind_keeps_the_contract(make):
    seen = make()
    assert isinstance(seen, Observation) and seen.values.dtype == np.float32
    operator = seen.operator(GRID)
    assert operator.forward(torch.zeros(2, *GRID.shape_kji)).shape == (2, operator.count)
    factor = 2 if isinstance(seen, Slice) else 1  # a radiograph measures canonical units
    np.testing.assert_array_equal(seen.with_intensity(Doubled()).values, factor * seen.values)
    assert seen.with_intensity(Doubled()).noise == pytest.approx(0.5 * factor)
    assert replace(seen, noise=0.0).with_intensity(Doubled()).noise == 0.0
    said = json.loads(json.dumps(seen.provenance()))
    assert said["kind"] == type(seen).kind and said["name"] == seen.name and said["source"] == seen.source


@pytest.mark.parametrize("make", OBSERVATIONS)
def test_what_moves_with_the_body_shows_the_same_of_it(make):
    """A pose gives the same as moving the observation, on a ramp that moved too."""
    seen, inner = make(), np.zeros(GRID.shape_kji, bool)
    inner[2:-2, 2:-2, 2:-2] = True
    points = GRID.points_ras() @ np.linalg.inv(TURN)[:3, :3].T + np.linalg.inv(TURN)[:3, 3]
    moved = torch.as_tensor(points @ [0.3, -0.2, 0.5], dtype=torch.float32).reshape(1, *GRID.shape_kji)
    by_pose = seen.operator(GRID, pose=torch.tensor(TURN, dtype=torch.float32), mask=inner).forward(moved)
    by_plane = seen.transformed(TURN).operator(GRID, mask=inner).forward(moved)
    torch.testing.assert_close(by_pose, by_plane, rtol=1e-5, atol=1e-4)
    assert len(by_pose[0]) > 10


@pytest.mark.parametrize("make", OBSERVATIONS)
def test_the_operator_is_differentiable_in_the_pose(make):
    """The gradient in a shift agrees with finite differences, through forward and adjoint."""
    seen = make()
    generator = torch.Generator().manual_seed(0)
    volume = torch.randn(1, *GRID.shape_kji, generator=generator, dtype=torch.float64)

    def loss(shift, through):
        pose = torch.eye(4, dtype=torch.float64)
        pose = torch.cat([pose[:, :3], torch.cat([shift, shift.new_ones(1)])[:, None]], 1)
        operator = seen.operator(GRID, pose=pose)
        if through == "forward":
            return (operator.forward(volume) ** 2).sum()
        ramp = torch.linspace(0, 1, operator.count, dtype=torch.float64)[None]
        return (operator.adjoint(ramp) * volume).sum()

    at = torch.tensor([0.31, -0.23, 0.17], dtype=torch.float64)
    for through in ("forward", "adjoint"):
        shift = at.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(shift, through), shift)
        for axis in range(3):
            step = 1e-6 * torch.eye(3, dtype=torch.float64)[axis]
            slope = (loss(at + step, through) - loss(at - step, through)) / 2e-6
            assert float(gradient[axis]) == pytest.approx(float(slope), rel=1e-4, abs=1e-6)


@given(planes(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_points_are_the_plane_and_their_adjoint_is_one(plane, seed):
    generator = torch.Generator().manual_seed(seed)
    dense = plane_operator([plane], GRID)
    operator = moved_plane_operator(plane, GRID, torch.eye(4, dtype=torch.float64), None)
    assert operator.count == dense.count
    x = torch.randn(2, *GRID.shape_kji, generator=generator, dtype=torch.float64)
    y = torch.randn(2, operator.count, generator=generator, dtype=torch.float64)
    left, right = (operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum()
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(operator.forward(x).float(), dense.forward(x.float()), rtol=0, atol=1e-4)


def test_points_without_weights_keep_the_shape_of_batches():
    points = torch.rand(3, 5, 3) * 4
    operator = PointOperator(GRID, points)
    assert operator.forward(torch.ones(2, *GRID.shape_kji)).shape == (2, 15)
    assert operator.adjoint(torch.ones(2, 15)).shape == (2, *GRID.shape_kji)


def test_rays_of_many_points_are_spread_as_quickly_as_they_are_summed():
    """As an X-ray needs it, many times over one operator; some of the points lie outside the grid."""
    random = torch.Generator().manual_seed(0)
    reach = 0.6 * torch.as_tensor(GRID.spacing_ijk * GRID.shape_kji[::-1], dtype=torch.float32)
    points = (2 * torch.rand(32, 3000, 3, generator=random) - 1) * reach
    operator = PointOperator(GRID, points, torch.full((32,), 1 / 32))
    x, y = torch.rand(1, *GRID.shape_kji, generator=random), torch.rand(1, 3000, generator=random)
    seen, spread = operator.forward(x), operator.adjoint(y)
    assert float((seen * y).sum()) == pytest.approx(float((x * spread).sum()), rel=1e-4)
    forward, adjoint = (
        min(timeit.repeat(once, number=3, repeat=5, timer=time.process_time))
        for once in (lambda: operator.forward(x), lambda: operator.adjoint(y))
    )
    assert adjoint < 5 * forward


def test_observations_that_meet_are_averaged():
    first = a_slice()
    second = replace(first, pixels=first.pixels + 10)
    mask, values = observed_voxels([first], GRID)
    _, both = observed_voxels([first, second], GRID)
    assert mask.any()
    np.testing.assert_allclose(both[mask], values[mask] + 5, atol=1e-4)
