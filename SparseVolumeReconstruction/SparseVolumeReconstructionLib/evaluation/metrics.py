"""Image quality and calibration of a volume against the truth.

Arrays are (K, J, I) in [0, 1]; slices lie along the first axis. SSIM (Wang et al., IEEE Trans. Image
Process. 13, 2004) is scikit-image's with a 7x7 uniform
window, data range 1, sample covariance (n - 1), K1 = 0.01 and K2 = 0.03; a slice's value is the mean of its
map without the 3 pixels at the border, as scikit-image defines it.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from skimage.metrics import structural_similarity

WINDOW = 7
LEVELS = (0.50, 0.80, 0.90, 0.95)
DISTANCE_BINS_MM = (0.0, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0, math.inf)


def ssim_map(truth: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Map of the structural similarity of each slice, (K, J, I) float32.

    Args:
        truth, estimate: (K, J, I) in [0, 1].

    Raises:
        ValueError: their shapes differ, or slices are below 7x7.
    """
    truth, estimate = (np.asarray(a, np.float32) for a in (truth, estimate))
    return structural_similarity(truth, estimate, win_size=WINDOW, data_range=1.0, channel_axis=0, full=True)[
        1
    ]


def slice_ssim(similarity: np.ndarray) -> np.ndarray:
    """Value of each slice, (K,), from the map (K, J, I) of `ssim_map`."""
    border = WINDOW // 2
    return similarity[:, border:-border, border:-border].mean(axis=(1, 2), dtype=np.float64)


def masked_mean(values: np.ndarray, mask: np.ndarray) -> float:
    """Mean of `values` where `mask`; nan where the mask is empty.

    Args:
        mask: bool, of the shape of `values`.
    """
    return float(values[mask].mean(dtype=np.float64)) if mask.any() else math.nan


def pearson(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Pearson correlation over all voxels of two arrays; nan where one of them has no variance.

    Args:
        truth, estimate: of one shape, whatever it is.
    """
    return float(_correlations(truth.reshape(1, -1), estimate.reshape(1, -1))[0])


def slice_pearson(truth: np.ndarray, estimate: np.ndarray) -> float:
    """Mean over slices of the Pearson correlation; slices with no variance in either volume are left out.

    Args:
        truth, estimate: (K, J, I), any units.

    Returns:
        In [-1, 1]; nan where no slice is left.
    """
    values = slice_correlations(truth, estimate)
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def slice_correlations(truth: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Pearson correlation of each slice, (K,); nan where a slice has no variance in either volume.

    Args:
        truth, estimate: (K, J, I), any units.
    """
    return _correlations(truth.reshape(len(truth), -1), estimate.reshape(len(estimate), -1))


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row-wise Pearson correlation of (n, m) arrays; nan for rows with no variance."""
    a = a - a.mean(1, dtype=np.float64, keepdims=True)
    b = b - b.mean(1, dtype=np.float64, keepdims=True)
    scale = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    flat = scale <= 1e-12 * a.shape[1]
    return np.where(flat, np.nan, (a * b).sum(1) / np.where(flat, 1.0, scale))


def psnr(truth: np.ndarray, estimate: np.ndarray, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio of a volume in dB; inf where both are equal.

    Args:
        truth, estimate: of one shape, in [0, 1].
        peak: of the signal, for instance the range of the truth.
    """
    error = float(np.mean((truth.astype(np.float64) - estimate) ** 2))
    return 10.0 * math.log10(peak**2 / error) if error > 0 else math.inf


def context_distance(count: int, positions: list[int], spacing_mm: float) -> np.ndarray:
    """Distance of each of `count` slices to the nearest context in mm, (K,); inf without contexts.

    Args:
        count: K.
        positions: numbers of the context slices.
        spacing_mm: between slices.
    """
    if not positions:
        return np.full(count, math.inf)
    return np.abs(np.arange(count)[:, None] - np.array(positions)).min(1) * float(spacing_mm)


def coverage_by_distance(inside: np.ndarray, mask: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Voxels of `mask` in each distance bin and how many are `inside` their interval, (bins, 2) integers.

    Bins are half open, (low, high], see DISTANCE_BINS_MM. Sums over subjects keep every voxel's weight equal.

    Args:
        inside, mask: (K, J, I) bool.
        distance: of each slice to the nearest context, (K,) in mm.
    """
    per_slice = np.stack([mask.sum((1, 2)), (inside & mask).sum((1, 2))], 1)
    index, count = bin_numbers(distance)
    counts = np.zeros((count, 2), np.int64)
    np.add.at(counts, index, per_slice)
    return counts


def bin_numbers(distance: np.ndarray) -> tuple[np.ndarray, int]:
    """The bin of each distance (K,) in mm, see DISTANCE_BINS_MM, and how many bins there are."""
    last = len(DISTANCE_BINS_MM) - 2
    return np.clip(np.searchsorted(DISTANCE_BINS_MM, distance, side="left") - 1, 0, last), last + 1


def bin_names() -> list[str]:
    """Names of the distance bins, e.g. '3-6 mm'."""
    return [
        f"{low:g}-{high:g} mm" if high < math.inf else f"> {low:g} mm"
        for low, high in itertools.pairwise(DISTANCE_BINS_MM)
    ]
