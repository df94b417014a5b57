"""Cohorts that stay in files: the same weights, and memory that does not grow with the cohort."""

import argparse
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from streaming import SLICES, WAYS, held_mib, measure

from SparseVolumeReconstructionLib.data.stored import StoredVolumes
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.checkpoint import BEST, CHECKPOINT
from SparseVolumeReconstructionLib.training.loop.loop import fit
from SparseVolumeReconstructionLib.training.loop.task import Task, make_task

STATUS = Path("/proc/self/status")
LARGE, PEOPLE = (64, 128, 128), 48  # 4 MiB each, 192 MiB together


def in_files(volumes, folder) -> StoredVolumes:
    """Volumes (N, K, H, W) of half precision as the cache keeps them."""
    folder.mkdir()
    files = [folder / f"{n}.npy" for n in range(len(volumes))]
    for file, volume in zip(files, volumes, strict=True):
        np.save(file, volume.half().numpy())
    return StoredVolumes(files, tuple(volumes.shape[1:]))


def test_the_weights_are_those_of_a_run_in_memory(make_config, volumes, tmp_path):
    stored = in_files(volumes[:4], tmp_path / "fit"), in_files(volumes[4:], tmp_path / "validation")
    config, made = make_config(), []
    for name, parts in (("files", stored), ("memory", tuple(part[:] for part in stored))):
        task = make_task(config)
        fit(task, *parts, config, tmp_path / name, False, Progress())
        written = [load_file(tmp_path / name / file) for file in (BEST, CHECKPOINT)]
        made.append([*written, task.weights(parts[0])])
    for one, other in zip(*made, strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


class Brightness(Task):
    """One number, and what the process held at most in its steps and validations, MiB."""

    def __init__(self, config):
        self.config, self.networks, self.most = config, torch.nn.Linear(1, 1), 0.0

    def batch(self, volumes, generator):
        self.most = max(self.most, held_mib())
        return volumes.mean((1, 2, 3))[:, None]

    def loss(self, batch, generator, step):
        return (self.networks(batch) ** 2).mean(), {}

    def validate(self, volumes, generator):
        score = sum(float(self.batch(volume[None], generator)) for volume in volumes)
        return {"score": score}


def held_in_runs(files: list[Path], config, folder: Path) -> list[float]:
    """What a run holds at most of some of the files, of all of them, and of all of them in memory."""
    most = []
    for name, read in (("some", files[:8]), ("all", files), ("in memory", files)):
        volumes, task = StoredVolumes(read, LARGE), Brightness(config)
        parts = volumes[:] if name == "in memory" else volumes
        fit(task, parts, parts, config, folder / name, False, Progress())
        volumes.mean(0)
        most.append(max(task.most, held_mib()))
    return most


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell what a process holds")
def test_memory_does_not_grow_with_the_cohort(make_config, tmp_path, monkeypatch):
    """In a process of its own: what earlier tests freed would be taken first, and not be seen.

    Every array there has pages of its own, which go back when it goes: what the allocator keeps can be as
    much as what is sought.
    """
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(2**16))
    files = [tmp_path / f"{n}.npy" for n in range(PEOPLE)]
    for file in files:
        np.lib.format.open_memmap(file, "w+", np.float16, LARGE).flush()  # of zeros, which take no room
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        most = pool.submit(held_in_runs, files, make_config(validate_every=6), tmp_path).result()
    assert most[1] - most[0] < 64 and most[2] - most[1] > 128, most


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell what a process holds")
@pytest.mark.parametrize("way", WAYS)
def test_what_reading_costs_is_measured(way, tmp_path):
    for n in range(4):
        np.save(tmp_path / f"{n}.npy", np.random.default_rng(n).random((SLICES, 16, 16)).astype(np.float16))
    words = argparse.Namespace(size=16, batch=2, steps=20, preset="slice-vae-64-tiny")
    said = measure(tmp_path, way, words)
    learnt, first, again, most = map(float, re.findall(r"[\d.]+", said))
    assert said.startswith(f"in {way}: ") and min(learnt, first, again) > 0 and most > 50, said
