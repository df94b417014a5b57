"""The loop: what it learns, keeps, refuses and survives, in this process and in one that is killed."""

import csv
import json
import os
import resource
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.checkpoint import BEST, CHECKPOINT, Average, load
from SparseVolumeReconstructionLib.training.loop.loop import fit
from SparseVolumeReconstructionLib.training.loop.task import make_task

PROGRAM = """
import sys, json, time
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.config import TrainConfig
from SparseVolumeReconstructionLib.training.loop import loop
from SparseVolumeReconstructionLib.training.loop.task import make_task

folder, out, slow = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
torch.set_num_threads(1)
config = TrainConfig.model_validate(json.loads((folder / "config.json").read_text()))
step = loop._Run._train_step
def slowly(self):
    time.sleep(slow)
    return step(self)
loop._Run._train_step = slowly
volumes = load_file(folder / "volumes.safetensors")["volumes"]
loop.fit(make_task(config), volumes[:4], volumes[4:], config, out, False, Progress())
"""


def train(config, volumes, out, resume=False, task=None):
    """Run the loop on four volumes, validated on two; returns the file of the best weights."""
    fit(task or make_task(config), volumes[:4], volumes[4:], config, out, resume, Progress())
    return out / BEST


def rows(out):
    """{(step, name): value} of a log."""
    with open(out / "log.csv") as file:
        return {(int(r["step"]), r["name"]): float(r["value"]) for r in csv.DictReader(file)}


def same(one, other):
    """Whether two checkpoints hold the same numbers, and the same state but for the time it took."""
    (a, state), (b, other_state) = load(one), load(other)
    alike = state | {"minutes": 0} == other_state | {"minutes": 0}
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a) and alike


@pytest.fixture(scope="module")
def finished(make_config, volumes, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("finished")
    train(make_config(), volumes, out)
    return out


def test_it_learns_and_the_task_holds_the_best_weights(make_config, volumes, tmp_path):
    config = make_config(steps=60, validate_every=10, learning_rate=0.003)
    task = make_task(config)
    best = train(config, volumes, tmp_path, task=task)
    log = rows(tmp_path)
    assert log[60, "validation/score"] < 0.7 * log[10, "validation/score"]
    assert all(torch.equal(t, task.networks.state_dict()[n]) for n, t in load_file(best).items())
    with safe_open(best, "pt") as file:
        assert json.loads(file.metadata()["state"])["score"] == min(
            v for (_, n), v in log.items() if n == "validation/score"
        )
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_seed_decides_everything(make_config, volumes, finished, tmp_path):
    train(make_config(), volumes, tmp_path / "same")
    train(make_config(seed=1), volumes, tmp_path / "other")
    assert same(finished / CHECKPOINT, tmp_path / "same" / CHECKPOINT) and rows(finished) == rows(
        tmp_path / "same"
    )
    assert not same(finished / CHECKPOINT, tmp_path / "other" / CHECKPOINT)


@pytest.mark.parametrize("stop", [1, 5, 8])
def test_a_run_stopped_anywhere_continues_exactly(make_config, volumes, finished, tmp_path, stop):
    config, task = make_config(), make_task(make_config())
    loss, calls = task.loss, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) > stop:
            raise KeyboardInterrupt
        return loss(*arguments)

    task.loss = stopping
    with pytest.raises(KeyboardInterrupt):
        train(config, volumes, tmp_path, task=task)
    train(config, volumes, tmp_path, resume=True)
    assert same(finished / CHECKPOINT, tmp_path / CHECKPOINT) and same(finished / BEST, tmp_path / BEST)
    assert (finished / "log.csv").read_bytes() == (tmp_path / "log.csv").read_bytes()


def test_a_killed_process_continues_exactly(
    make_config, volumes, finished, tmp_path, python, library_environment
):
    (tmp_path / "config.json").write_text(make_config().model_dump_json())
    save_file({"volumes": volumes}, tmp_path / "volumes.safetensors")
    command = [python, "-c", PROGRAM, str(tmp_path), str(tmp_path / "out"), "0.3"]
    environment = {**library_environment, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, env=environment)
    checkpoint, deadline = tmp_path / "out" / CHECKPOINT, time.monotonic() + 100
    while not (checkpoint.exists() and step_of(checkpoint) >= 6):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and 6 <= step_of(checkpoint) < 12
    minutes = load(checkpoint)[1]["minutes"]
    train(make_config(), volumes, tmp_path / "out", resume=True)
    assert load(checkpoint)[1]["minutes"] > minutes > 6 * 0.3 / 60
    assert same(finished / CHECKPOINT, checkpoint) and same(finished / BEST, tmp_path / "out" / BEST)
    assert (finished / "log.csv").read_bytes() == (tmp_path / "out" / "log.csv").read_bytes()


def step_of(checkpoint) -> int:
    """The step of a checkpoint, which must be whole at any time."""
    with safe_open(checkpoint, "pt") as file:
        return json.loads(file.metadata()["state"])["step"]


