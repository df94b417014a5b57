"""A prior on a prior: the base's posterior, whose samples a network carries to anatomy.

Mean, standard deviations and intervals are the base's, as is what was observed.
"""

from __future__ import annotations

import numpy as np
import torch

from ...observation import split_slices
from ...observation.base import observed_voxels
from ...observation.slices import are_parallel
from ..base import Conditions, Posterior, Prior, seeded_generator
from ..card import ModelCard
from ..device import placed
from ..gaussian.field import along_axes, axis_operators
from ..on_base import PriorOnBase, distance_mm
from ..stored import network_state, stored_state
from .network import FlowNetwork, carried, known_of

_FIRST_SEED = 2**42  # of the noise at the start: not that of the base's samples


def to_tensors(network: FlowNetwork, steps: int, noise: float) -> dict[str, torch.Tensor]:
    """Tensors to store: float16 weights, and numbers (1,) of how ways begin and go on."""
    numbers = {"width": torch.tensor(network.width), "steps": torch.tensor(steps)}
    return {**stored_state(network.state_dict()), **numbers, "noise": torch.tensor(noise)}


class FlowPrior(PriorOnBase):
    """The prior of the base with other samples.

    Where slices lie across each other, where something else was observed, and where slices are of another
    contrast, samples are the base's, too.

    Args:
        network: is put on the device and in evaluation mode.
        steps: of the way of a sample.
        noise: added to the base's samples at the start, in standard deviations.
        base: whose samples are carried.
        card: what it is.
        device: where it computes.
    """

    def __init__(
        self,
        network: FlowNetwork,
        steps: int,
        noise: float,
        base: Prior,
        card: ModelCard,
        device: torch.device | str = "cpu",
    ):
        super().__init__(base, card, device)
        placed(network, self.device).eval().requires_grad_(False)
        self.network, self.steps, self.noise = network, steps, noise

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> FlowPrior:
        """The prior from the tensors (n, ...) of a weights file, see `to_tensors`, and its base."""
        if base is None:
            raise ValueError("the card names no base")
        network = FlowNetwork(int(tensors["width"]))
        network.load_state_dict(network_state(tensors))
        return cls(network, int(tensors["steps"]), float(tensors["noise"]), base, card, device)

    def _condition(self, given: Conditions) -> Posterior:
        """The base's posterior, with samples that are carried where slices of one direction were given."""
        posterior = self.base_given(given)
        slices, others = split_slices(given.observations)
        grid, lattice = posterior.grid, self.evaluation_grid
        axes = grid.ijk_to_ras[:3, :3] / grid.spacing_ijk - lattice.ijk_to_ras[:3, :3] / lattice.spacing_ijk
        across = bool(slices) and not are_parallel(slices)
        if given.fast or others or across or np.abs(axes).max() > 1e-6:
            return posterior
        return FlowPosterior(posterior, self, observed_voxels(slices, grid)[0])


class FlowPosterior(Posterior):
    """A posterior of the base with other samples; arrays (K, J, I) on the base's grid.

    Args:
        base: the posterior.
        prior: its network is asked when samples are drawn.
        seen: voxels that were observed, (K, J, I) bool; they stay as the base has them.
    """

    def __init__(self, base: Posterior, prior: FlowPrior, seen: np.ndarray):
        self.base, self.grid, self.intervals = base, base.grid, base.intervals
        self._prior, self._seen = prior, seen

    def mean(self) -> torch.Tensor:
        """The base's."""
        return self.base.mean()

    def std(self) -> torch.Tensor:
        """The base's."""
        return self.base.std()

    def log_evidence(self) -> float:
        """The base's."""
        return self.base.log_evidence()

    @torch.no_grad()
    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """The base's samples, carried by the network on the evaluation grid; not below 0."""
        prior, lattice = self._prior, self._prior.evaluation_grid
        same = lattice.same_as(self.grid)
        mean, std = self.mean(), self.std()
        there, back = (
            [h.to(mean) for h in axis_operators(*pair)]
            for pair in ((self.grid, lattice), (lattice, self.grid))
        )
        away = torch.as_tensor(distance_mm(self._seen, self.grid)).to(mean)
        known = known_of(mean, std, away)
        known = known if same else along_axes(there, known)
        seen = torch.as_tensor(self._seen).to(mean.device)
        out = []
        for seed in seeds:
            draw = self.base.sample([seed])
            white = torch.randn(known.shape[1:], generator=seeded_generator(_FIRST_SEED + seed)).to(mean)
            shown = draw if same else along_axes(there, draw)
            start = shown + prior.noise * known[1] * white
            moved = carried(prior.network, start, known[None], prior.steps) - shown
            moved = moved if same else along_axes(back, moved)
            out.append((draw + moved.masked_fill(seen, 0.0)).clamp(min=0))
        return torch.cat(out)
