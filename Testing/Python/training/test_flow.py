"""./run train flow, from a base and its people to a model that is built on it."""

import pytest
import torch
from training.conftest import BODIES
from training.tasks import check_resume

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.priors.flow.prior import FlowPosterior, FlowPrior
from SparseVolumeReconstructionLib.priors.flow.training.cases import coded, decoded
from SparseVolumeReconstructionLib.priors.flow.training.critics import energy_score, views_of
from SparseVolumeReconstructionLib.training.loop.config import read_config
from SparseVolumeReconstructionLib.training.loop.optimisers import Optimisers
from SparseVolumeReconstructionLib.training.loop.task import make_task
from SparseVolumeReconstructionLib.zoo import ModelStore

SPREAD, SHIFT = 0.1, 0.1


def cases(count: int, seed: int) -> torch.Tensor:
    """Cases (count, 6, 8, 8, 8): truths are brighter than their draws, and vary as widely."""
    random = torch.Generator().manual_seed(seed)
    mean = torch.full((count, 1, 8, 8, 8), 0.5)
    std, close = torch.full_like(mean, SPREAD), torch.full_like(mean, 0.3)
    each = 0.5 + SPREAD * torch.randn(count, 3, 1, 1, 1, generator=random).expand(-1, -1, 8, 8, 8)
    each = each + torch.tensor([SHIFT, 0.0, 0.0])[:, None, None, None]
    return torch.stack([coded(case) for case in torch.cat([mean, std, close, each], 1)])


def made(task, volumes, steps):
    """What is learned in so many steps."""
    optimisers, random = Optimisers(task, task.config), torch.Generator().manual_seed(0)
    for step in range(steps):
        optimisers.begin(step)
        chosen = volumes[torch.randperm(len(volumes), generator=random)[:8]]
        loss, _ = task.loss(task.batch(chosen, random), random, step)
        loss.backward()
        optimisers.step()
    return task


@pytest.fixture
def config():
    return read_config("flow-64-tiny")


@pytest.mark.parametrize("aim", ["score", "flow"])
def test_samples_come_to_lie_where_truths_do_and_stay_as_wide(config, aim):
    settings = {"aim": aim, "critics": 0.0, "noise": 0.0, "steps": 1 if aim == "score" else 4}
    run = config.model_copy(update={"model": config.model | settings, "learning_rate": 0.003, "steps": 60})
    task, kept = made(make_task(run), cases(64, 1), 60), cases(32, 2)
    before = decoded(kept)[:, 4:]
    after = task.samples(kept, torch.Generator().manual_seed(0))
    assert float(after.mean() - before.mean()) == pytest.approx(SHIFT, abs=0.04)
    wide = [float((x[:, 0] - x[:, 1]).square().mean().sqrt()) for x in (before, after)]
    assert wide[1] == pytest.approx(wide[0], rel=0.4)
    assert task.validate(kept, torch.Generator())["energy"] < 0.95


def test_the_score_prefers_draws_as_wide_as_truths():
    random = torch.Generator().manual_seed(4)
    truth, one, other = torch.randn(3, 400, 1, 1, 1, generator=random).expand(-1, -1, 8, 8, 8)
    best, narrow, wide = (float(energy_score(f * one, f * other, truth)) for f in (1.0, 0.3, 2.0))
    assert best < narrow and best < wide
    assert float(energy_score(truth, truth, truth)) == pytest.approx(0.0, abs=2e-3)


def test_critics_learn_in_their_turn_and_pull_by_their_share(config):
    task = make_task(config)
    assert task.cycle == 2 and [[r > 0 for r in task.rates(s)] for s in (0, 1)] == [
        [True, False],
        [False, True],
    ]
    random = torch.Generator().manual_seed(0)
    batch = task.batch(cases(4, 1), random)
    _, values = task.loss(batch, random, 0)
    assert set(values) == {"score", "doubt", "ratio"} and float(values["ratio"]) > 0
    loss, values = task.loss(batch, random, 1)
    loss.backward()
    assert set(values) == {"critics"} and all(p.grad is None for p in task.networks.flow.parameters())
    assert all(p.grad is not None for p in task.networks.critics.parameters())
    shapes = [tuple(view.shape) for view in views_of(torch.rand(2, 8, 16, 12), 3, random)]
    assert shapes == [(6, 16, 12), (6, 8, 12), (6, 8, 16)]


def test_what_was_observed_is_as_in_the_draw(config):
    task, kept = make_task(config), cases(1, 3)
    torch.nn.init.normal_(task.networks.flow.end.weight, std=1.0)
    kept[:, 2, 4] = 250
    after = task.samples(kept, torch.Generator().manual_seed(0))
    same = (after == decoded(kept)[:, 4:]).flatten(3).all(3)[0]
    assert same[:, 4].all() and not same[:, :4].any()


def test_a_stopped_run_goes_on_as_if_it_was_not(config, tmp_path):
    check_resume(config, cases, tmp_path)


@pytest.mark.slow
def test_one_command_makes_a_model_on_a_model(bodies_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    words, base = bodies_file
    store = ModelStore()
    store.import_file(base)
    out = tmp_path / "run"
    rest = ["--base", "bodies", "--config", "flow-64-tiny", "--out", str(out), "--id", "carried"]
    assert main(["train", "flow", *words, *rest]) == 0
    file = out / "carried.safetensors"
    assert capsys.readouterr().out.strip().endswith(str(file))
    entry = store.import_file(file)
    assert entry.card.base.sha256 == store.entry("bodies").sha256
    assert len(entry.card.split["validation"]) == 2 and entry.card.quality["subjects"] == BODIES["test"]
    prior = store.load("carried", "cpu")
    assert isinstance(prior, FlowPrior) and isinstance(prior.condition([]), FlowPosterior)
    many = tmp_path / "many.yaml"
    many.write_text("preset: flow-64-tiny\nmodel: {folds: 5}\n")
    assert main(["train", "flow", *words, *rest, "--config", str(many), "--out", f"{out}2"]) == 2
    assert "8 people to fit in 5 folds; expected two in each at least" in capsys.readouterr().err
