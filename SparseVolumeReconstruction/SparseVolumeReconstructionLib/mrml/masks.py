"""Volumes that are masks: told from scans, and applied to them."""

from __future__ import annotations

import numpy as np
import slicer
import slicer.util

from ..geometry import Grid, InputError, Volume
from ..geometry.resample import resample
from . import views
from .i18n import _
from .loaded import check_against_files
from .nodes import NOTICE, THICKNESS, add_volume, stated_thickness_of, volume_of

_STEP = 997
_known: dict[str, tuple[int, bool]] = {}


def is_mask(node) -> bool:
    """Whether a volume node is a mask.

    A label map, or a volume that holds 0 and one other whole number, and nothing else.
    """
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return True
    image = node.GetImageData()
    if image is None or not image.GetNumberOfPoints() or image.GetNumberOfScalarComponents() != 1:
        return False
    changed = max(image.GetMTime(), image.GetPointData().GetScalars().GetMTime())
    key = node.GetID() or ""
    if _known.get(key, (0, False))[0] != changed:
        _known[key] = changed, _holds_two_values(slicer.util.arrayFromVolume(node))
    return _known[key][1]


def _holds_two_values(array: np.ndarray) -> bool:
    """Whether an array (k, j, i) holds 0 and one whole number above 0.

    Of a scan a few voxels are enough to tell.
    """
    if len(np.unique(array.reshape(-1)[::_STEP])) > 2:
        return False
    low, high = float(array.min()), float(array.max())
    return low == 0 < high and high.is_integer() and bool(((array == 0) | (array == high)).all())


def apply_mask(scan, mask):
    """A new volume node, "<scan> masked": the scan inside the mask (where that is not 0), 0 outside.

    Scan and mask stay as they are.

    Args:
        scan: volume node of grey values.
        mask: volume node; on another grid the nearest of its voxels counts.

    Raises:
        InputError: for what is no mask, for one that covers no voxel of the scan, and as
            `check_against_files`.
    """
    if scan is mask or not is_mask(mask):
        raise InputError(
            _("{name} is no mask: expected 0 outside and one other value inside.").format(name=mask.GetName())
        )
    if is_mask(scan):
        raise InputError(
            _("{name} is a mask itself; choose a scan for it to be applied to.").format(name=scan.GetName())
        )
    of_mask = (f"{mask.GetName()}: {notice}" for notice in check_against_files(mask))
    notices = "\n".join([*check_against_files(scan), *of_mask])
    whole = volume_of(scan)
    inside = resample(_filled(volume_of(mask)), whole.grid, labels=True).array > 0
    if not inside.any():
        raise InputError(
            _(
                "{mask} covers no voxel of {scan}: they lie at different places, or belong to different "
                "patients."
            ).format(mask=mask.GetName(), scan=scan.GetName())
        )
    name = slicer.mrmlScene.GenerateUniqueName(_("{name} masked").format(name=scan.GetName()))
    node = add_volume(Volume(np.where(inside, whole.array, 0).astype(whole.array.dtype), whole.grid), name)
    if notices:
        node.SetAttribute(NOTICE, notices)
    thickness = stated_thickness_of(scan, whole.grid.ijk_to_ras[:3, 2])
    if thickness:
        node.SetAttribute(THICKNESS, str(thickness))
    return node


def mask_shown_scan(mask):
    """Apply a mask to the scan that the Red view shows, and show what comes of it; returns the new node.

    Raises InputError.
    """
    scan = next(
        (
            volume
            for volume in views.shown_volumes("Red")
            if volume is not mask and not volume.GetAttribute(views.ROLE)
        ),
        None,
    )
    if scan is None:
        raise InputError(
            _("show the scan to which {name} belongs in the Red view first.").format(name=mask.GetName())
        )
    node = apply_mask(scan, mask)
    views.set_background(node)
    return node


def _filled(mask: Volume) -> Volume:
    """The mask with a border of its own values, so that it reaches to the outer faces of its voxels."""
    matrix = mask.grid.ijk_to_ras.copy()
    matrix[:3, 3] -= matrix[:3, :3].sum(1)
    array = np.pad(mask.array != 0, 1, mode="edge").astype(np.uint8)
    return Volume(array, Grid(array.shape, matrix))
