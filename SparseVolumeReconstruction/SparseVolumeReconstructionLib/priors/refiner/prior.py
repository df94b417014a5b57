"""A prior on a prior: the posterior of the base, whose mean a network refines.

The network learns from posteriors of people whom the base was not fitted on. It changes nothing that was
observed, and adds the same to the mean and to all samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Protocol, cast

import numpy as np
import torch

from ...geometry import Grid, InputError
from ...observation import split_slices
from ...observation.base import observed_voxels
from ...observation.slices import are_parallel
from ..base import Conditions, Posterior, Prior
from ..card import ModelCard
from ..device import placed
from ..gaussian.field import along_axes, axis_operators
from ..on_base import PriorOnBase, distance_mm
from ..stored import network_state, stored_state
from .network import RefinerNetwork, inputs_of

_TOGETHER = 20  # slices: few fit into the cache of a processor
_KEPT = 2


@dataclass(frozen=True)
class Refinement:
    """What is known of how to refine.

    shared, power: of the tempered posterior, see `StructuredGaussian.tempered`, whose mean is refined.
    distances_mm: to the nearest observed voxel, ascending, (n,). widths: factor on the base's standard
    deviation at these distances, (n,); between them linear.
    """

    shared: float = 1.0
    power: float = 1.0
    distances_mm: tuple[float, ...] = (0.0,)
    widths: tuple[float, ...] = (1.0,)


class Tempering(Protocol):
    """A base whose posterior can be tempered."""

    def tempered(self, given: Conditions, shared: float, power: float) -> Posterior:
        """See StructuredGaussian."""


def to_tensors(network: RefinerNetwork, refinement: Refinement) -> dict[str, torch.Tensor]:
    """Tensors to store: float16 weights, and the numbers (n,) of the refinement."""
    return {
        **stored_state(network.state_dict()),
        "width": torch.tensor(network.width),
        "offsets_mm": torch.tensor(network.offsets_mm),
        "tempering": torch.tensor([refinement.shared, refinement.power]),
        "distances_mm": torch.tensor(refinement.distances_mm),
        "widths": torch.tensor(refinement.widths),
    }


class RefinedPrior(PriorOnBase):
    """The prior of the base with another posterior mean.

    Where slices lie across each other, where something else was observed, and where slices are of another
    contrast, the posterior is the base's, too.

    Args:
        network: is put on the device and in evaluation mode.
        refinement: see there.
        base: what is refined.
        card: what it is.
        device: where it computes.
    """

    def __init__(
        self,
        network: RefinerNetwork,
        refinement: Refinement,
        base: Prior,
        card: ModelCard,
        device: torch.device | str = "cpu",
    ):
        super().__init__(base, card, device)
        placed(network, self.device).eval().requires_grad_(False)
        self.network = network
        self.refinement = refinement
        self._before = lru_cache(maxsize=_KEPT)(self._prior_moments)

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> RefinedPrior:
        """The prior from the tensors of a weights file, widths (n,), see `to_tensors`, and its base."""
        if base is None:
            raise ValueError("the card names no base")
        network = RefinerNetwork(int(tensors["width"]), tuple(tensors["offsets_mm"].tolist()))
        network.load_state_dict(network_state(tensors))
        shared, power = tensors["tempering"].tolist()
        distances, widths = (tuple(tensors[name].tolist()) for name in ("distances_mm", "widths"))
        return cls(network, Refinement(shared, power, distances, widths), base, card, device)

    def _condition(self, given: Conditions) -> Posterior:
        """The base's posterior, refined where slices of one direction were given and time to look.

        Of slices across each other the tempered mean was measured to be further from the truth.
        """
        posterior = self.base_given(given)
        slices, others = split_slices(given.observations)
        if given.fast or others or not are_parallel(slices):
            return posterior
        seen, _ = observed_voxels(slices, posterior.grid)
        return RefinedPosterior(posterior, self, seen, replace(given, grid=posterior.grid))

    def refined(self, posterior: Posterior, given: Conditions) -> torch.Tensor:
        """The mean of the tempered posterior and what the network adds, (K, J, I), canonical units.

        The network knows the rows and columns of the evaluation grid, and slices at any distance.

        Args:
            posterior: of the base, on a grid along the canonical axes.
            given: what it is given.
        """
        grid = posterior.grid
        lattice = _with_slices_of(grid, self.evaluation_grid)
        there = axis_operators(grid, lattice)
        mean = tempered_mean(self.base, given, self.refinement)
        moments = torch.stack([mean, posterior.std()])
        moments = moments if lattice.same_as(grid) else along_axes([h.to(moments) for h in there], moments)
        before = self._before(grid.shape_kji, grid.ijk_to_ras.tobytes(), given.covariate)
        shifts = tuple(mm / float(grid.spacing_ijk[2]) for mm in self.network.offsets_mm)
        parts = []
        for index in torch.arange(len(moments[0]), device=moments.device).split(_TOGETHER):
            given.check()
            parts.append(self.network(inputs_of(moments, before, index, shifts)))
        added = torch.cat(parts)
        back = [h.to(added) for h in axis_operators(lattice, grid)]
        return mean + (added if lattice.same_as(grid) else along_axes(back, added[None])[0])

    def _prior_moments(
        self, shape_kji: tuple[int, int, int], ijk_to_ras: bytes, covariate: float | None
    ) -> torch.Tensor:
        """Mean and standard deviation of the base before anything was observed, (2, K, H, W)."""
        grid = Grid(shape_kji, np.frombuffer(ijk_to_ras).reshape(4, 4))
        before = self.base.condition(
            [], grid=_with_slices_of(grid, self.evaluation_grid), covariate=covariate
        )
        return torch.stack([before.mean(), before.std()])

    def widths(self, seen: np.ndarray, grid: Grid) -> torch.Tensor:
        """Factor on the base's standard deviation by the distance to what was observed, (K, J, I).

        Args:
            seen: (K, J, I) bool.
            grid: of both.
        """
        factors = np.interp(distance_mm(seen, grid), self.refinement.distances_mm, self.refinement.widths)
        return torch.as_tensor(factors, dtype=torch.float32).to(self.device)


class RefinedPosterior(Posterior):
    """A posterior of the base with a refined mean; arrays (K, J, I) on the base's grid.

    Args:
        base: the posterior that is refined.
        prior: its network is asked when it is needed.
        seen: voxels that were observed, (K, J, I) bool; they stay as the base has them.
        given: what it is given.
    """

    def __init__(
        self,
        base: Posterior,
        prior: RefinedPrior,
        seen: np.ndarray,
        given: Conditions,
    ):
        self.base, self.grid, self.intervals = base, base.grid, prior.intervals
        self._prior, self._seen, self._given = prior, seen, given

    @cached_property
    def _correction(self) -> torch.Tensor:
        added = self._prior.refined(self.base, self._given) - self.base.mean()
        return added.masked_fill(torch.as_tensor(self._seen).to(added.device), 0.0)

    @cached_property
    def _std(self) -> torch.Tensor:
        return self.base.std() * self._prior.widths(self._seen, self.grid)

    def mean(self) -> torch.Tensor:
        """The refined mean; what was observed as the base has it."""
        return self.base.mean() + self._correction

    def std(self) -> torch.Tensor:
        """The base's standard deviation, by the measured factor at each distance to what was observed."""
        return self._std

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """The base's samples, moved alike."""
        return self.base.sample(seeds) + self._correction

    def log_evidence(self) -> float:
        """The base's."""
        return self.base.log_evidence()


def tempered_mean(base: Prior, given: Conditions, refinement: Refinement) -> torch.Tensor:
    """Mean of the tempered posterior of a base, (K, J, I), canonical units."""
    return cast(Tempering, base).tempered(given, refinement.shared, refinement.power).mean()


def _with_slices_of(grid: Grid, lattice: Grid) -> Grid:
    """The rows and columns of `lattice` in the slices of `grid`; both along the canonical axes.

    Raises:
        InputError: the grid has other axes.
    """
    turned = grid.ijk_to_ras[:3, :3] / grid.spacing_ijk - lattice.ijk_to_ras[:3, :3] / lattice.spacing_ijk
    if np.abs(turned).max() > 1e-6:
        raise InputError("The grid is rotated against the canonical axes; expected one along them.")
    matrix = lattice.ijk_to_ras.copy()
    matrix[:3, 2] = grid.ijk_to_ras[:3, 2]
    normal = grid.ijk_to_ras[:3, 2] / grid.spacing_ijk[2]
    matrix[:3, 3] += normal * float(normal @ (grid.ijk_to_ras[:3, 3] - matrix[:3, 3]))
    return Grid((grid.shape_kji[0], *lattice.shape_kji[1:]), matrix)
