"""A posterior over a stack that is known by its draws.

The seen slices are part of every volume, the others are shown from codes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import torch

from .axial import AxialPrior
from .base import Posterior

MeanOf = Literal["samples", "latents"]
_DRAWS, _TOGETHER = 16, 8


class MonteCarloPosterior(Posterior):
    """Base of a posterior over a stack that is known by its draws.

    Arrays are (K, H, W), codes (m, ...) of the m slices that were not seen, whose numbers are `hidden` (m,).

    A subclass implements `_centre`, `_draw` and `_show`, and may set `_floor`, the least standard
    deviation, (K, 1, 1).

    Args:
        prior: its grid and intervals are the posterior's.
        index: numbers of the seen slices, (n,).
        pixels: of these, (n, H, W), on the prior's device.
        check: called while it draws; raise from it to cancel.
        mean_of: the mean shows the mean of samples, or of the latents.
    """

    def __init__(
        self,
        prior: AxialPrior,
        index: list[int],
        pixels: torch.Tensor,
        check: Callable[[], None],
        mean_of: MeanOf,
    ):
        self.grid = prior.grid
        self.intervals = prior.intervals
        self._check = check
        self._mean_of = mean_of
        device = pixels.device
        count = prior.grid.shape_kji[0]
        self._index, self._pixels = torch.tensor(index, dtype=torch.long, device=device), pixels.clamp(0, 1)
        self._hidden = torch.tensor(sorted(set(range(count)) - set(index)), dtype=torch.long, device=device)
        self._floor = pixels.new_full((count, 1, 1), 0.01)
        self._drawn: dict[int, torch.Tensor] = {}  # samples by seed that the moments have left
        self.moments = lru_cache(maxsize=2)(self._moments)
        self.decoded_mean = lru_cache(maxsize=1)(self._decoded_mean)

    @abstractmethod
    def _centre(self) -> torch.Tensor:
        """The mean of the codes."""

    @abstractmethod
    def _draw(self, seeds: Sequence[int]) -> torch.Tensor | Sequence[torch.Tensor]:
        """Codes of the samples of one or more seeds."""

    @abstractmethod
    def _show(self, codes: torch.Tensor) -> torch.Tensor:
        """The slices (m, H, W) of codes."""

    def _volume(self, codes: torch.Tensor) -> torch.Tensor:
        volume = self._pixels.new_empty(self.grid.shape_kji)
        volume[self._index] = self._pixels
        volume[self._hidden] = self._show(codes)
        return volume

    @torch.no_grad()
    def _decoded_mean(self) -> torch.Tensor:
        """What the mean of the codes shows, (K, H, W)."""
        return self._volume(self._centre())

    def mean(self) -> torch.Tensor:
        """Mean of samples, or what the mean of the latents shows; (K, H, W)."""
        return self.moments()[0] if self._mean_of == "samples" else self.decoded_mean()

    def std(self) -> torch.Tensor:
        """Spread of samples on top of the least standard deviation, (K, H, W)."""
        return (self.moments()[1] + self._floor**2).sqrt()

    @torch.no_grad()
    def _moments(self, draws: int = _DRAWS) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance over `draws` samples (the paper: 100), (K, H, W) each.

        They come in pairs that deviate from the mean of the codes in opposite directions, which steadies
        their mean. The first ones are those of seeds 0, 1 ..., so that who asks for these samples too need
        not wait.
        """
        centre = self._centre()
        pairs = max(1, draws // 2)
        total = squares = self._pixels.new_zeros(self.grid.shape_kji)
        for start in range(0, pairs, _TOGETHER):
            seeds = range(start, min(start + _TOGETHER, pairs))
            for seed, codes in zip(seeds, self._draw(seeds), strict=True):
                pair = self._volume(codes), self._volume(2 * centre - codes)
                total = total + sum(pair)
                squares = squares + sum(volume**2 for volume in pair)
                if seed < _TOGETHER:
                    self._drawn[seed] = pair[0]
        mean = total / (2 * pairs)
        return mean, (squares / (2 * pairs) - mean**2).clamp(min=0)

    @torch.no_grad()
    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """Volumes of draws of all codes, (len(seeds), K, H, W)."""
        new = [seed for seed in seeds if seed not in self._drawn]
        found = self._drawn | {
            seed: self._volume(codes) for seed, codes in zip(new, self._draw(new) if new else [], strict=True)
        }
        return torch.stack([found[seed] for seed in seeds])
