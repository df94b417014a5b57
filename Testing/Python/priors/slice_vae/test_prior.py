"""The slice VAE as a prior: its posterior's arrays, other grids, wrong slices, storing."""

import numpy as np
import pytest
import torch
from priors.slice_vae.conftest import CURVES
from safetensors.torch import save_file

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Plane, Volume
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.slice_vae.network import SliceVae
from SparseVolumeReconstructionLib.priors.slice_vae.prior import SliceVaePrior, to_tensors
from SparseVolumeReconstructionLib.zoo import ModelStore


def slices(prior, *index):
    """The atlas's slices on the prior's own grid."""
    return [slice_of(Volume(prior.space.atlas.numpy(), prior.grid), k) for k in index]


@pytest.mark.parametrize("index", [(), (4,), (1, 4, 7)])
def test_posterior_has_moments_samples_and_intervals(prior, index):
    posterior = prior.condition(slices(prior, *index))
    mean, std, samples = posterior.mean(), posterior.std(), posterior.sample([0, 1, 0])
    assert (
        mean.shape == std.shape == samples.shape[1:] == prior.grid.shape_kji
        and posterior.sample([]).shape[0] == 0
    )
    assert torch.equal(samples[0], samples[2]) and not torch.equal(samples[0], samples[1])
    hidden = [k for k in range(len(mean)) if k not in index]
    assert float(std[hidden].min()) > 0.03, "the decoder's own error is in it"
    low, high = posterior.interval(0.9)
    assert torch.allclose(high - mean, 1.64 * std, atol=1e-3) and (low >= 0).all()
    assert (posterior.log_evidence() == 0.0) == (not index)


def test_spread_is_that_of_many_samples(prior):
    posterior = prior.condition(slices(prior, 3))
    drawn = posterior.sample(list(range(300)))
    hidden = [k for k in range(len(drawn[0])) if k != 3]
    ratio = (posterior.std()[hidden] / drawn.std(0)[hidden]).mean((1, 2))
    assert ratio.mean() == pytest.approx(1, abs=0.1) and ratio.min() > 0.8 and ratio.max() < 1.25
    assert torch.allclose(drawn.mean(0), posterior.mean(), atol=0.03)


def test_seen_slices_are_shown_as_they_are_and_tell_of_their_neighbours(prior):
    decoded = prior.condition([]).mean()
    assert torch.equal(decoded, prior.decode(prior.codes.mean))
    seen = slices(prior, 2, 6)
    posterior = prior.condition(seen)
    for k, image in zip((2, 6), seen, strict=True):
        assert torch.allclose(posterior.mean()[k], torch.as_tensor(image.pixels), atol=2e-3)
    assert float(posterior.std()[2].mean()) < 0.2 * float(posterior.std()[4].mean())
    alone = prior.condition(seen[:1])
    shown = prior.decode(alone.codes.mean)
    error, neighbour = torch.as_tensor(seen[0].pixels) - shown[2], alone.mean()[3] - shown[3]
    assert (neighbour / error).median() == pytest.approx(0.6, abs=0.05), "the correlation of neighbours"


def test_more_slices_leave_less_spread(prior):
    spread = [
        float(prior.condition(slices(prior, *index)).codes.variance().sum())
        for index in ((), (4,), (1, 4, 7), range(9))
    ]
    assert spread == sorted(spread, reverse=True) and len(set(spread)) == 4


def test_other_grids_show_the_same(prior):
    seen = slices(prior, 2, 6)
    own, finer = prior.condition(seen), prior.grid.with_spacing(prior.grid.spacing_ijk / 2)
    on_finer = prior.condition(seen, grid=finer)
    assert on_finer.mean().shape == on_finer.std().shape == on_finer.sample([1])[0].shape == finer.shape_kji
    assert (
        abs(float(on_finer.mean()[4:-4, 4:-4, 4:-4].mean()) - float(own.mean()[2:-2, 2:-2, 2:-2].mean()))
        < 0.02
    )
    assert prior.condition(seen, grid=Grid(prior.grid.shape_kji, prior.grid.ijk_to_ras)).grid is prior.grid
    assert on_finer.log_evidence() == own.log_evidence()


