"""The network of radiographs: what it learns, and how it is measured."""

import pytest
import torch

from SparseVolumeReconstructionLib.priors.xray_cnn.cube import turned
from SparseVolumeReconstructionLib.training.loop.config import TrainConfig
from SparseVolumeReconstructionLib.training.loop.task import make_task


@pytest.fixture(scope="module")
def heads() -> torch.Tensor:
    """Three cubes (3, 16, 16, 16) with two balls each, of a different density."""
    at = torch.linspace(-1, 1, 16)
    z, y, x = torch.meshgrid(at, at, at, indexing="ij")
    balls = [((x - a) ** 2 + (y + b) ** 2 + z**2 < 0.15).float() for a, b in ((0.3, 0.2), (-0.4, 0.1))]
    return torch.stack([a * balls[0] + (1 - a) * balls[1] for a in (0.2, 0.5, 0.9)])


def task_of(heads: torch.Tensor, **model):
    """A task on some heads, its network untrained: it adds nothing."""
    words = {"size": 16, "depth": 16, "widths": (4, 8), "residual": 1, **model}
    task = make_task(TrainConfig(system="xray-cnn", steps=1, batch=1, model=words))
    task.atlas = heads.mean(0)
    task.networks.eval()
    return task


def test_networks_of_any_depth_are_measured_on_the_same_voxels(heads):
    """One that adds nothing errs as the mean does, with few slices and with many."""
    for depth in (4, 16, 32):
        told = task_of(heads, depth=depth).validate(heads, torch.Generator())
        assert told["score"] == pytest.approx(told["atlas"], rel=1e-6)
    alone = task_of(heads, depth=4, atlas=False).validate(heads, torch.Generator())
    assert alone["score"] > 2 * alone["atlas"]  # of the paper: shown no mean, it has nothing to add to


@pytest.mark.parametrize("depth, atlas", [(8, True), (32, True), (8, False)])
def test_the_loss_is_of_as_many_slices_as_the_network_has(heads, depth, atlas):
    task = task_of(heads, depth=depth, atlas=atlas)
    batch = task.batch(heads, torch.Generator().manual_seed(1))
    assert batch["picture"].shape == (3, 16, 16) and batch["volume"].shape == (3, depth, 16, 16)
    loss, _ = task.loss(batch, torch.Generator(), 0)
    loss.backward()
    assert float(task.networks.last.weight.grad.abs().sum()) > 0


def test_places_are_not_rounded_under_mixed_precision(heads):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2)))[0][None]
    exact = turned(heads[:1], turn)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = turned(heads[:1], turn)
    assert torch.equal(exact, mixed)
