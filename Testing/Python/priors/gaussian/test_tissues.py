"""A process with tissue fields, against an exact joint Gaussian; and the contrast that is found of slices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from priors.tissue_heads import T1W, T2W, fitted_parameters, head, scan

from SparseVolumeReconstructionLib.alignment.intensity import MonotoneMap
from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.card import MeanTempering
from SparseVolumeReconstructionLib.priors.gaussian.parameters import DonorBank, GaussianParameters
from SparseVolumeReconstructionLib.priors.gaussian.seen import SEEN_WIDENING, seen_in
from SparseVolumeReconstructionLib.priors.gaussian.tissues import TISSUES, TissueContrast, TissueFields
from SparseVolumeReconstructionLib.priors.structured_gaussian.prior import StructuredGaussian

T1W_SCAN = TissueContrast(np.column_stack([1000 * T1W, np.zeros((3, 2))]), np.full(3, 10.0))


@pytest.fixture(scope="module")
def parameters() -> GaussianParameters:
    """Fitted to 24 heads, with their tissues."""
    return fitted_parameters()


@pytest.fixture(scope="module")
def prior(parameters, card) -> StructuredGaussian:
    """Of these heads."""
    return StructuredGaussian(parameters, card)


def test_its_own_contrast_is_a_sum_of_the_tissues(parameters):
    """Given the grey values of T1w MRI, the tissues make the process that was fitted to it."""
    again = seen_in(parameters, TissueContrast(np.column_stack([T1W, np.zeros((3, 2))]), np.full(3, 0.01)))
    unit = T1W.max()
    torch.testing.assert_close(unit * again.means, parameters.means, rtol=0, atol=0.01)
    own, same = parameters.loadings.T @ parameters.loadings, unit**2 * again.loadings.T @ again.loadings
    assert float((own - same).norm() / own.norm()) < 0.1
    assert float((unit * again.sd / parameters.sd).median()) == pytest.approx(1, abs=0.25)


def test_what_is_stored_comes_back(parameters):
    stored = {name: t.contiguous() for name, t in parameters.to_tensors().items()}
    again = GaussianParameters.from_tensors(stored).tissues
    assert torch.equal(again.loadings, parameters.tissues.loadings)
    torch.testing.assert_close(again.means, parameters.tissues.means, rtol=0, atol=0.5 / 255 + 1e-6)
    largest = parameters.tissues.covariance.abs().amax(1, keepdim=True)
    assert bool(((again.covariance - parameters.tissues.covariance).abs() <= largest / 250).all())


def test_grey_values_are_found_and_the_head_with_them(prior):
    """Slices of a T2w-like scan of somebody else: its grey values, and a better head than the mean of all."""
    shares = head(100)
    truth, slices = scan(shares, T2W)
    plain = MonotoneMap(np.array([0.0, 900.0]), np.array([0.0, 1.0]))
    seen = prior.seen_by(slices, plain)
    assert seen.gain > 20 and list(seen.shades) == list(TISSUES)
    found = [row[0] for row in seen.shades.values()]
    np.testing.assert_allclose(found, T2W.shades[:, 0], rtol=0.2, atol=60)
    straight = MonotoneMap(np.array([0.0, seen.unit]), np.array([0.0, 1.0]))
    posterior = seen.prior.condition([s.with_intensity(straight) for s in slices])
    mask, mean = prior.parameters.mask, seen.prior.field().mean
    errors = [float(np.std((seen.unit * m.numpy() - truth)[mask])) for m in (posterior.mean(), mean)]
    assert errors[0] < 0.8 * errors[1]
    known = prior.seen_in(seen.shades)
    assert known.prior is seen.prior and known.unit == seen.unit


def test_samples_start_alike_in_every_contrast(parameters, card):
    bank = DonorBank.of(parameters.means.repeat(2, 1).numpy(), np.zeros(2), mirror=True)
    prior, shades = StructuredGaussian(replace(parameters, donors=bank), card), T2W.to_dict()
    assert prior.seen_in(shades).prior.draws[0] == "donors"
    assert prior.drawing("gaussian").seen_in(shades).prior.draws == ("gaussian",)


def test_tissues_are_those_of_the_exact_joint_gaussian(card, parameters):
    """Where one residual is shared, the maps are the dense posterior of tissues and scan together."""
    g = torch.Generator().manual_seed(0)
    grid, mask = Grid.centred((5, 4, 4), 4.0), np.ones((5, 4, 4), bool)
    share = 0.03 + 0.03 * torch.rand(4, 80, generator=g)
    first, second = torch.triu_indices(4, 4)
    step, loadings = 0.004, torch.randint(-20, 20, (3, 2, 80), generator=g).to(torch.int8)
    means = 0.4 + 0.2 * torch.rand(3, 80, generator=g)
    fields = TissueFields(means, loadings, step, share[first] * share[second])
    curves = tuple(torch.tensor([1.0, 0.6, 0.3]) for _ in "kji")
    small = replace(parameters, grid=grid, evaluation_grid=grid, mask=mask, curves=curves, tissues=fields)
    small = replace(small, reference=torch.zeros(5, 4, 4))
    contrast = TissueContrast(np.column_stack([[1.0, 0.5, 0.3], np.zeros((3, 2))]), np.zeros(3))
    prior = StructuredGaussian(seen_in(small, contrast), card)
    prior.adapt, field = False, prior.field()
    pixels = torch.rand(2, 4, 4, generator=g).numpy()
    slices = [
        replace(slice_of(Volume(np.eye(4, dtype=np.float32)[None].repeat(5, 0), grid), k + 1), pixels=p)
        for k, p in enumerate(pixels)
    ]
    maps = prior.tissues(prior.condition(slices))

    own = replace(small, means=0.5 + 0 * means[:1], loadings=0.02 * torch.ones(2, 80), sd=share[0])
    shown = StructuredGaussian(own, card).shown_in(prior, None).condition(slices)

    k, j, i = (c.double() for c in field.correlations)
    correlation = torch.kron(torch.kron(k, j), i)
    shades = torch.tensor([1.0, 0.5, 0.3]).double()
    w = step * loadings.double()
    w_c, share_c = torch.einsum("t,trn->rn", shades, w), shades @ share[1:].double()
    seen = torch.zeros(80, dtype=torch.bool).reshape(5, 16)
    seen[1:3] = True
    seen = seen.flatten()
    cross = w.transpose(1, 2) @ w_c + share[1:, :, None].double() * correlation * share_c
    s = (w_c.T @ w_c + share_c[:, None] * correlation * share_c)[seen][:, seen]
    s += field.noise * torch.diag(share_c[seen] ** 2)
    difference = torch.as_tensor(pixels).double().flatten() - (shades @ means.double())[seen]
    exact = means.double() + cross[:, :, seen] @ torch.linalg.solve(s, difference)
    cross_own = 0.02 * torch.ones(80, 2).double() @ w_c + share[0, :, None].double() * correlation * share_c
    of_own = 0.5 + cross_own[:, seen] @ torch.linalg.solve(s, difference)
    torch.testing.assert_close(shown.mean().flatten().double(), of_own, rtol=0, atol=2e-3)
    for t, name in enumerate(TISSUES):
        found = maps[name][0].flatten().double()
        torch.testing.assert_close(found, exact[t].clamp(0, 1), rtol=0, atol=2e-3)
        variance = (w[t] ** 2).sum(0) + share[t + 1].double() ** 2
        gain = torch.linalg.solve(s, cross[t][:, seen].T)
        left = (variance - (cross[t][:, seen].T * gain).sum(0)).clamp(min=0).sqrt()
        own = maps[name][1].flatten() / SEEN_WIDENING[t]
        assert float((own - left).abs().max()) < 0.25 * float(variance.sqrt().max())


def test_a_tempered_mean_leaves_tissues_and_other_contrasts_exact(parameters, card):
    how = card.model_copy(update={"tempering": MeanTempering(shared=0.5, power=2)})
    straight = MonotoneMap(np.array([0.0, 1000.0]), np.array([0.0, 1.0]))
    slices = [s.with_intensity(straight) for s in scan(head(100), T1W_SCAN)[1]]
    found, shades = [], T2W.to_dict()
    for prior in (StructuredGaussian(parameters, card), StructuredGaussian(parameters, how)):
        posterior = prior.condition(slices)
        shown, other = prior.shown_in(prior, shades), prior.seen_in(shades).prior
        shares = [share for pair in prior.tissues(posterior).values() for share in pair]
        means = [given.condition(slices).mean() for given in (shown, other)]
        found.append([posterior.mean(), *shares, *means])
    (exact, *others), (tempered, *same) = found
    assert not torch.allclose(exact, tempered, atol=0.01) and len(same) == 8
    assert all(map(torch.equal, others, same))


@pytest.mark.parametrize("wanted", [None, T1W_SCAN.to_dict()])
def test_what_is_shown_is_as_uncertain_as_was_measured(parameters, card, wanted):
    """A factor on what is not known: deviations, intervals and samples go with it, the mean does not."""
    prior = StructuredGaussian(parameters, card)
    seen = prior.seen_in(T2W.to_dict()).prior
    scale = MonotoneMap(np.array([0, T2W.unit]), np.array([0, 1.0]))
    slices = [s.with_intensity(scale) for s in scan(head(103), T2W)[1]]
    plain, wider = (prior.shown_in(seen, wanted, by).condition(slices) for by in (1.0, 1.5))
    mean = plain.mean()
    torch.testing.assert_close(wider.mean(), mean)
    torch.testing.assert_close(wider.std(), 1.5 * plain.std())
    torch.testing.assert_close(wider.interval(0.9)[1] - mean, 1.5 * (plain.interval(0.9)[1] - mean))
    torch.testing.assert_close(wider.sample([2, 5]) - mean, 1.5 * (plain.sample([2, 5]) - mean))
    assert prior.shown_in(seen, wanted, 1.5).drawing(prior.draws[0]).wider == 1.5


def test_slices_of_one_contrast_are_shown_in_another(parameters, card):
    """T2w slices of somebody else as T1w would show the head, and the reverse: mean, sd, samples."""
    prior = StructuredGaussian(parameters, card)
    mask, heads = parameters.mask, [head(100 + n) for n in range(6)]
    for shades, wanted in ((T2W.to_dict(), None), (None, T2W.to_dict())):
        seen = prior if shades is None else prior.seen_in(shades).prior
        shown = prior.shown_in(seen, wanted)
        unit = T2W.unit if wanted else 1.0
        errors, usual, z = [], [], []
        for shares in heads:
            contrast, white = (T1W_SCAN, 1000.0) if shades is None else (T2W, T2W.unit)
            scale = MonotoneMap(np.array([0, white]), np.array([0, 1.0]))
            posterior = shown.condition([s.with_intensity(scale) for s in scan(shares, contrast)[1]])
            truth = np.tensordot(T2W.shades[:, 0] / unit if wanted else T1W, shares, 1)[mask]
            mean, std = (t.numpy()[mask] for t in (posterior.mean(), posterior.std()))
            errors.append(np.mean((mean - truth) ** 2))
            usual.append(np.mean((shown.condition([]).mean().numpy()[mask] - truth) ** 2))
            z.append(np.mean((mean - truth) ** 2 / std**2))
        assert sum(errors) < 0.4 * sum(usual), (errors, usual)
        assert 0.2 < np.mean(z) < 2.5, z
        samples = posterior.sample(list(range(24)))[:, torch.as_tensor(mask)]
        far = (samples.mean(0) - posterior.mean()[torch.as_tensor(mask)]).abs().mean()
        assert float(far) < 0.3 * float(std.mean())
        assert float(samples.std(0).mean()) == pytest.approx(float(std.mean()), rel=0.3)
        torch.testing.assert_close(posterior.sample([3])[0][mask], samples[3])
        maps, same = shown.tissues(posterior), seen.tissues(posterior.seen)
        assert all(torch.equal(maps[name][0], same[name][0]) for name in TISSUES)


def test_a_process_without_tissues_knows_one_contrast(parameters, card):
    plain = StructuredGaussian(replace(parameters, tissues=None), card)
    _, slices = scan(head(1), T2W)
    assert not plain.knows_tissues and plain.tissues(plain.condition([])) == {}
    assert plain.seen_by(slices, MonotoneMap.identity()) is None and plain.seen_in({}) is None
    with pytest.raises(InputError, match="shows no contrast but its own"):
        plain.shown_in(plain, None)
