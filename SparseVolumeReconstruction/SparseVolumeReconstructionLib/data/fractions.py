"""Tissue fractions of a skull-stripped T1w volume, from its grey values alone."""

from __future__ import annotations

import numpy as np

from ..geometry import Volume

BACKGROUND = 0.02
"""Values up to it show nothing."""
_BINS, _ROUNDS = 400, 300
_FIRST_QUANTILES = (0.1, 0.4, 0.8)
_FIRST_SD = 0.08
_NARROWEST = 0.015


def tissue_fractions(volume: Volume) -> list[Volume]:
    """Shares of fluid, grey and white matter, 0..1, on the grid of a T1w volume in [0, 1].

    The background of the volume must be 0.
    A mixture of three Gaussians is fitted to the histogram; between two of their means, a voxel is a mixture
    of both tissues in proportion to its grey value (partial volume), and beyond the outer ones pure.
    """
    shares = shares_of(volume.array, tissue_means(volume.array))
    return [Volume(share.astype(np.float32), volume.grid) for share in shares]


def shares_of(array: np.ndarray, means: np.ndarray) -> list[np.ndarray]:
    """Shares of tissues, 0..1, in voxels [0, 1] of any shape; none in the background.

    Args:
        array: grey values.
        means: those of the pure tissues, ascending.
    """
    inside = array > BACKGROUND
    return [np.interp(array, means, one) * inside for one in np.eye(len(means))]


def tissue_means(array: np.ndarray) -> np.ndarray:
    """Mean grey values of the three tissues, ascending, by expectation maximisation over the histogram.

    Args:
        array: T1w in [0, 1], voxels (n,) or (K, J, I); 0 outside the brain.
    """
    counts, edges = np.histogram(array[array > BACKGROUND], _BINS, (BACKGROUND, 1))
    level, weight = (edges[1:] + edges[:-1]) / 2, counts / max(counts.sum(), 1)
    means = np.interp(_FIRST_QUANTILES, np.cumsum(weight), level)
    sd, share = np.full(3, _FIRST_SD), np.full(3, 1 / 3)
    for _ in range(_ROUNDS):
        likely = share * np.exp(-0.5 * ((level[:, None] - means) / sd) ** 2) / sd
        likely *= weight[:, None] / (likely.sum(1, keepdims=True) + 1e-12)
        share = likely.sum(0) + 1e-12
        means = (likely * level[:, None]).sum(0) / share
        spread = (likely * (level[:, None] - means) ** 2).sum(0) / share
        sd = np.sqrt(spread).clip(_NARROWEST)
    return np.sort(means)
