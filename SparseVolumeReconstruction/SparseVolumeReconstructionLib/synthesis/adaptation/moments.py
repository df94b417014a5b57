"""Aggregate Gaussians: what codes of many volumes are like at every position, and how far two are apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Aggregate:
    """Mean and variance of codes at every position, each (P, L)."""

    mean: torch.Tensor
    variance: torch.Tensor

    @classmethod
    def of(cls, mean: torch.Tensor, log_variance: torch.Tensor) -> Aggregate:
        """The Gaussian of the mixture of the codes of volumes, (B, P, L) each."""
        centre = mean.mean(0)
        return cls(centre, (log_variance.exp() + (mean - centre) ** 2).mean(0))

    def divergence_from(self, other: Aggregate) -> torch.Tensor:
        """KL(self || other), nats, mean over positions (closed form)."""
        ratio = self.variance / other.variance
        squares = (self.mean - other.mean) ** 2 / other.variance
        return 0.5 * (ratio + squares - 1 - ratio.log()).sum(-1).mean()

    def wasserstein_from(self, other: Aggregate) -> torch.Tensor:
        """Squared 2-Wasserstein distance, mean over positions (closed form)."""
        spread = (self.variance.sqrt() - other.variance.sqrt()) ** 2
        return ((self.mean - other.mean) ** 2 + spread).sum(-1).mean()
