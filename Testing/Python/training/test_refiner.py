"""./run train refiner, from a base and its people to a model that is built on it."""

import pytest
import torch
from training.conftest import BODIES
from training.tasks import check_resume, trained

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.priors.refiner.prior import RefinedPosterior, RefinedPrior
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.training.loop.task import make_task
from SparseVolumeReconstructionLib.zoo import ModelStore


def cases(count: int, seed: int) -> torch.Tensor:
    """Cases (count, 5, 6, 16, 16) whose truth is what their mean shows, half as bright."""
    random = torch.Generator().manual_seed(seed)
    mean, before = torch.rand(2, count, 6, 16, 16, generator=random)
    std = torch.full_like(mean, 0.2)
    return torch.stack([mean, std, before, std, mean / 2], 1)


@pytest.fixture
def config():
    return read_config("refiner-64-tiny")


def test_the_network_learns_what_is_missing(config):
    task = make_task(config.model_copy(update={"learning_rate": 0.003}))
    before = task.validate(cases(2, 9), torch.Generator())
    losses = trained_of(task, 60)
    after = task.validate(cases(2, 9), torch.Generator())
    assert losses[-1] < 0.7 * losses[0] and after["error"] < 0.6 * before["error"]
    assert after["unlike"] < before["unlike"]


def trained_of(task, steps: int) -> list[float]:
    batch = task.loss
    task.loss = lambda volumes, random, step: batch(task.batch(volumes, random), random, step)
    losses = trained(task, cases(8, 1), steps)
    del task.loss
    return losses


def test_a_stopped_run_goes_on_as_if_it_was_not(config, tmp_path):
    check_resume(config, cases, tmp_path)


@pytest.mark.slow
def test_one_command_makes_a_model_on_a_model(bodies_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    words, base = bodies_file
    store = ModelStore()
    store.import_file(base)
    out = tmp_path / "run"
    made = ["--base", "bodies", "--config", "refiner-64-tiny", "--out", str(out), "--id", "refined"]
    assert main(["train", "refiner", *words, *made]) == 0
    file = out / "refined.safetensors"
    assert capsys.readouterr().out.strip().endswith(str(file))
    entry = store.import_file(file)
    assert entry.card.base.sha256 == store.entry("bodies").sha256
    parts = entry.card.split
    assert sorted(parts["fit"] + parts["validation"]) == BODIES["fit"] and len(parts["validation"]) == 2
    assert entry.card.quality["subjects"] == BODIES["test"]
    assert entry.card.quality["coverage of 90 % intervals"]["4"] > 0.6
    prior = store.load("refined", "cpu")
    assert isinstance(prior, RefinedPrior) and prior.base is store.load("bodies", "cpu")
    assert not issubclass(type(prior.condition([])), RefinedPosterior)
    assert main(["train", "refiner", *words, "--base", "refined", *made[2:]]) == 2
    assert "expected a structured Gaussian" in capsys.readouterr().err
