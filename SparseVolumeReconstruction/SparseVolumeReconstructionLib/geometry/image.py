"""Volumes to and from SimpleITK images (which speak LPS)."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .grid import Grid, Volume, check_axes

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def image_geometry(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """4x4 ijk_to_ras (mm) of a 3D SimpleITK image, or of a file that its reader knows (both speak LPS)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    return LPS @ matrix


def image_header(image: sitk.Image, grid: Grid) -> sitk.Image:
    """Give a SimpleITK image the geometry of `grid`; returns the image.

    Args:
        image: 3D, as many voxels as the grid; it is changed.
        grid: RAS mm; the image gets it in LPS.
    """
    lps = LPS @ grid.ijk_to_ras
    image.SetSpacing(grid.spacing_ijk.tolist())
    image.SetDirection((lps[:3, :3] / grid.spacing_ijk).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def to_image(volume: Volume) -> sitk.Image:
    """A SimpleITK image of a volume with the same geometry."""
    return image_header(sitk.GetImageFromArray(volume.array), volume.grid)


def from_image(image: sitk.Image, name: str = "image") -> Volume:
    """A float32 volume from a scalar 3D SimpleITK image (2D becomes one slice).

    Args:
        image: LPS, as SimpleITK has them.
        name: what to call it in messages.

    Raises:
        InputError: for several values per voxel, more than three dimensions, or axes that are no grid's.
    """
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"{name}: {image.GetNumberOfComponentsPerPixel()} values per voxel (RGB or vectors); expected "
            "grey values."
        )
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() == 2:
        image = sitk.JoinSeries(image)
    if image.GetDimension() != 3:
        raise InputError(
            f"{name}: {image.GetDimension()}D, {image.GetSize()} voxels; expected one 3D volume or 2D slice."
        )
    check_axes(image_geometry(image)[:3, :3], name)
    array = sitk.GetArrayFromImage(image).astype(np.float32, copy=False)
    return Volume(array, Grid(array.shape, image_geometry(image)))
