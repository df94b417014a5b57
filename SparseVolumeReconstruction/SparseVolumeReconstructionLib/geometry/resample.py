"""Volumes on other grids."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .grid import Grid, Volume
from .image import image_header, to_image
from .io import affine_transform


def resample(
    volume: Volume,
    grid: Grid,
    target_to_source: np.ndarray | None = None,
    *,
    antialias: bool = True,
    labels: bool = False,
    cubic: bool = False,
) -> Volume:
    """Sample a volume on another grid (linear; 0 outside).

    Args:
        target_to_source: 4x4 RAS-to-RAS from points of `grid` to points of `volume` (identity if None).
        antialias: first blur to the target's voxel size where that is coarser (Gaussian of standard deviation
            sqrt(t^2 - s^2) / 2.355 per source axis, the field's usual rule), so that fine structure does not
            alias.
        labels: the values are names, not amounts: the nearest voxel's is taken.
        cubic: by cubic B-splines, which keep fine detail that linear interpolation blurs; they overshoot.
    """
    matrix = np.eye(4) if target_to_source is None else np.asarray(target_to_source, float)
    image = to_image(Volume(volume.array.astype(np.float32, copy=False), volume.grid))
    if antialias and not labels:
        image = _blur(image, volume.grid, grid, matrix)
    reference = image_header(sitk.Image([int(n) for n in grid.shape_kji[::-1]], sitk.sitkUInt8), grid)
    kind = sitk.sitkNearestNeighbor if labels else sitk.sitkBSpline if cubic else sitk.sitkLinear
    out = sitk.Resample(image, reference, affine_transform(matrix), kind, 0.0, sitk.sitkFloat32)
    return Volume(sitk.GetArrayFromImage(out), grid)


def _blur(image: sitk.Image, source: Grid, target: Grid, target_to_source: np.ndarray) -> sitk.Image:
    """Blur along each source axis to the footprint that a target voxel has there."""
    steps = target_to_source[:3, :3] @ target.ijk_to_ras[:3, :3]
    axes = source.ijk_to_ras[:3, :3] / source.spacing_ijk
    footprint = np.linalg.norm(axes.T @ steps, axis=1)
    for axis, (t, s) in enumerate(zip(footprint, source.spacing_ijk, strict=True)):
        if t > 1.05 * s and image.GetSize()[axis] > 3:
            sigma = np.sqrt(t * t - s * s) / 2.355
            image = sitk.RecursiveGaussian(
                image, float(sigma), False, sitk.RecursiveGaussianImageFilter.ZeroOrder, axis
            )
    return image
