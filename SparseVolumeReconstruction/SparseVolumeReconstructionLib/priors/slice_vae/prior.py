"""The slice VAE as a prior: codes of the seen slices condition those of the whole stack, which are decoded."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch

from ...geometry import Grid
from ..axial import AxialPrior, AxialSpace
from ..card import ModelCard
from ..intervals import IntervalScale
from .codes import CodePosterior, SliceCodes
from .network import SliceVae

_DRAWS = 16
_FIRST_SEED = 2**40  # of the samples behind the standard deviation
_CHUNK = 64
_SD_STEPS = 510  # 8 bits up to a standard deviation of 0.5


def to_tensors(network: SliceVae, codes: SliceCodes, decoder_sd: torch.Tensor) -> dict[str, torch.Tensor]:
    """Tensors to store besides those of the space: float16 weights, 8-bit loadings and decoder_sd (K, H, W)."""
    weights = {f"network.{name}": t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    shape = torch.tensor([network.size, network.width, network.latent // 4])
    sd = (decoder_sd * _SD_STEPS).round().clamp(0, 255).to(torch.uint8)
    return {**weights, "network_shape": shape, "decoder_sd": sd, **codes.to_tensors()}


class SliceVaePrior(AxialPrior):
    """network: in evaluation mode. codes: see SliceCodes. decoder_sd: (K, H, W), what the decoder leaves unexplained."""

    def __init__(self, network: SliceVae, codes: SliceCodes, decoder_sd: torch.Tensor, space: AxialSpace, card: ModelCard, device="cpu"):
        super().__init__(space, card, device)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.codes, self.decoder_sd = codes.to(self.device), decoder_sd.to(self.device)

    @classmethod
    def from_weights(cls, tensors: dict[str, torch.Tensor], card: ModelCard, device: torch.device) -> SliceVaePrior:
        """The prior from the tensors of a weights file; shapes (K, H, W) and the like as in `to_tensors`."""
        network = SliceVae(*tensors["network_shape"].tolist())
        network.load_state_dict({n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")})
        codes, space = SliceCodes.from_tensors(tensors), AxialSpace.from_tensors(tensors)
        return cls(network, codes, tensors["decoder_sd"].float() / _SD_STEPS, space, card, device)

    def infer(self, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool = False) -> SliceVaePosterior:
        """Posterior given `pixels` (n, H, W) of the slices `index`; its mean is always fast."""
        return SliceVaePosterior(self, index, pixels, check)

    def decode(self, codes: torch.Tensor, check: Callable[[], None] = lambda: None) -> torch.Tensor:
        """Slices (K, H, W) of codes (K, L)."""
        parts = []
        for part in codes.split(_CHUNK):
            check()
            parts.append(self.network.decode(part))
        return torch.cat(parts)


class SliceVaePosterior:
    """The stack given some of its slices; arrays (K, H, W)."""

    def __init__(self, prior: SliceVaePrior, index: list[int], pixels: torch.Tensor, check: Callable[[], None]):
        self.grid: Grid = prior.grid
        self._prior, self._index, self._pixels, self._check = prior, index, pixels, check
        self._intervals: IntervalScale = prior.intervals
        shape = (0, prior.network.latent)
        self._seen, self._log_variance = prior.network.encode(pixels) if index else (pixels.new_zeros(shape),) * 2
        self.codes = CodePosterior(prior.codes, index, self._seen, self._log_variance.exp())
        self._mean = lru_cache(maxsize=1)(self._decoded_mean)
        self._spread = lru_cache(maxsize=1)(self._sample_variance)

    def mean(self) -> torch.Tensor:
        """What the mean of the codes shows, (K, H, W); measured to be as near to the truth as the mean of decoded samples."""
        return self._mean()

    def std(self) -> torch.Tensor:
        """Spread of decoded samples and what the decoder leaves unexplained, (K, H, W)."""
        return (self._spread() + self._prior.decoder_sd**2).sqrt()

    def _decoded_mean(self) -> torch.Tensor:
        return self._prior.decode(self.codes.mean, self._check)

    def _sample_variance(self) -> torch.Tensor:
        drawn = self.sample([_FIRST_SEED + n for n in range(_DRAWS)])
        return drawn.var(0)

    def interval(self, level: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Central interval from mean and std with the measured multipliers, (K, H, W) each."""
        return self._intervals.interval(self.mean(), self.std(), level)

    def sample(self, seeds: list[int]) -> torch.Tensor:
        """Decoded draws of the codes, (len(seeds), K, H, W)."""
        drawn = [self._prior.decode(self.codes.sample(seed), self._check) for seed in seeds]
        return torch.stack(drawn) if drawn else self._pixels.new_zeros(0, *self.grid.shape_kji)

    def log_evidence(self) -> float:
        """Roughly the evidence lower bound of the slices, nats; 0 without slices.

        log p(pixels | codes), as if the decoder's errors were independent, + log p(codes) + entropy of the encoder.
        """
        if not self._index:
            return 0.0
        sd = self._prior.decoder_sd[self._index].clamp(min=0.01)
        error = (self._pixels - self._prior.network.decode(self._seen)) / sd
        inside = self._prior.anatomy_mask.to(error.device)[self._index]
        pixels = -0.5 * (error**2 + 2 * sd.log() + math.log(2 * math.pi))[inside].sum()
        entropy = 0.5 * (self._log_variance + math.log(2 * math.pi * math.e)).sum()
        return float(pixels + entropy) + self.codes.log_evidence()
