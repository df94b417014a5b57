"""Context slices from files, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..alignment.plausible import check_values, has_noise_outside
from ..geometry import InputError
from ..geometry.io import read_scan
from ..geometry.plane import assumed_thickness_mm, check_thickness
from ..geometry.scan import Scan
from ..observation import Slice
from ..observation.slices import check_slices_agree, slice_of
from .request import ContextSpec
from .result import ALL_FILES


def read_contexts(specs: list[ContextSpec]) -> tuple[list[Slice], list[str]]:
    """All slices of a request and warnings about what was assumed or left out. Raises InputError.

    Indices count over all parts of a file or series (see Scan) in order. Slices without any content are
    refused where they were asked for by index, and left out (with a warning) where a whole file was given.
    The thickness is the one asked for, or stated by the file, or else `assumed_thickness_mm` of the spacing.
    """
    slices: list[Slice] = []
    warnings: list[str] = []
    assumed: dict[Any, Any] = {}
    for spec in specs:
        _check_is_observed(spec)
        scan = read_scan(spec.path, spec.series)
        warnings += [f"{spec.name}: {notice}" for notice in scan.notices]
        images, empty, thicknesses = _images(spec, scan)
        if not images:
            raise InputError(f"{spec.name}: no slice of it shows anything; every one is constant.")
        slices += images
        if empty:
            warnings.append(
                f"{spec.name}: {len(empty)} slices without content were left out ({empty[0]}..{empty[-1]})."
            )
        if thicknesses:
            assumed.setdefault(spec.name, set()).update(thicknesses)
    for name, words in assumed.items():
        warnings.append(f"{name}: slice thickness is not known; {' and '.join(sorted(words))} was assumed.")
    check_slices_agree(slices)
    for source in dict.fromkeys(image.source for image in slices):
        check_values([image for image in slices if image.source == source])
    return slices, warnings


def _check_is_observed(spec: ContextSpec) -> None:
    """Raise InputError for a file that this program has made: what was inferred was not observed."""
    path = Path(spec.path)
    if path.name in ALL_FILES and (path.parent / "result.json").is_file():
        raise InputError(
            f"{spec.name}: was reconstructed, not observed (result.json beside it says how); give slices of "
            "the scan itself."
        )


def noisy_backgrounds(slices: list[Slice]) -> list[str]:
    """Warnings about sources whose slices show noise where 0 is expected."""
    own = {
        source: [s for s in slices if s.source == source]
        for source in dict.fromkeys(s.source for s in slices)
    }
    return [
        f"{source}: the background is not 0 but noise, so skull and scalp seem not to be removed; expected 0 "
        "outside the anatomy."
        for source, images in own.items()
        if has_noise_outside(images)
    ]


def _assumed(spacing_mm: float) -> str:
    """The thickness that is assumed of slices so far apart, in words."""
    thickness = assumed_thickness_mm(spacing_mm)
    gap = f"{thickness:.3g} mm, with gaps between slices {spacing_mm:.3g} mm apart,"
    return gap if spacing_mm > thickness else f"the spacing of {spacing_mm:.3g} mm"


def _images(spec: ContextSpec, scan: Scan) -> tuple[list[Slice], list[int], set[str]]:
    """The slices that are asked for, the indices of those that were left out because they show nothing,
    thicknesses assumed.
    """
    for part in scan.parts:
        check_thickness(spec.thickness_mm or part.thickness_mm, spec.name, part.volume.grid)
    images, empty, assumed = [], [], set()
    for index in range(scan.slices) if spec.slices is None else spec.slices:
        part, within = scan.place(index, spec.name)
        pixels = part.volume.array[within]
        if spec.slices is None and np.isfinite(pixels).all() and np.ptp(pixels) == 0:
            empty.append(index)
        else:
            images.append(
                slice_of(part.volume, within, spec.thickness_mm or part.thickness_mm, spec.name, index)
            )
            if images[-1].thickness_assumed:
                assumed.add(_assumed(float(part.volume.grid.spacing_ijk[2])))
    return images, empty, assumed