def test_slices_in_another_layout_find_their_place(prior):
    atlas, grid = prior.space.atlas.numpy(), prior.grid
    plain = prior.condition(slices(prior, 5)).mean()
    k = grid.ijk_to_ras @ [0, 0, 5.3, 1]
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 3] = [0, 10, 0], [10, 0, 0], k[:3]
    turned = Slice(atlas[5].T, Plane((16, 16), matrix))
    assert torch.allclose(prior.condition([turned]).mean(), plain, atol=1e-4)
    part = Slice(atlas[5][3:-3], Plane((10, 16), grid.ijk_to_ras @ translation(0, 3, 5)))
    assert torch.allclose(prior.condition([part]).mean(), plain, atol=1e-4), (
        "what is not covered comes from the atlas"
    )
    twice = prior.condition([*slices(prior, 5), turned])
    assert torch.allclose(twice.mean(), plain, atol=1e-4)


def translation(i, j, k):
    """4x4 in index space."""
    matrix = np.eye(4)
    matrix[:3, 3] = i, j, k
    return matrix


def tilted(prior, degrees):
    """The middle slice, turned about its first axis."""
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    image = slices(prior, 4)[0]
    return Slice(image.pixels, image.plane.transformed(turn), "tilted")


def test_slices_that_are_not_axial_or_too_far_are_refused(prior):
    prior.condition([tilted(prior, 4)])
    with pytest.raises(InputError, match="tilted: tilted by 30 degrees; this model knows axial slices only"):
        prior.condition([tilted(prior, 30)])
    image = slices(prior, 8)[0]
    high = Slice(image.pixels, image.plane.transformed(translation(0, 0, 7)), "high")
    with pytest.raises(
        InputError, match="high: at 58 mm of the model's space; this model knows slices between -45 and 51 mm"
    ):
        prior.condition([high])


def test_work_can_be_cancelled(prior):
    class Stop(Exception):
        pass

    def check():
        raise Stop

    with pytest.raises(Stop):
        prior.condition(slices(prior, 4), check=check).mean()


def test_store_loads_what_was_written(prior, tmp_path):
    tensors = (
        to_tensors(prior.network, prior.codes, torch.full(prior.grid.shape_kji, 0.05), CURVES)
        | prior.space.to_tensors()
    )
    save_file(
        {n: t.contiguous() for n, t in tensors.items()},
        tmp_path / "small.safetensors",
        {"card": prior.card.model_dump_json()},
    )
    store = ModelStore(tmp_path / "models")
    store.import_file(tmp_path / "small.safetensors")
    again = store.load("small", "cpu")
    assert (
        isinstance(again, SliceVaePrior)
        and again.grid.same_as(prior.grid)
        and again.reference.grid.same_as(prior.reference.grid)
    )
    assert torch.allclose(
        again.condition(slices(prior, 2)).mean(), prior.condition(slices(prior, 2)).mean(), atol=0.02
    )
    assert again.alignment_model().maps.shape[0] == 1 + 1 + 3


@pytest.mark.parametrize(("size", "width", "blocks"), [(16, 4, 3), (64, 4, 5), (128, 2, 6)])
def test_network_halves_down_to_two_pixels(size, width, blocks):
    network = SliceVae(size, width, 5).eval()
    assert len(network.encoder) == blocks and network.encoder[-1].skip[0].out_channels == width * 2 ** (
        blocks - 1
    )
    mean, log_variance = network.encode(torch.rand(3, size, size))
    assert mean.shape == log_variance.shape == (3, 20)
    assert network.decode(mean).shape == (3, size, size)


def test_a_slices_code_does_not_depend_on_the_others(prior):
    images = torch.rand(5, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(
        prior.network.encode(images)[0][2], prior.network.encode(images[2:3])[0][0], atol=1e-5
    )
