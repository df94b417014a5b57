"""Several processes under torchrun: they do what one does, and go on when one of them was killed."""

import contextlib
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training.loop.several_processes import KILLED_AT, Linear

from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.checkpoint import BEST, CHECKPOINT
from SparseVolumeReconstructionLib.training.loop.loop import fit
from SparseVolumeReconstructionLib.training.loop.processes import part_of_this_start

QUIET = {"deformation_mm": 0, "gamma": 0, "bias": 0, "noise": 0, "mirror": False}
LIMIT_S = 240


@pytest.fixture(scope="module")
def runs(make_config, volumes, python, library_environment, tmp_path_factory):
    """The folder of both runs; no process of them outlives LIMIT_S."""
    folder = tmp_path_factory.mktemp("processes")
    save_file({"volumes": volumes}, folder / "volumes.safetensors")
    (folder / "config.json").write_text(make_config(batch=1, augmentation=QUIET).model_dump_json())
    settings = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "GLOO_SOCKET_IFNAME": "lo"}
    command = [python, str(Path(__file__).with_name("several_processes.py")), str(folder)]
    started = subprocess.Popen(command, env={**library_environment, **settings}, start_new_session=True)
    try:
        assert started.wait(LIMIT_S) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
    return folder


def test_two_processes_do_what_one_does_with_twice_the_batch(runs, make_config, volumes, tmp_path):
    config = make_config(batch=2, augmentation=QUIET)
    task = Linear(config)
    start = task.networks.weight.detach().clone()
    fit(task, volumes[:4], volumes[4:], config, tmp_path, False, Progress())
    one, two = (load_file(out / CHECKPOINT)["network.weight"] for out in (tmp_path, runs / "quiet"))
    assert torch.allclose(one, two, atol=1e-5) and not torch.allclose(one, start, atol=1e-3)


def test_a_process_that_is_killed_makes_all_go_on_from_the_last_checkpoint(runs):
    steps = [int(step) for step in (runs / "steps1").read_text().split()]
    assert steps == [*range(KILLED_AT), *range(6, 12)]  # a checkpoint of every third step
    for file in (BEST, CHECKPOINT):
        quiet, killed = (load_file(runs / name / file) for name in ("quiet", "killed"))
        assert quiet.keys() == killed.keys() and all(torch.equal(quiet[key], killed[key]) for key in quiet)
    assert (runs / "killed" / "log.csv").read_bytes() == (runs / "quiet" / "log.csv").read_bytes()


def test_processes_that_are_started_again_find_nothing_of_those_that_died():
    """Names of an earlier start are still there, of which the first process died."""
    store = torch.distributed.HashStore()
    for rank in (1, 2):
        store.set(f"process {rank}", f"name of a dead process {rank}")
    for start in range(3):
        with ThreadPoolExecutor(3) as pool:
            parts = list(pool.map(lambda rank: part_of_this_start(store, rank, 3), range(3)))
        assert not any(part.check(["address"]) for part in parts)
        parts[0].set("address", f"start {start}")
        assert [part.get("address").decode() for part in parts] == [f"start {start}"] * 3
