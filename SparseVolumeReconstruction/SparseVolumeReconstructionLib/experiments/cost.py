"""What the systems cost: parameters, training, seconds of a volume and of a sample, memory.

And what a loop over slices would.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import torch

from ..data.stacks import stack_grid
from ..evaluation.benchmark import median_seconds, peak_mib
from ..evaluation.cases import as_array, context_positions
from ..geometry import Volume
from ..geometry.resample import resample
from ..observation.slices import slice_of
from ..priors.axial import AxialSpace
from ..priors.device import device_name, placed, resolve_device
from ..priors.structured_gaussian.prior import StructuredGaussian
from ..priors.systems import trained_systems
from ..training.loop.checkpoint import Average
from ..training.loop.config import TrainConfig, read_config
from ..training.loop.loop import deterministic
from ..training.loop.optimisers import Optimisers
from ..training.loop.task import Task, make_task
from ..training.presets import shipped_presets
from ..zoo import ModelStore
from .base import Setting
from .batching import ratios
from .findings import Findings, Table
from .models import slice_models, volume_models

SIZES = (64, 128, 256)
_MODEL = "brain-t1"
_CONTEXTS = 4
_RUNS = 3
_NEW = 20  # steps of all numbers of contexts: a GPU takes long over the first convolutions of any shape
_FEW = 10  # slices of the stack on a CPU beyond 64 pixels


def cost(setting: Setting) -> Findings:
    """Every shipped configuration of this scale, and of "gpu" for the larger sizes.

    On a CPU each is measured in a process of its own.
    """
    rows = []
    spawn = multiprocessing.get_context("spawn")
    sizes = SIZES[:1] if setting.tiny else SIZES
    keys = (*slice_models(), *volume_models())
    shipped = shipped_presets()
    for done, (key, size) in enumerate((key, size) for key in keys for size in sizes):
        name = f"{key}-{size}-{setting.models.scale if size == SIZES[0] else 'gpu'}"
        setting.progress.update(f"measuring {name}", done / (len(keys) * len(sizes)))
        if name not in shipped:
            continue
        config = read_config(name)
        if resolve_device(setting.device).type == "cuda":  # it counts memory itself, and is slow to start
            rows.append([name, *measured(config, setting.device)])
            continue
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            rows.append([name, *pool.submit(measured, config, setting.device).result()])
    header = [
        "configuration",
        "million parameters",
        "slices",
        "s per training step",
        "hours of training",
        "s per volume",
    ]
    header += ["s per posterior mean", "s per sample", "peak MiB"]
    note = (
        f"Untrained networks, {_CONTEXTS} contexts, medians of {_RUNS} calls after one, on "
        f"{device_name(resolve_device(setting.device))}. "
        "Step: augmentation, loss, gradient, optimiser and average. Hours: all steps of the configuration at "
        "this pace. Volume: the quick "
        f"look (fast). On a CPU, which is not meant to train them, models of more than {SIZES[0]} pixels "
        "only draw, once after one call: "
        f"stacks of {_FEW} slices, times for 120 in proportion (volume models: whole volumes). Memory: of "
        "the process on a CPU, of the "
        "tensors on a GPU."
    )
    loops = Table(
        "A step for all slices at once, against a loop over slices",
        ["system", "s at once", "s in a loop", "ratio", "largest difference of the loss"],
        ratios(setting.device, setting.models.scale),
        "Loss and gradient of one training step (4 volumes, 9 slices of each) of "
        f"*-64-{setting.models.scale}, medians of one run.",
    )
    question = "What do the systems cost in parameters, time and memory, and is a batch faster than a loop?"
    return Findings(
        "cost", "Cost of the systems", question, [Table("Cost", header, rows, note), loops], [], []
    )


def measured(config: TrainConfig, name: str) -> list[float | int | None]:
    """The cells of one configuration after its name, on a device; seconds, and the rest as the table says.

    Args:
        config: of the networks, which stay untrained.
        name: of the device, as `resolve_device` takes it.

    Returns:
        Million parameters, slices, s per training step, hours of training, s per volume, s per posterior
        mean, s per sample, peak MiB; None where it was not measured.
    """
    device = resolve_device(name)
    if device.type == "cuda":
        torch.cuda.init()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    few = config.data.size > SIZES[0] and device.type == "cpu"
    if few:
        config = config.model_copy(update={"data": config.data.model_copy(update={"slices": _FEW})})
    system = trained_systems()[config.system]
    share = 120 / _FEW if few and system.draws == "slices" else 1.0
    space, bodies = _space(config)
    task = make_task(config)
    placed(task.networks, device)
    step = None if few else _step_seconds(config, task, bodies.to(device))
    card = ModelStore().entry(_MODEL).card.model_copy(update={"system": config.system})
    prior = system.prior_class().from_weights(task.weights(bodies) | space.to_tensors(), card, device)
    truth = Volume(bodies[0].numpy(), prior.grid)
    slices = [slice_of(truth, k) for k in context_positions(_CONTEXTS, len(truth.array))]
    runs = 1 if few else _RUNS
    volume = median_seconds(lambda: as_array(prior.condition(slices, fast=True).mean()), runs)
    sample = median_seconds(lambda: as_array(prior.condition(slices).sample([0])), runs)
    mean = None if few else median_seconds(lambda: as_array(prior.condition(slices).mean()), 1)
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_mib()
    parameters = sum(p.numel() for p in task.networks.parameters()) / 1e6
    hours = step and step * config.steps / 3600
    return [
        parameters,
        config.data.slices,
        step,
        hours,
        volume * share,
        mean,
        sample * share,
        memory and round(memory),
    ]


def _space(config: TrainConfig) -> tuple[AxialSpace, torch.Tensor]:
    """A space for the configuration, and two bodies (2, K, H, W).

    No data are needed, only the embedded Gaussian.
    """
    gaussian = ModelStore().load(_MODEL, "cpu")
    assert isinstance(gaussian, StructuredGaussian)
    own = gaussian.evaluation_grid
    grid = stack_grid(own, config.data)
    posterior = gaussian.condition([], grid=own)
    images = [posterior.mean(), *posterior.sample([0, 1])]
    atlas, *bodies = (
        torch.as_tensor(resample(Volume(as_array(x), own), grid).array).clamp(0, 1) for x in images
    )
    return AxialSpace(
        replace(gaussian.parameters, evaluation_grid=grid), gaussian.reference, atlas
    ), torch.stack(bodies)


def _step_seconds(config: TrainConfig, task: Task, bodies: torch.Tensor) -> float:
    """Seconds of a training step of bodies (N, K, H, W), past those in which parts are held."""
    networks = task.networks.train()
    device = bodies.device
    still = config.model_copy(update={"learning_rate": 0.0})
    optimisers = Optimisers(task, still)
    average = Average(networks, config.ema)
    volumes = bodies[torch.arange(config.batch) % len(bodies)]
    late = config.steps // 2
    chance = torch.Generator(device).manual_seed(0)
    turns = task.cycle
    first = late - late % task.cycle

    def steps() -> None:
        for turn in range(turns):
            batch = task.batch(volumes, chance)
            optimisers.begin(first + turn)
            with torch.autocast(
                device.type,
                torch.bfloat16,
                enabled=config.precision == "bf16-mixed" and device.type == "cuda",
            ):
                loss, _ = task.loss(batch, chance, first + turn)
            loss.backward()
            optimisers.step()
            average.update(networks, late)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with deterministic():
        for _ in range(_NEW if device.type == "cuda" else 0):
            steps()
        return median_seconds(steps, _RUNS) / turns
