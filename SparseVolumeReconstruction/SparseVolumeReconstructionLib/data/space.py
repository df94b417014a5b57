"""Canonical spaces: the reference that a cohort is registered to, and the grids that a prior lives on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..geometry import Grid, InputError, Volume
from ..geometry.io import read_volume
from ..geometry.resample import resample
from ..geometry.units import other_unit
from .cohort import Cohort, normalised

MNI152 = "mni152"
_MARGIN_MM = 6.0
_PROTOCOL_SHARE = 0.77
_BODY_MM = (30.0, 1000.0)  # what training volumes show, from a fetal brain to most of a body
_USUAL_MM = (150.0, 250.0)  # a brain, a head


@dataclass(frozen=True, eq=False)
class CanonicalSpace:
    """Where the volumes of a fit lie.

    name: what the card calls it. reference: on the canonical grid, [0, 1]. protocol: grid of the evaluation
    protocol.
    """

    name: str
    reference: Volume
    protocol: Grid

    @property
    def grid(self) -> Grid:
        """The canonical grid: RAS axes, isotropic, symmetric about the middle of R.

        So it can be mirrored.
        """
        return self.reference.grid


def canonical_space(
    reference: str | None,
    cohort: Cohort,
    spacing_mm: float,
    protocol_slices: int | None = None,
    *,
    warn: Callable[[str], None],
) -> CanonicalSpace:
    """The volume that a word names, and what to call it.

    Args:
        reference: "mni152" (needs nilearn), a subject of the cohort, a volume file, or None: the cohort's
            volume of median size.
        cohort: where the size decides, files that cannot be used are added to its `skipped`.
        spacing_mm: of the canonical grid.
        protocol_slices: number of axial slices of the protocol; about one per mm if None. MNI152 has its own
            120.
        warn: told of what is odd about the file, and where the body in it is larger or smaller than any is.

    Raises:
        InputError: the reference, or every volume of the cohort, cannot be used.
    """
    if reference == MNI152:
        return _mni152(spacing_mm)
    if reference is None:
        sizes = {}
        for name in cohort.files:
            try:
                volume = cohort.volume(name)
            except InputError as error:
                cohort.skipped[cohort.files[name].name] = str(error)
                continue
            sizes[name] = np.count_nonzero(volume.array > 0.05) * float(np.prod(volume.grid.spacing_ijk))
        if not sizes:
            raise InputError("none of the cohort's files can be used as a volume.")
        name = sorted(sizes, key=sizes.__getitem__)[len(sizes) // 2]
        volume = cohort.volume(name)
    elif reference in cohort.files:
        name = cohort.files[reference].name
        volume = cohort.volume(reference)
    else:
        name = Path(reference).name
        volume = normalised(read_volume(reference, warn=warn), name)
    low, high = _extent(volume)
    _check_size(float((high - low).max()), name, warn)
    centre, extent = (low + high) / 2, high - low + 2 * _MARGIN_MM
    grid = Grid.centred(tuple(np.ceil(extent[::-1] / spacing_mm).astype(int)), spacing_mm, centre)
    height = _PROTOCOL_SHARE * float(high[2] - low[2])
    slices = protocol_slices or max(8, round(height))
    field = 1.2 * float((high - low)[:2].max())
    protocol = Grid.centred((slices, 64, 64), (field / 64, field / 64, height / slices), centre)
    return CanonicalSpace(f"space of {name}", _as_stored(resample(volume, grid)), protocol)


def _mni152(spacing_mm: float) -> CanonicalSpace:
    """MNI152 with the protocol of the mental-maps paper.

    It has a field of 218 mm at 64 x 64, and the middle 120 mm of the 182 mm along the axis.
    """
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=1)
    array = np.ascontiguousarray(np.asarray(image.dataobj, np.float32).transpose())
    volume = normalised(Volume(array, Grid(array.shape, image.affine)), "MNI152")
    shape = np.ceil(np.array([164.0, 188.0, 160.0]) / spacing_mm).astype(int)
    grid = Grid.centred(tuple(shape), spacing_mm, (0.0, -17.0, 5.0))
    protocol = Grid.centred((120, 64, 64), (218 / 64, 218 / 64, 1.0), (0.0, -17.5, 18.5))
    return CanonicalSpace("MNI152 (affine)", _as_stored(resample(volume, grid)), protocol)


def _as_stored(reference: Volume) -> Volume:
    """The reference in the 8 bits it is stored with.

    So registrations to a model's reference are those of its fit.
    """
    return Volume(
        np.round(np.clip(reference.array, 0, 1) * 255).astype(np.float32) / np.float32(255), reference.grid
    )


def _check_size(size_mm: float, name: str, warn: Callable[[str], None]) -> None:
    """Warn where a reference is as large as no body is: then its whole cohort may be in another unit."""
    low, high = _BODY_MM
    if not low <= size_mm <= high:
        expected = np.clip(size_mm, *_USUAL_MM)
        warn(
            f"{name}: the body in it is {size_mm:.3g} mm large, and so are all volumes that look like it; "
            f"expected {low:g} to {high:g} mm: {other_unit(size_mm, float(expected))}"
        )


def _extent(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest foreground position in RAS mm."""
    kji = np.argwhere(volume.array > 0.05)
    ras = kji[:, ::-1] @ volume.grid.ijk_to_ras[:3, :3].T + volume.grid.ijk_to_ras[:3, 3]
    return ras.min(0), ras.max(0)
