"""Training conditional BRUNO on small round bodies whose brightness, size and layers vary."""

import math

import pytest
import torch
from training.tasks import check_mixed_precision, check_resume, trained

from SparseVolumeReconstructionLib.data.config import DataConfig
from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.priors.bruno.prior import read_network
from SparseVolumeReconstructionLib.priors.bruno.training import BrunoTask
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.config import TrainConfig, read_config
from SparseVolumeReconstructionLib.training.loop.loop import fit
from SparseVolumeReconstructionLib.training.presets import shipped_presets

SMALL = {
    "checkerboard": [1, 2],
    "channel": [2, 0],
    "filters": 6,
    "blocks": 1,
    "dense": 2,
    "hidden": 16,
    "embedding": 8,
}


def config(**model) -> TrainConfig:
    data = DataConfig(size=16, slices=20)
    learn = {"sequence": 6, "hold": 20, "held": "flow", "levels": 64}
    words = {"data": data, "model": {**SMALL, **learn, **model}}
    return TrainConfig(system="bruno", steps=1, batch=4, learning_rate=3e-3, **words)


@pytest.fixture(scope="module", params=["exchangeable", "pose"])
def finished(request, round_bodies) -> tuple[BrunoTask, list[float]]:
    """A task after 250 steps, and its losses."""
    torch.manual_seed(0)
    task = BrunoTask(config(process=request.param))
    return task, trained(task, round_bodies(24, 1), 250)


def test_the_likelihood_of_new_bodies_rises(finished, round_bodies):
    task, losses = finished
    assert all(math.isfinite(loss) for loss in losses)
    torch.manual_seed(0)
    start = BrunoTask(config())
    start.loss(round_bodies(4, 1), torch.Generator().manual_seed(0), 0)
    new, random = round_bodies(6, 2), torch.Generator
    before = start.validate(new, random().manual_seed(1))
    after = task.validate(new, random().manual_seed(1))
    assert after["score"] < before["score"] - 0.3
    assert (
        after["error"] < 0.85 * before["error"]
    )  # at the start it is that of the mean atlas of a few bodies


def test_contexts_tell_of_the_body(finished, round_bodies):
    network, new = finished[0].networks, round_bodies(8, 3)
    index = torch.tensor([2, 6, 14, 17, 10]).expand(8, 5)
    images = torch.take_along_dim(new, index[..., None, None], 1)
    with torch.no_grad():
        given = network(images, index, 4).mean() / 256
        alone = network(images[:, 4:], index[:, 4:]).mean() / 256
        z, _ = network.encode(images[:, :4], index[:, :4])
        at = network.positions(index)
        errors = []
        for count in (0, 4):
            mean = network.process.predict(z[:, :count], at[:, :count], at[:, 4:]).mean
            errors.append((network.decode(mean, index[:, 4:]) - images[:, 4:]).square().mean())
    assert given > alone + 0.01  # 2.6 nats an image, most of which is noise
    assert errors[1] < 0.7 * errors[0]


def test_a_trained_flow_is_invertible(finished, round_bodies):
    network, new = finished[0].networks, round_bodies(3, 4)
    index = torch.arange(20).expand(3, 20)
    with torch.no_grad():
        z, _ = network.encode(new, index)
        assert (network.decode(z, index) - new).abs().max() < 1e-3


@pytest.mark.parametrize("held", ["process", "flow"])
def test_one_part_is_held_at_first(held, round_bodies):
    torch.manual_seed(0)
    task, volumes = BrunoTask(config(hold=3, held=held)), round_bodies(8, 1)
    before = {name: p.clone() for name, p in task.networks.named_parameters()}

    def changed() -> set[str]:
        return {
            "process" if n.startswith("process.") else "flow"
            for n, p in task.networks.named_parameters()
            if not torch.equal(p, before[n])
        }

    trained(task, volumes, 3 - (held == "process"))
    assert changed() == {"process", "flow"} - {held}
    trained(task, volumes, 6)
    assert changed() == {"process", "flow"}
    assert sum(len(part) for part in task.parts()) == len(list(task.networks.parameters()))


def test_the_flow_starts_from_the_mean_atlas(round_bodies):
    torch.manual_seed(0)
    task, volumes = BrunoTask(config(hold=40)), round_bodies(24, 1)
    trained(task, volumes, 30)
    with torch.no_grad():
        shown = task.networks.decode(torch.zeros(20, 256), torch.arange(20))
    assert (shown - volumes.mean(0)).abs().mean() < 0.03 < (volumes - volumes.mean(0)).abs().mean()


def test_training_repeats_itself(round_bodies):
    losses = []
    for _ in range(2):
        torch.manual_seed(3)
        losses.append(trained(BrunoTask(config()), round_bodies(8, 1), 4))
    assert losses[0] == losses[1]


def test_mixed_precision_gives_nearly_the_same(finished, round_bodies):
    check_mixed_precision(finished[0], round_bodies(4, 5))


def test_a_start_from_data_in_mixed_precision_leaves_parameters_as_they_are(tmp_path, round_bodies):
    run = config(hold=1).model_copy(update={"steps": 3, "precision": "bf16-mixed"})
    task = BrunoTask(run)
    fit(task, round_bodies(6, 1), round_bodies(2, 2), run, tmp_path, False, Progress())
    assert {parameter.dtype for parameter in task.networks.parameters()} == {torch.float32}


@pytest.mark.parametrize("process", ["exchangeable", "pose"])
def test_an_interrupted_run_ends_where_it_would_have(process, tmp_path, round_bodies):
    check_resume(config(process=process, hold=4), round_bodies, tmp_path)


def test_weights_hold_the_network(round_bodies):
    torch.manual_seed(0)
    task = BrunoTask(config(process="pose", kind="gaussian"))
    tensors = task.weights(round_bodies(2, 0))
    network = read_network(tensors)
    assert network.settings == task.networks.settings
    for name, tensor in task.networks.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"filtres": 3}, 'unknown key "filtres"; did you mean "filters"'),
        ({"process": "both"}, "process"),
        ({"channel": [1]}, "one number of couplings for each scale"),
        ({"sequence": 21}, "20"),
        ({"sequence": 1}, "greater than or equal to 2"),
        ({"checkerboard": [1] * 5, "channel": [1] * 5}, "5 scales need a size"),
    ],
)
def test_wrong_settings_are_refused(model, message):
    with pytest.raises(InputError, match=message):
        BrunoTask(config(**model))


def test_configurations_can_be_used():
    names = [name for name in shipped_presets() if name.startswith("bruno")]
    assert {"bruno-64-tiny", "bruno-64-cpu", "bruno-64-gpu"} <= set(names)
    for name in names:
        found = read_config(name)
        with torch.device("meta"):
            shape = BrunoTask(found).networks.settings
        assert (shape.process == "pose") == ("-pose-" in name) and shape.size == found.data.size
