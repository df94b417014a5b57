"""The two contracts of every system: Prior and Posterior; they declare all that the rest of the Lib uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch

from ..geometry import Grid, InputError, Volume
from ..observation import Observation, Slice
from ..observation.base import IntensityMap
from .card import ModelCard
from .intervals import IntervalScale

if TYPE_CHECKING:
    from typing_extensions import Self

    from .alignment_model import AlignmentModel


def seeded_generator(seed: int) -> torch.Generator:
    """The source of chance of one sample, on the CPU, so that a seed means the same on every device."""
    return torch.Generator().manual_seed(seed)


class Posterior(ABC):
    """The distribution of one body's whole volume given what was observed.

    Arrays are float32 tensors in k, j, i order on `grid`, in canonical units ([0, 1]).

    Attributes:
        grid: where the volume lies, RAS mm of the canonical frame.
        intervals: how wide central intervals are in standard deviations.
    """

    grid: Grid
    intervals: IntervalScale

    @abstractmethod
    def mean(self) -> torch.Tensor:
        """Posterior mean, (K, J, I)."""

    @abstractmethod
    def std(self) -> torch.Tensor:
        """Posterior standard deviation per voxel, (K, J, I)."""

    def interval(self, level: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Bounds, (K, J, I) each, of the central interval that holds `level` (0..1) of the truth.

        From mean and standard deviation with the multipliers measured on held-out subjects.
        """
        return self.intervals.interval(self.mean(), self.std(), level)

    def sample(self, seeds: Sequence[int]) -> torch.Tensor:
        """One posterior sample per seed, (len(seeds), K, J, I); the same seed gives the same sample."""
        return self._sample(list(seeds)) if len(seeds) else torch.zeros(0, *self.grid.shape_kji)

    @abstractmethod
    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """Samples of one or more seeds, each from `seeded_generator(seed)` and the same in any company."""

    @abstractmethod
    def log_evidence(self) -> float:
        """log p(observation) in nats; comparable between poses and covariates of the same observation."""


@dataclass(frozen=True)
class Conditions:
    """What a prior is conditioned on, and how; the arguments of `Prior.condition`, which explains them."""

    observations: Sequence[Observation] = ()
    grid: Grid | None = None
    covariate: float | None = None
    check: Callable[[], None] = lambda: None
    fast: bool = False


@dataclass(frozen=True, eq=False)
class Seen:
    """A prior in the contrast of a scan.

    prior: of the same anatomy. unit: grey value of the scan that is 1 in the prior's canonical units. gain:
    how much more probable (nats, tempered) the slices are so than in the prior's own contrast; None where
    that was not asked. shades: for `Prior.seen_in`, and for people: grey values by tissue.
    """

    prior: Prior
    unit: float
    gain: float | None
    shades: dict[str, list[float]]


