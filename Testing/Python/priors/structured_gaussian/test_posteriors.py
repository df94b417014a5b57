"""Both posteriors against a dense float64 solve: mean, deviation, evidence and samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.observation import Radiograph
from SparseVolumeReconstructionLib.observation.operator import LinearOperator
from SparseVolumeReconstructionLib.observation.planes import plane_operator
from SparseVolumeReconstructionLib.observation.views import detector, view_axes
from SparseVolumeReconstructionLib.priors.gaussian.stack import StackPosterior
from SparseVolumeReconstructionLib.priors.intervals import LEVELS, IntervalScale
from SparseVolumeReconstructionLib.priors.structured_gaussian import posterior as gaussian_posterior
from SparseVolumeReconstructionLib.priors.structured_gaussian.plane_variance import prior_variance
from SparseVolumeReconstructionLib.priors.structured_gaussian.planes import PlanesPosterior, measured_planes
from SparseVolumeReconstructionLib.priors.structured_gaussian.posterior import Measured, OperatorPosterior

SHAPE = (8, 7, 6)
LARGE = [False, True]


def close(found: torch.Tensor, exact: torch.Tensor, tolerance=1e-4) -> None:
    """Equal up to a share of the exact array's largest value."""
    assert float((found.double() - exact).abs().max() / exact.abs().max()) < tolerance


def stack_case(make_field, axis, index, seed=3):
    """A stack posterior, and what it saw: field, dense A (count, voxels) and pixels (count,)."""
    field = make_field(SHAPE)
    voxels = (
        torch.arange(field.grid.size)
        .reshape(SHAPE)
        .index_select(axis, torch.tensor(index, dtype=torch.int64))
        .movedim(axis, 0)
    )
    pixels = torch.rand(voxels.shape, generator=torch.Generator().manual_seed(seed))
    a = torch.eye(field.grid.size)[voxels.flatten()]
    return StackPosterior(field, axis, index, pixels, IntervalScale()), (field, a, pixels.flatten())


def planes_case(make_field, make_plane, seeds, thickness=4.0, shape=(9, 10, 11), noises=None):
    """A planes posterior, and what it saw."""
    field = make_field(shape)
    planes = [make_plane(seed, thickness) for seed in seeds]
    operator = plane_operator(planes, field.grid)
    pixels = torch.rand(operator.count, generator=torch.Generator().manual_seed(4))
    return PlanesPosterior(field, planes, operator, pixels, IntervalScale(), noises=noises), (
        field,
        operator.matrix.to_dense(),
        pixels,
    )


