"""Grey values of several scanners, brought to those of one."""

from __future__ import annotations

import numpy as np

from ..alignment.intensity import MonotoneMap

_INSIDE, _BRIGHTEST = 0.1, 1.2
_MIN_VARIANCE = 1e-4


def match_grey_values(volumes: np.ndarray, first: np.ndarray) -> None:
    """Bring the grey values of other volumes to those of the first by a monotone map each, in place.

    It is the map by which a patient's slices are matched to a prior.

    Args:
        volumes: (N, K, J, I) on one grid, [0, 1] with a background of 0.
        first: (N,) bool, those that stay as they are.
    """
    mean, square = np.zeros(volumes.shape[1:]), np.zeros(volumes.shape[1:])
    for volume in (volumes[n].astype(np.float32) for n in np.flatnonzero(first)):
        mean += volume / first.sum()
        square += volume**2 / first.sum()
    variance = (square - mean**2).clip(_MIN_VARIANCE)
    for volume in (volumes[n] for n in np.flatnonzero(~first)):
        inside = (mean > _INSIDE) & (volume > 0)
        found = MonotoneMap.fit(volume[inside].astype(np.float32), mean[inside], variance[inside])
        volume[:] = np.clip(found.to_canonical(volume), 0, _BRIGHTEST)
