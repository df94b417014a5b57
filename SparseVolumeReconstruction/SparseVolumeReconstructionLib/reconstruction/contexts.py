"""Context slices from files, checked."""

from __future__ import annotations

import numpy as np

from ..geometry import InputError, SliceImage
from ..geometry.io import read_scan
from ..geometry.plane import check_slices_agree, check_thickness, slice_of
from ..geometry.scan import Scan
from .plausible import check_values, has_noise_outside
from .request import ContextSpec


def read_contexts(specs: list[ContextSpec]) -> tuple[list[SliceImage], list[str]]:
    """All slices of a request and warnings about what was assumed or left out. Raises InputError.

    Indices count over all parts of a file or series (see Scan) in order. Slices without any content are refused where they were
    asked for by index, and left out (with a warning) where a whole file was given. The thickness is the one asked for, or stated by
    the file, or else the spacing.
    """
    slices, warnings, assumed = [], [], {}
    for spec in specs:
        scan = read_scan(spec.path, spec.series)
        warnings += [f"{spec.name}: {notice}" for notice in scan.notices]
        images, empty = _images(spec, scan)
        if not images:
            raise InputError(f"{spec.name}: no slice of it shows anything; every one is constant.")
        slices += images
        if empty:
            warnings.append(f"{spec.name}: {len(empty)} slices without content were left out ({empty[0]}..{empty[-1]}).")
        for image in images:
            if image.thickness_assumed:
                assumed.setdefault(spec.name, set()).add(f"{image.plane.thickness_mm:.3g}")
    for name, spacings in assumed.items():
        warnings.append(f"{name}: slice thickness is not known; the spacing of {' or '.join(sorted(spacings))} mm was assumed.")
    check_slices_agree(slices)
    for source in dict.fromkeys(image.source for image in slices):
        own = [image for image in slices if image.source == source]
        check_values(own)
        if has_noise_outside(own):
            warnings.append(
                f"{source}: the background is not 0 but noise, so skull and scalp seem not to be removed; expected 0 outside the anatomy."
            )
    return slices, warnings


def _images(spec: ContextSpec, scan: Scan) -> tuple[list[SliceImage], list[int]]:
    """The slices that are asked for, and the indices of those that were left out because they show nothing."""
    for part in scan.parts:
        check_thickness(spec.thickness_mm or part.thickness_mm, spec.name, part.volume.grid)
    images, empty = [], []
    for index in range(scan.slices) if spec.slices is None else spec.slices:
        part, within = scan.place(index, spec.name)
        pixels = part.volume.array[within]
        if spec.slices is None and np.isfinite(pixels).all() and np.ptp(pixels) == 0:
            empty.append(index)
        else:
            images.append(slice_of(part.volume, within, spec.thickness_mm or part.thickness_mm, spec.name, index))
    return images, empty
