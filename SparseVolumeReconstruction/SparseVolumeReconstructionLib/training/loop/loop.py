"""The loop: steps, averages, validation, checkpoints. The same numbers whether or not a run was interrupted.

All chance of a step comes from (seed, step, process), so a checkpoint needs no state of a random generator.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric

from ...data.stored import Volumes
from ...geometry import InputError
from ...priors.device import placed
from ...progress import Progress
from . import checkpoint
from .checkpoint import BEST, CHECKPOINT, Average
from .config import TrainConfig
from .log import Log
from .optimisers import Optimisers
from .processes import meet
from .reading import Reading
from .task import Task

_LOG_EVERY = 10


def fit(
    task: Task,
    volumes: Volumes,
    validation: Volumes,
    config: TrainConfig,
    out: Path,
    resume: bool,
    progress: Progress,
) -> float:
    """Train `task.networks` on volumes (N, K, H, W), [0, 1].

    The networks hold the averaged weights that validated best afterwards. Works on one process and, under
    torchrun, on several: each takes `config.batch` volumes, gradients are averaged.

    Args:
        volumes: (N, K, H, W), or what else the task learns of, such as label maps; on the CPU, or in files.
        validation: (M, K, H, W), not trained on.
        out: folder of the run.
        resume: continue from its checkpoint, if there is one.
        progress: told of losses, asked whether to stop.

    Returns:
        The minutes it took, those before a resume included.

    Raises:
        InputError: the folder is of another run, a file cannot be read, the loss is not finite, the disk or
            the memory is full, or the device is lost.
        Cancelled: when asked to stop; the last checkpoint stays.
    """
    fabric = make_fabric(config)
    run = _Run(fabric, task, volumes, validation, config, out, resume)
    try:
        with deterministic():
            run.go(progress)
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"step {run.step}: not enough memory on {fabric.device}; use a smaller batch."
        ) from error
    except RuntimeError as error:
        if not _is_device_loss(error):
            raise
        raise InputError(
            f"step {run.step}: the device {fabric.device} was lost ({str(error).splitlines()[0]}); the "
            f"checkpoint of step {run.saved} "
            "is kept: continue with --resume."
        ) from error
    finally:
        run.close()
    return run.seconds / 60


@contextmanager
def deterministic() -> Iterator[None]:
    """Inside, the same inputs give the same numbers, where torch knows how."""
    switches: Any = torch.utils.deterministic  # torch sets its attributes where mypy does not see it
    before = torch.are_deterministic_algorithms_enabled(), switches.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS sums as it likes
    torch.use_deterministic_algorithms(True, warn_only=True)
    switches.fill_uninitialized_memory = False  # it costs a fifth of a step, and every tensor is written
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        switches.fill_uninitialized_memory = before[1]


def make_fabric(config: TrainConfig) -> Fabric:
    """One GPU or the CPU; all processes of torchrun where it started this one."""
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    meet(accelerator)
    nodes = max(1, int(os.environ.get("WORLD_SIZE", 1)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    strategy = "ddp" if nodes * devices > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        precision=config.precision,
    )
    fabric.launch()
    return fabric


class _Run:
    """A run at `step` steps after `seconds`; `saved`: step of the last checkpoint."""

    def __init__(
        self,
        fabric: Fabric,
        task: Task,
        volumes: Volumes,
        validation: Volumes,
        config: TrainConfig,
        out: Path,
        resume: bool,
    ):
        self.fabric, self.task, self.config, self.out = fabric, task, config, out
        placed(task.networks, fabric.device)
        self.count = len(volumes)
        self.validation = validation.to(fabric.device)
        self.data = _digest(volumes, validation)
        self.optimisers = Optimisers(task, config)
        self.average = Average(task.networks, config.ema)
        self.step = 0
        self.saved = 0
        self.best = float("inf")
        self.since_best = 0
        self._began = time.perf_counter()
        self._restore(resume)
        self.log = Log(out, self.step) if fabric.is_global_zero else _Silent()
        self.reading = Reading(volumes, self._choose, fabric.device)

    def close(self) -> None:
        """Let go of the log and of what is being read."""
        self.reading.close()
        self.log.close()

    def _restore(self, resume: bool) -> None:
        checkpoint.prepare_folder(self.out, resume)
        path = self.out / CHECKPOINT
        there = path.exists()
        self.fabric.barrier()  # all processes have looked before the first one writes
        if not there:
            self._save()
            return
        tensors, state = checkpoint.load(path)
        checkpoint.require_same_run(path, state, self.config, self.data)
        checkpoint.unpack(tensors, self.task.networks, self.optimisers, self.average)
        self.step = self.saved = state["step"]
        self._began -= 60 * state["minutes"]
        self.best = state["best"] if state["best"] is not None else float("inf")
        self.since_best = state["since_best"]

    @property
    def seconds(self) -> float:
        """Spent on this run so far, up to the last checkpoint before a resume."""
        return time.perf_counter() - self._began

    def _save(self) -> None:
        """The checkpoint of this step, from the first process."""
        if self.fabric.is_global_zero:
            best = self.best if np.isfinite(self.best) else None
            state: dict[str, Any] = {
                "step": self.step,
                "best": best,
                "since_best": self.since_best,
                "data": self.data,
                "minutes": self.seconds / 60,
            }
            state["config"] = self.config.model_dump(mode="json")
            checkpoint.save(
                self.out / CHECKPOINT,
                checkpoint.pack(self.task.networks, self.optimisers, self.average),
                state,
            )
        self.fabric.barrier()
        self.saved = self.step

    def go(self, progress: Progress) -> None:
        config = self.config
        while self.step < config.steps and self.since_best < config.patience:
            values = self._train_step()
            self.step += 1
            self.average.update(self.task.networks, self.step)
            last = self.step == config.steps
            if self.step % _LOG_EVERY == 0 or last:
                self.log.add(self.step, {name: float(value) for name, value in values.items()})
                progress.update(
                    f"step {self.step} of {config.steps}: loss {float(values['loss']):.5g}",
                    self.step / config.steps,
                )
            if self.step % config.validate_every == 0 or last:
                self._validate()
            if self.step % config.checkpoint_every == 0 or last or self.since_best >= config.patience:
                self._save()
        if not (self.out / BEST).exists():
            raise InputError(
                f"{self.out / BEST}: is not there: no validation gave a finite score, or it was deleted; "
                "start a run anew."
            )
        self.task.networks.load_state_dict(checkpoint.load(self.out / BEST)[0])
        self.task.networks.eval()

    def _train_step(self) -> dict[str, float | torch.Tensor]:
        config, networks = self.config, self.task.networks
        chance = self._generator(self.step)
        batch = self.task.batch(self.reading.batch(self.step), chance)
        networks.train()
        self.optimisers.begin(self.step)
        with self.fabric.autocast():
            loss, values = self.task.loss(batch, chance, self.step)
        self.fabric.backward(loss)
        parameters = self.optimisers.parameters()
        self._average_over_processes([p.grad for p in parameters if p.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(parameters, config.clip)
        if not torch.isfinite(norm + loss.detach()):
            self._stop_on_nan(batch, loss.detach())
        self.optimisers.step()
        return {"loss": loss.detach(), "gradient": norm, **values}

    def _stop_on_nan(self, batch: torch.Tensor | dict[str, torch.Tensor], loss: torch.Tensor) -> None:
        kept = self.out / f"not-finite-step-{self.step}-process-{self.fabric.global_rank}.safetensors"
        kept_batch = batch if isinstance(batch, dict) else {"batch": batch}
        checkpoint.save(kept, kept_batch, {"step": self.step, "loss": str(float(loss))})
        raise InputError(
            f"step {self.step}: the loss or its gradient is not finite ({float(loss):g}); the batch is kept "
            f"in {kept}, and the "
            f"checkpoint of step {self.saved} stays. Lower learning_rate or clip."
        )

    def _validate(self) -> None:
        """Measure the averaged weights; keep them if they are the best so far."""
        networks = self.task.networks
        current = {name: tensor.clone() for name, tensor in networks.state_dict().items()}
        networks.load_state_dict(self.average.tensors)
        networks.eval()
        with torch.no_grad(), self.fabric.autocast():
            values = self.task.validate(self.validation, self._generator(-1))
        networks.load_state_dict(current)
        score = float(values["score"])
        self.since_best = 0 if score < self.best else self.since_best + 1
        if score < self.best:
            self.best = score
            if self.fabric.is_global_zero:
                checkpoint.save(self.out / BEST, self.average.tensors, {"step": self.step, "score": score})
        self.log.add(self.step, {f"validation/{name}": float(value) for name, value in values.items()})
        self.fabric.barrier()

    def _generator(self, step: int) -> torch.Generator:
        """The chance of one step of this process, on the device; -1: of validation, alike everywhere."""
        rank = self.fabric.global_rank if step >= 0 else 0
        seed = int(np.random.SeedSequence([self.config.seed, step + 1, rank]).generate_state(1)[0])
        torch.manual_seed(seed)
        return torch.Generator(self.fabric.device).manual_seed(seed)

    def _choose(self, step: int) -> torch.Tensor:
        """Numbers (batch,) of the volumes of a step: every volume once before any comes again."""
        size, count = self.config.batch, self.count
        place = (step * self.fabric.world_size + self.fabric.global_rank) * size + np.arange(size)
        orders = {
            epoch: np.random.default_rng([self.config.seed, epoch]).permutation(count)
            for epoch in np.unique(place // count)
        }
        return torch.as_tensor([orders[p // count][p % count] for p in place])

    def _average_over_processes(self, tensors: list[torch.Tensor]) -> None:
        """Gradients become their mean over all processes, as do the statistics that layers keep."""
        if self.fabric.world_size > 1:
            shared = tensors + [b for b in self.task.networks.buffers() if b.is_floating_point()]
            flat = torch.cat([t.detach().flatten().float() for t in shared])
            mean = cast(torch.Tensor, self.fabric.all_reduce(flat, reduce_op="mean"))
            for tensor, part in zip(shared, mean.split([t.numel() for t in shared]), strict=True):
                tensor.detach().copy_(part.view_as(tensor))


class _Silent:
    """The log of all processes but the first."""

    def add(self, step: int, values: dict[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


def _digest(*parts: Volumes) -> str:
    """Digest of the volumes of a run."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(tuple(part.shape)).encode())
        for volume in part:
            digest.update(volume.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _is_device_loss(error: RuntimeError) -> bool:
    return isinstance(error, getattr(torch, "AcceleratorError", ())) or "CUDA error" in str(error)
