"""Volume models: divergence, penalty and distance against closed forms; whose turn it is; all five models
train.
"""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.data.cohort import list_cohort
from SparseVolumeReconstructionLib.data.config import AugmentationConfig
from SparseVolumeReconstructionLib.data.registration import on_grid
from SparseVolumeReconstructionLib.geometry import InputError, Volume
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.priors.volume_gan.network import Generator, read_settings
from SparseVolumeReconstructionLib.priors.volume_gan.training import (
    VolumeGanTask,
    divergence,
    energy_distance,
    gradient_penalty,
)
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.training.loop.config import (
    TrainConfig,
    read_config,
)
from SparseVolumeReconstructionLib.training.loop.loop import fit
from SparseVolumeReconstructionLib.training.loop.optimisers import Optimisers
from SparseVolumeReconstructionLib.training.loop.task import make_task
from SparseVolumeReconstructionLib.zoo import ModelStore

KINDS = ("volume-vae", "alpha-wgan", "wgan-gp", "vae-gan", "alpha-gan")
SPLIT = {"fit": [f"age{n}" for n in (20, 21, 22, 24, 25, 26, 28, 29, 30, 31)], "test": ["age27"]}


def small(kind: str, **model) -> TrainConfig:
    """The shipped trial configuration, on stacks of 10 slices of 16 x 16 pixels."""
    config = read_config(f"{kind}-64-tiny").model_dump()
    config |= {"steps": 12, "validate_every": 6}
    config["data"] |= {"size": 16, "slices": 10}
    config["model"] |= {"depth": 8, "widths": [4, 8], "latent": 6} | model
    return TrainConfig.model_validate(config)


def bodies(count: int, seed: int = 0) -> torch.Tensor:
    """(count, 10, 16, 16): balls of different brightness and width."""
    k, j, i = torch.meshgrid(torch.linspace(-1, 1, 10), *[torch.linspace(-1, 1, 16)] * 2, indexing="ij")
    bright, wide = torch.rand(2, count, 1, 1, 1, generator=torch.Generator().manual_seed(seed))
    return (0.4 + 0.5 * bright) * torch.sigmoid(12 * (0.5 + 0.3 * wide - (k**2 + j**2 + i**2).sqrt()))


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(2, 5, 7, generator=chance())
    drawn = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    wanted = torch.distributions.kl_divergence(drawn, torch.distributions.Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(divergence(mean, log_variance), wanted, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(norm=st.floats(0, 5), seed=st.integers(0, 99))
def test_penalty_of_a_linear_critic_is_known(norm, seed):
    direction = torch.randn(4, 6, 6, generator=chance(seed))
    direction = (direction * norm / direction.norm()).requires_grad_()
    real, made = torch.randn(2, 3, 4, 6, 6, generator=chance(seed + 1))
    penalty = gradient_penalty(lambda x: (x * direction).sum((1, 2, 3)), real, made, chance(seed))
    assert float(penalty.detach()) == pytest.approx((norm - 1) ** 2, abs=1e-4)
    if norm > 0.01:
        (slope,) = torch.autograd.grad(penalty, direction)
        assert torch.allclose(slope, 2 * (norm - 1) * direction / norm, atol=1e-4), (
            "a critic can learn from it"
        )


def test_penalty_is_taken_between_real_and_made():
    seen = []
    real, made = torch.zeros(64, 2), torch.ones(64, 2)
    gradient_penalty(lambda x: seen.append(x.detach()) or x.sum(1), real, made, chance())
    assert (
        seen[0].min() > 0
        and seen[0].max() < 1
        and seen[0][:, 0].std() > 0.2
        and torch.equal(seen[0][:, 0], seen[0][:, 1])
    )


def test_energy_distance_of_normal_samples():
    one, same, other = (
        shift + torch.randn(600, 400, generator=chance(seed))
        for seed, shift in ((0, 0.0), (1, 0.0), (2, 0.5))
    )
    assert abs(energy_distance(one, same)) < 0.003
    wanted = 2 * math.sqrt(2 + 0.25) - 2 * math.sqrt(
        2
    )  # distances of many components are nearly their root mean square
    assert energy_distance(one, other) == pytest.approx(wanted, abs=0.01)
    assert energy_distance(one.bfloat16(), other.bfloat16()) == pytest.approx(
        wanted, abs=0.01
    )  # as in mixed precision
    assert energy_distance(one[:1], other[:1]) == pytest.approx(
        2 * float((one[0] - other[0]).square().mean().sqrt()), abs=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_only_those_whose_turn_it_is_move(kind):
    torch.manual_seed(0)
    task, volumes = make_task(small(kind)), bodies(2)
    optimisers = Optimisers(task, task.config.model_copy(update={"learning_rate": 1e-2}))
    assert sum(len(part) for part in task.parts()) == len(list(task.networks.parameters())) and not list(
        task.networks.buffers()
    )
    turns, ever = [], set()
    for step in range(12):
        before = {name: p.detach().clone() for name, p in task.networks.named_parameters()}
        factors = task.rates(step)
        optimisers.begin(step)
        loss, terms = task.loss(volumes, chance(step), step)
        assert float(loss.detach()) == pytest.approx(sum(float(t) for t in terms.values()), rel=1e-4)
        loss.backward()
        optimisers.step()
        moved = {name for name, p in task.networks.named_parameters() if not torch.equal(p, before[name])}
        critics = {name for name in before if "critic" in name}
        assert moved <= (critics if factors[0] == 0 else set(before) - critics)
        ever |= moved
        turns.append(factors[0] == 0)
    wanted = {"volume-vae": 0, "wgan-gp": 10}.get(kind, 6)
    assert sum(turns) == wanted and len(ever) > 0.9 * len(before)


@pytest.mark.parametrize("kind", KINDS)
def test_every_model_trains_in_the_loop_and_seeds_decide(kind, tmp_path):
    config, volumes = small(kind), bodies(8)
    runs = []
    for name in ("one", "two"):
        task = make_task(config)
        fit(task, volumes[:6], volumes[6:], config, tmp_path / name, False, Progress())
        runs.append(task.weights(volumes[:6]))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0]), (
        "the same seed gives the same weights"
    )
    values = [line.split(",") for line in (tmp_path / "one" / "log.csv").read_text().splitlines()[1:]]
    assert all(math.isfinite(float(value)) for _, _, value in values)
    assert {"validation/score"} <= {name for _, name, _ in values}
    generator = Generator(read_settings(runs[0]["settings"]))
    generator.load_state_dict(under(runs[0]))
    assert generator(torch.zeros(2, 6)).shape == (2, 8, 16, 16) and runs[0]["residual_sd"].shape == (
        10,
        16,
        16,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_longer_training_brings_samples_nearer(kind):
    config = small(kind)
    task, volumes = make_task(config), bodies(24)
    before = task.validate(bodies(6, 1), chance())["score"]
    optimisers = Optimisers(task, config.model_copy(update={"learning_rate": 5e-3, "decay": 1.0}))
    for step in range(120):
        optimisers.begin(step)
        loss, _ = task.loss(volumes[torch.randperm(24, generator=chance(step))[:4]], chance(step), step)
        loss.backward()
        optimisers.step()
    assert task.validate(bodies(6, 1), chance())["score"] < 0.6 * before


def test_weights_tell_the_error_that_is_left_and_the_codes_that_there_are():
    config = small("volume-vae")
    task = make_task(config.model_copy(update={"augmentation": AugmentationConfig(mirror=False)}))
    for parameter in task.networks.encoder.head.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3, generator=chance())
    volumes = bodies(6)
    stored = task.weights(volumes)
    mean, log_variance = task.networks.encoder(task._resampled(volumes)).chunk(2, 1)
    coarse = (task.networks.generator(mean) - task._resampled(volumes)).square().mean().sqrt()
    assert float((stored["residual_sd"] / 510.0).square().mean().sqrt()) == pytest.approx(
        float(coarse), rel=0.05
    )
    before, after = (
        state["start.weight"].double() for state in (task.networks.generator.state_dict(), under(stored))
    )
    covariance = torch.cov(mean.T, correction=0) + torch.diag(log_variance.exp().mean(0))
    wanted = before @ covariance.double() @ before.T
    assert float((after @ after.T - wanted).abs().max() / wanted.abs().max()) < 0.01


def under(stored: dict) -> dict:
    """The generator's state among stored tensors."""
    return {
        name.removeprefix("network."): tensor
        for name, tensor in stored.items()
        if name.startswith("network.")
    }


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match='without an adversary, codes are "kl"'):
        VolumeGanTask(small("volume-vae", codes="none"))
    with pytest.raises(InputError, match="2 widths need a depth and a size that are multiples of 4"):
        VolumeGanTask(small("volume-vae", depth=6))
    with pytest.raises(InputError, match='unknown key "critic_step"; did you mean "critic_steps"'):
        VolumeGanTask(small("wgan-gp", critic_step=5))


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_configurations_are_valid(kind):
    for name in ("64-tiny", "64-cpu", "64-gpu", "128-gpu"):
        config = read_config(f"{kind}-{name}")
        assert config.system == "volume-model"
        with torch.device("meta"):  # shapes alone
            assert make_task(config).networks


