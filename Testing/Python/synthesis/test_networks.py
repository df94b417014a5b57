"""The networks of synthesis and adaptation against what they must be, in closed form where there is one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from SparseVolumeReconstructionLib.evaluation.metrics import ssim_map
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.synthesis.adaptation.adapt import adapt, aggregate, train_vae
from SparseVolumeReconstructionLib.synthesis.adaptation.config import AdaptationConfig
from SparseVolumeReconstructionLib.synthesis.adaptation.greys import apart, grey_quantiles, matched
from SparseVolumeReconstructionLib.synthesis.adaptation.moments import Aggregate
from SparseVolumeReconstructionLib.synthesis.adaptation.vae import Vae, VaeSettings
from SparseVolumeReconstructionLib.synthesis.pix2pix.network import Generator, SynthesisShape
from SparseVolumeReconstructionLib.synthesis.pix2pix.similarity import ssim_of_slices
from SparseVolumeReconstructionLib.synthesis.pix2pix.tiles import tile_corners, tiled
from SparseVolumeReconstructionLib.training.loop.config import TrainConfig, read_config
from SparseVolumeReconstructionLib.training.loop.task import make_task

from .conftest import visit


def blobs(count: int, seed: int) -> torch.Tensor:
    """Paired scans (count, 2, 20, 20, 20): FLAIR and T1w of small heads."""
    made = [visit(seed + n) for n in range(count)]
    scans = torch.as_tensor(np.array([[one["FLAIR"].array, one["T1w"].array] for one in made]))
    return torch.nn.functional.interpolate(scans, (20, 20, 20))


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5))
def test_divergence_and_distance_of_aggregates(seed, positions, latent):
    """As torch's divergence of normal distributions; the distance of a shift is the shift's square."""
    torch.manual_seed(seed)
    one, other = (
        Aggregate(torch.randn(positions, latent), torch.rand(positions, latent) + 0.1) for _ in "ab"
    )
    normal = [Normal(each.mean, each.variance.sqrt()) for each in (one, other)]
    assert one.divergence_from(other) == pytest.approx(float(kl_divergence(*normal).sum(1).mean()), rel=1e-4)
    shift = torch.randn_like(one.mean)
    moved = Aggregate(one.mean + shift, one.variance)
    assert moved.wasserstein_from(one) == pytest.approx(float((shift**2).sum(1).mean()), rel=1e-4, abs=1e-6)
    assert one.divergence_from(one) == one.wasserstein_from(one) == 0


def test_the_aggregate_is_that_of_the_mixture():
    """Mean and variance of codes drawn from every volume's Gaussian."""
    torch.manual_seed(0)
    mean, log_variance = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    found = Aggregate.of(mean, log_variance)
    drawn = mean + (0.5 * log_variance).exp() * torch.randn(40000, 3, 2, 4)
    drawn = drawn.flatten(0, 1)
    assert torch.allclose(found.mean, drawn.mean(0), atol=0.03)
    assert torch.allclose(found.variance, drawn.var(0), rtol=0.05)


@pytest.mark.parametrize("size", [(8, 8, 8), (9, 14, 11)])
def test_any_size_and_nothing_outside_of_the_head(size):
    """Sizes that the levels do not halve are filled up; where no scan shows anything the result is 0."""
    network = Generator(2, SynthesisShape(entry=3, widths=(4, 8, 8))).eval()
    scans = torch.rand(1, 2, *size)
    scans[..., :3] = 0
    mean, error = network(scans)
    assert mean.shape == error.shape == (1, *size)
    assert not mean[..., :3].any() and not error[..., :3].any()
    assert (mean[..., 3:] > 0).all() and (error[..., 3:] > 0).all()


@pytest.mark.parametrize("codes_of", ["slices", "volumes"])
def test_codes_have_a_position_each(codes_of):
    """A slice's code depends on that slice alone; a volume has one code."""
    settings = VaeSettings(codes_of=codes_of, latent=3, widths=(4, 8))
    vae, volumes = Vae((6, 10, 13), settings).eval(), torch.rand(2, 6, 10, 13)
    mean, _ = vae.encode(volumes)
    assert mean.shape == (2, 6 if codes_of == "slices" else 1, 3)
    assert vae.decode(mean).shape == volumes.shape
    changed = volumes.clone()
    changed[0, 4] = 0
    moved = (vae.encode(changed)[0] - mean).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == ([n == 4 for n in range(6)] if codes_of == "slices" else [True])


