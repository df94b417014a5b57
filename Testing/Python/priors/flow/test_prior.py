"""The flow as a prior: what it leaves as its base has it, what its samples are, and where it is its base."""

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.observation.base import observed_voxels
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.flow.network import FlowNetwork, carried, known_of
from SparseVolumeReconstructionLib.priors.flow.prior import FlowPosterior, FlowPrior, to_tensors
from SparseVolumeReconstructionLib.zoo import ModelStore
from SparseVolumeReconstructionLib.zoo.weights import save_weights


@pytest.fixture(scope="module")
def network():
    """One that adds something everywhere."""
    torch.manual_seed(3)
    made = FlowNetwork(8)
    torch.nn.init.normal_(made.end.weight, std=0.3)
    return made.half().float()


@pytest.fixture
def store(tmp_path, write_weights, network):
    """A store with the tiny Gaussian and its flow of two steps."""
    found = ModelStore(tmp_path / "models")
    found.import_file(write_weights(tmp_path / "tiny.safetensors"))
    base = {"id": "tiny", "sha256": found.entry("tiny").sha256}
    card = found.entry("tiny").card.model_copy(update={"id": "carried", "system": "flow"})
    card = card.model_validate(card.model_dump() | {"base": base})
    save_weights(to_tensors(network, 2, 0.25), card, tmp_path / "carried.safetensors")
    found.import_file(tmp_path / "carried.safetensors")
    return found


@pytest.fixture
def flow(store) -> FlowPrior:
    return store.load("carried", "cpu")


def seen(prior, *index, axis: int = 0) -> list[Slice]:
    """Slices of the reference, somewhat brighter."""
    turns = ([0, 1, 2, 3], [0, 2, 1, 3])
    array = np.ascontiguousarray(np.moveaxis(1.1 * prior.reference.array, axis, 0))
    turned = Volume(array, Grid(array.shape, prior.grid.ijk_to_ras[:, turns[axis]]))
    return [slice_of(turned, k, float(turned.grid.spacing_ijk[2])) for k in index]


@pytest.mark.parametrize("given", [(), (4,), (3, 8)])
def test_samples_differ_from_the_bases_but_not_where_it_was_observed(flow, given):
    slices = seen(flow, *given)
    ours, bases = flow.condition(slices), flow.base.condition(slices)
    assert isinstance(ours, FlowPosterior)
    assert torch.equal(ours.mean(), bases.mean()) and torch.equal(ours.std(), bases.std())
    assert ours.log_evidence() == bases.log_evidence()
    samples, there = ours.sample([5, 6]), torch.as_tensor(observed_voxels(slices, flow.grid)[0])
    moved = samples - bases.sample([5, 6]).clamp(min=0)
    assert not moved[:, there].any() and float(moved[:, ~there].abs().mean()) > 1e-3
    assert float(samples.min()) >= 0
    assert float((samples[0] - samples[1])[~there].std()) > 0.3 * float(bases.std()[~there].mean())


def test_a_seed_means_the_same_sample_in_any_company(flow):
    slices = seen(flow, 4)
    one, two = flow.condition(slices).sample([5, 6]), flow.condition(slices).sample([6])
    assert one[1].numpy().tobytes() == two[0].numpy().tobytes() and not torch.equal(one[0], one[1])


def test_is_its_base_across_each_other_and_in_a_hurry(flow):
    for given, words in (
        ([*seen(flow, 4), *seen(flow, 5, axis=1)], {}),
        (seen(flow, 4), {"fast": True}),
    ):
        ours, bases = flow.condition(given, **words), flow.base.condition(given, **words)
        assert type(ours) is type(bases) and torch.equal(ours.sample([1]), bases.sample([1]))
    assert flow.alignment_model() is flow.base.alignment_model() and flow.draws == flow.base.draws
    assert flow.drawing(flow.draws[0]) is flow


def test_other_grids_show_the_same(flow):
    slices = seen(flow, 3, 8)
    finer = flow.grid.with_spacing(flow.grid.spacing_ijk / 2)
    fine = flow.condition(slices, grid=finer).sample([3])[0]
    assert fine.shape == finer.shape_kji
    shown = torch.nn.functional.avg_pool3d(fine[None], 2)[0]
    draw = torch.nn.functional.avg_pool3d(flow.base.condition(slices, grid=finer).sample([3]), 2)[0]
    assert float((shown - draw).abs()[5].mean()) > 1e-3, "it is carried there, too"


def test_at_first_nothing_is_carried_and_steps_add_up():
    volume, std = torch.rand(2, 1, 9, 10, 12).unbind(0)
    known = known_of(volume[0], std[0], torch.full(volume.shape[1:], 5.0))[None]
    new = FlowNetwork(8)
    assert torch.equal(carried(new, volume, known, 3), volume)

    class Clock(FlowNetwork):
        def forward(self, volumes, known, time):
            return (1 + time)[:, None, None, None].expand_as(volumes)

    assert torch.allclose(carried(Clock(8), volume, known, 4), volume + 1 + (0 + 1 + 2 + 3) / 16)


def test_without_its_base_it_is_refused(store, network):
    with pytest.raises(ValueError, match="no base"):
        FlowPrior.from_weights(to_tensors(network, 1, 0.1), store.entry("carried").card, torch.device("cpu"))
