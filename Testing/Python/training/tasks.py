"""What the trainings of several systems are tested for, in the same words."""

from __future__ import annotations

import pytest
import torch

from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.config import TrainConfig
from SparseVolumeReconstructionLib.training.loop.loop import fit
from SparseVolumeReconstructionLib.training.loop.optimisers import Optimisers
from SparseVolumeReconstructionLib.training.loop.task import Task, make_task


def trained(task: Task, volumes: torch.Tensor, steps: int) -> list[float]:
    """The loop in its shortest form, on volumes (N, K, H, W): the losses (nats per pixel)."""
    optimisers = Optimisers(task, task.config)
    random, losses = torch.Generator().manual_seed(0), []
    for step in range(steps):
        optimisers.begin(step)
        batch = volumes[torch.randperm(len(volumes), generator=random)[:4]]
        loss, _ = task.loss(batch, random, step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(optimisers.parameters(), 10.0)
        optimisers.step()
        losses.append(float(loss.detach()))
    return losses


def check_resume(config: TrainConfig, round_bodies, folder) -> None:
    """A run that is stopped in its 9th step and continued ends with the bytes of one that is not."""
    run = config.model_copy(update={"steps": 12, "checkpoint_every": 3, "validate_every": 6})
    volumes, validation, found = round_bodies(6, 1), round_bodies(2, 2), {}
    for name in ("whole", "broken"):
        task = make_task(run)
        if name == "broken":
            plain = task.loss

            def loss(batch, generator, step, plain=plain):
                if step == 8:
                    raise KeyboardInterrupt
                return plain(batch, generator, step)

            task.loss = loss
            with pytest.raises(KeyboardInterrupt):
                fit(task, volumes, validation, run, folder / name, False, Progress())
            task = make_task(run.model_copy(update={"seed": 9}))
        fit(task, volumes, validation, run, folder / name, name == "broken", Progress())
        found[name] = task.networks.state_dict()
    assert all(torch.equal(tensor, found["broken"][name]) for name, tensor in found["whole"].items())


def check_mixed_precision(task: Task, volumes: torch.Tensor) -> None:
    """A trained task measures volumes (N, K, H, W) nearly alike in bfloat16; its loss stays float32."""
    random = torch.Generator().manual_seed
    exact = task.validate(volumes, random(0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = task.validate(volumes, random(0))
        loss, _ = task.loss(volumes, random(0), 1000)
    assert loss.dtype == torch.float32
    assert mixed["score"] == pytest.approx(exact["score"], abs=0.1)
    assert mixed["error"] == pytest.approx(exact["error"], rel=0.1)
