"""What the experiment of MRNGAN measures: places of slices, neighbours of slices, chains of neighbours.

Volumes are (N, K, H, W) in [0, 1], K axial slices of each of N bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch

from ..evaluation.metrics import slice_ssim, ssim_map
from ..priors.mrngan.chains import Outwards
from ..priors.mrngan.localisers import place_scores
from ..priors.mrngan.network import Mrngan, State

MEASURES = ("MSE", "PSNR", "SSIM")
PSNR_OF_255 = 20 * np.log10(255.0)  # what a peak of 255 adds on images in [0, 1]: 48.13 dB
_NO_ERROR = 1e-12
Advance = Callable[[State, torch.Tensor], State]


def slice_scores(truth: torch.Tensor, estimate: torch.Tensor) -> np.ndarray:
    """Mean squared error, PSNR (peak 1, dB) and SSIM of slices (n, H, W): (n, 3)."""
    mse = (truth - estimate).square().mean((1, 2)).double().cpu().numpy()
    similar = slice_ssim(ssim_map(truth.cpu().numpy(), estimate.cpu().numpy()))
    return np.stack([mse, -10 * np.log10(np.maximum(mse, _NO_ERROR)), similar], 1)


def localised(localiser: Callable, volumes: torch.Tensor) -> dict[str, float]:
    """`place_scores` of a network on all slices of volumes (N, K, H, W)."""
    places = torch.linspace(0, 1, volumes.shape[1]).repeat(len(volumes))
    return place_scores(torch.cat([localiser(volume).cpu() for volume in volumes]), places)


def neighbours(model: Mrngan, volumes: torch.Tensor, way: int) -> np.ndarray:
    """`slice_scores` of pix2pix from every slice to the next one, bodies one after the other (n, 3).

    Args:
        model: in evaluation mode.
        volumes: (N, K, H, W) on its device.
        way: +1 or -1; 0 scores the slice itself in the place of its upper neighbour.
    """
    found = []
    for volume in volumes:
        given, wanted = (volume[1:], volume[:-1]) if way < 0 else (volume[:-1], volume[1:])
        direction = torch.full((len(given),), float(way), device=given.device)
        found.append(slice_scores(wanted, model.flow(given, direction) if way else given))
    return np.concatenate(found)


def worst_mean_best(scores: np.ndarray) -> dict[str, list[float]]:
    """Of `slice_scores` (n, 3): the worst, the mean and the best of each measure, on its own."""
    low, high = scores.min(0), scores.max(0)
    return {
        "worst": [high[0], low[1], low[2]],
        "mean": list(scores.mean(0)),
        "best": [low[0], high[1], high[2]],
    }


def recurrent(model: Mrngan) -> Advance:
    """One step of the recurrent model without noise."""
    return lambda state, way: model.step(state, way, state.image.new_zeros(len(way), *model.noise_shape))


def iterated(model: Mrngan) -> Advance:
    """One step of pix2pix alone."""
    return lambda state, way: State(model.flow(state.image, way), state.hidden, state.place + way.long())


def chain(model: Mrngan, advance: Advance, slices: torch.Tensor, place: torch.Tensor, way: int, steps: int):
    """What follows slices (N, H, W), which are taken to lie at places (N,): (N, steps, H, W).

    Args:
        model: whose chain it is.
        advance: one step of it.
        slices: in [0, 1].
        place: numbers of slices.
        way: +1 or -1.
        steps: at least 1.
    """
    state = model.begin(slices, place)
    shown = []
    direction = torch.full((len(slices),), float(way), device=slices.device)
    for _ in range(steps):
        state = advance(state, direction)
        shown.append(state.image)
    return torch.stack(shown, 1)


def from_one(
    model: Mrngan, advance: Advance, volumes: torch.Tensor, seen: int, place: torch.Tensor
) -> torch.Tensor:
    """Volumes (N, K, H, W) by chains from slice `seen`, upwards and downwards.

    Args:
        model: whose chains these are.
        advance: one step of it.
        volumes: (N, K, H, W); only one slice of each is looked at.
        seen: its number.
        place: where it is taken to lie, (N,).
    """
    start = volumes[:, seen]
    last = volumes.shape[1] - 1
    parts = [start[:, None]]
    if seen:
        parts.insert(0, chain(model, advance, start, place, -1, seen).flip(1))
    if seen < last:
        parts.append(chain(model, advance, start, place, 1, last - seen))
    return torch.cat(parts, 1)


def by_distance(volumes: torch.Tensor, estimates: torch.Tensor, seen: int) -> np.ndarray:
    """Means of `slice_scores` by the distance from slice `seen`, 1, 2, ... as far as both sides: (d, 3)."""
    scores = np.mean([slice_scores(*pair) for pair in zip(volumes, estimates, strict=True)], 0)
    far = min(seen, volumes.shape[1] - 1 - seen)
    return np.array([(scores[seen - d] + scores[seen + d]) / 2 for d in range(1, far + 1)])


class Iterated:
    """Pix2pix alone in the place of the recurrent model, for chains from several slices."""

    def __init__(self, model: Mrngan):
        self.general, self.noise_shape, self.begin = model.general, model.noise_shape, model.begin
        self._advance = iterated(model)

    def step(self, state: State, direction: torch.Tensor, noise: torch.Tensor) -> State:
        """The chains one slice further; noise does nothing."""
        return self._advance(state, direction)


def from_several(
    model: Mrngan, errors: torch.Tensor, volume: torch.Tensor, seen: Sequence[int], alone: bool
) -> torch.Tensor:
    """The volume (K, H, W) by chains from several of its slices.

    Args:
        model: in evaluation mode.
        errors: of its chains by their length, (K,).
        volume: (K, H, W).
        seen: numbers of its slices, ascending.
        alone: by pix2pix alone, whose error is taken to grow with the distance.
    """
    chain = cast(Mrngan, Iterated(model)) if alone else model  # what `Outwards` asks of a model, it has
    far = torch.arange(len(volume), device=volume.device).clamp(min=1).float()
    chains = Outwards(list(seen), volume[list(seen)], chain, far if alone else errors)
    shown = volume.clone()
    shown[chains.hidden] = chains.show(None)
    return shown


def copied(volume: torch.Tensor, seen: Sequence[int], linear: bool) -> torch.Tensor:
    """The volume (K, H, W) by the nearest seen slice, or by interpolation between the two around it."""
    every, known = np.arange(len(volume)), np.asarray(seen)
    if not linear:
        return volume[known[np.abs(every[:, None] - known).argmin(1)]]
    above = known[np.searchsorted(known, every).clip(0, len(known) - 1)]
    below = known[(np.searchsorted(known, every, "right") - 1).clip(0)]
    weight = torch.as_tensor((every - below) / np.maximum(above - below, 1)).clamp(0, 1).to(volume)
    return volume[below] * (1 - weight[:, None, None]) + volume[above] * weight[:, None, None]
