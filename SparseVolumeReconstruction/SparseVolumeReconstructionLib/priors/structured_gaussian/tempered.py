"""An exact posterior with another mean, tempered or warped, which is nearer to the truth of other people."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch

from ..base import Posterior
from ..gaussian.stack import StackPosterior
from .posterior import OperatorPosterior


class TemperedPosterior(Posterior):
    """Deviations, evidence and samples are those of the exact posterior.

    Samples are not moved by what the means differ by: all alike, it would give them away.

    Args:
        exact: the posterior.
        mean: gives the other mean, (K, J, I) on its grid; asked when it is needed.
    """

    def __init__(self, exact: StackPosterior | OperatorPosterior, mean: Callable[[], torch.Tensor]):
        self.exact, self.grid, self.intervals = exact, exact.grid, exact.intervals
        self._nearer = mean

    @cached_property
    def _mean(self) -> torch.Tensor:
        return self._nearer()

    def mean(self) -> torch.Tensor:
        """The other mean, which is tempered, warped or both."""
        return self._mean

    def std(self) -> torch.Tensor:
        """The exact posterior's."""
        return self.exact.std()

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """The exact posterior's."""
        return self.exact.sample(seeds)

    def log_evidence(self) -> float:
        """The exact posterior's."""
        return self.exact.log_evidence()
