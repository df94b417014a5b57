"""Slices in files: what a request says of them, and how they are read and checked one by one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..geometry import InputError
from ..geometry.plane import assumed_thickness_mm, check_thickness
from ..geometry.scan import Scan
from .slices import Slice, slice_of
from .spec import ObservationSpec, Reading


class SliceSpec(ObservationSpec):
    """Slices of one file; requests written before there were kinds are of these.

    Attributes:
        slices: their numbers, over all parts of a file or series (see Scan) in order; all of them if None.
        thickness_mm: what the file states if None, else `assumed_thickness_mm` of the spacing.
        source: name of the volume that the file is a part of (the path and the series if None): for messages,
            and slices of one source are one stack in one contrast.
        series: which DICOM series of a folder, by the key that the error about several series lists.
        notices: what was not as usual in the files that the slices were copied from, one sentence each.
    """

    kind: Literal["slice"] = "slice"
    slices: list[int] | None = None
    thickness_mm: float | None = Field(default=None, gt=0)
    series: str | None = None
    notices: list[str] = Field(default_factory=list)

    @property
    def name(self) -> str:
        """As of every observation; series of one folder are told apart, as they are given: FOLDER#3."""
        return f"{self.path}#{self.series}" if self.series and not self.source else super().name

    def read(self) -> Reading:
        """The slices.

        Those without any content are refused where they were asked for by number, and left out (with a
        warning) where a whole file was given.
        """
        from ..geometry.io import read_scan

        scan = read_scan(self.path, self.series)
        warnings = [f"{self.name}: {notice}" for notice in (*self.notices, *scan.notices)]
        images, empty, thicknesses = self._images(scan)
        if not images:
            raise InputError(f"{self.name}: no slice of it shows anything; every one is constant.")
        if empty:
            warnings.append(
                f"{self.name}: {len(empty)} slices without content were left out ({empty[0]}..{empty[-1]})."
            )
        return Reading(list(images), warnings, {"slice thickness": thicknesses} if thicknesses else {})

    def _images(self, scan: Scan) -> tuple[list[Slice], list[int], set[str]]:
        """The slices that are asked for, the numbers of those that were left out, and thicknesses assumed.

        Left out is what shows nothing.
        """
        for part in scan.parts:
            check_thickness(self.thickness_mm or part.thickness_mm, self.name, part.volume.grid)
        images: list[Slice] = []
        empty: list[int] = []
        assumed: set[str] = set()
        for index in range(scan.slices) if self.slices is None else self.slices:
            part, within = scan.place(index, self.name)
            pixels = part.volume.array[within]
            if self.slices is None and np.isfinite(pixels).all() and np.ptp(pixels) == 0:
                empty.append(index)
                continue
            thickness_mm = self.thickness_mm or part.thickness_mm
            images.append(slice_of(part.volume, within, thickness_mm, self.name, index))
            if images[-1].thickness_assumed:
                assumed.add(_assumed(float(part.volume.grid.spacing_ijk[2])))
        return images, empty, assumed


def _assumed(spacing_mm: float) -> str:
    """The thickness that is assumed of slices so far apart, in words."""
    thickness = assumed_thickness_mm(spacing_mm)
    gap = f"{thickness:.3g} mm, with gaps between slices {spacing_mm:.3g} mm apart,"
    return gap if spacing_mm > thickness else f"the spacing of {spacing_mm:.3g} mm"
