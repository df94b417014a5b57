"""Whether samples stand for what is not known: as far from the mean as the truth is, and as detailed.

Volumes are (K, J, I) in [0, 1] with axial slices on the first axis, samples (n, K, J, I).
"""

from __future__ import annotations

import math

import numpy as np

from .metrics import bin_numbers, masked_mean

MIN_FOR_QUANTILES = 40  # of fewer samples the ends of an interval are too uncertain
LOW, HIGH, STEP = 0.02, 0.20, 0.02  # of the spectrum, cycles per mm


def spread_by_distance(
    samples: np.ndarray, mean: np.ndarray, truth: np.ndarray, hidden: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    """Squared distances from the mean, summed over the `hidden` voxels of each distance bin, (bins, 2).

    Those of the samples (mean over samples), and that of the truth.

    Args:
        samples: (n, K, J, I), at least one.
        mean, truth: (K, J, I); the mean is that of the posterior.
        hidden: (K, J, I) bool.
        distance: of each slice to the nearest context, (K,) mm, see `metrics.DISTANCE_BINS_MM`.
    """
    of_samples = np.zeros(mean.shape)
    for sample in samples:
        of_samples += (sample - mean) ** 2 / len(samples)
    each = [np.where(hidden, square, 0).sum((1, 2)) for square in (of_samples, (truth - mean) ** 2)]
    index, count = bin_numbers(distance)
    sums = np.zeros((count, 2))
    np.add.at(sums, index, np.stack(each, 1))
    return sums


def spread_ratio(sums: np.ndarray) -> float:
    """Root mean square distance of samples from the mean over that of the truth, of (..., 2) sums; best 1."""
    of_samples, of_truth = sums.reshape(-1, 2).sum(0)
    return math.sqrt(of_samples / of_truth) if of_truth > 0 else math.nan


def distances(samples: np.ndarray, others: np.ndarray, where: dict[str, np.ndarray]) -> dict[str, float]:
    """Root mean square distance of samples to the nearest of other volumes, in each region.

    Mean over samples. The nearest is that in the first region.

    Args:
        samples, others: (n, K, J, I) and (m, K, J, I), at least one.
        where: {name: (K, J, I) bool}.

    Returns:
        {name: distance}; nan for a region without voxels.
    """
    first, *_ = where.values()
    found: dict[str, list[float]] = {name: [] for name in where}
    for sample in samples:
        apart = [masked_mean((other - sample) ** 2, first) for other in others]
        nearest = others[int(np.argmin(apart))]
        for name, region in where.items():
            found[name].append(math.sqrt(masked_mean((nearest - sample) ** 2, region)))
    return {name: float(np.mean(each)) for name, each in found.items()}


def coverage_of_samples(samples: np.ndarray, truth: np.ndarray, hidden: np.ndarray, level: float) -> float:
    """Share of the `hidden` voxels whose true value lies between quantiles of the samples.

    Args:
        samples: (n, K, J, I), MIN_FOR_QUANTILES or more.
        truth: (K, J, I).
        hidden: (K, J, I) bool.
        level: share of the samples between the two quantiles, 0..1.

    Returns:
        0..1; nan where nothing is hidden.
    """
    low, high = np.quantile(samples[:, hidden], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return masked_mean((truth[hidden] >= low) & (truth[hidden] <= high), np.ones(len(low), bool))


def power_spectrum(volume: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Mean power of the slices over directions, from LOW to HIGH cycles/mm in steps of STEP.

    A Hann window keeps the border out.

    Args:
        volume: (K, J, I).
        spacing_mm: of rows and columns.

    Returns:
        (9,); nan where a slice has no such frequency.
    """
    window = np.hanning(volume.shape[1])[:, None] * np.hanning(volume.shape[2])
    power = (np.abs(np.fft.fft2(volume * window)) ** 2).mean(0)
    rows, columns = (np.fft.fftfreq(n, mm) for n, mm in zip(volume.shape[1:], spacing_mm, strict=True))
    number = np.digitize(np.hypot(rows[:, None], columns), np.arange(LOW, HIGH + STEP / 2, STEP))
    return np.array([power[number == n].mean() if (number == n).any() else math.nan for n in range(1, 10)])


def spectrum_db(samples: np.ndarray, truth: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    """By how many dB the power of samples is above that of the truth, (9,), see `power_spectrum`.

    Args:
        samples: (n, K, J, I); their power is averaged.
        truth: (K, J, I).
        spacing_mm: of rows and columns.
    """
    of_samples = np.mean([power_spectrum(sample, spacing_mm) for sample in samples], 0)
    return 10 * np.log10(of_samples / power_spectrum(truth, spacing_mm))