class Prior(ABC):
    """A generative system with its model card: the distribution of volumes before anything was observed.

    Attributes:
        observes: the kinds of observation that it can be conditioned on; `Observation` is all of them.
        draws: what its samples can start from, first what they do; empty where there is no choice.
        card: what it is, and how good it was measured to be.
        grid: the canonical grid, RAS mm of the canonical frame.
        evaluation_grid: the grid of the registered protocol.
        anatomy_mask: where the anatomy lies, (K, J, I) bool.
        reference: what whole volumes are registered to, canonical units.
        intervals: of its posteriors.
        device: where it computes.
    """

    observes: ClassVar[tuple[type[Observation], ...]] = (Slice,)
    draws: tuple[str, ...] = ()

    def __init__(
        self,
        card: ModelCard,
        grid: Grid,
        *,
        anatomy_mask: torch.Tensor,
        reference: Volume,
        intervals: IntervalScale,
        evaluation_grid: Grid | None = None,
        device: torch.device | str = "cpu",
    ):
        """See the attributes.

        Args:
            evaluation_grid: the canonical grid if None.
        """
        self.card = card
        self.grid = grid
        self.evaluation_grid = evaluation_grid or grid
        self.anatomy_mask, self.reference, self.intervals = anatomy_mask, reference, intervals
        self.device = torch.device(device)

    @classmethod
    def from_weights(
        cls,
        tensors: dict[str, torch.Tensor],
        card: ModelCard,
        device: torch.device,
        base: Prior | None = None,
    ) -> Self:
        """The prior that a weights file holds.

        Args:
            tensors: as the system stored them.
            card: the file's model card.
            device: where to compute.
            base: the prior that `card.base` names, loaded and verified; None for a card without one.

        Raises:
            LookupError, ValueError, TypeError, RuntimeError: the tensors are not those of this system.
        """
        raise NotImplementedError(f"{cls.__name__} is not stored in a weights file")

    def drawing(self, draws: str | None) -> Self:
        """This prior with samples that start from `draws`; itself where they do, and for None.

        Raises:
            InputError: where the prior has no such draws.
        """
        if draws is None or (self.draws and draws == self.draws[0]):
            return self
        if draws not in self.draws:
            known = f"expected {' or '.join(self.draws)}" if self.draws else "it has one way only"
            raise InputError(f"{self.card.id} draws no samples by way of {draws}; {known}; leave it out.")
        other = copy(self)
        other.draws = (draws,)
        return other

    def donors(self, grid: Grid) -> torch.Tensor:
        """The real anatomy from which samples start, (n, K, J, I) in canonical units; n is 0 where none does.

        Args:
            grid: with the canonical axes.
        """
        return torch.zeros(0, *grid.shape_kji)

    def alignment_model(self) -> AlignmentModel:
        """What alignment needs to find the frame of slices; made once. Raises InputError without one."""
        return self._alignment

    @cached_property
    def _alignment(self) -> AlignmentModel:
        return self._make_alignment_model()

    def _make_alignment_model(self) -> AlignmentModel:
        raise InputError(f"{self.card.id} cannot find where slices lie; give the frame.")

    @property
    def knows_tissues(self) -> bool:
        """Whether it tells tissues, and can be seen in any contrast of them."""
        return False

    def seen_by(self, slices: Sequence[Slice], intensity: IntensityMap) -> Seen | None:
        """The prior in the contrast of slices; None where it knows no contrast but its own.

        Args:
            slices: canonical mm, grey values of their own.
            intensity: of these to canonical units, if they were in the prior's own contrast.

        Raises:
            InputError: where the slices show too little.
        """
        return None

    def seen_in(self, shades: dict[str, list[float]]) -> Seen | None:
        """The prior in a contrast that `seen_by` found before."""
        return None

    def shown_in(self, seen: Prior, shades: dict[str, list[float]] | None, wider: float = 1.0) -> Prior:
        """A prior that takes slices as one of its views does, and shows the same body in another contrast.

        Args:
            seen: itself, or what `seen_by` or `seen_in` made of it.
            shades: of the contrast that is shown, as in `Seen`; its own if None.
            wider: factor on what it does not know there, as was measured of the two contrasts.

        Raises:
            InputError: where the prior knows no contrast but its own.
        """
        raise InputError(f"{self.card.id} does not know tissues and shows no contrast but its own.")

    def tissues(self, posterior: Posterior) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Share of each tissue in every voxel given one of its posteriors, and its standard deviation.

        (K, J, I) on the canonical grid, [0, 1], by name; empty where it knows none.
        """
        return {}

    def condition(
        self,
        observations: Sequence[Observation],
        *,
        grid: Grid | None = None,
        covariate: float | None = None,
        check: Callable[[], None] = lambda: None,
        fast: bool = False,
    ) -> Posterior:
        """The posterior given observations.

        Args:
            observations: in canonical mm and canonical units; none gives the prior itself.
            grid: where the posterior lives; the canonical grid if None.
            covariate: value of the card's covariate; inferred from the observations if None.
            check: called in inner loops; raise from it to cancel.
            fast: only a quick look at the mean is wanted; it may be rough, and on a coarser grid where none
                is given.

        Raises:
            InputError: an observation is of a kind, or in a place, that the prior does not know.
        """
        for observation in observations:
            if not isinstance(observation, self.observes):
                known = [kind.kind for kind in self.observes]
                raise InputError(
                    f"{observation.name}: {self.card.id} cannot be conditioned on a {observation.kind}; "
                    f"expected: {', '.join(known)}."
                )
        return self._condition(Conditions(observations, grid, covariate, check, fast))

    @abstractmethod
    def _condition(self, given: Conditions) -> Posterior:
        """As `condition`, given observations of the kinds in `observes` alone."""
