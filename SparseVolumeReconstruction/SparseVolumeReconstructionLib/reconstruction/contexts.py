"""Context slices from files, checked."""

from __future__ import annotations

import numpy as np

from ..geometry import SliceImage
from ..geometry.io import read_volume
from ..geometry.plane import check_slices_agree, slice_of
from .request import ContextSpec


def read_contexts(specs: list[ContextSpec]) -> tuple[list[SliceImage], list[str]]:
    """All slices of a request and warnings about what was assumed or left out. Raises InputError.

    Slices without any anatomy are refused where they were asked for by index, and left out (with a warning) where a whole
    file was given.
    """
    slices, warnings = [], []
    for spec in specs:
        volume = read_volume(spec.path)
        indices = range(volume.grid.shape_kji[0]) if spec.slices is None else spec.slices
        empty = []
        for index in indices:
            inside = 0 <= index < volume.grid.shape_kji[0]
            if spec.slices is None and inside and np.isfinite(volume.array[index]).all() and np.ptp(volume.array[index]) == 0:
                empty.append(index)
            else:
                slices.append(slice_of(volume, index, spec.thickness_mm, spec.path))
        if empty:
            warnings.append(f"{spec.path}: {len(empty)} slices without content were left out ({empty[0]}..{empty[-1]}).")
        if spec.thickness_mm is None:
            warnings.append(f"{spec.path}: slice thickness is not known; the spacing of {volume.grid.spacing_ijk[2]:.3g} mm was assumed.")
    check_slices_agree(slices)
    return slices, warnings
