"""GQN and the conditional VAE as a prior: the seen slices become one representation, of which all other slices are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch

from ..axial import AxialPrior, AxialSpace
from ..card import ModelCard
from ..stored import settings_tensor, settings_text
from .cvae import Cvae, CvaeSettings
from .gqn import Gqn, GqnSettings
from .parts import QueryNetwork

_DRAWS = 16
_CHUNK = 60
_EVIDENCE_SEED = 2**40
_SEEN_SD = 0.01
_NETWORKS = {"gqn": (Gqn, GqnSettings), "cvae": (Cvae, CvaeSettings)}


def to_tensors(network: QueryNetwork, coherent: bool) -> dict[str, torch.Tensor]:
    """Tensors to store besides those of the space: float16 weights, settings (n,), and `coherent` (see QueryPrior)."""
    weights = {f"network.{name}": t.detach().cpu().half() for name, t in network.state_dict().items()}
    return {**weights, "settings": settings_tensor(network.settings), "coherent": torch.tensor(coherent)}


class QueryPrior(AxialPrior):
    """network: in evaluation mode. coherent: all slices of a sample are drawn with the same noise, so that they fit together;
    otherwise, as in the paper, every slice is drawn on its own.
    """

    def __init__(self, network: QueryNetwork, space: AxialSpace, card: ModelCard, device="cpu", coherent: bool = True):
        super().__init__(space, card, device)
        shape = (network.settings.slices, network.settings.size, network.settings.size)
        if shape != self.grid.shape_kji:
            raise ValueError(f"a network of {shape} voxels on a grid of {self.grid.shape_kji}")
        self.network, self.coherent = network.to(self.device).eval().requires_grad_(False), coherent

    @classmethod
    def from_weights(cls, tensors: dict[str, torch.Tensor], card: ModelCard, device: torch.device) -> QueryPrior:
        """The prior from the tensors of a weights file; shapes (K, H, W) and the like as in `to_tensors`."""
        network, settings = _NETWORKS[card.system]
        network = network(settings.model_validate_json(settings_text(tensors["settings"])))
        network.load_state_dict({n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")})
        return cls(network, AxialSpace.from_tensors(tensors), card, device, bool(tensors["coherent"]))

    def infer(self, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool = False) -> QueryPosterior:
        """Posterior given `pixels` (n, H, W) of the slices `index`; fast: its mean shows the mean of the latents."""
        return QueryPosterior(self, index, pixels, check, fast)


class QueryPosterior:
    """The stack given some of its slices, which are part of every volume as they are; arrays (K, H, W)."""

    def __init__(self, prior: QueryPrior, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool):
        self.grid, self._prior, self._check, self._fast = prior.grid, prior, check, fast
        self._network = prior.network
        device, count = pixels.device, prior.grid.shape_kji[0]
        self._index, self._pixels = torch.tensor(index, dtype=torch.long, device=device), pixels.clamp(0, 1)
        self._hidden = torch.tensor(sorted(set(range(count)) - set(index)), dtype=torch.long, device=device)
        self._representation = self._network.represent(self._pixels[None], self._index[None])
        self._moments = lru_cache(maxsize=1)(self._moments_of_draws)
        self._drawn = lru_cache(maxsize=_DRAWS // 2)(lambda seed: self._volume(self._noise(seed)))
        self._centre = lru_cache(maxsize=1)(lambda: self._volume(pixels.new_zeros(1, *self._network.noise_shape)))

    def _volume(self, noise: torch.Tensor) -> torch.Tensor:
        """The volume (K, H, W) that is drawn with noise (m or 1, *noise_shape) for the m slices that were not seen."""
        volume = self._pixels.new_empty(self.grid.shape_kji)
        volume[self._index] = self._pixels
        noise = noise.expand(len(self._hidden), *noise.shape[1:])
        for at, part in zip(self._hidden.split(_CHUNK), noise.split(_CHUNK), strict=True):
            self._check()
            volume[at] = self._network(at, self._representation.expand(len(at), -1, -1, -1), part)[0]
        return volume

    def _noise(self, seed: int) -> torch.Tensor:
        """Noise (m or 1, *noise_shape) of a sample."""
        count = 1 if self._prior.coherent else len(self._hidden)
        drawn = torch.randn(count, *self._network.noise_shape, generator=torch.Generator().manual_seed(seed))
        return drawn.to(self._pixels)

    def mean(self) -> torch.Tensor:
        """Mean of draws, or, of a fast posterior, what the mean of the latents shows; (K, H, W)."""
        return self._centre() if self._fast else self._moments()[0]

    def std(self) -> torch.Tensor:
        """Spread of draws and the noise that the model takes pixels to have, (K, H, W); 0.01 where a slice was seen."""
        noise = torch.full((self.grid.shape_kji[0], 1, 1), self._network.settings.sigma, device=self._pixels.device)
        noise[self._index] = _SEEN_SD
        return (self._moments()[1] + noise**2).sqrt()

    def _moments_of_draws(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance over draws, (K, H, W) each; in pairs with opposite noise, which steadies their mean."""
        total, squares = 0.0, 0.0
        for seed in range(_DRAWS // 2):  # those of the first samples, so that who asks for both need not wait twice
            for volume in (self._drawn(seed), self._volume(-self._noise(seed))):
                total, squares = total + volume, squares + volume**2
        mean = total / _DRAWS
        return mean, (squares / _DRAWS - mean**2).clamp(min=0)

    def interval(self, level: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Central interval from mean and std with the measured multipliers, (K, H, W) each."""
        return self._prior.intervals.interval(self.mean(), self.std(), level)

    def sample(self, seeds: list[int]) -> torch.Tensor:
        """Volumes drawn with latents from the prior given the contexts, without pixel noise: (len(seeds), K, H, W)."""
        drawn = [self._drawn(seed) for seed in seeds]
        return torch.stack(drawn) if drawn else self._pixels.new_zeros(0, *self.grid.shape_kji)

    def log_evidence(self) -> float:
        """A lower bound of log p(seen slices), nats, with one fixed draw of the latents; 0 without slices.

        Each slice is given those below it, so that the bounds add up to one of all slices together.
        """
        network, count = self._network, len(self._index)
        if not count:
            return 0.0
        each = network.tower(self._pixels, self._index)
        below = (each.cumsum(0) - each) / torch.arange(count, device=each.device).clamp(min=1)[:, None, None, None]
        noise = torch.randn(count, *network.noise_shape, generator=torch.Generator().manual_seed(_EVIDENCE_SEED)).to(each)
        drawn, divergence = network(self._index, below, noise, self._pixels)
        sigma = network.settings.sigma
        pixels = 0.5 * ((drawn - self._pixels) / sigma) ** 2 + math.log(sigma) + 0.5 * math.log(2 * math.pi)
        return -float(pixels.sum() + divergence.sum())
