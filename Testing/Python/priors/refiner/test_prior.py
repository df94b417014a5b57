"""The refiner as a prior: what it leaves as its base has it, what it moves, and where it is its base."""

import numpy as np
import pytest
import torch
from reconstruction.test_observations import along

from SparseVolumeReconstructionLib.geometry import Plane, Volume
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.observation.base import observed_voxels
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.base import Conditions
from SparseVolumeReconstructionLib.priors.refiner.network import RefinerNetwork, inputs_of
from SparseVolumeReconstructionLib.priors.refiner.prior import RefinedPrior, Refinement, to_tensors
from SparseVolumeReconstructionLib.zoo import ModelStore
from SparseVolumeReconstructionLib.zoo.weights import save_weights

DISTANCES, WIDTHS = (10.0, 30.0), (0.5, 1.5)
REFINEMENT = Refinement(0.5, 2.0, DISTANCES, WIDTHS)


@pytest.fixture(scope="module")
def network():
    """One that adds something everywhere."""
    torch.manual_seed(3)
    made = RefinerNetwork(24, (-4.0, 0.0, 4.0))
    torch.nn.init.normal_(made.end.weight, std=0.1)
    return made.half().float()


@pytest.fixture
def store(tmp_path, write_weights, network):
    """A store with the tiny Gaussian and its refiner."""
    found = ModelStore(tmp_path / "models")
    found.import_file(write_weights(tmp_path / "tiny.safetensors"))
    base = {"id": "tiny", "sha256": found.entry("tiny").sha256}
    card = found.entry("tiny").card.model_copy(update={"id": "refined", "system": "refiner"})
    card = card.model_validate(card.model_dump() | {"base": base})
    save_weights(to_tensors(network, REFINEMENT), card, tmp_path / "refined.safetensors")
    found.import_file(tmp_path / "refined.safetensors")
    return found


@pytest.fixture
def refined(store) -> RefinedPrior:
    return store.load("refined", "cpu")


def seen(prior, *index) -> list[Slice]:
    """Slices of the reference, somewhat brighter."""
    return [slice_of(Volume(1.1 * prior.reference.array, prior.grid), k) for k in index]


def tilted(prior, degrees: float = 37) -> Slice:
    """A plane through the middle, turned about the axis from front to back."""
    matrix, turn = np.eye(4), np.radians(degrees)
    matrix[:3, 0], matrix[:3, 1] = 10 * np.array([np.cos(turn), 0, np.sin(turn)]), 10 * np.array([0, 1, 0.0])
    matrix[:3, 3] = -matrix[:3, :2] @ [4.5, 4.5]
    return Slice(
        np.linspace(0.5, 0.7, 100).reshape(10, 10).astype(np.float32), Plane((10, 10), matrix, 5.0), "tilted"
    )


@pytest.mark.parametrize("how", ["axial", "tilted"])
def test_moves_mean_and_samples_alike_but_not_what_was_observed(refined, how):
    slices = seen(refined, 3, 8) if how == "axial" else [tilted(refined)]
    ours, bases = refined.condition(slices), refined.base.condition(slices)
    moved = ours.mean() - bases.mean()
    there, _ = observed_voxels(slices, refined.grid)
    assert there.any() and not moved[torch.as_tensor(there)].any()
    assert float(moved[~torch.as_tensor(there)].abs().max()) > 1e-3
    assert torch.allclose(ours.sample([5, 6]), bases.sample([5, 6]) + moved)
    assert ours.log_evidence() == bases.log_evidence()
    assert torch.equal(ours.mean(), refined.condition(slices).mean())


def test_intervals_are_as_wide_as_measured_at_each_distance(refined):
    slices = seen(refined, 4)
    ours, bases = refined.condition(slices), refined.base.condition(slices)
    spacing = float(refined.grid.spacing_ijk[2])
    for k in (4, 5, 6, 9):
        factor = np.interp(abs(k - 4) * spacing, DISTANCES, WIDTHS)
        assert torch.allclose(ours.std()[k], factor * bases.std()[k].float(), rtol=1e-5)
    low, high = ours.interval(0.9)
    assert torch.allclose(high - ours.mean(), ours.intervals.half_width(0.9) * ours.std(), atol=1e-6)
    assert bool((low <= ours.mean().clamp(min=0)).all())


def test_is_its_base_without_slices_in_a_hurry_and_for_other_kinds(refined):
    upright = tilted(refined, 90)
    lines = along(refined.grid, 0, "lines", refined.reference.array)
    for given, words in (
        ([], {}),
        ([*seen(refined, 4), upright], {}),
        (seen(refined, 4), {"fast": True}),
        ([lines], {}),
        ([*seen(refined, 4), lines], {}),
    ):
        ours, bases = refined.condition(given, **words), refined.base.condition(given, **words)
        assert type(ours) is type(bases) and torch.equal(ours.mean(), bases.mean())
    assert refined.alignment_model() is refined.base.alignment_model()
    assert refined.knows_tissues is refined.base.knows_tissues and refined.draws == refined.base.draws


def test_other_grids_show_the_same(refined):
    slices = seen(refined, 3, 8)
    finer = refined.grid.with_spacing(refined.grid.spacing_ijk / 2)
    added = [
        refined.condition(slices, grid=grid).mean() - refined.base.condition(slices, grid=grid).mean()
        for grid in (refined.grid, finer)
    ]
    coarse, fine = (
        a[2:-2, 2:-2, 2:-2] for a in (added[0], torch.nn.functional.avg_pool3d(added[1][None], 2)[0])
    )
    assert np.corrcoef(coarse.flatten(), fine.flatten())[0, 1] > 0.8


def test_without_a_trained_network_the_mean_is_the_tempered_one(refined):
    """And without tempering, too, it is that of the base."""
    given = Conditions(seen(refined, 4), refined.grid)
    for shared, power in ((1.0, 1.0), (0.5, 2.0)):
        new = RefinedPrior(RefinerNetwork(24, (0.0,)), Refinement(shared, power), refined.base, refined.card)
        mean, tempered = (
            new.condition(given.observations).mean(),
            refined.base.tempered(given, shared, power).mean(),
        )
        hidden = [k for k in range(len(mean)) if k != 4]
        assert torch.allclose(mean[hidden], tempered[hidden], atol=1e-5)
    field = refined.base.field()
    own = refined.base.tempered(given, 1.0, 1.0)
    assert torch.allclose(own.mean(), refined.base._observation(given, field)(field).mean(), atol=1e-6)


def test_the_network_is_shown_slices_at_their_distance():
    volume = torch.arange(10.0)[:, None, None].expand(10, 2, 2)
    shown = inputs_of(
        torch.stack([volume, volume]), torch.stack([volume, volume]), torch.tensor([4, 9]), (-2.5, 0.0, 2.5)
    )
    assert shown[:, :3, 0, 0].tolist() == [[1.5, 4.0, 6.5], [6.5, 9.0, 9.0]]
    assert shown[0, 6:, 0, 0].tolist() == [4.0, 16.0]


def test_without_its_base_it_is_refused(store, network):
    card = store.entry("refined").card
    with pytest.raises(ValueError, match="no base"):
        RefinedPrior.from_weights(to_tensors(network, REFINEMENT), card, torch.device("cpu"))
