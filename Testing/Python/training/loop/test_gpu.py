"""Trainings on a GPU: they end, come out alike, and continue from a checkpoint."""

import pytest
import torch

from SparseVolumeReconstructionLib.experiments.models import slice_models, volume_models
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.checkpoint import BEST, load
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.training.loop.loop import fit
from SparseVolumeReconstructionLib.training.loop.task import make_task


@pytest.mark.parametrize("key", [*slice_models(), *volume_models()])
@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_a_training(key, precision, round_bodies, tmp_path):
    config = read_config(f"{key}-64-tiny")
    changes = {
        "precision": precision,
        "steps": 12,
        "validate_every": 6,
        "checkpoint_every": 5,
    }  # past what is held at first
    config = config.model_copy(update=changes)
    bodies = round_bodies(6, 1, config.data.slices, config.data.size)

    def run(out, resume=False):
        task = make_task(config)
        fit(task, bodies[:4], bodies[4:], config, tmp_path / out, resume, Progress())
        assert next(task.networks.parameters()).is_cuda
        return load(tmp_path / out / BEST)

    tensors, state = run("once")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert run("again")[1]["score"] == pytest.approx(state["score"], rel=1e-3)
    assert run("once", resume=True)[1] == state
