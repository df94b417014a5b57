"""GQN and the conditional VAE as a prior.

The seen slices become one representation, of which all other slices are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..axial import AxialPrior, AxialSpace
from ..base import Prior, seeded_generator
from ..card import ModelCard
from ..monte_carlo import MonteCarloPosterior
from ..stored import network_state, settings_tensor, settings_text
from .cvae import Cvae, CvaeSettings
from .gqn import Gqn, GqnSettings
from .parts import NetworkSettings, NeuralRenderingNetwork

_EVIDENCE_SEED = 2**40
_NETWORKS: dict[str, tuple[Callable[[Any], NeuralRenderingNetwork], type[NetworkSettings]]] = {
    "gqn": (Gqn, GqnSettings),
    "cvae": (Cvae, CvaeSettings),
}


def to_tensors(network: NeuralRenderingNetwork, coherent: bool) -> dict[str, torch.Tensor]:
    """Tensors to store besides those of the space.

    Float16 weights, settings (n,), and `coherent` (see NeuralRenderingPrior).

    Args:
        network: on any device.
        coherent: see NeuralRenderingPrior.
    """
    weights = {f"network.{name}": t.detach().cpu().half() for name, t in network.state_dict().items()}
    return {**weights, "settings": settings_tensor(network.settings), "coherent": torch.tensor(coherent)}


class NeuralRenderingPrior(AxialPrior):
    """A network that renders slices as a prior of stacks.

    Args:
        network: is put on the device and in evaluation mode.
        space: its stacks are as large as the network's.
        card: what it is.
        device: where it computes.
        coherent: all slices of a sample are drawn with the same noise, so that they fit together; otherwise,
            as in the paper, every slice is drawn on its own.
    """

    def __init__(
        self,
        network: NeuralRenderingNetwork,
        space: AxialSpace,
        card: ModelCard,
        device="cpu",
        coherent: bool = True,
    ):
        super().__init__(space, card, device)
        settings = network.settings
        self.network = self.settled(network, settings.slices, settings.size)
        self.coherent = coherent

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> NeuralRenderingPrior:
        """The prior from the tensors of a weights file; shapes (K, H, W) and the like as in `to_tensors`."""
        make, settings = _NETWORKS[card.system]
        network = make(settings.model_validate_json(settings_text(tensors["settings"])))
        network.load_state_dict(network_state(tensors))
        return cls(network, AxialSpace.from_tensors(tensors), card, device, bool(tensors["coherent"]))

    def infer(
        self, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool = False
    ) -> NeuralRenderingPosterior:
        """Posterior given `pixels` (n, H, W) of the slices `index`.

        fast: its mean shows the mean of the latents.
        """
        return NeuralRenderingPosterior(self, index, pixels, check, fast)


class NeuralRenderingPosterior(MonteCarloPosterior):
    """The stack given some of its slices.

    Codes are the noise (m or 1, *noise_shape) that slices are drawn with.

    The standard deviation has the noise in it that the model takes pixels to have; samples are without it.

    Args:
        prior: its network is asked.
        index: numbers of the seen slices, (n,).
        pixels: of these, (n, H, W), on the prior's device.
        check: raise from it to cancel.
        fast: the mean shows the mean of the latents, instead of the mean of samples.
    """

    def __init__(
        self,
        prior: NeuralRenderingPrior,
        index: list[int],
        pixels: torch.Tensor,
        check: Callable[[], None],
        fast: bool,
    ):
        super().__init__(prior, index, pixels, check, "latents" if fast else "samples")
        self._prior = prior
        self._network = prior.network
        self._floor[self._hidden] = self._network.settings.sigma
        self._representation = self._network.represent(self._pixels[None], self._index[None])

    def _centre(self) -> torch.Tensor:
        return self._pixels.new_zeros(1, *self._network.noise_shape)

    def _draw(self, seeds: Sequence[int]) -> list[torch.Tensor]:
        count = 1 if self._prior.coherent else len(self._hidden)
        generators = [seeded_generator(seed) for seed in seeds]
        return [
            torch.randn(count, *self._network.noise_shape, generator=generator).to(self._pixels)
            for generator in generators
        ]

    def _show(self, codes: torch.Tensor) -> torch.Tensor:
        def draw(at: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            return self._network(at, self._representation.expand(len(at), -1, -1, -1), noise)[0]

        return self._prior.in_parts(
            draw, self._check, self._hidden, codes.expand(len(self._hidden), *codes.shape[1:])
        )

    def log_evidence(self) -> float:
        """A lower bound of log p(seen slices), nats, with one fixed draw of the latents; 0 without slices.

        Each slice is given those below it, so that the bounds add up to one of all slices together.
        """
        network = self._network
        count = len(self._index)
        if not count:
            return 0.0
        each = network.tower(self._pixels, self._index)
        below = (each.cumsum(0) - each) / torch.arange(count, device=each.device).clamp(min=1)[
            :, None, None, None
        ]
        noise = torch.randn(count, *network.noise_shape, generator=seeded_generator(_EVIDENCE_SEED)).to(each)
        drawn, divergence = network(self._index, below, noise, self._pixels)
        sigma = network.settings.sigma
        pixels = 0.5 * ((drawn - self._pixels) / sigma) ** 2 + math.log(sigma) + 0.5 * math.log(2 * math.pi)
        return -float(pixels.sum() + divergence.sum())
