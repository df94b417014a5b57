"""Volumes a second and memory of a training whose stacks stay in files, and of one that holds them all.

.venv/bin/python Testing/Python/streaming.py                (needs Linux; 400 stacks of 120 x 64 x 64, 0.4 GB)
.venv/bin/python Testing/Python/streaming.py --people 100 --size 128 --batch 4
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "SparseVolumeReconstruction"))

import numpy as np
import torch

from SparseVolumeReconstructionLib.data.stored import StoredVolumes
from SparseVolumeReconstructionLib.priors.device import resolve_device
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.config import TrainConfig
from SparseVolumeReconstructionLib.training.loop.loop import fit
from SparseVolumeReconstructionLib.training.loop.reading import Reading
from SparseVolumeReconstructionLib.training.loop.task import make_task
from SparseVolumeReconstructionLib.training.presets import shipped_presets

SLICES = 120
WAYS = ("files", "memory")


def put_out_of_memory(files: list[Path]) -> None:
    """Let the system forget what it has kept of files, so that they are read from the disk."""
    for file in files:
        opened = os.open(file, os.O_RDONLY)
        os.fsync(opened)
        os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(opened)


def held_mib() -> float:
    """Memory of this process that is no file's."""
    return int(re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def read_alone(volumes, batch: int, device: torch.device) -> float:
    """Volumes a second where nothing is learned of them; each is read once."""
    order = np.random.default_rng(0).permutation(len(volumes))
    steps = len(volumes) // batch
    reading = Reading(
        volumes,
        lambda step: torch.as_tensor(np.take(order, range(step * batch, (step + 1) * batch), mode="wrap")),
        device,
    )
    start = time.perf_counter()
    for step in range(steps):
        reading.batch(step)
    seconds = time.perf_counter() - start
    reading.close()
    return steps * batch / seconds


def learn(volumes, validation, words: argparse.Namespace, out: Path) -> tuple[float, float]:
    """Volumes a second between the first ten steps and the last, and the most memory then, MiB."""
    change = {"steps": words.steps, "batch": words.batch, "validate_every": words.steps}
    data = {"size": words.size, "slices": SLICES}
    config = TrainConfig.model_validate(shipped_presets()[words.preset] | change | {"data": data})
    told: list[tuple[float, float]] = []  # at every tenth step
    progress = Progress(lambda event: told.append((time.perf_counter(), held_mib())))
    fit(make_task(config), volumes, validation, config, out, False, progress)
    steps = 10 * (len(told) - 1)
    return steps * words.batch / (told[-1][0] - told[0][0]), max(mib for _, mib in told)


def measure(folder: Path, way: str, words: argparse.Namespace) -> str:
    """One line about a way, for the stacks (*.npy) of a folder."""
    files = sorted(folder.glob("*.npy"))
    stored = StoredVolumes(files, (SLICES, words.size, words.size))
    volumes = stored if way == "files" else stored[:]
    put_out_of_memory(files)
    first, again = (read_alone(volumes, words.batch, resolve_device("auto")) for _ in range(2))
    put_out_of_memory(files)
    learnt, most = learn(volumes, stored[:1], words, folder / way)
    return (
        f"in {way}: {learnt:.2f} volumes/s in training; read alone {first:.0f}, again {again:.0f} volumes/s; "
        f"most memory {most:.0f} MiB"
    )


def main() -> None:
    """Each way in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--preset", default="slice-vae-64-tiny")
    parser.add_argument("--way", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.way:
        return print(measure(Path(words.way[1]), words.way[0], words))
    with tempfile.TemporaryDirectory() as folder:
        random = np.random.default_rng(0)
        for n in range(words.people):
            stack = random.random((SLICES, words.size, words.size), np.float32).astype(np.float16)
            np.save(Path(folder) / f"{n:05}.npy", stack)
        for way in WAYS:
            command = [sys.executable, *sys.argv, "--way", way, folder]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(done.stdout.strip(), flush=True)


if __name__ == "__main__":
    main()
