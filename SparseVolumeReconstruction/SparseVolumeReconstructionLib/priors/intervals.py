"""Central intervals from mean and standard deviation, with multipliers measured on held-out subjects.

How these are measured: training/calibration.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri

LEVELS = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class IntervalScale:
    """How wide central intervals are.

    multipliers: half-width in standard deviations that held each of LEVELS of the held-out truth.

    Residuals are heavier-tailed than a Gaussian and narrower in the middle, so the Gaussian quantiles do not
    fit.
    """

    multipliers: tuple[float, ...] = tuple(float(ndtri(0.5 + level / 2)) for level in LEVELS)

    def half_width(self, level: float) -> float:
        """Half-width in standard deviations for a level in (0, 1), interpolated between the measured ones."""
        gaussian = ndtri(0.5 + np.array(LEVELS) / 2)
        ratio = np.interp(level, LEVELS, np.array(self.multipliers) / gaussian)
        return float(ratio * ndtri(0.5 + level / 2))

    def interval(
        self, mean: torch.Tensor, std: torch.Tensor, level: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Lower and upper bound, (K, J, I) each, floored at 0 (intensities are not negative).

        Args:
            mean: (K, J, I).
            std: (K, J, I).
            level: share of the truth that the interval shall hold, in (0, 1).
        """
        half = self.half_width(level) * std
        return (mean - half).clamp(min=0), mean + half
