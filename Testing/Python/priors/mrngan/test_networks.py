"""Networks of MRNGAN: what each sees, and the scores of places by hand."""

import pytest
import torch
from pydantic import ValidationError

from SparseVolumeReconstructionLib.priors.mrngan.adversaries import SliceCritics, SliceGenerators
from SparseVolumeReconstructionLib.priors.mrngan.localisers import KINDS, make_localiser, place_scores
from SparseVolumeReconstructionLib.priors.mrngan.network import MrnganSettings


@pytest.mark.parametrize("kind", KINDS)
def test_localisers_say_a_place_for_each_slice(kind):
    localiser = make_localiser(kind, 32, 8, 4, 2)
    found = localiser(torch.rand(3, 32, 32))
    assert found.shape == (3,) and (found > 0).all() and (found < 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_localisers_learn_where_slices_of_a_cone_lie(kind):
    j, i = torch.meshgrid(*[torch.linspace(-1, 1, 16)] * 2, indexing="ij")
    places = torch.linspace(0, 1, 30)
    slices = torch.sigmoid(12 * (0.2 + 0.6 * places[:, None, None] - (j**2 + i**2).sqrt()))
    torch.manual_seed(0)
    localiser = make_localiser(kind, 16, 64, 16, 1)
    optimiser = torch.optim.Adam(localiser.parameters(), 0.003)
    for _ in range(60):
        optimiser.zero_grad()
        ((localiser(slices) - places) ** 2).mean().backward()
        optimiser.step()
    assert float(((localiser(slices) - places) ** 2).mean()) < 0.01, (
        "0.09 where all are said to be in the middle"
    )


def test_the_papers_localiser_has_four_convolutions_of_half_the_filters():
    layers = make_localiser("cnn", 64, 128, 256, 1).body
    assert [layer.out_channels for layer in layers if hasattr(layer, "out_channels")] == [128, 64, 32, 1]


def test_scores_of_places_by_hand():
    """Fifths said: 0 0 1 4; true: 0 1 1 4."""
    scores = place_scores(torch.tensor([0.1, 0.15, 0.3, 1.0]), torch.tensor([0.0, 0.25, 0.35, 0.95]))
    assert scores["accuracy"] == 0.75 and scores["within a tenth"] == 1.0
    assert scores["mse"] == pytest.approx((0.01 + 0.01 + 0.0025 + 0.0025) / 4)
    assert scores["precision"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert scores["recall"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert scores["f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_generators_side_by_side_know_nothing_of_each_other():
    torch.manual_seed(0)
    makers, critics = SliceGenerators(3, 5, 8, 16), SliceCritics(3, 1, 2, 16)
    codes = torch.randn(2, 3, 5)
    other = codes.clone()
    other[:, 1] += 1
    one, two = makers(codes), makers(other)
    assert one.shape == (2, 3, 16, 16) and ((one > 0) & (one < 1)).all()
    assert torch.equal(one[:, ::2], two[:, ::2]) and not torch.allclose(one[:, 1], two[:, 1], atol=1e-4)
    judged, judged_two = critics(one), critics(two)
    assert torch.equal(judged[:, ::2], judged_two[:, ::2]) and not torch.equal(judged[:, 1], judged_two[:, 1])


def test_what_a_step_sees(network):
    """Last slice, state, general brain at the place, direction and noise all reach the next slice."""
    chance = torch.Generator().manual_seed(1)
    state = network.begin(torch.rand(1, 8, 8, generator=chance), torch.tensor([4]))
    noise = torch.randn(1, *network.noise_shape, generator=chance)
    up, down = torch.ones(1), -torch.ones(1)
    plain = network.step(state, up, noise)
    assert plain.place.item() == 5 and network.step(state, down, noise).place.item() == 3
    others = [
        network.step(state._replace(image=state.image.flip(1)), up, noise),
        network.step(state._replace(hidden=state.hidden + 1), up, noise),
        network.step(state._replace(place=state.place + 2), up, noise),
        network.step(state, down, noise),
        network.step(state, up, -noise),
    ]
    for other in others:
        assert (other.image - plain.image).abs().max() > 1e-4
    ends = network.begin(torch.rand(2, 8, 8), torch.tensor([9, 0]))
    assert network.step(ends, torch.tensor([1.0, -1.0]), noise.repeat(2, 1, 1, 1)).image.isfinite().all()


@pytest.mark.parametrize(
    "wrong", [{"size": 24}, {"flow": (4,)}, {"flow": (4,) * 7}, {"pool": 3}, {"hidden": 0}, {"width": 4}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        MrnganSettings(**wrong)
