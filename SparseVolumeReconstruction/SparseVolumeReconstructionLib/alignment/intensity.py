"""Another scanner's contrast: a monotone map between patient and canonical intensities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from ..geometry import InputError

_QUANTILES = np.array([0.05, 0.5, 0.95, 0.99, 0.998])
_MIN_PIXELS = 50
_DARKEST = 0.02  # no knot closer to 0, or a breath of noise would span the whole range


@dataclass(frozen=True, eq=False)
class MonotoneMap:
    """Piecewise linear, strictly increasing, linear beyond its ends.

    patient, canonical: knot values, ascending; 0 maps to 0.
    """

    patient: np.ndarray
    canonical: np.ndarray

    @classmethod
    def identity(cls) -> MonotoneMap:
        """Patient values are canonical values already."""
        return cls(np.array([0.0, 1.0]), np.array([0.0, 1.0]))

    @classmethod
    def fit(cls, values: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> MonotoneMap:
        """The map under which the histogram of `values` is the one the prior predicts for the same pixels.

        The predicted histogram is the mixture of n Gaussians, so the prior's own spread does not flatten the
        contrast. Five quantiles are matched: more follow the subject's anatomy, not the scanner.

        Args:
            values: patient intensities of pixels inside the anatomy, (n,).
            mean: of the prior's prediction of their canonical values, (n,).
            variance: of that prediction, (n,), above 0.

        Raises:
            InputError: when too few pixels show anatomy, or they have too little contrast.
        """
        if len(values) < _MIN_PIXELS:
            raise InputError(
                f"Only {len(values)} pixels of the slices lie in the anatomy; pick slices that show more of "
                "it, or check the frame."
            )
        step = max(1, len(mean) // 2000)
        levels = np.linspace(-0.5, 1.6, 421)
        spread = np.sqrt(variance[::step])
        cumulative = ndtr((levels[:, None] - mean[::step]) / spread).mean(1)
        patient = np.quantile(values, _QUANTILES)
        canonical = np.interp(_QUANTILES, cumulative, levels)
        knots = [(0.0, 0.0)]
        for y, x in zip(patient, canonical, strict=True):
            if y > max(knots[-1][0] * 1.02, _DARKEST * patient[-1]) and x > knots[-1][1] + 0.005:
                knots.append((float(y), float(x)))
        if len(knots) < 3:
            raise InputError(
                "The slices have too little contrast to be compared with the model; check the images."
            )
        return cls(*np.array(knots).T)

    def to_canonical(self, values: np.ndarray) -> np.ndarray:
        """Patient -> canonical intensities, float32."""
        return _interpolate(values, self.patient, self.canonical)

    def to_patient(self, values: np.ndarray) -> np.ndarray:
        """Canonical -> patient intensities, float32."""
        return _interpolate(values, self.canonical, self.patient)

    def spread_to_patient(self, values: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Standard deviations in patient units at canonical `values`.

        Half the width of the mapped one-sigma interval.

        Args:
            values: any shape.
            std: standard deviations in canonical units, of the same shape.
        """
        return (self.to_patient(values + std) - self.to_patient(values - std)) / 2


def _interpolate(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float32)
    out = np.interp(values, x, y).astype(np.float32)
    low, high = (y[1] - y[0]) / (x[1] - x[0]), (y[-1] - y[-2]) / (x[-1] - x[-2])
    out = np.where(values > x[-1], y[-1] + high * (values - x[-1]), out)
    return np.where(values < x[0], y[0] + low * (values - x[0]), out).astype(np.float32)
