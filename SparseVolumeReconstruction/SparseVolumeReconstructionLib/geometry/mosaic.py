"""Siemens mosaics: many slices as tiles of one picture, their number and direction in the private header."""

from __future__ import annotations

import math
import warnings

import numpy as np

from .errors import InputError
from .image import LPS
from .plane import Plane

_PARALLEL = 0.99


def tiles(header, whole: Plane, spacing_mm: float, name: str) -> list[tuple[Plane, tuple[int, int]]]:
    """The plane of every slice of a mosaic, and the row and column where its tile begins, in order.

    The stated position is that of a picture of this size around the middle of the first slice, as nibabel's
    notes on mosaics derive.

    Args:
        header: pydicom's, of a file that says that it is a mosaic.
        whole: where its picture would lie if it were one slice.
        spacing_mm: between slices.

    Raises:
        InputError: where the private header (CSA) is missing or damaged, as in files that were anonymised.
    """
    count, normal = _stated(header)
    across = math.ceil(math.sqrt(count))
    rows, columns = whole.shape_ji
    own = whole.ij_to_ras.copy()
    straight = np.cross(own[:3, 0], own[:3, 1])
    if (
        not count
        or rows % across
        or columns % across
        or spacing_mm <= 0
        or abs(normal @ straight) < _PARALLEL * np.linalg.norm(straight)
    ):
        raise InputError(
            f"{name}: a mosaic of many slices in one picture, without the private header (CSA) that says "
            "where they lie; convert the original files (dcm2niix), or export them without mosaic."
        )
    shape = rows // across, columns // across
    own[:3, 2] = normal
    first = own[:3, 3] + own[:3, 0] * (columns - shape[1]) / 2 + own[:3, 1] * (rows - shape[0]) / 2
    found = []
    for k in range(count):
        own[:3, 3] = first + k * spacing_mm * normal
        found.append((Plane(shape, own, whole.thickness_mm), (k // across * shape[0], k % across * shape[1])))
    return found


def _stated(header) -> tuple[int, np.ndarray]:
    """How many slices a mosaic has, and the unit vector (RAS) from one to the next; 0 where not stated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nibabel's, of all its readers of DICOM
        from nibabel.nicom import csareader
    try:
        stated = csareader.get_csa_header(header)
        count, normal = csareader.get_n_mosaic(stated), csareader.get_slice_normal(stated)
        return int(count or 0), LPS[:3, :3] @ np.asarray(normal, float)
    except Exception:  # damaged private headers fail in many ways
        return 0, np.zeros(3)
