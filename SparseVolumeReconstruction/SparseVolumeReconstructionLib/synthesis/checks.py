"""What is said of scans before a network sees them: whole heads, other contrasts, thick slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ..alignment.contrast import MAX_OTHER, contrast_of
from ..alignment.head import head_reader
from ..data.bids import WRITTEN
from ..geometry import Grid, InputError, Volume
from ..observation import Slice
from ..observation.slices import slice_of
from ..priors.card import ModelCard
from ..reconstruction.result import inferred_by

_SHARES = (0.35, 0.45, 0.5, 0.55, 0.65)  # of the way through a head, where slices are looked at
_LARGER, _THICK_MM = 1.75, 2.5
_MAX_OTHER = {"T1w": 0.03}  # 2 of 8 people's T1w look like FLAIR (0.05 and 0.07)


def check_scans(
    scans: Mapping[str, Volume], card: ModelCard, spacing_mm: float, warn: Callable[[str], None]
) -> None:
    """Refuse whole heads where the model knows stripped brains; tell of what else is not as it learned it.

    Args:
        scans: by contrast.
        card: of the model; heads and contrasts are looked at only where it knows brains.
        spacing_mm: of the voxels that it learned of.
        warn: called with each warning, one line.

    Raises:
        InputError: a scan shows a whole head.
    """
    for name, scan in scans.items():
        spacing = scan.grid.spacing_ijk
        if spacing.max() > max(_LARGER * spacing_mm, _THICK_MM):
            warn(
                f"{WRITTEN[name]}: slices are {spacing.max():.1f} mm apart; the model learned of voxels of "
                f"{spacing_mm:g} mm. Between the slices the scan is interpolated, and the result smooth."
            )
        if card.anatomy == "brain" and (doubt := doubt_of(name, scan)):
            warn(doubt)


def check_observed(name: str, path: Path) -> None:
    """Refuse what this program has made: it was inferred, not scanned.

    Args:
        name: contrast.
        path: of the file or the DICOM folder.

    Raises:
        InputError: says what tells.
    """
    if how := inferred_by(path):
        raise InputError(
            f"{WRITTEN[name]}: {path.name} was made by this program, not scanned ({how} says so); give a "
            "scan."
        )


def doubt_of(name: str, scan: Volume) -> str | None:
    """Why a skull-stripped scan seems to be of another contrast than named, one line; None where it does not.

    Args:
        name: contrast.
        scan: some of its axial slices are read.

    Raises:
        InputError: it shows a whole head.
    """
    slices, reader = _axial(scan), head_reader()
    if reader.brain_of(slices) is not None:
        raise InputError(
            f"{WRITTEN[name]}: shows a whole head; the model knows skull-stripped brains. Set to 0 what is "
            "around the brain first (any brain extraction, for instance SynthStrip or HD-BET)."
        )
    found = contrast_of(reader.read(slices))
    named = WRITTEN[name]
    if found is None or found.probabilities.get(named, 1.0) >= _MAX_OTHER.get(named, MAX_OTHER):
        return None
    return (
        f"{named}: its grey values are {found.words}; was another contrast given than named? "
        "The model makes nothing useful of another one."
    )


def _axial(scan: Volume) -> list[Slice]:
    """Slices near to axial that show something, in the middle of those of a scan."""
    axis = int(np.abs(scan.grid.ijk_to_ras[2, :3]).argmax())
    order = [n for n in range(3) if n != axis] + [axis]
    turned = np.eye(4)[:, [*order, 3]]
    array = scan.array.transpose([2 - n for n in reversed(order)])
    volume = Volume(array, Grid(array.shape, scan.grid.ijk_to_ras @ turned))
    shown = np.flatnonzero((array > 0).any((1, 2)))
    if not len(shown):
        return []
    chosen = {int(shown[int(share * (len(shown) - 1))]) for share in _SHARES}
    return [slice_of(volume, n) for n in sorted(chosen)]
