"""What the systems cost: parameters, training, seconds of a volume and of a sample, memory; and what a loop over slices would."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import torch

from ..evaluation.benchmark import median_seconds, peak_mib
from ..evaluation.cases import as_array, context_positions
from ..geometry import InputError, Volume
from ..geometry.plane import slice_of
from ..geometry.resample import resample
from ..priors.axial import AxialSpace
from ..priors.base import Prior
from ..priors.device import device_name, placed, resolve_device
from ..priors.systems import system_class
from ..training.loop.augment import augment
from ..training.loop.checkpoint import Average
from ..training.loop.config import TrainConfig, find_config, read_config
from ..training.loop.data import stack_grid
from ..training.loop.loop import deterministic
from ..training.loop.task import make_task
from ..zoo import ModelStore
from .base import Setting
from .findings import Findings, Table
from .loops import ratios
from .models import SLICE_MODELS, VOLUME_MODELS

KEYS = (*SLICE_MODELS, *VOLUME_MODELS)
SIZES = (64, 128, 256)
_MODEL = "brain-t1"
_CONTEXTS = 4
_RUNS = 3
_FEW = 10  # slices of the stack on a CPU beyond 64 pixels


def cost(setting: Setting) -> Findings:
    """Every shipped configuration of this scale, and of "gpu" for the larger sizes, on a CPU each in a process of its own."""
    rows, spawn = [], multiprocessing.get_context("spawn")
    sizes = SIZES[:1] if setting.tiny else SIZES
    for done, (key, size) in enumerate((key, size) for key in KEYS for size in sizes):
        name = f"{key}-{size}-{setting.models.scale if size == SIZES[0] else 'gpu'}"
        setting.progress.update(f"measuring {name}", done / (len(KEYS) * len(sizes)))
        try:
            path = find_config(name)
        except InputError:
            continue
        config = read_config(path)
        if resolve_device(setting.device).type == "cuda":  # it counts memory itself, and is slow to start
            rows.append([name, *measured(config, setting.device)])
            continue
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            rows.append([name, *pool.submit(measured, config, setting.device).result()])
    header = ["configuration", "million parameters", "slices", "s per training step", "hours of training", "s per volume"]
    header += ["s per posterior mean", "s per sample", "peak MiB"]
    note = (
        f"Untrained networks, {_CONTEXTS} contexts, medians of {_RUNS} calls after one, on {device_name(resolve_device(setting.device))}. "
        "Step: augmentation, loss, gradient, optimiser and average. Volume: the quick look (fast). Hours: all steps of the "
        "configuration at this pace. On a CPU "
        f"stacks of more than {SIZES[0]} pixels have {_FEW} slices here, and times of volumes and samples are given for 120 in proportion, "
        "those of a step for the batch from one volume; their posterior means were not measured. Volume models make whole volumes, "
        "whatever the number of slices. Memory: of the process on a CPU, of the tensors on a GPU."
    )
    loops = Table(
        "A step for all slices at once, against a loop over slices",
        ["system", "s at once", "s in a loop", "ratio", "largest difference of the loss"],
        ratios(setting.device, setting.models.scale),
        f"Loss and gradient of one training step (4 volumes, 9 slices of each) of *-64-{setting.models.scale}, medians of one run.",
    )
    question = "What do the systems cost in parameters, time and memory, and is a batch faster than a loop?"
    return Findings("cost", "Cost of the systems", question, [Table("Cost", header, rows, note), loops], [], [])


def measured(config: TrainConfig, name: str) -> list[float | int | None]:
    """The cells of one configuration after its name, on a device; seconds, and the rest as the table says."""
    device, size = resolve_device(name), config.data.size
    few, volumes = size > SIZES[0] and device.type == "cpu", config.batch
    if device.type == "cuda":
        torch.cuda.init()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    if few:
        config = config.model_copy(update={"batch": 1, "data": config.data.model_copy(update={"slices": _FEW})})
    per_slice = 120 / _FEW if few and config.system != "volume-model" else 1.0
    space, bodies = _space(config)
    step, parameters, prior = _trained(config, space, bodies, device, 1 if few else _RUNS)
    truth = Volume(bodies[0].numpy(), prior.grid)
    slices = [slice_of(truth, k) for k in context_positions(_CONTEXTS, len(truth.array))]
    volume = median_seconds(lambda: as_array(prior.condition(slices, fast=True).mean()), _RUNS)
    sample = median_seconds(lambda: as_array(prior.condition(slices).sample([0])), _RUNS)
    mean = None if few else median_seconds(lambda: as_array(prior.condition(slices).mean()), 1)
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_mib()
    step *= volumes / config.batch
    hours = step * config.steps / 3600
    return [parameters / 1e6, config.data.slices, step, hours, volume * per_slice, mean, sample * per_slice, memory and round(memory)]


def _space(config: TrainConfig) -> tuple[AxialSpace, torch.Tensor]:
    """A space for the configuration, and two bodies (2, K, H, W): no data are needed, only the embedded Gaussian."""
    gaussian = ModelStore().load(_MODEL, "cpu")
    own = gaussian.protocol_grid
    grid = stack_grid(own, config.data)
    posterior = gaussian.condition([], grid=own)
    images = [posterior.mean(), *posterior.sample([0, 1])]
    atlas, *bodies = (torch.as_tensor(resample(Volume(as_array(x), own), grid).array).clamp(0, 1) for x in images)
    return AxialSpace(replace(gaussian.parameters, protocol_grid=grid), gaussian.reference, atlas), torch.stack(bodies)


def _trained(config: TrainConfig, space: AxialSpace, bodies: torch.Tensor, device: torch.device, runs: int) -> tuple[float, int, Prior]:
    """Seconds of a training step (past those in which parts are held), number of parameters, and the untrained prior."""
    task = make_task(config)
    networks = placed(task.networks, device).train()
    optimiser, average = torch.optim.Adam(networks.parameters(), lr=0.0, betas=config.betas), Average(networks, config.ema)
    volumes = bodies.to(device)[torch.arange(config.batch) % len(bodies)]
    late, chance = config.steps // 2, torch.Generator(device).manual_seed(0)
    turns = int(config.model.get("critic_steps", 1)) + 1 if config.model.get("adversary", "none") != "none" else 1

    def steps() -> None:
        for turn in range(turns):
            batch = augment(volumes, config.augmentation, config.data, chance)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16-mixed" and device.type == "cuda"):
                loss, _ = task.loss(batch, chance, late - late % turns + turn)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            average.update(networks, late)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with deterministic():
        seconds = median_seconds(steps, runs) / turns
    card = ModelStore().entry(_MODEL).card.model_copy(update={"system": config.system})
    prior = system_class(config.system).from_weights(task.weights(bodies) | space.to_tensors(), card, device)
    return seconds, sum(p.numel() for p in networks.parameters()), prior
