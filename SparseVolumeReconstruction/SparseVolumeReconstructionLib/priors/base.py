"""The two interfaces every system implements: Prior and Posterior."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from ..geometry import Grid
from ..observation import Slice
from .card import ModelCard


class Posterior(Protocol):
    """The distribution of one body's whole volume given what was observed.

    Arrays are float32 tensors in k, j, i order on `grid`, in canonical units ([0, 1]).
    """

    grid: Grid

    def mean(self) -> torch.Tensor:
        """Posterior mean, (K, J, I)."""

    def std(self) -> torch.Tensor:
        """Posterior standard deviation per voxel, (K, J, I)."""

    def interval(self, level: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Lower and upper bound of the central interval that holds `level` (0..1) of the truth, each (K, J,
        I).
        """

    def sample(self, seeds: list[int]) -> torch.Tensor:
        """One posterior sample per seed, (len(seeds), K, J, I); the same seed gives the same sample."""

    def log_evidence(self) -> float:
        """log p(observation) in nats; comparable between poses and covariates of the same observation."""


class Prior(Protocol):
    """A trained generative system with its model card.

    grid: the canonical grid (RAS mm of the canonical frame). anatomy_mask: where the anatomy lies, (K, J, I)
    bool.
    """

    card: ModelCard
    grid: Grid
    anatomy_mask: torch.Tensor

    def condition(
        self,
        slices: list[Slice],
        *,
        grid: Grid | None = None,
        covariate: float | None = None,
        check: Callable[[], None] = lambda: None,
        fast: bool = False,
    ) -> Posterior:
        """Posterior given slices in canonical mm and canonical units; an empty list gives the prior itself.

        grid: where the posterior lives (the canonical grid if None). covariate: value of the card's covariate
        (inferred from the slices if None). check: called in inner loops; raise from it to cancel. fast: only
        a quick look at the mean is wanted; it may be rough, and on a coarser grid where none is given.
        """
