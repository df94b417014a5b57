"""MRNGAN as a prior: chains outwards from the seen slices, drawn with noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import avg_pool2d, interpolate

from ..axial import AxialPrior, AxialSpace
from ..base import Prior, seeded_generator
from ..card import ModelCard
from ..monte_carlo import MonteCarloPosterior
from ..stored import network_state, settings_tensor, settings_text, stored_state
from .chains import Outwards
from .network import Mrngan, MrnganSettings

_SD_STEPS = 510  # 8 bits up to a standard deviation of 0.5
_SD_POOL = 2  # pixels along a side that share a stored standard deviation
_SD_FLOOR = 0.01
_DRAWS = 8
# errors of neighbours are alike: seen pixels tell as much as independent ones with so many times the
# deviation
_TEMPER = 3.0


def to_tensors(model: Mrngan, spread: torch.Tensor, errors: torch.Tensor) -> dict[str, torch.Tensor]:
    """Tensors to store besides those of the space.

    Float16 weights, settings, 8-bit general brain (K, H, W), spread (K, H / 2, W / 2) and errors (K,).

    Args:
        model: on any device.
        spread: standard deviation of people, (K, H, W); what is above 0.5 is stored as 0.5.
        errors: of chains by their length, as shares of the spread, (K,).
    """
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    general = (state.pop("general") * 255).round().clamp(0, 255).to(torch.uint8)
    sd = avg_pool2d(spread.float(), _SD_POOL) * _SD_STEPS
    return {
        **stored_state(state),
        "settings": settings_tensor(model.settings),
        "general": general,
        "spread": sd.round().clamp(0, 255).to(torch.uint8),
        "errors": errors.float(),
    }


class MrnganPrior(AxialPrior):
    """MRNGAN as a prior of stacks.

    Args:
        network: is put on the device and in evaluation mode.
        spread: standard deviation of people, (K, H, W).
        errors: of chains by their length, as shares of the spread, (K,).
        space: its stacks are as large as the network's.
        card: what it is.
        device: where it computes.
    """

    def __init__(
        self,
        network: Mrngan,
        spread: torch.Tensor,
        errors: torch.Tensor,
        space: AxialSpace,
        card: ModelCard,
        device="cpu",
    ):
        super().__init__(space, card, device)
        settings = network.settings
        self.network = self.settled(network, settings.slices, settings.size)
        self.spread, self.errors = spread.to(self.device), errors.to(self.device)

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> MrnganPrior:
        """The prior from the tensors of a weights file; shapes (K, H, W) and the like as in `to_tensors`."""
        network = Mrngan(MrnganSettings.model_validate_json(settings_text(tensors["settings"])))
        network.load_state_dict({**network_state(tensors), "general": tensors["general"].float() / 255})
        spread = interpolate(tensors["spread"][None].float() / _SD_STEPS, scale_factor=_SD_POOL)[0]
        return cls(network, spread, tensors["errors"], AxialSpace.from_tensors(tensors), card, device)

    def infer(
        self, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool = False
    ) -> MrnganPosterior:
        """Posterior given `pixels` (n, H, W) of the slices `index`.

        fast: its mean shows the chains without noise.
        """
        return MrnganPosterior(self, index, pixels, check, fast)


class MrnganPosterior(MonteCarloPosterior):
    """The stack given some of its slices.

    Codes are the noise (m or 1, *noise_shape), the same for all slices of a sample.

    The standard deviation has in it the error of chains of that length; samples are without it.

    Args:
        prior: its network is asked.
        index: numbers of the seen slices, (n,).
        pixels: of these, (n, H, W), on the prior's device.
        check: raise from it to cancel.
        fast: the mean shows the chains without noise, instead of the mean of samples.
    """

    def __init__(
        self,
        prior: MrnganPrior,
        index: list[int],
        pixels: torch.Tensor,
        check: Callable[[], None],
        fast: bool,
    ):
        super().__init__(prior, index, pixels, check, "latents" if fast else "samples")
        self._prior = prior
        self._chains = Outwards(index, self._pixels, prior.network, prior.errors)
        sd = prior.spread * prior.errors[self._chains.distance][:, None, None]
        self._floor = torch.where(self._chains.distance[:, None, None] > 0, sd, 0).clamp(min=_SD_FLOOR)

    def _centre(self) -> torch.Tensor:
        return self._pixels.new_zeros(1, *self._prior.network.noise_shape)

    def _draw(self, seeds: Sequence[int]) -> list[torch.Tensor]:
        shape = self._prior.network.noise_shape
        return [torch.randn(1, *shape, generator=seeded_generator(seed)).to(self._pixels) for seed in seeds]

    def _show(self, codes: torch.Tensor) -> torch.Tensor:
        return self._chains.show(codes, self._check)[0]

    @torch.no_grad()
    def _moments(self, draws: int = _DRAWS) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance over `draws` samples, (K, H, W) each, of which one step serves all."""
        half = torch.cat(self._draw(range(draws // 2)))
        shown = self._chains.show(torch.cat([half, -half]), self._check)
        mean, variance = (self._pixels.new_zeros(self.grid.shape_kji) for _ in range(2))
        mean[self._index] = self._pixels
        mean[self._hidden] = shown.mean(0)
        variance[self._hidden] = (shown - mean[self._hidden]).square().mean(0)
        return mean, variance

    @torch.no_grad()
    def log_evidence(self) -> float:
        """log p(seen slices), nats, approximately; 0 without slices.

        The lowest one is given the general brain, each other one what the chain from below shows of it;
        pixels are independent, with the deviation that errors of that length have, tempered.
        """
        if not len(self._index):
            return 0.0
        prior, total = self._prior, 0.0
        expected = self._chains.arrivals(self._check)
        farthest = len(prior.errors) - 1
        for number, seen in zip(self._index.tolist(), self._pixels, strict=True):
            mean, distance = expected.get(number, (prior.network.general[number], farthest))
            sd = _TEMPER * (prior.spread[number] * prior.errors[distance]).clamp(min=_SD_FLOOR)
            nats = 0.5 * ((seen - mean) / sd) ** 2 + sd.log() + 0.5 * math.log(2 * math.pi)
            total -= float(nats.sum())
        return total
