"""A generator of volumes as a prior: its networks, its posterior's arrays, storing."""

import pytest
import torch
from safetensors.torch import save_file

from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.volume_gan.network import (
    CodeCritic,
    Generator,
    Tower,
    VolumeSettings,
    along_stack,
)
from SparseVolumeReconstructionLib.priors.volume_gan.prior import VolumeGanPrior, to_tensors
from SparseVolumeReconstructionLib.zoo import ModelStore


def drawn(prior, seed=1):
    """A body of the prior, (K, H, W)."""
    return prior.decode(torch.randn(1, 5, generator=torch.Generator().manual_seed(seed)))[0]


def slices(prior, body, *index):
    """Slices of a body on the prior's own grid."""
    return [slice_of(Volume(body.numpy(), prior.grid), k) for k in index]


@pytest.mark.parametrize(
    ("shape", "start"),
    [
        ({"depth": 64, "size": 64, "widths": (8, 16, 32, 64)}, (64, 4, 4, 4)),
        ({"depth": 16, "size": 32, "widths": (4, 8)}, (8, 4, 8, 8)),
        ({"depth": 128, "size": 128, "widths": (2, 2, 2, 2, 4)}, (4, 4, 4, 4)),
    ],
)
def test_networks_halve_and_double(shape, start):
    settings = VolumeSettings(latent=7, **shape)
    assert settings.start == start
    volumes = Generator(settings)(torch.randn(2, 7))
    assert (
        volumes.shape == (2, shape["depth"], shape["size"], shape["size"])
        and volumes.min() > 0
        and volumes.max() < 1
    )
    tower = Tower(settings, 3, normalise=True)
    assert tower(volumes).shape == (2, 3) and tower.features(volumes).shape == (2, *start)
    assert CodeCritic(7, 5)(torch.randn(2, 7)).shape == (2, 1)


@pytest.mark.parametrize("normalise", [False, True])
def test_a_volumes_result_does_not_depend_on_the_others(normalise):
    settings = VolumeSettings(depth=8, size=16, slices=10, latent=5, widths=(6, 8))
    torch.manual_seed(0)
    generator, tower, codes = Generator(settings), Tower(settings, 2, normalise), torch.randn(3, 5)
    volumes = generator(codes)
    assert torch.allclose(generator(codes[1:2])[0], volumes[1], atol=1e-5)
    assert torch.allclose(tower(volumes[1:2])[0], tower(volumes)[1], atol=1e-5)


def test_a_generator_of_other_codes(prior):
    mean = torch.randn(5, generator=torch.Generator().manual_seed(0)).double()
    root = torch.randn(5, 5, generator=torch.Generator().manual_seed(1)).double()
    factor = torch.linalg.cholesky(root @ root.T + torch.eye(5))
    z = torch.randn(3, 5, generator=torch.Generator().manual_seed(2))
    other = prior.generator.with_codes(mean, factor @ factor.T)
    assert torch.allclose(other(z), prior.generator((mean + z.double() @ factor.T).float()), atol=1e-5)
    assert not torch.allclose(other(z), prior.generator(z), atol=1e-2), "the generator itself stays as it was"


