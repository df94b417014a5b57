"""Training steps written straightforwardly, slice after slice.

To measure what working on all slices at once gains.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..evaluation.benchmark import median_seconds
from ..priors.bruno.network import Bruno
from ..priors.bruno.process import ExchangeableProcess
from ..priors.device import placed, resolve_device
from ..priors.neural_rendering.gqn import Gqn
from ..training.loop.config import read_config
from ..training.loop.task import make_task
from .findings import Cell

_VOLUMES, _SLICES, _CONTEXTS = 4, 9, 4
_RUNS = 3


def ratios(device: str, scale: str) -> list[list[Cell]]:
    """What working on all slices at once gains for BRUNO and GQN, a row each.

    Args:
        device: as `resolve_device` takes it.
        scale: "tiny", "cpu" or "gpu"; whose configurations for 64 pixels are measured.

    Returns:
        Rows [system, s at once, s in a loop, ratio, largest difference of the loss]; the difference is a
        share.
    """
    place = resolve_device(device)
    rows: list[list[Cell]] = []
    steps: dict[str, tuple[Callable, Callable]] = {
        "bruno": (bruno_together, bruno_apart),
        "gqn": (gqn_together, gqn_apart),
    }
    for system, (together, apart) in steps.items():
        config = read_config(f"{system}-64-{scale}")
        network = placed(make_task(config).networks, place).train()
        chance = torch.Generator(place).manual_seed(0)
        count = min(_SLICES, config.data.slices)
        side = config.data.size
        images = torch.rand(_VOLUMES, count, side, side, generator=chance, device=place)
        index = torch.stack(
            [
                torch.randperm(config.data.slices, generator=chance, device=place)[:count]
                for _ in range(_VOLUMES)
            ]
        )
        shape = getattr(network, "noise_shape", (side, side))
        noise = torch.rand(_VOLUMES, count, *shape, generator=chance, device=place)
        losses = [step(network, images, index, noise) for step in (together, apart)]
        difference = float(((losses[0] - losses[1]) / losses[1]).detach().abs())
        seconds = [_seconds(step, network, images, index, noise) for step in (together, apart)]
        rows.append([system, *seconds, seconds[1] / seconds[0], difference])
    return rows


def _seconds(step: Callable, network: torch.nn.Module, *data: torch.Tensor) -> float:
    """Of loss and gradient."""

    def once() -> None:
        network.zero_grad(set_to_none=True)
        step(network, *data).backward()
        if data[0].is_cuda:
            torch.cuda.synchronize()

    return median_seconds(once, _RUNS)


def bruno_together(
    network: Bruno, images: torch.Tensor, index: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """Log density of the queries given the contexts, summed.

    Args:
        images: (B, M, H, W) in [0, 1]; the first four of each body are its contexts.
        index: their slice numbers, (B, M).
        noise: (B, M, H, W), uniform in [0, 1), see `Bruno.encode`.
    """
    return network(images, index, _CONTEXTS, noise).sum()


def bruno_apart(
    network: Bruno, images: torch.Tensor, index: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """The same, (B, M, H, W), by the recurrent form of the process.

    Args:
        network: of which the process has a recurrent form.
        images, index, noise: as in `bruno_together`.
    """
    process = network.process
    assert isinstance(process, ExchangeableProcess)  # the pose-aware one has no recurrent form
    total = images.new_zeros(())
    for body, places, chance in zip(images, index, noise, strict=True):
        state = process.start(1)
        for number in range(len(body)):
            z, log_det = network.encode(
                body[None, number, None], places[None, number, None], chance[None, number, None]
            )
            if number >= _CONTEXTS:
                total = total + process.next(state).log_density(z).sum() + log_det.sum()
            state = process.update(state, z[:, 0])
    return total


def gqn_together(
    network: Gqn, images: torch.Tensor, index: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """Squared error and divergence of the queries, summed.

    Args:
        images: (B, M, H, W) in [0, 1]; the first four of each body are its contexts.
        index: their slice numbers, (B, M).
        noise: (B, M, *noise_shape of the network).
    """
    representation = network.represent(images[:, :_CONTEXTS], index[:, :_CONTEXTS])
    truth, asked, chance = (t[:, _CONTEXTS:].flatten(0, 1) for t in (images, index, noise))
    drawn, divergence = network(
        asked, representation.repeat_interleave(images.shape[1] - _CONTEXTS, 0), chance, truth
    )
    return ((drawn - truth) ** 2).sum() + divergence.sum()


def gqn_apart(network: Gqn, images: torch.Tensor, index: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The same, (B, M, H, W), one slice in each call.

    Args:
        images, index, noise: as in `gqn_together`.
    """
    total = images.new_zeros(())
    for body, places, chance in zip(images, index, noise, strict=True):
        seen = [network.tower(body[n, None], places[n, None]) for n in range(_CONTEXTS)]
        representation = torch.stack(seen).mean(0)
        for n in range(_CONTEXTS, len(body)):
            drawn, divergence = network(places[n, None], representation, chance[n, None], body[n, None])
            total = total + ((drawn - body[n]) ** 2).sum() + divergence.sum()
    return total
