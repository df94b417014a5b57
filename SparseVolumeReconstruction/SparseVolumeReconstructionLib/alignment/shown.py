"""The grey values of a contrast that is not the prior's, from what the prior knows of the tissues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry import InputError

_KNOTS, _WIDTH, _FIRST = 25, 0.04, 0.06
_MIN_PIXELS, _FEW = 100, 15.0


@dataclass(frozen=True, eq=False)
class ContrastMap:
    """Patient values over canonical ones, in no order: fluid may be the brightest.

    canonical: knots, ascending, the first one 0. patient: the mean value there, 0 at 0. spread: standard
    deviation of single pixels there, patient units.
    """

    canonical: np.ndarray
    patient: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, canonical: np.ndarray, patient: np.ndarray) -> ContrastMap:
        """From pixels (n,) whose canonical values are known.

        Args:
            canonical: values, 0 outside the brain.
            patient: grey values of the same pixels.

        Raises:
            InputError: where too few of them show brain.
        """
        inside = canonical > _FIRST
        x, y = canonical[inside].astype(np.float64), patient[inside].astype(np.float64)
        if len(x) < _MIN_PIXELS:
            raise InputError(
                f"Only {len(x)} pixels of the slices show brain; pick slices that show more of it."
            )
        knots = np.linspace(_FIRST, 1.0, _KNOTS)
        edges = np.append(knots - (knots[1] - knots[0]) / 2, np.inf)
        count, total, square = (np.histogram(x, edges, weights=w)[0] for w in (np.ones_like(y), y, y**2))
        near = np.exp(-0.5 * ((knots[:, None] - knots) / _WIDTH) ** 2)
        weight = near @ count
        kept = weight > _FEW
        mean = (near @ total)[kept] / weight[kept]
        variance = np.maximum((near @ square)[kept] / weight[kept] - mean**2, 0)
        return cls(np.append(0.0, knots[kept]), np.append(0.0, mean), np.append(0.0, np.sqrt(variance)))

    def to_patient(self, values: np.ndarray) -> np.ndarray:
        """Canonical -> patient intensities, float32."""
        return np.interp(values, self.canonical, self.patient).astype(np.float32)

    def spread_to_patient(self, values: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Standard deviations in patient units at canonical `values`.

        What theirs makes on both sides, and what pixels of one tissue differ by.

        Args:
            values: any shape.
            std: their own standard deviations, canonical units, in the same shape.

        Returns:
            Float32.
        """
        at = self.to_patient(values)
        sides = ((self.to_patient(values + std) - at) ** 2 + (self.to_patient(values - std) - at) ** 2) / 2
        own = np.interp(values, self.canonical, self.spread)
        return np.sqrt(sides + own**2).astype(np.float32)
