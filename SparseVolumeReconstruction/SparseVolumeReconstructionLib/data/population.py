"""A population from few templates: random copies of a volume.

Deformation, size and proportions, contrast, coil shading, sharpness and noise vary. Lengths are shares of the
anatomy's largest extent, so that small and large templates vary alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter1d

from ..geometry import Grid, Volume
from ..geometry.image import image_header, to_image

_FOREGROUND = 0.02
_MIN_JACOBIAN = 0.2
_NODES = 32


@dataclass(frozen=True)
class Variation:
    """Standard deviations of what varies.

    deformation: (correlation length, displacement along each axis) per scale, shares of the extent (of a
    brain of 90 mm: 22 mm and 1.4 mm, 11 mm and 0.7 mm, 5 mm and 0.3 mm). scale: log of the size along each
    axis. contrast: log of the exponent of the intensities, and the strength of an S curve. bias: log of the
    shading, over `bias_length`. blur_mm: largest Gaussian blur. noise: share of the range.
    """

    deformation: tuple[tuple[float, float], ...] = ((0.24, 0.016), (0.12, 0.008), (0.06, 0.003))
    scale: float = 0.02
    contrast: float = 0.12
    bias: float = 0.06
    bias_length: float = 0.5
    blur_mm: float = 0.6
    noise: float = 0.01


def member(volume: Volume, seed: list[int], variation: Variation = Variation()) -> Volume:
    """A random copy of `volume` ([0, 1], background 0) on a slightly larger grid.

    Args:
        volume: what is copied.
        seed: of the generator of numpy; the same numbers give the same copy.
        variation: how much varies.

    Returns:
        float32 in [0, 1], background 0, voxels of the same size, a tenth more of them on every side.
    """
    random = np.random.default_rng(seed)
    grid = _padded(volume.grid)
    coarse, displacement = deformation(volume, random, variation)
    field = image_header(sitk.GetImageFromArray(displacement.astype(np.float64), isVector=True), coarse)
    image = sitk.Cast(to_image(volume), sitk.sitkFloat32)
    image = sitk.SmoothingRecursiveGaussian(image, 0.01 + variation.blur_mm * random.uniform())
    reference = image_header(sitk.Image([int(n) for n in grid.shape_kji[::-1]], sitk.sitkUInt8), grid)
    warped = sitk.GetArrayFromImage(
        sitk.Resample(image, reference, sitk.DisplacementFieldTransform(field), sitk.sitkLinear, 0.0)
    )
    return Volume(
        _appearance(warped, random, variation, max(_extent(volume)[1]) / grid.spacing_ijk.mean()), grid
    )


def deformation(
    volume: Volume, random: np.random.Generator, variation: Variation = Variation()
) -> tuple[Grid, np.ndarray]:
    """A coarse grid around `volume` and displacements in mm on it, (K, J, I, 3) in LPS as ITK wants them.

    Sum of smooth Gaussian fields, without the affine part that a registration would undo, and a scaling along
    each axis; shrunk as a whole where it would nearly fold, so that its Jacobian is positive everywhere.

    Args:
        volume: [0, 1], background 0; its foreground's bounding box gives centre and extent.
        random: what it is drawn with.
        variation: how much varies; contrast, shading, blur and noise do not count here.
    """
    centre, extent = _extent(volume)
    size = float(extent.max())
    spacing = 1.6 * size / _NODES
    grid = Grid.centred((_NODES,) * 3, spacing, centre)
    total = np.zeros((*grid.shape_kji, 3))
    for length, sd in variation.deformation:
        for axis in range(3):
            total[..., axis] += sd * size * _smooth_noise(grid.shape_kji, length * size / spacing, random)
    offset = grid.points_ras().reshape(*grid.shape_kji, 3) - centre
    near = (np.abs(offset) <= extent / 2).all(-1)
    affine = np.concatenate([offset, np.ones((*grid.shape_kji, 1))], -1)
    total -= affine @ np.linalg.lstsq(affine[near], total[near], rcond=None)[0]
    total += (np.exp(random.normal(0, variation.scale, 3)) - 1) * offset
    while jacobian(total, spacing).min() < _MIN_JACOBIAN:
        total *= 0.9
    return grid, total * [-1.0, -1.0, 1.0]


def jacobian(displacement: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Determinant of the Jacobian of x + u(x), (K, J, I).

    Args:
        displacement: u, (K, J, I, 3) mm along R, A, S.
        spacing_mm: of its isotropic grid.
    """
    gradient = np.stack(
        [np.stack(np.gradient(displacement[..., n], spacing_mm)[::-1], -1) for n in range(3)], -2
    )
    return np.linalg.det(np.eye(3) + gradient)


def _appearance(
    array: np.ndarray, random: np.random.Generator, variation: Variation, size: float
) -> np.ndarray:
    """Another contrast, shading and noise of the foreground.

    The background stays 0. size: extent in voxels.
    """
    values = np.clip(array, 0, 1)
    values = values ** np.exp(random.normal(0, variation.contrast))
    values = values + np.clip(random.normal(0, variation.contrast), -0.9, 0.9) * values * (1 - values) * (
        1 - 2 * values
    )
    shape = tuple(max(4, n // 4) for n in array.shape)
    coarse = np.exp(variation.bias * _smooth_noise(shape, variation.bias_length * size / 4, random))
    shading = sitk.Expand(
        sitk.GetImageFromArray(coarse),
        [int(np.ceil(a / b)) for a, b in zip(array.shape[::-1], shape[::-1], strict=True)],
    )
    values = values * sitk.GetArrayFromImage(shading)[tuple(slice(n) for n in array.shape)]
    values = values + random.normal(0, variation.noise, array.shape)
    return np.where(array > _FOREGROUND, np.clip(values, 0, 1), 0).astype(np.float32)


def _smooth_noise(shape: tuple[int, ...], length: float, random: np.random.Generator) -> np.ndarray:
    """Gaussian field of unit variance and correlation exp(-d^2 / (2 length^2)), d in voxels; periodic."""
    noise = random.standard_normal(shape)
    for axis in range(len(shape)):
        kernel = gaussian_filter1d(np.eye(shape[axis])[0], length / np.sqrt(2), mode="wrap")
        noise = gaussian_filter1d(noise, length / np.sqrt(2), axis=axis, mode="wrap") / np.linalg.norm(kernel)
    return noise


def _extent(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Centre and size of the foreground's bounding box, RAS mm."""
    kji = np.argwhere(volume.array > _FOREGROUND)
    low = kji.min(0)[::-1]
    high = kji.max(0)[::-1] + 1
    matrix = volume.grid.ijk_to_ras
    corners = (
        np.array(
            [[x, y, z, 1] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])]
        )
        @ matrix.T
    )
    return corners[:, :3].mean(0), np.ptp(corners[:, :3], axis=0)


def _padded(grid: Grid, share: float = 0.1) -> Grid:
    """The grid with a margin on all sides, so that a larger copy fits."""
    margin = np.ceil(share * np.array(grid.shape_kji)).astype(int)
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ margin[::-1]
    return Grid(tuple(np.array(grid.shape_kji) + 2 * margin), matrix)
