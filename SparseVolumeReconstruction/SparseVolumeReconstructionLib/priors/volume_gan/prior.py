"""A generator of volumes as a prior: its samples, and the codes that explain seen slices."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch

from ..axial import AxialPrior, AxialSpace
from ..base import Posterior, Prior, seeded_generator
from ..card import ModelCard
from ..stored import network_state, settings_tensor, stored_state
from .codes import CodesGiven
from .network import Generator, along_stack, read_settings

_SD_STEPS = 510  # 8 bits up to a standard deviation of 0.5
_SD_FLOOR = 0.02
# errors of neighbours are alike: seen pixels tell as much as independent ones with so many times the
# deviation
_TEMPER = 3.0
_DRAWS, _DRAWS_OF_NOTHING = 8, 64
_STEPS, _FAST_STEPS = 15, 8


def to_tensors(generator: Generator, residual_sd: torch.Tensor) -> dict[str, torch.Tensor]:
    """Tensors to store besides those of the space.

    Float16 weights, settings, and 8-bit residual_sd (K, H, W).

    Args:
        generator: as it was trained.
        residual_sd: what is above 0.5 is stored as 0.5.
    """
    sd = (residual_sd * _SD_STEPS).round().clamp(0, 255).to(torch.uint8)
    return {
        **stored_state(generator.state_dict()),
        "settings": settings_tensor(generator.settings),
        "residual_sd": sd,
    }


class VolumeGanPrior(AxialPrior):
    """A generator of whole volumes as a prior of stacks.

    Args:
        generator: is put on the device and in evaluation mode.
        residual_sd: (K, H, W), what the generator leaves unexplained of volumes.
        space: its stacks are as large as the generator's.
        card: what it is.
        device: where it computes.
    """

    def __init__(
        self,
        generator: Generator,
        residual_sd: torch.Tensor,
        space: AxialSpace,
        card: ModelCard,
        device="cpu",
    ):
        super().__init__(space, card, device)
        settings = generator.settings
        self.generator = self.settled(generator, settings.slices, settings.size)
        self.residual_sd = residual_sd.to(self.device)
        self._stretch = along_stack(settings.depth, settings.slices).to(self.device)

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> VolumeGanPrior:
        """The prior from the tensors of a weights file; shapes (K, H, W) and the like as in `to_tensors`."""
        generator = Generator(read_settings(tensors["settings"]))
        generator.load_state_dict(network_state(tensors))
        return cls(
            generator,
            tensors["residual_sd"].float() / _SD_STEPS,
            AxialSpace.from_tensors(tensors),
            card,
            device,
        )

    def infer(
        self, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool = False
    ) -> VolumeGanPosterior:
        """Posterior given `pixels` (n, H, W) of the slices `index`.

        fast: its mean shows the most likely code, found in few steps.
        """
        return VolumeGanPosterior(self, index, pixels, check, fast)

    def decode(self, codes: torch.Tensor, index: list[int] | None = None) -> torch.Tensor:
        """Slices `index` (all if None) of the volumes of codes (B, L), (B, n, H, W).

        Args:
            codes: on the prior's device.
            index: n slice numbers.
        """
        rows = self._stretch if index is None else self._stretch[index]
        return torch.einsum("kd,bdhw->bkhw", rows, self.generator(codes))


class VolumeGanPosterior(Posterior):
    """The stack given some of its slices; arrays (K, H, W). Approximate: see CodesGiven.sample.

    Args:
        prior: its generator is asked.
        index: numbers of the seen slices, (n,).
        pixels: of these, (n, H, W), on the prior's device.
        check: called in every step of a descent; raise from it to cancel.
        fast: the mean shows the most likely code, found in few steps.
    """

    def __init__(
        self,
        prior: VolumeGanPrior,
        index: list[int],
        pixels: torch.Tensor,
        check: Callable[[], None],
        fast: bool,
    ):
        self.grid = prior.grid
        self.intervals = prior.intervals
        self._prior = prior
        self._index, self._check, self._fast = index, check, fast
        sd = _TEMPER * prior.residual_sd[index].clamp(min=_SD_FLOOR).flatten()
        latent = prior.generator.settings.latent
        steps = _FAST_STEPS if fast else _STEPS
        self.codes = CodesGiven(
            lambda z: prior.decode(z, index).flatten(1), pixels.flatten(), sd, latent, steps, check
        )
        self.mode = lru_cache(maxsize=1)(self.codes.mode)
        self._moments = lru_cache(maxsize=1)(self._sample_moments)
        self._sample_one = lru_cache(maxsize=_DRAWS)(self._sample_of)

    def _drawn(self, seed: int) -> torch.Tensor:
        """A code of the posterior, (L,); of the prior where nothing was seen."""
        if self._index:
            return self.codes.sample(seed, self.mode())
        return torch.randn(self.codes.latent, generator=seeded_generator(seed)).to(self._prior.device)

    def mean(self) -> torch.Tensor:
        """Mean of samples, (K, H, W); with `fast`, what the most likely code shows."""
        return self._prior.decode(self.mode()[None])[0] if self._fast and self._index else self._moments()[0]

    def std(self) -> torch.Tensor:
        """Spread of samples and what the generator leaves unexplained, (K, H, W)."""
        return (self._moments()[1] + self._prior.residual_sd.clamp(min=_SD_FLOOR) ** 2).sqrt()

    def _sample_moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance over samples.

        Those of the last seeds come first, so that the first ones are still known afterwards.
        """
        drawn = self.sample(list(reversed(range(_DRAWS if self._index else _DRAWS_OF_NOTHING))))
        return drawn.mean(0), drawn.var(0)

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """Volumes of codes drawn given the seen slices, (len(seeds), K, H, W)."""
        return torch.cat([self._sample_one(seed) for seed in seeds])

    def _sample_of(self, seed: int) -> torch.Tensor:
        """The sample of one seed, (1, K, H, W), alone.

        Rounding depends on a batch, and a seed decides a sample.
        """
        self._check()
        return self._prior.decode(self._drawn(seed)[None])

    def log_evidence(self) -> float:
        """log p(slices, code) of the most likely code, nats; 0 without slices.

        Codes are not integrated over: it only ranks poses.
        """
        return self.codes.log_joint(self.mode()) if self._index else 0.0