def test_generator_and_critic_take_turns_and_learn():
    """Each step moves one of them; the critic tells made from real scans better than before."""
    task = make_task(read_config("pix2pix-tiny"))
    assert [task.rates(step) for step in range(3)] == [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    scans, chance = blobs(2, 0), torch.Generator().manual_seed(0)
    first = task.loss(task.batch(scans, chance), chance, 0)[1]
    assert set(first) == {"l1", "foretold", "structure", "made"} and set(task.loss(scans, chance, 1)[1]) == {
        "critic"
    }


def test_the_similarity_that_is_learned_is_the_one_that_is_measured():
    """But at the border of slices, where windows are cut."""
    truth, made = torch.rand(2, 1, 5, 20, 17)
    found = ssim_of_slices(truth, made)[0, :, 3:-3, 3:-3].numpy()
    assert np.allclose(found, ssim_map(truth[0].numpy(), made[0].numpy())[:, 3:-3, 3:-3], atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "tile"), [((9, 30, 21), (8, 8, 16)), ((5, 7, 6), (8, 8, 8)), ((17, 16, 33), (16, 16, 16))]
)
def test_tiles_cover_every_voxel_and_leave_no_seams(shape, tile):
    """A network that looks at voxels one by one makes the same of tiles as of the whole."""
    scans = torch.rand(1, 2, *shape)
    first, second = tiled(lambda x: (x[:, 0], 2 * x[:, 1]), scans, tile)
    assert torch.allclose(first, scans[:, 0], atol=1e-5)
    assert torch.allclose(second, 2 * scans[:, 1], atol=1e-5)
    assert len(tile_corners(shape, shape)) == 1


def test_patches_are_of_the_head_and_stay_in_the_box():
    """Of the size that the configuration says, wherever the head lies in its box."""
    task, scans = make_task(read_config("pix2pix-tiny")), torch.zeros(2, 2, 20, 20, 20)
    scans[:, :, 17:, :2, 9:12] = 0.5
    for seed in range(5):
        batch = task.batch(scans, torch.Generator().manual_seed(seed))
        assert batch.shape == (2, 2, 16, 16, 16) and (batch[:, 1] > 0).flatten(1).any(1).all()


def test_grey_values_of_a_scanner_are_matched_and_people_stay_different():
    """A rising map between scanners is undone; a head that is darker than the others stays so."""
    one = torch.rand(3, 20, 20, 20) * torch.tensor([0.9, 0.9, 0.7])[:, None, None, None] + 0.05
    one[:, :5] = 0
    other = torch.where(one > 0, 0.3 + 0.5 * one**2, one)
    own, wanted = grey_quantiles(other), grey_quantiles(one)
    found = matched(other, own, wanted)
    assert apart(grey_quantiles(found), wanted) < 0.1 * apart(own, wanted)
    assert not found[:, :5].any() and (found - one).abs().mean() < 0.03
    assert found[2].mean() < 0.9 * found[0].mean()


@pytest.mark.slow
def test_grey_values_of_a_scanner_do_not_change_with_how_closely_heads_are_cut_out():
    """A dark rim around a ball, a sixth of its voxels: quantiles of all voxels would change by 0.07."""
    reach = (torch.arange(40) - 19.5).square()
    reach = (reach[:, None, None] + reach[:, None] + reach).sqrt()
    ball = torch.where(reach < 17, 0.4 + 0.2 * torch.rand(40, 40, 40), 0)
    wide = torch.where((reach >= 17) & (reach < 18), 0.1, ball)
    assert apart(grey_quantiles(ball[None]), grey_quantiles(wide[None])) < 0.005


def test_adaptation_brings_codes_of_another_scanner_to_the_real_ones():
    """What is made of the other scanner's scans is nearer to the real contrast, in the VAE's codes."""
    config = TrainConfig.model_validate(read_config("pix2pix-tiny").model_dump() | {"seed": 1})
    task, source = make_task(config), blobs(4, 0)
    target = (source[:, :1] ** 0.5 * 0.7).clamp(0, 1)
    settings = AdaptationConfig(
        vae=VaeSettings(latent=4, widths=(4, 8)), vae_steps=60, epochs=6, rate=2e-3, weight=0.1
    )
    vae = train_vae(source[:, -1], settings, Progress())
    real = aggregate(vae, source[:, -1])

    def apart() -> float:
        with torch.no_grad():
            made = task.networks.generator.eval()(target)[0]
        return float(aggregate(vae, made).divergence_from(real))

    before = apart()
    adapt(task, source, target, settings, Progress())
    assert apart() < 0.5 * before