@pytest.fixture
def large(monkeypatch):
    """Every problem counts as too large for the dense solution."""
    monkeypatch.setattr(gaussian_posterior, "DENSE_COST", 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("index", [[], [2], [4, 1], [0, 1, 2, 5]])
def test_stack_is_exact(make_field, dense, axis, index):
    posterior, seen = stack_case(make_field, axis, index)
    exact = dense(*seen)
    close(posterior.mean(), exact.mean)
    close(posterior.std(), exact.std)
    assert posterior.log_evidence() == pytest.approx(exact.log_evidence, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("seeds", [[], [0], [1, 2], [3, 4, 5, 6]])
@pytest.mark.parametrize("thickness", [0.0, 4.0])
def test_planes_are_exact_when_small(make_field, make_plane, dense, seeds, thickness):
    posterior, seen = planes_case(make_field, make_plane, seeds, thickness)
    exact = dense(*seen)
    close(posterior.mean(), exact.mean, 3e-4)
    close(posterior.std(), exact.std)
    assert posterior.log_evidence() == pytest.approx(exact.log_evidence, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("seeds", [[0], [1, 2], [3, 4, 5, 6]])
def test_planes_are_close_when_large(make_field, make_plane, dense, large, seeds):
    """The mean stays exact, the evidence stochastic; the deviation is too wide rather than too narrow."""
    posterior, seen = planes_case(make_field, make_plane, seeds)
    exact = dense(*seen)
    close(posterior.mean(), exact.mean, 3e-4)
    assert posterior.log_evidence() == pytest.approx(exact.log_evidence, rel=0.05, abs=5)
    ratio = posterior.std().double() / exact.std
    assert float(ratio.min()) > 0.97 and float(ratio.mean()) < 1.5


@pytest.mark.parametrize("as_large", LARGE)
def test_stack_and_planes_agree_on_the_same_observation(make_field, monkeypatch, as_large):
    from SparseVolumeReconstructionLib.geometry import Plane

    if as_large:
        monkeypatch.setattr(gaussian_posterior, "DENSE_COST", 0)
    stack, (field, _, pixels) = stack_case(make_field, 0, [2, 5])
    planes = []
    for index in (2, 5):
        matrix = field.grid.ijk_to_ras.copy()
        matrix[:3, 3] += matrix[:3, 2] * index
        planes.append(Plane(SHAPE[1:], matrix, 0.0))
    other = PlanesPosterior(field, planes, plane_operator(planes, field.grid), pixels, IntervalScale())
    close(other.mean(), stack.mean().double(), 3e-4)
    close(other.std(), stack.std().double(), 0.1 if as_large else 1e-3)
    assert other.log_evidence() == pytest.approx(stack.log_evidence(), rel=0.05 if as_large else 1e-3)


@pytest.mark.parametrize("as_large", LARGE)
def test_noise_of_the_measurement_itself_is_believed(make_field, make_plane, dense, monkeypatch, as_large):
    if as_large:
        monkeypatch.setattr(gaussian_posterior, "DENSE_COST", 0)
    own = 0.3
    posterior, seen = planes_case(make_field, make_plane, [0, 1], noises=[own, own])
    exact, without = dense(*seen, own**2), dense(*seen)
    assert float((exact.std - without.std).max()) > 0.01
    close(posterior.mean(), exact.mean, 3e-4)
    close(posterior.std(), exact.std, 0.15 if as_large else 1e-3)
    assert posterior.log_evidence() == pytest.approx(exact.log_evidence, rel=0.05 if as_large else 1e-3)


class MatrixOperator(LinearOperator):
    """Any matrix, as a measurement."""

    def __init__(self, matrix: torch.Tensor, shape_kji):
        self.matrix, self.shape_kji = matrix, shape_kji

    @property
    def count(self):
        return len(self.matrix)

    def forward(self, volumes):
        return volumes.flatten(1) @ self.matrix.T

    def adjoint(self, values):
        return (values @ self.matrix).reshape(len(values), *self.shape_kji)


def matrix_measurement(field, seed: int, count: int, scale: float) -> Measured:
    """Weighted sums of a few voxels each, of either sign."""
    g = torch.Generator().manual_seed(seed)
    matrix = torch.randn(count, field.grid.size, generator=g) * scale
    matrix *= torch.rand(count, field.grid.size, generator=g) < 0.1
    operator = MatrixOperator(matrix, field.grid.shape_kji)
    own = 0.1 * scale * torch.rand(count, generator=g) ** 2
    return Measured(operator, scale * torch.rand(count, generator=g), own)


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.integers(1, 30), st.sampled_from([0.3, 1.0, 20.0])), max_size=3
    ),
    st.lists(st.integers(0, 99), max_size=2),
    st.integers(0, 9),
)
@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
def test_any_operators_together_are_exact(make_field, make_plane, dense, matrices, plane_seeds, seed):
    """Weighted sums of either sign and any unit, planes, and both: as a dense solve has it."""
    field = make_field((7, 6, 5), seed=seed)
    measured = [matrix_measurement(field, *words) for words in matrices]
    if plane_seeds or not matrices:
        planes = [make_plane(number) for number in plane_seeds]
        operator = plane_operator(planes, field.grid)
        pixels = torch.rand(operator.count, generator=torch.Generator().manual_seed(seed))
        measured.append(measured_planes(planes, operator, pixels, [0.1] * len(planes)))
    posterior = OperatorPosterior(field, measured, IntervalScale())
    eye = torch.eye(field.grid.size).reshape(-1, *field.grid.shape_kji)
    a = torch.cat([one.operator.forward(eye).T for one in measured])
    values, variance = (
        torch.cat([getattr(one, name) for one in measured]) for name in ("values", "variance")
    )
    exact = dense(field, a, values, variance)
    close(posterior.mean(), exact.mean, 5e-3)
    close(posterior.std(), exact.std, 1e-3)
    assert posterior.log_evidence() == pytest.approx(exact.log_evidence, rel=5e-3, abs=0.1)