@pytest.fixture(scope="module")
def store(cohort_dir, tmp_path_factory):
    """A store with a model that was trained by the command."""
    folder = tmp_path_factory.mktemp("volume-model")
    (folder / "split.json").write_text(json.dumps(SPLIT))
    command = [
        "train",
        "volume-model",
        "--cohort",
        cohort_dir,
        "--config",
        "volume-vae-64-tiny",
        "--out",
        folder / "bodies",
    ]
    assert main([*map(str, command), "--split", str(folder / "split.json"), "--modality", "phantom"]) == 0
    store = ModelStore(folder / "models")
    store.import_file(folder / "bodies" / "bodies.safetensors")
    return store


def test_the_command_makes_a_model_that_the_store_loads(store):
    card = store.load("bodies", "cpu").card
    assert (
        card.system == "volume-model"
        and card.title.startswith("3D VAE,")
        and card.quality["subjects"] == SPLIT["test"]
    )
    held = card.quality["coverage of 90 % intervals on validation subjects by number of slices"].values()
    assert 0.85 < sum(held) / len(held) < 0.95


def test_slices_of_a_subject_bring_the_mean_nearer(store, cohort_dir):
    prior, cohort = store.load("bodies", "cpu"), list_cohort(cohort_dir)
    matrices, error = cohort.registered(prior.reference, SPLIT["test"]), {0: 0.0, 4: 0.0}
    for name in SPLIT["test"]:
        truth = Volume(on_grid(cohort.volume(name), prior.grid, matrices[name]), prior.grid)
        for count in error:
            contexts = [slice_of(truth, k) for k in (5, 9, 13, 17)[:count]]
            error[count] += float(
                ((prior.condition(contexts).mean().numpy() - truth.array) ** 2).mean() ** 0.5
            )
    assert error[4] < error[0], error