@pytest.mark.parametrize(("slices", "wanted"), [(120, 64), (64, 120), (24, 16), (10, 10)])
def test_stacks_are_resampled_linearly(slices, wanted):
    weights = along_stack(slices, wanted)
    assert weights.shape == (wanted, slices) and torch.allclose(weights.sum(1), torch.ones(wanted), atol=1e-5)
    ramp = (torch.arange(slices) + 0.5) / slices
    inner = slice(wanted // 8, wanted - wanted // 8)
    assert torch.allclose((weights @ ramp)[inner], ((torch.arange(wanted) + 0.5) / wanted)[inner], atol=2e-3)
    if slices == 120:
        alternating = (-1.0) ** torch.arange(slices)
        assert (weights @ alternating).abs()[inner].max() < 0.3, "what is too fine is not aliased"
    if slices == wanted:
        assert torch.equal(weights, torch.eye(slices))


@pytest.mark.parametrize("index", [(), (4,), (1, 4, 8)])
def test_posterior_has_moments_samples_and_intervals(prior, index):
    posterior = prior.condition(slices(prior, drawn(prior), *index))
    mean, std, samples = posterior.mean(), posterior.std(), posterior.sample([0, 1, 0])
    assert mean.shape == std.shape == samples.shape[1:] == prior.grid.shape_kji and posterior.sample(
        []
    ).shape == (0, *mean.shape)
    assert torch.equal(samples[0], samples[2]) and not torch.equal(samples[0], samples[1])
    assert float(std.min()) >= 0.05 - 1e-6, "what the generator leaves unexplained is in it"
    low, high = posterior.interval(0.9)
    assert torch.allclose(high - mean, 1.64 * std, atol=1e-3) and (low >= 0).all()
    assert (posterior.log_evidence() == 0.0) == (not index)


def test_samples_of_nothing_are_those_of_the_generator(prior):
    posterior = prior.condition([])
    code = torch.randn(5, generator=torch.Generator().manual_seed(7))
    assert torch.allclose(posterior.sample([7])[0], prior.decode(code[None])[0], atol=1e-6)
    many = posterior.sample(list(range(256)))
    assert float((posterior.mean() - many.mean(0)).abs().mean() / many.std(0).mean()) < 0.2


def test_slices_bring_the_body_nearer(prior):
    body = drawn(prior)
    error, spread = [], []
    for index in ((), (5,), range(1, 10, 2)):
        posterior = prior.condition(slices(prior, body, *index))
        error.append(float((posterior.mean() - body).square().mean().sqrt()))
        samples = posterior.sample(list(range(8)))
        spread.append(float(samples.std(0).mean()))
    assert max(error[1:]) < 0.3 * error[0], error
    assert spread[2] < spread[1] < 0.3 * spread[0], spread


def test_a_fast_mean_is_that_of_the_most_likely_code(prior):
    seen = slices(prior, drawn(prior), 2, 6)
    fast = prior.condition(seen, fast=True)
    assert (
        torch.allclose(fast.mean(), prior.decode(fast.mode()[None])[0])
        and not fast._moments.cache_info().currsize
    )
    better = prior.condition(seen)
    assert better.codes.log_joint(better.mode()) >= better.codes.log_joint(fast.mode())


def test_the_right_body_is_the_more_likely_one(prior):
    seen, other = slices(prior, drawn(prior), 2, 5, 7), slices(prior, drawn(prior).flip(1), 2, 5, 7)
    assert prior.condition(seen).log_evidence() > prior.condition(other).log_evidence()


def test_work_can_be_cancelled(prior):
    class Stop(Exception):
        pass

    def check():
        raise Stop

    with pytest.raises(Stop):
        prior.condition(slices(prior, drawn(prior), 4), check=check).mean()


def test_store_loads_what_was_written(prior, tmp_path):
    tensors = to_tensors(prior.generator, prior.residual_sd) | prior.space.to_tensors()
    save_file(
        {n: t.contiguous() for n, t in tensors.items()},
        tmp_path / "small.safetensors",
        {"card": prior.card.model_dump_json()},
    )
    store = ModelStore(tmp_path / "models")
    store.import_file(tmp_path / "small.safetensors")
    again = store.load("small", "cpu")
    assert isinstance(again, VolumeGanPrior) and again.grid.same_as(prior.grid)
    seen = slices(prior, drawn(prior), 2)
    assert torch.allclose(again.condition(seen).mean(), prior.condition(seen).mean(), atol=0.02)


def test_a_generator_of_another_grid_is_refused(prior):
    with pytest.raises(ValueError, match="on a grid of"):
        VolumeGanPrior(
            Generator(VolumeSettings(depth=8, size=8, slices=10, latent=5, widths=(6, 8))),
            prior.residual_sd,
            prior.space,
            prior.card,
        )
