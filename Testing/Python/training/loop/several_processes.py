"""Runs of two processes each under torchrun: one that nothing disturbs, one of which a process is killed.

several_processes.py FOLDER, with config.json and volumes.safetensors in it; runs are `quiet` and `killed`.
"""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.config import TrainConfig
from SparseVolumeReconstructionLib.training.loop.loop import fit
from SparseVolumeReconstructionLib.training.loop.task import Task

NAMES = ("quiet", "killed")
KILLED_AT = 8  # the step before which the second process is killed, the first time


class Linear(Task):
    """Without chance of its own, so that two processes of one volume must equal one process of two."""

    def __init__(self, config):
        torch.manual_seed(0)
        self.config, self.networks = config, torch.nn.Linear(16, 16)

    def loss(self, batch, generator, step):
        return self._error(batch), {}

    def validate(self, volumes, generator):
        return {"score": float(self._error(volumes))}

    def _error(self, volumes):
        return ((self.networks(volumes) - volumes.flip(-1)) ** 2).mean()


class Killed(Linear):
    """Notes the steps of its process, and lets it be killed once."""

    def __init__(self, config, folder: Path):
        super().__init__(config)
        self.notes = folder / f"steps{os.environ['RANK']}"

    def loss(self, batch, generator, step):
        second, first_time = os.environ["RANK"] == "1", os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if step == KILLED_AT and second and first_time:
            os.kill(os.getpid(), signal.SIGKILL)
        with open(self.notes, "a") as file:
            file.write(f"{step}\n")
        return super().loss(batch, generator, step)


def run_one(folder: Path, name: str) -> None:
    """What each process does."""
    torch.set_num_threads(1)
    config = TrainConfig.model_validate(json.loads((folder / "config.json").read_text()))
    volumes = load_file(folder / "volumes.safetensors")["volumes"]
    task = Linear(config) if name == "quiet" else Killed(config, folder)
    fit(task, volumes[:4], volumes[4:], config, folder / name, True, Progress())


def main(folder: str) -> None:
    """Both runs; their processes come from one that has imported everything, which takes the most time."""
    from torch.distributed.run import main as torchrun

    multiprocessing.set_forkserver_preload(["SparseVolumeReconstructionLib.training.loop.loop"])
    words = "--standalone --local-addr 127.0.0.1 --nproc-per-node 2 --start-method forkserver --run-path"
    for name in NAMES:
        torchrun([*words.split(), "--max-restarts", "1", str(Path(__file__).resolve()), folder, name])


if __name__ == "__main__":
    if "RANK" in os.environ:
        run_one(Path(sys.argv[1]), sys.argv[2])
    else:
        main(sys.argv[1])
