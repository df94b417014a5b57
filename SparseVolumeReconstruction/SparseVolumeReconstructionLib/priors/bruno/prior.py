"""Conditional BRUNO as a prior.

Latents of the seen slices condition those of the whole stack, which the flow turns to images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..axial import AxialPrior, AxialSpace
from ..base import Prior, seeded_generator
from ..card import ModelCard
from ..monte_carlo import MeanOf, MonteCarloPosterior
from ..stored import network_state, settings_tensor
from .network import Bruno, read_settings


def to_tensors(network: Bruno, mean_of: MeanOf) -> dict[str, torch.Tensor]:
    """Tensors to store besides those of the space: float16, but for the process float32.

    Args:
        network: on any device.
        mean_of: as in BrunoPrior.
    """
    state = {name: t.detach().cpu() for name, t in network.state_dict().items()}
    weights = {f"network.{name}": t if name.startswith("process.") else t.half() for name, t in state.items()}
    return {
        **weights,
        "settings": settings_tensor(network.settings),
        "mean_of_samples": torch.tensor(mean_of == "samples"),
    }


def read_network(tensors: dict[str, torch.Tensor]) -> Bruno:
    """The network that `to_tensors` stored, of slices of (H, W) pixels.

    Raises:
        KeyError: where the settings are missing.
        ValueError: for other settings.
        RuntimeError: where the network's tensors do not fit them.
    """
    network = Bruno(read_settings(tensors["settings"]))
    network.load_state_dict(network_state(tensors))
    return network


class BrunoPrior(AxialPrior):
    """Conditional BRUNO as a prior of stacks.

    Args:
        network: is put on the device and in evaluation mode.
        space: its stacks are as large as the network's.
        card: what it is.
        device: where it computes.
        mean_of: a posterior's mean shows the mean of samples, or of the latents.
    """

    def __init__(
        self, network: Bruno, space: AxialSpace, card: ModelCard, device="cpu", mean_of: MeanOf = "samples"
    ):
        super().__init__(space, card, device)
        settings = network.settings
        self.network = self.settled(network, settings.slices, settings.size)
        self.mean_of = mean_of

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> BrunoPrior:
        """The prior from the tensors of a weights file; shapes (K, H, W) and the like as in `to_tensors`."""
        mean_of: MeanOf = "samples" if tensors["mean_of_samples"] else "latents"
        return cls(read_network(tensors), AxialSpace.from_tensors(tensors), card, device, mean_of)

    @torch.no_grad()
    def infer(
        self, index: list[int], pixels: torch.Tensor, check: Callable[[], None], fast: bool = False
    ) -> BrunoPosterior:
        """Posterior given `pixels` (n, H, W) of the slices `index`.

        fast: its mean shows the mean of the latents.
        """
        return BrunoPosterior(self, index, pixels, check, "latents" if fast else self.mean_of)

    @torch.no_grad()
    def decode(
        self, latents: torch.Tensor, index: torch.Tensor, check: Callable[[], None] = lambda: None
    ) -> torch.Tensor:
        """Slices (N, H, W) of latents (N, D) at slice numbers (N,).

        Args:
            latents: as the network's `encode` gives them.
            index: of each.
            check: called between parts of the work; raise from it to cancel.
        """
        return self.in_parts(self.network.decode, check, latents, index)


class BrunoPosterior(MonteCarloPosterior):
    """The stack given some of its slices; codes are latents (m, D).

    Args:
        prior: its network is asked.
        index: numbers of the seen slices, (n,).
        pixels: of these, (n, H, W), on the prior's device.
        check: raise from it to cancel.
        mean_of: as in BrunoPrior.
    """

    def __init__(
        self,
        prior: BrunoPrior,
        index: list[int],
        pixels: torch.Tensor,
        check: Callable[[], None],
        mean_of: MeanOf,
    ):
        super().__init__(prior, index, pixels, check, mean_of)
        self._prior = prior
        network = prior.network
        empty = pixels.new_zeros(1, 0, network.settings.size**2)
        self._seen = network.encode(self._pixels[None], self._index[None])[0] if index else empty
        self._at, self._query = network.positions(self._index[None]), network.positions(self._hidden[None])

    def _centre(self) -> torch.Tensor:
        return self._prior.network.process.predict(self._seen, self._at, self._query).mean[0]

    def _draw(self, seeds: Sequence[int]) -> torch.Tensor:
        """Joint draws of the latents, (len(seeds), m, D)."""
        generators = [seeded_generator(seed) for seed in seeds]
        return self._prior.network.process.sample(self._seen, self._at, self._query, generators)

    def _show(self, codes: torch.Tensor) -> torch.Tensor:
        return self._prior.decode(codes, self._hidden, self._check)

    @torch.no_grad()
    def log_evidence(self) -> float:
        """The flow's exact log density of the seen slices together, in nats; 0 without slices."""
        return float(self._prior.network(self._pixels[None], self._index[None])) if len(self._index) else 0.0
