"""Training of MRNGAN: its stages in one run, whose turn it is, resume, and the command's model."""

import pytest
import torch
from training.tasks import check_resume, trained

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.priors.mrngan.stages import STAGES, MrnganConfig, Stage, anchor_places
from SparseVolumeReconstructionLib.priors.mrngan.training import MrnganTask
from SparseVolumeReconstructionLib.training.loop.config import TrainConfig, read_config
from SparseVolumeReconstructionLib.training.loop.task import make_task


def small(**model) -> TrainConfig:
    """The shipped trial, on stacks of 12 slices of 16 x 16 pixels."""
    config = read_config("mrngan-64-tiny").model_dump()
    config |= {"steps": 60, "validate_every": 20}
    config["data"] |= {"size": 16, "slices": 12}
    config["model"] |= {"flow": [4, 8], "pool": 1, "localiser": 16} | model
    return TrainConfig.model_validate(config)


@pytest.fixture(scope="module")
def round_bodies():
    """round_bodies(count, seed): cones, whose width tells the place, (count, 12, 16, 16)."""

    def make(count: int, seed: int = 0) -> torch.Tensor:
        k, j, i = torch.meshgrid(torch.linspace(-1, 1, 12), *[torch.linspace(-1, 1, 16)] * 2, indexing="ij")
        bright, wide = torch.rand(2, count, 1, 1, 1, generator=torch.Generator().manual_seed(seed))
        radius = 0.45 + 0.1 * wide + 0.35 * k
        return (0.4 + 0.5 * bright) * torch.sigmoid(12 * (radius - (j**2 + i**2).sqrt()))

    return make


def test_stages_follow_one_another_and_end_with_the_run():
    config = MrnganConfig(shares=(1, 1, 2, 1, 1))
    at = [Stage(config, 24, step) for step in range(24)]
    assert [stage.name for stage in at] == [
        STAGES[n] for n in (*[0] * 4, *[1] * 4, *[2] * 8, *[3] * 4, *[4] * 4)
    ]
    assert not any(stage.critics for stage in (*at[:4], *at[20:])) and [s.critics for s in at[4:8]] == [
        0,
        0,
        0,
        1,
    ]
    assert at[4].rate > at[5].rate > 0.1 * config.rates[1]
    turns = [stage.turn(4) for stage in at[8:16]]
    assert [number for number, *_ in turns] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [(first, last) for _, first, last in turns] == [(True, False), (False, True)] * 4


def test_only_the_networks_of_the_stage_and_turn_may_learn():
    task = make_task(small())
    parameters = [p for part in task.parts() for p in part]
    assert len(parameters) == len({id(p) for p in parameters}) == len(list(task.networks.parameters()))
    for step in range(60):
        assert sum(rate > 0 for rate in task.rates(step)) == 1


def test_every_slice_is_tuned_from_its_nearest_anchor():
    networks = make_task(small(anchors=2)).networks
    assert networks.places.tolist() == anchor_places(12, 2).tolist() == [3, 9]
    found = {}
    for offset in networks.offsets():
        places, own = networks.tuned_places(offset)
        for place, anchor, mine in zip(places.tolist(), networks.places.tolist(), own.tolist(), strict=True):
            if mine:
                assert place not in found
                found[place] = anchor
    assert sorted(found) == list(range(12)) and all(abs(k - a) <= 3 for k, a in found.items())


@pytest.mark.parametrize(("stage", "rates"), [(3, [1, 1, 1, 1, 1]), (4, [1, 1, 1, 1, 0.5])])
def test_neighbours_and_chains_of_them_are_learned(round_bodies, stage, rates):
    volumes, shares = round_bodies(8), [0.01] * 5
    shares[stage] = 10
    task = make_task(small(shares=shares, rates=rates).model_copy(update={"steps": 80}))
    task.networks.model.general.copy_(volumes.mean(0))
    before = score(task, stage, volumes)
    assert torch.tensor(trained(task, volumes, 80)).isfinite().all()
    after = score(task, stage, volumes)
    assert after < 0.75 * before, (before, after)  # a copy of the slice is where it begins


def test_dcgans_and_their_copies_make_a_general_brain(round_bodies):
    volumes = round_bodies(8)
    config = small(shares=[0.01, 10, 10, 0.01, 0.01], rates=[1, 1, 1, 1, 1], critic=8)
    task = make_task(config.model_copy(update={"steps": 150}))
    trained(task, volumes, 150)
    mean, model = volumes.mean(0), task.networks.model
    assert (model.general - mean).square().mean() < 0.4 * mean.square().mean()
    assert (model.general.flatten(1).std(1) > 0).all() and (task.networks.drawn != model.general).any()


def score(task: MrnganTask, stage: int, volumes: torch.Tensor) -> float:
    """The error of a stage, by number."""
    task.networks.eval()
    task._stage.number = stage
    found = task.validate(volumes, torch.Generator().manual_seed(0))
    task.networks.train()
    assert len(STAGES) - 1 - stage <= found["score"] < len(STAGES) - stage, "a later stage is always better"
    return found["error"]


def test_a_stopped_run_goes_on_with_the_same_numbers(round_bodies, tmp_path):
    check_resume(small(), round_bodies, tmp_path)


def test_wrong_configurations_are_refused():
    with pytest.raises(InputError, match="l1 above l2"):
        make_task(small(l2=2))
    with pytest.raises(InputError, match="power of two"):
        make_task(small(flow=[2] * 6))
    with pytest.raises(InputError, match='unknown key "anchor"; did you mean "anchors"'):
        make_task(small(anchor=3))
