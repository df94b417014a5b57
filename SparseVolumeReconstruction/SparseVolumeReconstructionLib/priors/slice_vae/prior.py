"""The slice VAE as a prior: codes of the seen slices condition those of the whole stack, then decoded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache

import torch

from ...geometry import Grid
from ..axial import AxialPrior, AxialSpace
from ..base import Posterior, Prior
from ..card import ModelCard
from ..gaussian.field import GaussianField, correlation_matrix
from ..gaussian.stack import StackPosterior
from ..stored import network_state, stored_state
from .codes import CodePosterior, SliceCodes
from .network import SliceVae

_DRAWS = 16
_FIRST_SEED = 2**40  # of the samples behind the standard deviation
_FIRST_ERROR = 2**41  # added to a sample's seed for the decoder's error
_SD_STEPS = 510  # 8 bits up to a standard deviation of 0.5
_NOISE = 1e-3
SD_FLOOR = 0.002


def to_tensors(
    network: SliceVae, codes: SliceCodes, decoder_sd: torch.Tensor, curves: list[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Tensors to store besides those of the space: float16 weights, 8-bit loadings and decoder_sd (K, H, W).

    Args:
        decoder_sd: (K, H, W); what is above 0.5 is stored as 0.5.
        curves: correlation of the decoder's error at lags 0, 1, ... along k, j, i.
    """
    shape = torch.tensor([network.size, network.width, network.latent // 4])
    sd = (decoder_sd * _SD_STEPS).round().clamp(0, 255).to(torch.uint8)
    stored = {f"curve_{axis}": curve.float() for axis, curve in zip("kji", curves, strict=True)}
    weights = stored_state(network.state_dict())
    return {**weights, "network_shape": shape, "decoder_sd": sd, **stored, **codes.to_tensors()}


class SliceVaePrior(AxialPrior):
    """A VAE of slices with a Gaussian over the codes of a stack.

    Args:
        network: is put on the device and in evaluation mode.
        codes: see SliceCodes.
        decoder_sd: (K, H, W), what the decoder leaves unexplained.
        curves: how neighbouring voxels of that are correlated, see `to_tensors`.
        space: its stacks are as large as the network's.
        card: what it is.
        device: where it computes.
    """

    def __init__(
        self,
        network: SliceVae,
        codes: SliceCodes,
        decoder_sd: torch.Tensor,
        curves: list[torch.Tensor],
        space: AxialSpace,
        card: ModelCard,
        device="cpu",
    ):
        super().__init__(space, card, device)
        self.network = self.settled(network, len(codes.mean), network.size)
        self.codes = codes.to(self.device)
        sd = decoder_sd.clamp(min=SD_FLOOR).to(self.device)
        k, j, i = (
            correlation_matrix(c, n).to(self.device) for c, n in zip(curves, self.grid.shape_kji, strict=True)
        )
        self._error = GaussianField(
            self.grid, torch.zeros_like(sd), sd.new_zeros(0, *sd.shape), sd, (k, j, i), _NOISE
        )

    def around(self, decoded: torch.Tensor, index: list[int], pixels: torch.Tensor) -> StackPosterior:
        """Volumes around `decoded` (K, H, W), as far from it as the decoder errs.

        They are given `pixels` (n, H, W) of slices `index`.

        Args:
            decoded: canonical units.
            index: numbers of the seen slices (n,); n may be 0.
            pixels: canonical units.
        """
        return StackPosterior(replace(self._error, mean=decoded), 0, index, pixels, self.intervals)

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> SliceVaePrior:
        """The prior from the tensors of a weights file; shapes (K, H, W) and the like as in `to_tensors`."""
        network = SliceVae(*tensors["network_shape"].tolist())
        network.load_state_dict(network_state(tensors))
        codes, space = SliceCodes.from_tensors(tensors), AxialSpace.from_tensors(tensors)
        curves = [tensors[f"curve_{axis}"] for axis in "kji"]
        return cls(network, codes, tensors["decoder_sd"].float() / _SD_STEPS, curves, space, card, device)

    def infer(
        self, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool = False
    ) -> SliceVaePosterior:
        """Posterior given `pixels` (n, H, W) of the slices `index`; its mean is always fast."""
        return SliceVaePosterior(self, index, pixels, check)

    def decode(self, codes: torch.Tensor, check: Callable[[], None] = lambda: None) -> torch.Tensor:
        """Slices (K, H, W) of codes (K, L).

        Args:
            codes: of all slices of the stack, or of any number of slices.
            check: called between parts of the work; raise from it to cancel.
        """
        return self.in_parts(self.network.decode, check, codes)


class SliceVaePosterior(Posterior):
    """The stack given some of its slices; arrays (K, H, W).

    Args:
        prior: its network is asked.
        index: numbers of the seen slices, (n,).
        pixels: of these, (n, H, W), on the prior's device.
        check: raise from it to cancel.
    """

    def __init__(
        self, prior: SliceVaePrior, index: list[int], pixels: torch.Tensor, check: Callable[[], None]
    ):
        self.grid: Grid = prior.grid
        self._prior, self._index, self._pixels, self._check = prior, index, pixels, check
        self.intervals = prior.intervals
        shape = (0, prior.network.latent)
        self._seen, self._log_variance = (
            prior.network.encode(pixels) if index else (pixels.new_zeros(shape),) * 2
        )
        self.codes = CodePosterior(prior.codes, index, self._seen, self._log_variance.exp())
        self._around_mean = lru_cache(maxsize=1)(lambda: self._around(self.codes.mean))

    def _around(self, codes: torch.Tensor) -> StackPosterior:
        return self._prior.around(self._prior.decode(codes, self._check), self._index, self._pixels)

    def mean(self) -> torch.Tensor:
        """What the mean of the codes shows, and the decoder's error as the seen slices tell it, (K, H, W).

        Measured to be as near to the truth as the mean of decoded samples.
        """
        return self._around_mean().mean().clamp(0, 1)

    def std(self) -> torch.Tensor:
        """Spread of decoded samples and of the decoder's error, (K, H, W), computed once.

        Each sample is corrected by the seen slices; of the error, what is left counts.
        """
        return self._std

    @cached_property
    def _std(self) -> torch.Tensor:
        drawn = [self._around(self.codes.sample(_FIRST_SEED + n)).mean() for n in range(_DRAWS)]
        return (torch.stack(drawn).var(0) + self._around_mean().std() ** 2).sqrt()

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """Decoded draws of the codes with draws of the decoder's error, (len(seeds), K, H, W)."""
        drawn = [self._around(self.codes.sample(seed)).sample([_FIRST_ERROR + seed])[0] for seed in seeds]
        return torch.stack(drawn).clamp(0, 1)

    def log_evidence(self) -> float:
        """Roughly the evidence lower bound of the slices, nats; 0 without slices.

        log p(pixels | codes), the density of the decoder's error, + log p(codes) + entropy of the encoder.
        """
        if not self._index:
            return 0.0
        decoded = torch.zeros_like(self._around_mean().mean())
        decoded[self._index] = self._prior.decode(self._seen, self._check)
        entropy = 0.5 * (self._log_variance + math.log(2 * math.pi * math.e)).sum()
        return (
            self._prior.around(decoded, self._index, self._pixels).log_evidence()
            + float(entropy)
            + self.codes.log_evidence()
        )
