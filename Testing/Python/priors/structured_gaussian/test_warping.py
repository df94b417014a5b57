"""A mean that is moved to where slices show the anatomy to lie: by donors who are deformed to them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from SparseVolumeReconstructionLib.geometry import Grid, Plane, Volume
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.observation import Slice
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.base import Conditions
from SparseVolumeReconstructionLib.priors.card import MeanTempering, MeanWarping, ModelCard
from SparseVolumeReconstructionLib.priors.gaussian.parameters import DonorBank, GaussianParameters
from SparseVolumeReconstructionLib.priors.gaussian.warping import SeenPixels, warped_change
from SparseVolumeReconstructionLib.priors.structured_gaussian.prior import StructuredGaussian

GRID = Grid.centred((20, 22, 24), 4.0)
SEEN = (6, 11)
WORDS = ("title", "version", "anatomy", "modality", "canonical_space", "units", "licence", "data")
WARPING = MeanWarping(nodes_mm=20, neighbours_mm=30, gain=0.9, reach_mm=12)
CARD = ModelCard(id="t", system="structured-gaussian", **dict.fromkeys(WORDS, "t"))
TEMPERED = CARD.model_copy(update={"tempering": MeanTempering(shared=0.5, power=2)})
WARPED = TEMPERED.model_copy(update={"warping": WARPING})


def head(moved_mm=(0.0, 0.0, 0.0), wide=1.0) -> np.ndarray:
    """A ball with a rim, a bright core and two dark holes, which may lie elsewhere or be wider."""
    x, y, z = ((GRID.points_ras() - moved_mm) * (1 / wide, 1, 1)).T
    holes = np.exp(-(((abs(x) - 12) / 5) ** 2) - (y / 9) ** 2 - (z / 20) ** 2)
    value = 0.5 + 0.3 * np.cos(np.hypot(np.hypot(x, y), z) / 6) - 0.4 * holes
    return value.reshape(GRID.shape_kji).astype(np.float32)


@pytest.fixture(scope="module")
def parameters() -> GaussianParameters:
    """Heads that lie a little apart and are a little wide; the donors are such heads."""
    chance = np.random.default_rng(0)
    mask = (np.linalg.norm(GRID.points_ras(), axis=1) < 36).reshape(GRID.shape_kji)
    people = [head(chance.normal(0, 2.5, 3), chance.normal(1, 0.05)) for _ in range(16)]
    fitted, donors = (np.stack(half)[:, mask] for half in (people[:10], people[10:]))
    away = torch.as_tensor(fitted - fitted.mean(0))
    return GaussianParameters(
        grid=GRID,
        evaluation_grid=GRID,
        mask=mask,
        means=torch.as_tensor(fitted.mean(0))[None],
        knots=torch.zeros(1),
        loadings=away[:3] / 3,
        sd=0.05 + away.std(0),
        curves=tuple(torch.tensor([1.0, 0.6, 0.3]) for _ in "kji"),
        noise=0.02,
        multipliers=(0.6, 1.2, 1.7, 2.1),
        scale_knots=torch.zeros(1, 2),
        reference=torch.as_tensor(head()),
        donors=DonorBank.of(donors, np.zeros(6), mirror=True),
    )


def slices_of(array: np.ndarray, tilted: bool) -> list[Slice]:
    body = Volume(array, GRID)
    if not tilted:
        return [slice_of(body, k) for k in SEEN]
    turn = np.eye(4)
    turn[:3, :3] = [[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]]
    grid = Grid(GRID.shape_kji, turn @ GRID.ijk_to_ras)
    return [slice_of(Volume(resample(body, grid).array, grid), k) for k in SEEN]


@pytest.mark.parametrize("tilted", [False, True])
def test_a_mean_is_moved_to_where_slices_show_the_anatomy(parameters, tilted):
    """Nearer to the truth near the slices; all but the mean is as it was."""
    tempered, warped = (StructuredGaussian(parameters, card) for card in (TEMPERED, WARPED))
    truth = head((3.0, -4.0, 2.0), 1.06)
    slices = slices_of(truth, tilted)
    before, after = (prior.condition(slices) for prior in (tempered, warped))
    away = np.min([np.abs((GRID.points_ras() - s.plane.centre) @ s.plane.normal) for s in slices], axis=0)
    away = torch.as_tensor(away).reshape(GRID.shape_kji)
    inside, near = warped.anatomy_mask, warped.anatomy_mask & (away > 2) & (away < 12)
    errors = [(p.mean() - torch.as_tensor(truth))[near].square().mean().sqrt() for p in (before, after)]
    assert errors[1] < (0.95 if tilted else 0.9) * errors[0]
    moved = after.mean() - before.mean()
    assert moved[inside & (away < 1)].abs().mean() < 0.3 * moved[near].abs().mean(), "observed stays"
    assert moved[inside & (away > 20)].std() < 0.5 * moved[near].std(), "unknown far from slices"
    assert torch.equal(after.std(), before.std()) and after.log_evidence() == before.log_evidence()
    assert torch.equal(after.sample([3, 4]), before.sample([3, 4])), "not moved, all alike"
    assert torch.equal(warped.condition(slices).mean(), after.mean()), "no chance in it"
    noise = warped.drawing("gaussian").condition(slices)
    assert torch.equal(noise.mean(), after.mean()), "whatever samples start from"


def test_of_many_donors_the_nearest_are_moved(parameters):
    """Those that differ more from the slices change nothing."""
    slices = slices_of(head((3.0, -4.0, 2.0), 1.06), tilted=False)
    people = torch.as_tensor(np.stack([head((0.2 * n, 0.0, 0.0)) for n in range(30)])).float()
    seen, everywhere = SeenPixels.of(slices, parameters), torch.ones(GRID.shape_kji, dtype=torch.bool)
    alone, among = (
        warped_change(donors, GRID, seen, GRID, everywhere, WARPING)
        for donors in (people, torch.cat([torch.zeros_like(people[:3]), people]))
    )
    torch.testing.assert_close(among, alone)
    assert alone.abs().max() > 0.05


def test_slices_as_expected_and_slices_outside_move_nothing(parameters):
    warped, tempered = (StructuredGaussian(parameters, card) for card in (WARPED, TEMPERED))
    mean = tempered.condition([]).mean().numpy()
    expected = slices_of(mean, tilted=False)
    moved = warped.condition(expected).mean() - torch.as_tensor(mean)
    strange = warped.condition(slices_of(head((3.0, -4.0, 2.0), 1.06), False)).mean() - torch.as_tensor(mean)
    assert moved.square().mean() < 0.1 * strange.square().mean()
    far = np.eye(4)
    far[2, 3] = 500.0
    outside = [Slice(s.pixels, Plane(s.plane.shape_ji, far @ s.plane.ij_to_ras, 4.0)) for s in expected]
    assert torch.equal(warped.condition(outside).mean(), tempered.condition(outside).mean())


def test_only_a_full_look_by_a_model_with_donors_is_warped(parameters):
    """Alone, too, without tempering, and of slices across each other, which are not tempered."""
    alone = CARD.model_copy(update={"warping": WARPING})
    both, warped, plain = (StructuredGaussian(parameters, card) for card in (WARPED, alone, CARD))
    slices = slices_of(head((3.0, -4.0, 2.0)), tilted=False)
    across = [*slices, slice_of(Volume(head((3.0, -4.0, 2.0)).transpose(2, 1, 0).copy(), _turned()), 12)]
    for given, fast, same in ((slices, False, False), (slices, True, True), (across, False, False)):
        means = [prior.condition(given, fast=fast).mean() for prior in (warped, plain)]
        assert torch.equal(*means) is same
    assert torch.equal(both.condition(across).mean(), means[0])
    without = StructuredGaussian(replace(parameters, donors=None), alone)
    torch.testing.assert_close(without.condition(slices).mean(), plain.condition(slices).mean())
    assert torch.equal(warped.tempered(Conditions(slices), 1, 1).mean(), without.condition(slices).mean())


def _turned() -> Grid:
    """The grid with its first axis last."""
    return Grid(GRID.shape_kji[::-1], GRID.ijk_to_ras[:, [2, 1, 0, 3]])
