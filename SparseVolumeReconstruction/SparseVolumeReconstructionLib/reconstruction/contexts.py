"""Context slices from files, checked."""

from __future__ import annotations

import numpy as np

from ..geometry import InputError, SliceImage, Volume
from ..geometry.io import read_volume, stated_thickness
from ..geometry.plane import check_slices_agree, slice_of
from .request import ContextSpec


def read_contexts(specs: list[ContextSpec]) -> tuple[list[SliceImage], list[str]]:
    """All slices of a request and warnings about what was assumed or left out. Raises InputError.

    Slices without any content are refused where they were asked for by index, and left out (with a warning) where a whole
    file was given. The thickness is the one asked for, or stated by the file, or else the spacing.
    """
    slices, warnings, assumed = [], [], {}
    for spec in specs:
        volume = read_volume(spec.path)
        thickness = spec.thickness_mm or stated_thickness(spec.path)
        _check_thickness(thickness, volume, spec.name)
        indices = range(volume.grid.shape_kji[0]) if spec.slices is None else spec.slices
        empty = []
        for index in indices:
            inside = 0 <= index < volume.grid.shape_kji[0]
            if spec.slices is None and inside and np.isfinite(volume.array[index]).all() and np.ptp(volume.array[index]) == 0:
                empty.append(index)
            else:
                slices.append(slice_of(volume, index, thickness, spec.name))
        if len(empty) == len(indices):
            raise InputError(f"{spec.name}: no slice of it shows anything; every one is constant.")
        if empty:
            warnings.append(f"{spec.name}: {len(empty)} slices without content were left out ({empty[0]}..{empty[-1]}).")
        if thickness is None:
            assumed.setdefault(spec.name, set()).add(f"{volume.grid.spacing_ijk[2]:.3g}")
    for name, spacings in assumed.items():
        warnings.append(f"{name}: slice thickness is not known; the spacing of {' or '.join(sorted(spacings))} mm was assumed.")
    check_slices_agree(slices)
    return slices, warnings


def _check_thickness(thickness_mm: float | None, volume: Volume, name: str) -> None:
    """A slice is thinner than it is wide; anything else is another unit or a projection."""
    width = float((volume.grid.spacing_ijk * volume.grid.shape_kji[::-1])[:2].min())
    if thickness_mm is not None and thickness_mm > width:
        raise InputError(
            f"{name}: slice thickness {thickness_mm:g} mm is more than the slice is wide ({width:.4g} mm); expected millimetres."
        )
