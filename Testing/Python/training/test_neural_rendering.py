"""Training GQN and the conditional VAE on small round bodies whose brightness and width vary."""

import math

import pytest
import torch
from torch.distributions import Normal
from training.tasks import check_mixed_precision, check_resume, trained

from SparseVolumeReconstructionLib.data.config import DataConfig
from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.priors.stored import settings_text
from SparseVolumeReconstructionLib.training.loop.config import TrainConfig, read_config
from SparseVolumeReconstructionLib.training.loop.task import make_task
from SparseVolumeReconstructionLib.training.presets import shipped_presets

SYSTEMS = pytest.mark.parametrize("system", ["gqn", "cvae"])
COMMON = {"tower": 8, "leak": 0.1, "representation": 8, "pose_channels": 4, "sequence": 6, "anneal": 200}
OWN = {
    "gqn": {"latent": 2, "steps": 2, "hidden": 12, "kernel": 3, "canvas": 12, "shared": True, "scale": 2},
    "cvae": {"latent": 6, "width": 6, "scales": 3},
}


def config(system: str, **model) -> TrainConfig:
    words = {"data": DataConfig(size=16, slices=20), "model": {**COMMON, **OWN[system], **model}}
    return TrainConfig(system=system, steps=12, batch=4, learning_rate=5e-3, **words)


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", params=["gqn", "cvae"])
def finished(request, round_bodies):
    """A task after 400 steps, and its losses."""
    task = make_task(config(request.param))
    return task, trained(task, round_bodies(24, 1), 400)


def test_new_bodies_become_likelier(finished, round_bodies):
    task, losses = finished
    assert all(math.isfinite(loss) for loss in losses)
    new = round_bodies(6, 2)
    before = make_task(config(task.networks.settings.system)).validate(new, chance(1))
    after = task.validate(new, chance(1))
    assert after["score"] < before["score"] - 1 and after["error"] < 0.25 * before["error"]


def test_contexts_tell_of_the_body(finished, round_bodies):
    """The brightness and the width of a body can be seen in any of its slices."""
    network, new = finished[0].networks, round_bodies(16, 3)
    seen, asked = torch.tensor([2, 6, 14, 17]), 10
    errors = []
    with torch.no_grad():
        for count in (0, 4):
            index = seen[:count].expand(16, count)
            representation = network.represent(new[:, seen[:count]], index)
            shown, _ = network(
                torch.full((16,), asked), representation, torch.zeros(16, *network.noise_shape)
            )
            errors.append((shown - new[:, asked]).square().mean())
    assert errors[1] < 0.9 * errors[0]


@SYSTEMS
def test_the_loss_is_the_evidence_bound_of_the_queries(system, round_bodies):
    """Against the densities of torch, query by query, with the same chance."""
    task, volumes = make_task(config(system, sequence=4)), round_bodies(2, 4)
    with torch.no_grad():
        loss, values = task.loss(volumes, chance(6), 30)
        random = chance(6)
        contexts = int(torch.randint(4, (), generator=random))
        index = torch.rand(2, 20, generator=random).argsort(1)[:, :4]
        noise = torch.randn(2 * (4 - contexts), *task.networks.noise_shape, generator=random)
        bounds = []
        for b, own in enumerate(noise.split(4 - contexts)):
            seen = index[b : b + 1, :contexts]
            representation = task.networks.represent(volumes[b][seen], seen)
            for at, one in zip(index[b, contexts:], own, strict=True):
                truth = volumes[b, at][None]
                shown, divergence = task.networks(at[None], representation, one[None], truth)
                bounds.append(Normal(shown, task.sigma(30)).log_prob(truth).sum() - divergence[0])
    assert values["contexts"] == contexts and loss == pytest.approx(
        -float(torch.stack(bounds).mean()) / 256, abs=1e-4
    )


@SYSTEMS
def test_the_noise_falls_to_its_floor_and_no_further(system):
    task = make_task(config(system, sigma=0.05, sigma_start=1.05, anneal=10))
    found = [task.sigma(step) for step in (0, 5, 9, 10, 10_000)]
    assert found == pytest.approx([1.05, 0.55, 0.15, 0.05, 0.05])
    constant = make_task(config(system, sigma=0.7, sigma_start=2.0, anneal=0))  # that of the paper
    assert constant.sigma(0) == constant.sigma(9) == 0.7
    rising = make_task(config(system, sigma=0.1, sigma_start=0.01))
    assert {rising.sigma(step) for step in range(200)} == {0.1}


@SYSTEMS
def test_any_number_of_contexts_is_drawn(system, round_bodies):
    task, volumes = make_task(config(system, sequence=3)), round_bodies(2, 1)
    with torch.no_grad():
        assert {task.loss(volumes, chance(seed), 0)[1]["contexts"] for seed in range(20)} == {0.0, 1.0, 2.0}


def test_mixed_precision_gives_nearly_the_same(finished, round_bodies):
    check_mixed_precision(finished[0], round_bodies(4, 5))


@SYSTEMS
def test_an_interrupted_run_ends_where_it_would_have(system, round_bodies, tmp_path):
    check_resume(config(system), round_bodies, tmp_path)


@SYSTEMS
def test_weights_hold_the_network(system, round_bodies):
    task = make_task(config(system, coherent=False))
    tensors = task.weights(round_bodies(2, 0))
    settings = task.networks.settings
    assert (
        type(settings).model_validate_json(settings_text(tensors["settings"])) == settings
        and not tensors["coherent"]
    )
    assert {n.removeprefix("network.") for n in tensors if n.startswith("network.")} == set(
        task.networks.state_dict()
    )


@pytest.mark.parametrize(
    ("system", "model", "message"),
    [
        ("gqn", {"stepps": 3}, 'unknown key "stepps"; did you mean "steps"'),
        ("gqn", {"scale": 3}, "power of two"),
        ("gqn", {"scale": 32}, "scale 32 needs a size"),
        ("gqn", {"sigma": 0}, "sigma"),
        ("cvae", {"steps": 3}, 'unknown key "steps"'),
        ("cvae", {"scales": 6}, "6 scales need a size"),
        ("cvae", {"sequence": 21}, "20"),
        ("cvae", {"sequence": 1}, "greater than or equal to 2"),
    ],
)
def test_wrong_settings_are_refused(system, model, message):
    with pytest.raises(InputError, match=message):
        make_task(config(system, **model))


@SYSTEMS
def test_configurations_can_be_used(system):
    names = [name for name in shipped_presets() if name.startswith(f"{system}-")]
    assert set(names) >= {
        f"{system}-{name}" for name in ("64-tiny", "64-cpu", "64-gpu", "128-gpu", "256-gpu")
    }
    for name in names:
        found = read_config(name)
        with torch.device("meta"):
            settings = make_task(found).networks.settings
        assert (
            settings.size == found.data.size
            and settings.system == found.system == system
            and 0.05 <= settings.sigma <= 0.1
        )
