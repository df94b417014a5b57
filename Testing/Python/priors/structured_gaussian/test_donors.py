"""Samples that start from real anatomy: what they share with the exact posterior, and with noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from SparseVolumeReconstructionLib.data.fractions import shares_of
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Plane, Volume
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.observation.planes import plane_operator
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.card import Covariate, ModelCard
from SparseVolumeReconstructionLib.priors.gaussian.fit import Rows, fit_gaussian
from SparseVolumeReconstructionLib.priors.gaussian.parameters import DonorBank, GaussianParameters
from SparseVolumeReconstructionLib.priors.gaussian.sharpness import blur_between
from SparseVolumeReconstructionLib.priors.gaussian.tissue_fit import fit_tissues
from SparseVolumeReconstructionLib.priors.gaussian.tissues import TissueContrast
from SparseVolumeReconstructionLib.priors.structured_gaussian.prior import StructuredGaussian

GRID = Grid.centred((11, 12, 12), 4.0)
WORDS = ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data")
CARD = ModelCard(id="t", system="structured-gaussian", **dict.fromkeys(WORDS, "t"))
PEOPLE = 100
LEVELS = np.array([0.2, 0.55, 0.85])  # of tissues


@pytest.fixture(scope="module")
def parameters() -> GaussianParameters:
    """A ball whose donors are draws from the Gaussian itself; mirror images are not."""
    g = torch.Generator().manual_seed(0)
    mask = (np.linalg.norm(GRID.points_ras(), axis=1) < 24).reshape(GRID.shape_kji)
    count = int(mask.sum())
    alone = GaussianParameters(
        grid=GRID,
        evaluation_grid=GRID,
        mask=mask,
        means=torch.full((1, count), 0.6),
        knots=torch.zeros(1),
        loadings=0.05 * torch.randn(3, count, generator=g),
        sd=torch.full((count,), 0.06),
        curves=tuple(torch.tensor([1.0, 0.6, 0.3]) for _ in "kji"),
        noise=0.02,
        multipliers=(0.6, 1.2, 1.7, 2.1),
        scale_knots=torch.zeros(1, 2),
        reference=torch.rand(GRID.shape_kji, generator=g),
    )
    drawn = StructuredGaussian(alone, CARD).condition([]).sample(range(PEOPLE)).numpy()[:, mask]
    return replace(alone, donors=DonorBank.of(drawn, np.zeros(PEOPLE), mirror=False))


@pytest.fixture(scope="module")
def prior(parameters) -> StructuredGaussian:
    """As fitted, whatever the subject."""
    prior = StructuredGaussian(parameters, CARD)
    prior.adapt = False
    return prior


def seen(prior: StructuredGaussian, tilted: bool) -> list[Slice]:
    """Two slices of a body of the cohort: of the grid, or tilted."""
    body = Volume(prior.drawing("gaussian").condition([]).sample([2**33])[0].numpy(), GRID)
    slices = [slice_of(body, k) for k in (3, 7)]
    if not tilted:
        return slices
    turn = np.eye(4)
    turn[:3, :3] = [[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]]
    planes = [Plane(s.plane.shape_ji, turn @ s.plane.ij_to_ras, 4.0) for s in slices]
    operator = plane_operator(planes, GRID)
    values = operator.forward(torch.as_tensor(body.array)[None])[0].split([k.sum() for k in operator.keep])
    tilts = [Slice(np.eye(*plane.shape_ji), plane) for plane in planes]
    for tilt, keep, own in zip(tilts, operator.keep, values, strict=True):
        tilt.pixels[keep] = own
    return tilts


@pytest.mark.parametrize("tilted", [False, True])
def test_samples_of_enough_donors_have_the_mean_and_spread_of_the_posterior(prior, tilted):
    """Donors from the prior itself give samples from the posterior itself."""
    posterior = prior.condition(seen(prior, tilted))
    inside = torch.as_tensor(prior.parameters.mask)
    samples = posterior.sample(range(PEOPLE))[:, inside]
    mean, std = posterior.mean()[inside], posterior.std()[inside]
    away = (samples.mean(0) - mean).square().mean() / std.square().mean() * PEOPLE
    assert away < 3, "as near as by chance"
    assert ((samples - mean).square().mean() / std.square().mean()).sqrt() == pytest.approx(1, abs=0.06)
    known = posterior.std() < 0.5 * prior.condition([]).std()
    assert known[inside].any() and (samples - mean)[:, known[inside]].std() < 0.05, "what was seen stays so"


@pytest.fixture(scope="module")
def with_tissues(parameters) -> StructuredGaussian:
    """Fitted to people with tissues, from fluid at the one end of the ball to white matter at the other."""
    ramp = torch.linspace(0.25, 0.8, parameters.means.shape[1])[None]
    alone = StructuredGaussian(replace(parameters, means=ramp, donors=None), CARD)
    people = alone.condition([]).sample(range(120)).numpy()[:, parameters.mask]
    fitted, bank = people[:80].astype(np.float16), DonorBank.of(people[80:], np.zeros(40), mirror=False)
    rows = Rows(fitted, np.arange(80), np.zeros(80))
    own = fit_gaussian(rows, parameters.mask, GRID, GRID, rank=3)
    shares = [each.astype(np.float16) for each in shares_of(fitted.astype(np.float32), LEVELS)]
    return StructuredGaussian(replace(own, donors=bank, tissues=fit_tissues(rows, shares, 3)), CARD)


@pytest.mark.parametrize("within", [None, 0.01, 0.2])
@pytest.mark.parametrize("tilted", [None, False, True])
def test_samples_spread_in_every_contrast_as_the_standard_deviation_says(with_tissues, within, tilted):
    """In the own contrast, and in another in which each tissue has one grey value, or many: donors show none.

    Without slices, and with slices of the grid or tilted ones.
    """
    prior, inside = with_tissues, torch.as_tensor(with_tissues.parameters.mask)
    if within is not None:
        shades = np.column_stack([[1.0, 0.5, 0.3], np.zeros((3, 2))])
        prior = prior.seen_in(TissueContrast(shades, np.full(3, within)).to_dict()).prior
    prior.adapt = False
    posterior = prior.condition([] if tilted is None else seen(prior, tilted))
    away = (posterior.sample(range(40)) - posterior.mean())[:, inside]
    expected = posterior.std()[inside].square().mean()
    assert (away.square().mean() / expected).sqrt() == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("tilted", [False, True])
def test_a_seed_is_one_sample_in_any_company(prior, tilted):
    posterior = prior.condition(seen(prior, tilted))
    several = posterior.sample([3, 7, 3 + PEOPLE])
    assert torch.equal(posterior.sample([7])[0], several[1]) and (several >= 0).all()
    assert (several[0] - several[1]).std() > 0.02, "other donors"
    one, again, other = (prior._donors.volume(seed)[4:-4, 4:-4, 4:-4].ravel() for seed in (3, 3 + PEOPLE, 7))
    alike = torch.corrcoef(torch.stack([one, again, other]))[0]
    assert 0.8 < alike[1] < 0.999 and alike[2] < 0.6, "the same person, a little deformed, and another one"


def test_noise_remains_and_is_what_it_was(prior, parameters):
    """Byte for byte; and nothing else of the posterior knows of donors."""
    without = StructuredGaussian(replace(parameters, donors=None), CARD)
    without.adapt = False
    assert prior.draws == ("donors", "gaussian") and without.draws == ("gaussian",)
    assert prior.drawing(None) is prior.drawing("donors") is prior
    for tilted in (False, True):
        pair = [p.condition(seen(prior, tilted)) for p in (prior.drawing("gaussian"), without)]
        assert torch.equal(*(p.sample([5]) for p in pair))
        assert torch.equal(prior.condition(seen(prior, tilted)).mean(), pair[1].mean())
        assert torch.equal(prior.condition(seen(prior, tilted)).std(), pair[1].std())
    with pytest.raises(InputError, match="t draws no samples by way of donors; expected gaussian"):
        without.drawing("donors")


def test_without_slices_samples_differ_as_donors_do_and_mirror_images_double_them(parameters):
    donors = parameters.donors
    few = DonorBank(donors.volumes[:4], donors.covariate[:4], mirror=True)
    stored = GaussianParameters.from_tensors(replace(parameters, donors=few).to_tensors())
    assert torch.equal(stored.donors.volumes, few.volumes) and stored.donors.mirror
    heads = StructuredGaussian(stored, CARD).condition([]).sample(range(8))
    people = torch.zeros(2, *GRID.shape_kji)
    people[:, torch.as_tensor(parameters.mask)] = torch.stack([few.values(1), few.values(2)])
    assert torch.allclose(heads[1:3], people, atol=1e-3), "the people themselves"
    assert torch.allclose(heads[6], heads[2].flip(-1), atol=1e-3)
    assert torch.pdist(heads.flatten(1)).min() > 0.02 * GRID.size**0.5


AGED = CARD.model_copy(update={"covariate": Covariate(name="age", unit="weeks", low=21, high=35)})
AGES = np.array([21.0, 22, 23, 24, 26, 29, 30, 31, 32, 34])


@pytest.fixture(scope="module")
def templates(parameters) -> GaussianParameters:
    """Templates of all ages, fitted with their relatives; the mean is brighter with age."""
    knots = torch.arange(21.0, 36, 2)
    means = (0.3 + 0.02 * (knots - 21))[:, None] * torch.ones_like(parameters.sd)
    expected = np.interp(AGES, knots.numpy(), means[:, 0].numpy())[:, None]
    people = parameters.donors.values(0).numpy()[None] * np.ones((len(AGES), 1)) - 0.6 + expected
    people = people + 0.05 * np.random.default_rng(5).normal(size=people.shape)
    bank = DonorBank.of(people, AGES, mirror=False, fitted=True)
    scales = torch.zeros(len(knots), 2)
    return replace(parameters, means=means, knots=knots, scale_knots=scales, donors=bank)


@pytest.mark.parametrize(
    "age,near", [(21.0, [21, 22, 23, 24]), (31.0, [31, 30, 32, 29]), (None, [29, 26, 30])]
)
def test_templates_are_chosen_by_age(templates, age, near):
    """Those within two weeks, four at least; without an age the middle of the range counts."""
    prior = StructuredGaussian(GaussianParameters.from_tensors(templates.to_tensors()), AGED)
    chosen = [AGES[n] for n in prior._donors.near(age)]
    assert chosen[: len(near)] == near and len(chosen) >= 4
    age = float(templates.knots.mean()) if age is None else age
    assert max(abs(each - age) for each in chosen) <= 5
    inside = torch.as_tensor(templates.mask)
    heads = prior.condition([], covariate=age).sample(range(2 * len(chosen)))[:, inside]
    assert float(heads.mean()) == pytest.approx(0.3 + 0.02 * (age - 21), abs=0.06), "as bright as at that age"
    assert len(prior.donors(GRID)) == len(AGES), "whoever is near: a distance to donors counts all"


def test_each_draw_of_a_fitted_template_is_a_new_relative(templates):
    """The first as the later ones; donors who were not fitted come as they are."""
    count = len(StructuredGaussian(templates, AGED)._donors.near(31))
    for fitted in (True, False):
        bank = replace(templates.donors, fitted=fitted)
        own = StructuredGaussian(replace(templates, donors=bank), AGED)._donors
        person = own._filled(bank.values(own.near(31)[0]))
        first, again = own.volume(0, 31), own.volume(count, 31)
        assert torch.equal(first, person) is not fitted
        assert torch.equal(first, own.volume(0, 31)) and not torch.equal(first, again)


def test_a_widened_prior_spreads_donors_wider(prior):
    """As misfit asks: the whole prior, around a mean that stays."""
    field = prior.field()
    away = [prior._donors.draw(1, field, wider=wider) - field.mean for wider in (1.0, 2.0)]
    assert torch.allclose(away[1], 2 * away[0], atol=1e-6) and away[0].abs().max() > 0.05


@pytest.mark.parametrize("blur_mm", [0.0, 0.9, 1.5])
def test_donors_are_as_sharp_as_the_slices_and_never_sharpened(blur_mm):
    """The blur between pictures is found whatever their contrast; one in the other direction is none."""
    chance = np.random.default_rng(3)

    def pictures(count, mm):
        noise = gaussian_filter(chance.normal(size=(count, 70, 100)), (0, 0.6, 0.4))
        return torch.as_tensor(gaussian_filter(noise, (0, mm / 2.0, mm / 3.0))).float()

    soft = [3 * pictures(2, math.hypot(0.5, blur_mm)) for _ in range(2)]
    found = blur_between([pictures(6, 0.5)] * 2, soft, [(2.0, 3.0)] * 2)
    assert found == pytest.approx(blur_mm, abs=0.2)
    assert blur_between([pictures(6, 1.5)], [pictures(1, 0.5)], [(2.0, 3.0)]) == 0
    coarse = [pictures(1, 1)]
    assert blur_between([], [], []) == blur_between(coarse, coarse, [(50.0, 50.0)]) == 0


def test_donors_of_a_blurred_scan_are_blurred_about_the_mean(prior):
    body, field = prior.drawing("gaussian").condition([]).sample([2**33])[0].numpy(), prior.field()
    sharp, detail = prior._donors.draw(4, field)[0] - field.mean, []
    for mm in (0.0, 6.0):
        soft = np.stack([gaussian_filter(plane, mm / GRID.spacing_ijk[0]) for plane in body])
        slices = [slice_of(Volume(soft, GRID), k) for k in (2, 5, 8)]
        donor = prior.condition(slices)._donor(4)[0]
        away = donor - field.mean
        detail.append(float(away.diff(dim=-1).std()))
        assert float(away.norm()) == pytest.approx(float(sharp.norm()), rel=0.1), "as wide as before"
    assert detail[0] == pytest.approx(float(sharp.diff(dim=-1).std())) and detail[1] < 0.9 * detail[0]
