"""The prior: what is stored and comes back, which path is taken, and what it tells alignment."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reconstruction.test_observations import along

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Plane, Volume
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.base import Conditions
from SparseVolumeReconstructionLib.priors.card import Covariate, MeanTempering, ModelCard
from SparseVolumeReconstructionLib.priors.gaussian.parameters import GaussianParameters
from SparseVolumeReconstructionLib.priors.gaussian.process import GaussianProcess
from SparseVolumeReconstructionLib.priors.gaussian.stack import StackPosterior
from SparseVolumeReconstructionLib.priors.structured_gaussian.planes import PlanesPosterior
from SparseVolumeReconstructionLib.priors.structured_gaussian.prior import StructuredGaussian

GRID = Grid.centred((14, 15, 16), 4.0)
CARD = ModelCard(
    id="t",
    system="structured-gaussian",
    **dict.fromkeys(
        ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data"), "t"
    ),
)


@pytest.fixture(scope="module")
def parameters() -> GaussianParameters:
    """A ball with two knots of a covariate."""
    g = torch.Generator().manual_seed(0)
    mask = (np.linalg.norm(GRID.points_ras(), axis=1) < 28).reshape(GRID.shape_kji)
    count = int(mask.sum())
    return GaussianParameters(
        grid=GRID,
        evaluation_grid=Grid.centred((20, 12, 12), (5, 5, 2)),
        mask=mask,
        means=torch.stack([torch.full((count,), 0.4), torch.full((count,), 0.6)]),
        knots=torch.tensor([20.0, 30.0]),
        loadings=0.1 * torch.randn(5, count, generator=g),
        sd=0.02 + 0.08 * torch.rand(count, generator=g),
        curves=tuple(torch.tensor([1.0, 0.6, 0.3]) for _ in "kji"),
        noise=0.02,
        multipliers=(0.6, 1.2, 1.7, 2.1),
        scale_knots=torch.tensor([[0.2, 0.05], [0.0, 0.07]]),
        reference=torch.rand(GRID.shape_kji, generator=g),
        rotation_sd=2.0,
        min_score=0.4,
    )


@pytest.fixture(scope="module")
def prior(parameters) -> StructuredGaussian:
    """The prior over them, with the covariate on its card."""
    return StructuredGaussian(
        parameters,
        CARD.model_copy(update={"covariate": Covariate(name="age", unit="weeks", low=20, high=30)}),
    )


@pytest.fixture
def body(prior) -> Volume:
    """A subject of the prior on the canonical grid."""
    return Volume(prior.field(covariate=25.0).draw([torch.Generator().manual_seed(3)])[0].numpy(), GRID)


def test_what_is_stored_comes_back(parameters):
    """Loadings lose at most half of 1/127 of the largest of their row, halves 0.1 %, the reference half of
    1/255.
    """
    again = GaussianParameters.from_tensors(
        {name: t.contiguous() for name, t in parameters.to_tensors().items()}
    )
    assert parameters.to_tensors()["loadings"].dtype == torch.int8
    bound = parameters.loadings.abs().amax(1, keepdim=True) / 127 / 2
    assert bool(((again.loadings - parameters.loadings).abs() <= bound * 1.001).all())
    for name in ("means", "sd", "knots", "scale_knots"):
        torch.testing.assert_close(getattr(again, name), getattr(parameters, name), rtol=1e-3, atol=1e-6)
    assert float((again.reference - parameters.reference).abs().max()) <= 0.5 / 255 + 1e-6
    assert np.array_equal(again.mask, parameters.mask) and all(
        map(torch.equal, again.curves, parameters.curves)
    )
    assert again.grid.same_as(parameters.grid) and again.evaluation_grid.same_as(parameters.evaluation_grid)
    for name in ("noise", "rotation_sd", "min_score", "multipliers"):
        assert getattr(again, name) == pytest.approx(getattr(parameters, name), rel=1e-5)
    missing = parameters.to_tensors()
    del missing["sd"]
    with pytest.raises(KeyError, match="sd"):
        GaussianParameters.from_tensors(missing)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_whole_grid_planes_take_the_fast_path_and_both_paths_agree(prior, body, axis):
    slices = whole_planes(body, axis, 4, 9)
    fast = prior.condition(slices, covariate=25.0)
    assert isinstance(fast, StackPosterior)
    slow = prior.condition(nudged(slices), covariate=25.0)
    assert isinstance(slow, PlanesPosterior)
    inside = prior.anatomy_mask
    assert float((fast.mean() - slow.mean())[inside].abs().mean()) < 0.01
    torch.testing.assert_close(fast.std()[inside].mean(), slow.std()[inside].mean(), rtol=0.25, atol=0)
    for s in slices:
        index = round(float((GRID.ras_to_ijk @ s.plane.ij_to_ras[:, 3])[2 - axis]))
        seen, where = np.take(fast.mean().numpy(), index, axis), np.take(inside.numpy(), index, axis)
        assert np.abs(seen - s.pixels)[where].mean() < 0.02


@pytest.mark.parametrize("grid", [GRID, Grid.centred((28, 30, 32), 2.0)])
@pytest.mark.parametrize("tilted", [False, True])
def test_what_lies_outside_the_anatomy_is_no_evidence(prior, grid, tilted):
    """Skull, a table or noise around the anatomy must not reach into it."""
    body = prior.condition([], grid=grid).mean().numpy()
    far = np.linalg.norm(grid.points_ras(), axis=1).reshape(grid.shape_kji) > 33
    means = []
    for array in (body, np.where(far, 0.9, body).astype(np.float32)):
        slices = [slice_of(Volume(array, grid), k) for k in (grid.shape_kji[0] // 3, grid.shape_kji[0] // 2)]
        if tilted:
            slices = nudged(slices)
        posterior = prior.condition(slices, grid=grid)
        assert isinstance(posterior, PlanesPosterior if tilted else StackPosterior)
        means.append(posterior.mean())
    assert float((means[0] - means[1]).abs().max()) < 0.01


def whole_planes(body: Volume, axis: int, *index: int) -> list[Slice]:
    """Whole planes of the grid along an array axis."""
    i, j = (n for n in range(3) if n != 2 - axis)
    slices = []
    for number in index:
        matrix = GRID.ijk_to_ras[:, [i, j, 2 - axis, 3]].copy()
        matrix[:3, 3] += GRID.ijk_to_ras[:3, 2 - axis] * number
        pixels = np.take(body.array, number, axis)
        slices.append(Slice(pixels, Plane(pixels.shape, matrix, 0.0)))
    return slices


def nudged(slices: list[Slice]) -> list[Slice]:
    """A step of 0.01 mm along their normals, so that the planes are no longer those of the grid."""
    moved = []
    for image in slices:
        matrix = image.plane.ij_to_ras.copy()
        matrix[:3, 3] += 0.01 * image.plane.normal
        moved.append(replace(image, plane=Plane(image.plane.shape_ji, matrix, 0.0)))
    return moved


def test_what_is_no_plane_of_the_grid_takes_the_general_path(prior, body):
    first = slice_of(body, 4)
    thick = slice_of(body, 4, 9.0)
    small = Slice(first.pixels[2:, 3:], Plane((13, 13), first.plane.ij_to_ras @ _shift(3, 2), 4.0))
    for slices in ([thick], [small], [first, first], [first, thick]):
        posterior = prior.condition(slices)
        assert isinstance(posterior, PlanesPosterior)
        assert torch.isfinite(posterior.mean()).all() and torch.isfinite(posterior.std()).all()


def _shift(columns: int, rows: int) -> np.ndarray:
    out = np.eye(4)
    out[:2, 3] = columns, rows
    return out


def test_nothing_observed_gives_the_prior(prior):
    posterior = prior.condition([], covariate=30.0)
    torch.testing.assert_close(
        posterior.mean()[prior.anatomy_mask],
        torch.full((int(prior.anatomy_mask.sum()),), 0.6),
        rtol=0,
        atol=1e-3,
    )
    p = prior.parameters
    torch.testing.assert_close(
        posterior.std()[prior.anatomy_mask], (p.sd**2 + (p.loadings**2).sum(0)).sqrt(), rtol=0.01, atol=1e-3
    )
    assert posterior.log_evidence() == 0.0


def test_slices_beside_the_anatomy_give_the_prior(prior, body):
    far = slice_of(Volume(body.array, Grid.centred(GRID.shape_kji, 4.0, (0, 0, 400))), 3)
    posterior = prior.condition([far])
    torch.testing.assert_close(posterior.mean(), prior.condition([]).mean(), rtol=0, atol=1e-6)
    assert torch.isfinite(posterior.std()).all() and np.isfinite(posterior.log_evidence())
    assert posterior.sample([1]).shape == (1, *GRID.shape_kji)


def test_the_covariate_moves_the_mean_and_has_a_range(prior):
    assert prior.knot_weights(20.0).tolist() == [1, 0] and prior.knot_weights(22.5).tolist() == [0.75, 0.25]
    assert prior.knot_weights(None).tolist() == [0.5, 0.5]
    for age in (19.9, 30.1):
        with pytest.raises(InputError, match="covers 20 to 30"):
            prior.condition([], covariate=age)


def test_a_subject_unlike_the_cohort_gets_a_wider_residual(prior, body):
    field = prior.field(covariate=25.0)
    mild = (field.draw([torch.Generator().manual_seed(1)])[0]).numpy()
    wild = (replace(field, sd=2.5 * field.sd).draw([torch.Generator().manual_seed(1)])[0]).numpy()
    deviation = {}
    for name, array in (("mild", mild), ("wild", wild)):
        posterior = prior.condition([slice_of(Volume(array, GRID), k) for k in (3, 7, 11)], covariate=25.0)
        deviation[name] = float(posterior.std()[5][prior.anatomy_mask[5]].mean())
    assert 1.8 < deviation["wild"] / deviation["mild"] < 3.0


def test_another_canonical_grid_keeps_the_process(prior):
    fine = Grid.centred((28, 30, 32), 2.0)
    posterior = prior.condition([], grid=fine, covariate=20.0)
    assert posterior.grid.same_as(fine) and posterior.mean().shape == fine.shape_kji
    middle = (slice(12, 16),) * 3
    assert float(posterior.mean()[middle].mean()) == pytest.approx(0.4, abs=0.02)
    assert prior.condition([], grid=prior.evaluation_grid).mean().shape == (20, 12, 12)


def test_the_model_of_alignment(prior):
    model = GaussianProcess(prior.parameters).alignment_model(prior.card, spacing_mm=6.0, rank=3)
    assert model.maps.shape == (2 + 1 + 3, *model.grid.shape_kji) and model.grid.spacing_ijk == pytest.approx(
        [6, 6, 6]
    )
    assert model.has_covariate and "t (t)" in model.name and model.min_score == pytest.approx(0.4)
    assert model.size == pytest.approx(56, abs=9) and float(model.centre.abs().max()) < 2
    weights = model.knot_weights(torch.tensor([20.0, 25.0, 30.0, 40.0]))
    torch.testing.assert_close(weights, torch.tensor([[1, 0], [0.5, 0.5], [0, 1], [0, 1.0]]))
    torch.testing.assert_close(model.log_scale(torch.tensor([20.0, 25.0])), torch.tensor([0.2, 0.1]))
    assert model.covariate_values(3).tolist() == [20, 25, 30]


@pytest.fixture(scope="module")
def tempered(parameters) -> StructuredGaussian:
    """The prior with a card that tempers the mean."""
    return StructuredGaussian(
        parameters, CARD.model_copy(update={"tempering": MeanTempering(shared=0.5, power=2)})
    )


@pytest.mark.parametrize("on_the_grid", [True, False])
def test_a_card_may_temper_the_mean_of_parallel_slices(tempered, body, on_the_grid):
    """What was observed stays; deviations, evidence and samples are the exact ones."""
    slices = whole_planes(body, 0, 4, 9)
    slices = slices if on_the_grid else nudged(slices)
    posterior, exact = tempered.condition(slices), tempered.exact(Conditions(slices))
    inside = tempered.anatomy_mask
    mean, deviation = posterior.mean(), posterior.std()
    assert torch.equal(deviation, exact.std()) and posterior.log_evidence() == exact.log_evidence()
    torch.testing.assert_close(mean, tempered.tempered(Conditions(slices), 0.5, 2).mean())
    moved = mean - exact.mean()
    assert float(moved[6:8][inside[6:8]].abs().mean()) > 1e-3
    for k, image in zip((4, 9), slices, strict=True):
        assert float((mean[k] - torch.as_tensor(image.pixels))[inside[k]].abs().mean()) < 0.02
    samples = posterior.sample(range(64))
    assert torch.equal(samples, exact.sample(range(64)))
    off = (8 * (samples.mean(0) - exact.mean()) / deviation)[inside]
    assert 0.6 < float(off.square().mean().sqrt()) < 1.5
    half = tempered.intervals.half_width(0.9) * deviation
    assert torch.allclose(posterior.interval(0.9)[1], mean + half)


def test_the_mean_is_exact_across_slices_in_a_hurry_and_of_anything_else(tempered, parameters, body):
    plain, slices = StructuredGaussian(parameters, CARD), whole_planes(body, 0, 4, 9)
    for given, words in (
        ([], {}),
        ([*slices, *whole_planes(body, 2, 8)], {}),
        (slices, {"fast": True}),
        ([replace(s, noise=0.1) for s in slices], {}),
        ([*slices, along(GRID, 0, "lines", body.array)], {}),
    ):
        ours, exact = tempered.condition(given, **words), plain.condition(given, **words)
        assert type(ours) is type(exact) and torch.equal(ours.mean(), exact.mean())