def test_resuming_with_other_settings_or_data_is_refused(make_config, volumes, finished):
    before = (finished / CHECKPOINT).read_bytes()
    other = make_config(learning_rate=0.5, data={"size": 16, "slices": 6, "field_mm": 90})
    with pytest.raises(
        InputError,
        match=r"another configuration \(data.field_mm: 218.0 -> 90.0; learning_rate: 0.001 -> 0.5\)",
    ):
        train(other, volumes, finished, resume=True)
    with pytest.raises(InputError, match=r"another configuration \(the training volumes\)"):
        train(make_config(), volumes.flip(0), finished, resume=True)
    with pytest.raises(InputError, match="holds another run; continue it with --resume"):
        train(make_config(), volumes, finished)
    assert (finished / CHECKPOINT).read_bytes() == before


def test_a_damaged_checkpoint_is_refused(make_config, volumes, tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="not a checkpoint of this program, or damaged"):
        train(make_config(), volumes, tmp_path, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch(make_config, volumes, tmp_path):
    config, task = make_config(), make_task(make_config())
    loss, seen = task.loss, []

    def failing(batch, generator, step):
        seen.append(batch.clone())
        value, logged = loss(batch, generator, step)
        return value * (float("nan") if step == 7 else 1), logged

    task.loss = failing
    with pytest.raises(
        InputError,
        match=r"step 7: the loss or its gradient is not finite \(nan\); the batch is kept in .*step 6 stays",
    ):
        train(config, volumes, tmp_path, task=task)
    kept = load_file(next(tmp_path.glob("not-finite-*.safetensors")))["batch"]
    assert torch.equal(kept, seen[-1])
    train(config, volumes, tmp_path, resume=True)


def test_early_stop(make_config, volumes, tmp_path):
    config, task = make_config(steps=400, validate_every=2, patience=3), make_task(make_config())
    scores = iter([5.0, 3.0, 4.0, 3.5, 3.0])
    task.validate = lambda volumes, generator: {"score": next(scores)}
    train(config, volumes, tmp_path, task=task)
    assert step_of(tmp_path / CHECKPOINT) == 10
    with safe_open(tmp_path / BEST, "pt") as file:
        assert json.loads(file.metadata()["state"]) == {"step": 4, "score": 3.0}
    train(config, volumes, tmp_path, resume=True)  # nothing is left to do


def test_a_run_without_any_finite_score_is_refused(make_config, volumes, tmp_path):
    config, task = make_config(), make_task(make_config())
    task.validate = lambda volumes, generator: {"score": float("nan")}
    with pytest.raises(InputError, match="no validation gave a finite score"):
        train(config, volumes, tmp_path, task=task)


def test_a_full_disk_is_one_clear_line_and_the_last_checkpoint_stays(make_config, volumes, tmp_path):
    def limited(config, task):
        size = (tmp_path / CHECKPOINT).stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
        try:
            train(config, volumes, tmp_path, resume=True, task=task)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    config, task = make_config(), make_task(make_config())
    task.loss = lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        train(config, volumes, tmp_path, task=task)
    with pytest.raises(
        InputError, match=r"checkpoint.safetensors: could not be written \(.*\); free some space"
    ):
        limited(config, make_task(config))
    assert step_of(tmp_path / CHECKPOINT) == 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], (
        "nothing half written is left"
    )


def test_a_lost_device_says_how_to_continue(make_config, volumes, tmp_path):
    config, task = make_config(), make_task(make_config())
    loss = task.loss

    def lost(batch, generator, step):
        if step == 8:
            raise RuntimeError("CUDA error: unspecified launch failure\nmore")
        return loss(batch, generator, step)

    task.loss = lost
    with pytest.raises(
        InputError,
        match=r"step 8: the device cpu was lost .* checkpoint of step 6 is kept: continue with --resume",
    ):
        train(config, volumes, tmp_path, task=task)


def test_the_average_follows_its_recursion():
    layer = torch.nn.BatchNorm1d(2)
    average, expected = Average(layer, 0.9), layer.weight.detach().clone()
    for step in range(1, 200):
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([step, np.sin(step)]))
        layer.num_batches_tracked.fill_(step)
        average.update(layer, step)
        share = 1 - min(0.9, (1 + step) / (10 + step))
        expected = expected + share * (layer.weight.detach() - expected)
    assert (
        torch.allclose(average.tensors["weight"], expected, rtol=1e-5)
        and average.tensors["num_batches_tracked"] == 199
    )


def test_frozen_groups_stay_and_others_move(make_config, volumes, tmp_path):
    config, task = make_config(steps=4), make_task(make_config())
    encoder = list(task.networks.encoder.parameters())
    others = [p for name, p in task.networks.named_parameters() if not name.startswith("encoder.")]
    task.parts = lambda: [encoder, others]
    task.rates = lambda step: [0.0 if step < 2 else 1.0, 1.0]
    loss, seen = task.loss, []

    def recording(*arguments):
        seen.append([next(task.networks.encoder.parameters()).clone(), task.networks.heads.weight.clone()])
        return loss(*arguments)

    task.loss = recording
    train(config, volumes, tmp_path, task=task)
    assert torch.equal(seen[0][0], seen[2][0]) and not torch.equal(seen[2][0], seen[3][0])
    assert not torch.equal(seen[0][1], seen[1][1])