@pytest.mark.parametrize("source", [None, 60.0])
def test_rays_and_planes_together_are_exact(make_field, make_plane, dense, source):
    field = make_field((7, 6, 5))
    plane = detector(view_axes(np.array([0.5, -0.8, 0.3])), np.zeros(3), (5, 6), 2.5)
    start = None if source is None else plane.centre - source * plane.normal
    values = np.random.default_rng(0).random((5, 6))
    seen = Radiograph(values, plane, "r", "r", start, attenuation_per_mm=0.05, noise=0.02)
    rays, planes = seen.operator(field.grid), [make_plane(3)]
    shown = torch.as_tensor(seen.values[seen.kept_pixels])
    by_rays = Measured(rays, shown, torch.full_like(shown, seen.noise**2))
    operator = plane_operator(planes, field.grid)
    pixels = torch.rand(operator.count, generator=torch.Generator().manual_seed(1))
    measured = [by_rays, measured_planes(planes, operator, pixels, [0.1])]
    posterior = OperatorPosterior(field, measured, IntervalScale())
    eye = torch.eye(field.grid.size).reshape(-1, *field.grid.shape_kji)
    a = torch.cat([one.operator.forward(eye).T for one in measured])
    exact = dense(
        field, a, *(torch.cat([getattr(one, name) for one in measured]) for name in ("values", "variance"))
    )
    close(posterior.mean(), exact.mean, 2e-3)
    close(posterior.std(), exact.std, 1e-3)
    assert posterior.log_evidence() == pytest.approx(exact.log_evidence, rel=5e-3, abs=0.1)
    alone = OperatorPosterior(field, [by_rays], IntervalScale())
    assert float(posterior.std().mean()) < float(alone.std().mean())


def test_the_deviation_of_many_values_of_any_operator_is_near(make_field, dense, large):
    """Means over balls: what is known of a voxel is nearly that of its neighbours."""
    field = make_field((9, 10, 11))
    points = torch.as_tensor(field.grid.points_ras(), dtype=torch.float32)
    centres = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:40]]
    balls = (torch.cdist(centres, points) < 5).float()
    operator = MatrixOperator(balls / balls.sum(1, keepdim=True), field.grid.shape_kji)
    measured = Measured(operator, torch.rand(40), torch.full((40,), 1e-4))
    posterior = OperatorPosterior(field, [measured], IntervalScale())
    exact = dense(field, measured.operator.matrix, measured.values, measured.variance)
    ratio = posterior.std().double() / exact.std
    assert 0.9 < float(ratio.mean()) < 1.1 and 0.6 < float(ratio.min()) < float(ratio.max()) < 1.6
    close(posterior.mean(), exact.mean, 1e-3)
    far = OperatorPosterior(field, [matrix_measurement(field, 3, 1, 0.0)], IntervalScale())
    torch.testing.assert_close(far.std(), prior_variance(field).sqrt(), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["stack", "planes", "noisy planes"])
