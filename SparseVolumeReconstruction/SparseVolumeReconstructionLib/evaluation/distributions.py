"""How near generated volumes come to real ones as a set, and how different they are from each other.

Volumes are float tensors (N, K, H, W) in [0, 1].
"""

from __future__ import annotations

import torch
from monai.metrics.regression import compute_ssim_and_cs
from torch.nn.functional import avg_pool3d

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5


def mmd_as_printed(
    real: torch.Tensor, generated: torch.Tensor, generator: torch.Generator, batch: int = 8, tests: int = 100
) -> tuple[float, float]:
    """The "maximum mean discrepancy" of Kwon et al. (2019), its mean and standard deviation over tests.

    Its kernel is linear and its estimate biased, so that it is |mean of 8 real - mean of 8 generated
    volumes|^2, here as there of intensities in [-1, 1]. It falls when the generated volumes vary less. (Kwon,
    Han, Kim: Generation of 3D Brain MRI Using Auto-Encoding Generative Adversarial Networks, MICCAI 2019.)

    Args:
        real, generated: (N, K, H, W) in [0, 1]; their numbers may differ.
        generator: on the CPU; chooses the volumes of each test.
        batch: volumes of each set in a test.
        tests: how many.

    Raises:
        ValueError: a set has fewer than `batch` volumes.
    """
    if min(len(real), len(generated)) < batch:
        raise ValueError(
            f"{len(real)} real and {len(generated)} generated volumes; expected at least {batch} of each."
        )

    def mean(volumes: torch.Tensor) -> torch.Tensor:
        return volumes[torch.randperm(len(volumes), generator=generator)[:batch]].double().mean(0)

    values = torch.stack([((2 * (mean(real) - mean(generated))) ** 2).sum() for _ in range(tests)])
    return float(values.mean()), float(values.std(correction=0))


def median_distance(volumes: torch.Tensor) -> float:
    """Median Euclidean distance of different volumes: the usual bandwidth of `rbf_mmd`."""
    return float(torch.pdist(volumes.flatten(1).double()).median())


def rbf_mmd(real: torch.Tensor, generated: torch.Tensor, bandwidth: float) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy, and its standard error (jackknife).

    The kernel is exp(-d^2 / (2 bandwidth^2)). About 0, and as often below as above, for two sets of one
    distribution. (Gretton et al., A Kernel Two-Sample Test, J. Mach. Learn. Res. 13, 2012.)

    Args:
        real, generated: (N, K, H, W) in [0, 1]; their numbers may differ.
        bandwidth: a Euclidean distance of volumes, see `median_distance`.

    Raises:
        ValueError: a set has fewer than three volumes.
    """
    if min(len(real), len(generated)) < 3:
        raise ValueError(
            f"{len(real)} real and {len(generated)} generated volumes; expected at least 3 of each."
        )
    x, y = real.flatten(1).double(), generated.flatten(1).double()
    xx, yy, xy = (
        torch.exp(-(torch.cdist(a, b) ** 2) / (2 * bandwidth**2)) for a, b in ((x, x), (y, y), (x, y))
    )
    within = (xx.sum(1) - xx.diagonal(), yy.sum(1) - yy.diagonal())
    across = (xy.sum(1), xy.sum(0))
    means = [rows.sum() / (len(rows) * (len(rows) - 1)) for rows in within]
    value = means[0] + means[1] - 2 * xy.mean()
    variance = torch.zeros((), dtype=torch.float64)
    for rows, shared, other in ((within[0], across[0], means[1]), (within[1], across[1], means[0])):
        n = len(rows)
        left = (rows.sum() - 2 * rows) / ((n - 1) * (n - 2)) + other
        without = left - 2 * (xy.sum() - shared) / (xy.numel() - xy.numel() // n)
        variance = variance + (n - 1) / n * ((without - without.mean()) ** 2).sum()
    return float(value), float(variance.sqrt())


def ms_ssim(one: torch.Tensor, other: torch.Tensor, weights: tuple[float, ...] = WEIGHTS) -> torch.Tensor:
    """Multi-scale structural similarity of each pair of volumes, (N,) in [0, 1].

    Wang, Simoncelli and Bovik (Asilomar Conference on Signals, Systems and Computers, 2003) with their five
    weights: contrast and structure at every scale, luminance at the last; data range 1, Gaussian window of
    standard deviation 1.5. The window has 11 voxels and is cut where a scale has fewer (at 64 voxels: 8 and 4
    at the last two scales), since volumes of less than 176 voxels could not take five scales otherwise.

    Args:
        one, other: (N, K, H, W) in [0, 1]; the pairs.
        weights: exponents of the scales, the finest first.

    Raises:
        ValueError: an axis has fewer than 16 voxels (with five weights).
    """
    similar, contrast = _scales(one, other, len(weights), 1.0)
    exponents = torch.tensor(weights, dtype=contrast.dtype, device=contrast.device)
    return torch.cat([contrast[:, :-1], similar[:, -1:]], 1).pow(exponents).prod(1)


def ms_ssim_as_printed(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """What Kwon et al. (2019) call MS-SSIM, (N,): that of `ms_ssim` with two faults.

    The similarity at the last scale comes with four times its exponent, and the constants are those of a data
    range of 1 for intensities in [-1, 1].

    Args:
        one, other: (N, K, H, W) in [0, 1]; the pairs.

    Raises:
        ValueError: as `ms_ssim`.
    """
    similar, contrast = _scales(2 * one - 1, 2 * other - 1, len(WEIGHTS), 1.0)
    exponents = torch.tensor(WEIGHTS, dtype=contrast.dtype, device=contrast.device)
    return (contrast[:, :-1].pow(exponents[:-1]) * similar[:, -1:].pow(exponents[-1])).prod(1)


def _scales(
    one: torch.Tensor, other: torch.Tensor, scales: int, data_range: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean similarity and mean contrast-structure term of each pair at each scale, (N, scales) each.

    Negative ones are 0.
    """
    if min(one.shape[1:]) < 2 ** (scales - 1):
        raise ValueError(
            f"volumes of {tuple(one.shape[1:])} voxels; expected at least {2 ** (scales - 1)} along every "
            "axis."
        )
    similar: list[torch.Tensor] = []
    contrast: list[torch.Tensor] = []
    one, other = one[:, None], other[:, None]
    for scale in range(scales):
        if scale:
            one, other = avg_pool3d(one, 2), avg_pool3d(other, 2)
        window = [min(_WINDOW, size) for size in one.shape[2:]]
        maps = compute_ssim_and_cs(one, other, 3, window, [_SIGMA] * 3, data_range)
        for values, found in zip(maps, (similar, contrast), strict=True):
            found.append(values.flatten(1).mean(1).clamp(min=0))
    return torch.stack(similar, 1), torch.stack(contrast, 1)


def random_pairs(count: int, pairs: int, generator: torch.Generator) -> torch.Tensor:
    """Different pairs of different numbers below `count`, at most `pairs` of them, (P, 2).

    Args:
        generator: on the CPU.

    Returns:
        The smaller number of each pair first; all pairs where there are no more.
    """
    every = torch.combinations(torch.arange(count))
    return every[torch.randperm(len(every), generator=generator)[:pairs]]


def pairwise_rms(volumes: torch.Tensor) -> float:
    """Root mean squared difference of two volumes, mean over all pairs."""
    flat = volumes.flatten(1).double()
    return float(torch.pdist(flat).mean()) / flat.shape[1] ** 0.5
