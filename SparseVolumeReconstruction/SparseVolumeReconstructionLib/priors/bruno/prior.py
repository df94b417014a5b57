"""Conditional BRUNO as a prior: latents of the seen slices condition those of the whole stack, which the flow turns to images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal

import torch

from ..axial import AxialPrior, AxialSpace
from ..card import ModelCard
from ..stored import settings_tensor
from .network import Bruno, read_settings

MeanOf = Literal["samples", "latents"]
_DRAWS, _TOGETHER = 16, 8
_CHUNK = 60
_SD_FLOOR = 0.01


def to_tensors(network: Bruno, mean_of: MeanOf) -> dict[str, torch.Tensor]:
    """Tensors to store besides those of the space: float16, but for the process float32."""
    state = {name: t.detach().cpu() for name, t in network.state_dict().items()}
    weights = {f"network.{name}": t if name.startswith("process.") else t.half() for name, t in state.items()}
    return {**weights, "settings": settings_tensor(network.settings), "mean_of_samples": torch.tensor(mean_of == "samples")}


def read_network(tensors: dict[str, torch.Tensor]) -> Bruno:
    """The network that `to_tensors` stored, of slices of (H, W) pixels. Raises KeyError or ValueError for other tensors."""
    network = Bruno(read_settings(tensors["settings"]))
    network.load_state_dict({n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")})
    return network


class BrunoPrior(AxialPrior):
    """network: in evaluation mode. mean_of: a posterior's mean shows the mean of samples, or of the latents."""

    def __init__(self, network: Bruno, space: AxialSpace, card: ModelCard, device="cpu", mean_of: MeanOf = "samples"):
        super().__init__(space, card, device)
        shape = (network.settings.slices, network.settings.size, network.settings.size)
        if shape != self.grid.shape_kji:
            raise ValueError(f"a network of {shape} voxels on a grid of {self.grid.shape_kji}")
        self.network, self.mean_of = network.to(self.device).eval().requires_grad_(False), mean_of

    @classmethod
    def from_weights(cls, tensors: dict[str, torch.Tensor], card: ModelCard, device: torch.device) -> BrunoPrior:
        """The prior from the tensors of a weights file; shapes (K, H, W) and the like as in `to_tensors`."""
        mean_of = "samples" if tensors["mean_of_samples"] else "latents"
        return cls(read_network(tensors), AxialSpace.from_tensors(tensors), card, device, mean_of)

    @torch.no_grad()
    def infer(self, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool = False) -> BrunoPosterior:
        """Posterior given `pixels` (n, H, W) of the slices `index`; fast: its mean shows the mean of the latents."""
        return BrunoPosterior(self, index, pixels, check, "latents" if fast else self.mean_of)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, index: torch.Tensor, check: Callable[[], None] = lambda: None) -> torch.Tensor:
        """Slices (N, H, W) of latents (N, D) at slice numbers (N,)."""
        parts = []
        for part, at in zip(latents.split(_CHUNK), index.split(_CHUNK), strict=True):
            check()
            parts.append(self.network.decode(part, at))
        return torch.cat(parts)


class BrunoPosterior:
    """The stack given some of its slices, which are part of every volume as they are; arrays (K, H, W)."""

    def __init__(self, prior: BrunoPrior, index: list[int], pixels: torch.Tensor, check: Callable[[], None], mean_of: MeanOf):
        self.grid, self._prior, self._check, self._mean_of = prior.grid, prior, check, mean_of
        device, count = pixels.device, prior.grid.shape_kji[0]
        self._index, self._pixels = torch.tensor(index, dtype=torch.long, device=device), pixels.clamp(0, 1)
        self._hidden = torch.tensor(sorted(set(range(count)) - set(index)), dtype=torch.long, device=device)
        network = prior.network
        empty = pixels.new_zeros(1, 0, network.settings.size**2)
        self._seen = network.encode(self._pixels[None], self._index[None])[0] if index else empty
        self._at, self._query = network.positions(self._index[None]), network.positions(self._hidden[None])
        self.moments = lru_cache(maxsize=2)(self._moments)
        self._drawn: dict[int, torch.Tensor] = {}  # samples by seed that the moments have left
        self._decoded = lru_cache(maxsize=1)(self._decoded_mean)

    def _volume(self, latents: torch.Tensor) -> torch.Tensor:
        """The volume (K, H, W) of latents (m, D) of the slices that were not seen."""
        volume = self._pixels.new_empty(self.grid.shape_kji)
        volume[self._index] = self._pixels
        volume[self._hidden] = self._prior.decode(latents, self._hidden, self._check)
        return volume

    @torch.no_grad()
    def _decoded_mean(self) -> torch.Tensor:
        return self._volume(self._prior.network.process.predict(self._seen, self._at, self._query).mean[0])

    def decoded_mean(self) -> torch.Tensor:
        """What the mean of the latents shows, (K, H, W)."""
        return self._decoded()

    def mean(self) -> torch.Tensor:
        """Mean of samples, or what the mean of the latents shows; (K, H, W)."""
        return self.moments()[0] if self._mean_of == "samples" else self._decoded()

    def std(self) -> torch.Tensor:
        """Spread of samples, at least 0.01, (K, H, W)."""
        return (self.moments()[1] + _SD_FLOOR**2).sqrt()

    @torch.no_grad()
    def _moments(self, draws: int = _DRAWS) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance over `draws` samples (the paper: 100), (K, H, W) each.

        They come in pairs that deviate from the mean of the latents in opposite directions, which steadies their mean. The first
        ones are those of seeds 0, 1 ..., so that who asks for these samples too need not wait.
        """
        process = self._prior.network.process
        centre = process.predict(self._seen, self._at, self._query).mean[0]
        total, squares, pairs = 0.0, 0.0, max(1, draws // 2)
        for start in range(0, pairs, _TOGETHER):
            seeds = range(start, min(start + _TOGETHER, pairs))
            for seed, drawn in zip(seeds, self._latents(seeds), strict=True):
                pair = self._volume(drawn), self._volume(2 * centre - drawn)
                total, squares = total + sum(pair), squares + sum(volume**2 for volume in pair)
                if seed < _TOGETHER:
                    self._drawn[seed] = pair[0]
        mean = total / (2 * pairs)
        return mean, (squares / (2 * pairs) - mean**2).clamp(min=0)

    def interval(self, level: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Central interval from mean and std with the measured multipliers, (K, H, W) each."""
        return self._prior.intervals.interval(self.mean(), self.std(), level)

    def sample(self, seeds: list[int]) -> torch.Tensor:
        """Volumes of joint draws of all latents, (len(seeds), K, H, W)."""
        if not seeds:
            return self._pixels.new_zeros(0, *self.grid.shape_kji)
        new = [seed for seed in seeds if seed not in self._drawn]
        found = self._drawn | {seed: self._volume(drawn) for seed, drawn in zip(new, self._latents(new) if new else [], strict=True)}
        return torch.stack([found[seed] for seed in seeds])

    def _latents(self, seeds: Iterable[int]) -> torch.Tensor:
        """Joint draws of the latents of the slices that were not seen, (len(seeds), m, D)."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return self._prior.network.process.sample(self._seen, self._at, self._query, generators)

    @torch.no_grad()
    def log_evidence(self) -> float:
        """The flow's exact log density of the seen slices together, in nats; 0 without slices."""
        return float(self._prior.network(self._pixels[None], self._index[None])) if len(self._index) else 0.0