def test_samples_have_the_posterior_mean_and_covariance(make_field, make_plane, dense, case):
    if case == "stack":
        posterior, seen = stack_case(make_field, 1, [1, 4])
    elif case == "planes":
        posterior, seen = planes_case(make_field, make_plane, [0, 1], shape=(6, 6, 6))
    else:
        posterior, seen = planes_case(make_field, make_plane, [0, 1], shape=(6, 6, 6), noises=[0.3, 0.3])
        seen = (*seen, 0.09)
    exact = dense(*seen)
    samples = posterior.sample(list(range(400))).flatten(1).double()
    scale = exact.covariance.diagonal().sqrt()
    assert float(((samples.mean(0) - exact.mean.flatten()) / scale).abs().max()) < 0.25
    covariance = samples.T.cov() / scale / scale[:, None]
    assert float((covariance - exact.covariance / scale / scale[:, None]).abs().max()) < 0.4
    assert float((covariance.diagonal() - 1).mean().abs()) < 0.06


@pytest.mark.parametrize("case", ["stack", "planes", "large"])
def test_a_seed_gives_its_sample_whatever_was_asked_before(make_field, make_plane, monkeypatch, case):
    if case == "large":
        monkeypatch.setattr(gaussian_posterior, "DENSE_COST", 0)

    def fresh():
        return (
            stack_case(make_field, 0, [1, 4])[0]
            if case == "stack"
            else planes_case(make_field, make_plane, [0, 1])[0]
        )

    posterior = fresh()
    first = posterior.sample([7, 8, 9, 10, 11])
    assert torch.equal(first, posterior.sample([7, 8, 9, 10, 11])) and torch.equal(
        first, fresh().sample([7, 8, 9, 10, 11])
    )
    assert torch.equal(posterior.sample([7, 8]), first[:2])
    assert (first[0] - first[1]).abs().max() > 0.05
    assert posterior.sample([]).shape == (0, *posterior.grid.shape_kji)


@pytest.mark.parametrize("case", ["stack", "planes"])
def test_intervals_hold_what_they_say_on_draws_from_the_model(make_field, make_plane, case):
    """Without the clamp at 0, which only narrows where nothing can be."""
    field = make_field(SHAPE)
    field = type(field)(
        field.grid, field.mean + 3, *(getattr(field, n) for n in ("loadings", "sd", "correlations", "noise"))
    )
    planes = [make_plane(seed) for seed in (0, 1)]
    operator = plane_operator(planes, field.grid)
    held = {level: [] for level in LEVELS}
    truths = field.draw([torch.Generator().manual_seed(1000 + n) for n in range(60)])
    g = torch.Generator().manual_seed(5)
    for truth in truths:
        if case == "stack":
            seen = truth[[1, 4]] + field.noise**0.5 * field.sd[[1, 4]] * torch.randn(
                2, *SHAPE[1:], generator=g
            )
            posterior = StackPosterior(field, 0, [1, 4], seen, IntervalScale())
        else:
            sd = operator.forward(field.sd[None])[0].clamp(min=float(field.sd.min()))
            seen = operator.forward(truth[None])[0] + field.noise**0.5 * sd * torch.randn(
                operator.count, generator=g
            )
            posterior = PlanesPosterior(field, planes, operator, seen, IntervalScale())
        for level in LEVELS:
            low, high = posterior.interval(level)
            held[level].append(((truth >= low) & (truth <= high)).double().mean())
    for level, shares in held.items():
        assert float(torch.stack(shares).mean()) == pytest.approx(level, abs=0.025)


def test_evidence_recovers_a_wider_residual(make_field, make_plane):
    """Subjects whose residual is twice as wide are recognised; with planes at any pose approximately, never
    as wider still.
    """
    field = make_field((16, 16, 16))
    wide = type(field)(field.grid, field.mean, field.loadings, 2 * field.sd, field.correlations, field.noise)
    planes = [make_plane(seed, 2.0, size=13) for seed in (0, 1, 2)]
    operator = plane_operator(planes, field.grid)
    index, scales = [3, 8, 12], {"stack": [], "planes": []}
    for n in range(6):
        g = torch.Generator().manual_seed(n)
        truth = wide.draw([g])
        seen = truth[0, index] + wide.noise**0.5 * wide.sd[index] * torch.randn(3, 16, 16, generator=g)
        scales["stack"].append(StackPosterior(field, 0, index, seen, IntervalScale()).residual_scale())
        sd = operator.forward(wide.sd[None])[0]
        seen = operator.forward(truth)[0] + wide.noise**0.5 * sd * torch.randn(operator.count, generator=g)
        scales["planes"].append(
            PlanesPosterior(field, planes, operator, seen, IntervalScale()).residual_scale()
        )
    assert sum(scales["stack"]) / 6 == pytest.approx(2, rel=0.05)
    assert 1.7 < sum(scales["planes"]) / 6 < 2.1


def test_subjects_far_from_what_is_expected_are_recognised(make_field, make_plane):
    """All that varies in them is twice as wide; the widened process tells the same mean with wider
    intervals.
    """
    field = make_field((16, 16, 16))
    scaled = lambda by: replace(field, sd=by * field.sd, loadings=by * field.loadings)  # noqa: E731
    planes = [make_plane(seed, 2.0, size=13) for seed in (0, 1, 2)]
    operator, index, found = plane_operator(planes, field.grid), [3, 8, 12], {1.0: [], 2.0: []}
    posteriors = lambda f, x: (  # noqa: E731
        StackPosterior(f, 0, index, x[0, index], IntervalScale()),
        PlanesPosterior(f, planes, operator, operator.forward(x)[0], IntervalScale()),
    )
    for by, misfits in found.items():
        for n in range(12):
            truth = scaled(by).draw([torch.Generator().manual_seed(n)])
            misfits.append([posterior.misfit() for posterior in posteriors(field, truth)])
    near, far = (torch.tensor(misfits).mean(0) for misfits in found.values())
    assert (near - 1).abs().max() < 0.2 and (far / near - 2).abs().max() < 0.1
    for first, wider in zip(posteriors(field, truth), posteriors(scaled(1.5), truth), strict=True):
        torch.testing.assert_close(wider.mean(), first.mean(), rtol=1e-3, atol=2e-3)
        torch.testing.assert_close(wider.std(), 1.5 * first.std(), rtol=1e-2, atol=1e-3)


def test_the_interval_multipliers_are_used():
    wide = IntervalScale((1.0, 2.0, 3.0, 4.0))
    assert [wide.half_width(level) for level in LEVELS] == pytest.approx([1, 2, 3, 4])
    assert [IntervalScale().half_width(level) for level in (0.5, 0.6827, 0.95)] == pytest.approx(
        [0.6745, 1, 1.96], abs=1e-3
    )
    assert 2 < wide.half_width(0.85) < 3 and wide.half_width(0.99) > 4
    low, high = wide.interval(torch.tensor([0.1, 1.0]), torch.tensor([0.1, 0.1]), 0.9)
    torch.testing.assert_close(low, torch.tensor([0.0, 0.7]))
    torch.testing.assert_close(high, torch.tensor([0.4, 1.3]))


def test_the_solver_can_be_stopped(make_field, make_plane, large):
    class StopError(Exception):
        pass

    calls = []

    def check():
        calls.append(1)
        if len(calls) > limit:
            raise StopError

    field, planes = make_field((9, 10, 11)), [make_plane(0), make_plane(1)]
    operator = plane_operator(planes, field.grid)
    for after in (0, 3):
        calls.clear()
        limit = after
        with pytest.raises(StopError):
            PlanesPosterior(
                field, planes, operator, torch.rand(operator.count), IntervalScale(), check
            ).mean()
    limit = 10**9
    posterior = PlanesPosterior(field, planes, operator, torch.rand(operator.count), IntervalScale(), check)
    for work in (posterior.std, posterior.log_evidence, lambda: posterior.sample([1])):
        calls.clear()
        limit = 0
        with pytest.raises(StopError):
            work()
