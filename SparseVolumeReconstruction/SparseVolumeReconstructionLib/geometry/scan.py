"""What files show, as volumes that really are regular grids.

A series with gaps or several directions is several of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import dicom
from .dicom import Frame
from .dicom_source import Source
from .errors import InputError
from .grid import Grid, Volume
from .image_types import not_as_acquired
from .packing import packed_with
from .plane import check_thickness
from .stack import SAME_PLACE_MM, pieces_of, same_place
from .units import other_unit

_LISTED = 4
_SPACING_MM = (1e-3, 50.0)
_FARTHEST_MM = 500.0
_NARROWEST_MM, _BODY_MM = 1.0, 200.0
_MAX_MM = 3000.0
_OUTERMOST_MM = 20000.0
_ASKEW = np.array([0.41, 0.57, 0.71])  # no axis of any scan: few planes share a place along it


@dataclass(frozen=True, eq=False)
class Part:
    """Slices that are a regular grid.

    Attributes:
        thickness_mm: of each of them, along the third index axis, where the file states it.
    """

    volume: Volume
    thickness_mm: float | None = None


@dataclass(frozen=True, eq=False)
class Scan:
    """All that one series or file shows, in patient space: at least one part.

    Notices say what is not as usual, a line each.

    Attributes:
        title: what the scanner calls it, where the file says.
    """

    parts: tuple[Part, ...]
    notices: tuple[str, ...] = ()
    title: str = ""

    @property
    def slices(self) -> int:
        """Number of slices of all parts."""
        return sum(part.volume.grid.shape_kji[0] for part in self.parts)

    def checked(self, name: str) -> Scan:
        """The scan itself.

        Raises:
            InputError: for voxels, places or thicknesses that no scan has.
        """
        for part in self.parts:
            grid = part.volume.grid
            low, high = _SPACING_MM
            spacing = " x ".join(f"{length:.4g}" for length in grid.spacing_ijk)
            if (
                grid.spacing_ijk.min() < low
                or grid.spacing_ijk[:2].max() > high
                or grid.spacing_ijk[2] > _FARTHEST_MM
            ):
                raise InputError(
                    f"{name}: voxels of {spacing} mm; expected {low:g} to {high:g} mm: "
                    + other_unit(float(grid.spacing_ijk[:2].max()), 1.0)
                )
            width = float((grid.spacing_ijk * grid.shape_kji[::-1])[:2].max())
            if width < _NARROWEST_MM:
                raise InputError(
                    f"{name}: its slices are {width:.3g} mm wide; expected a body: "
                    + other_unit(width, _BODY_MM)
                )
            size = float(np.ptp(grid.corners_ras(), axis=0).max())
            if size > _MAX_MM or float(np.abs(grid.corners_ras()).max()) > _OUTERMOST_MM:
                raise InputError(
                    f"{name}: voxels of {spacing} mm over {size:.4g} mm at an odd place; expected a body."
                )
            if part.thickness_mm is not None:
                check_thickness(part.thickness_mm, name)
        return self

    def place(self, index: int, name: str) -> tuple[Part, int]:
        """The part and the index in it of a slice, counted from 0 over all parts in order.

        Args:
            index: of the slice.
            name: what to call the scan in messages.

        Raises:
            InputError: beyond the last one.
        """
        within = index
        for part in self.parts:
            if 0 <= within < part.volume.grid.shape_kji[0]:
                return part, within
            within -= part.volume.grid.shape_kji[0]
        raise InputError(
            f"{name}: slice index {index} is out of range; the volume has slices 0..{self.slices - 1}."
        )


@dataclass(frozen=True)
class SeriesChoice:
    """One of several series.

    Attributes:
        key: what to choose it by.
    """

    key: str
    description: str
    slices: int


class SeveralSeries(InputError):
    """More than one series was found where one is wanted; `choices` lists them.

    Args:
        name: the file or folder.
        choices: at least one.
        why: what was found instead of one series; by default their number.
    """

    def __init__(self, name: str, choices: list[SeriesChoice], why: str = ""):
        self.choices = choices
        listed = "; ".join(f"#{each.key} ({each.description}, {each.slices} slices)" for each in choices)
        super().__init__(
            f"{name}: {why or f'{len(choices)} DICOM series'}; choose one of {listed}, as in "
            f"{name}#{choices[0].key}."
        )


def read_dicom(
    files: dict[Path, str], name: str, series: str | None = None, max_voxels: int | None = None
) -> Scan:
    """The slices of one DICOM series among files, every slice with the plane and thickness that it states.

    Args:
        files: with what to call each.
        name: what to call them together in messages.
        series: which one, by the key of a SeriesChoice.
        max_voxels: how many may be read; None: any number.

    Raises:
        SeveralSeries: where there is a choice.
        InputError: for what cannot be read.
    """
    chosen, key, left_out = _chosen(files, name, series)
    notices = list(filter(None, [left_out_notice(left_out)]))
    if chosen.modality not in ("MR", "OT", ""):
        notices.append(f"its files say that it is {chosen.modality}, not MR.")
    _check_size(chosen.frames, name, max_voxels)
    frames, merged = _of_one_kind(chosen, key, series, name, files)
    types = (frame.kinds.get("FrameType") or frame.kinds.get("ImageType", "") for frame in frames)
    for what in sorted(filter(None, set(map(not_as_acquired, types)))):
        notices.append(f"its files say that they are {what}; expected slices as acquired.")
    return replace(_stacked(frames, [*notices, *merged], files), title=chosen.description).checked(name)


def series_source(files: dict[Path, str], name: str, series: str | None = None) -> Source:
    """Patient, study and images of one DICOM series among files; arguments and errors of `read_dicom`.

    One file alone may be of any kind, of a radiograph too.
    """
    alone = len(files) == 1
    paths = files if alone else dict.fromkeys(frame.file for frame in _chosen(files, name, series)[0].frames)
    headers = [dicom.read_header(path, files[path]) for path in paths]
    each = [Source(header, ()) for header in headers]
    named = ((str(one.said("SOPClassUID") or ""), str(one.said("SOPInstanceUID") or "")) for one in each)
    return Source(headers[0], tuple(names for names in named if all(names)))


def _chosen(files: dict[Path, str], name: str, series: str | None) -> tuple[dicom.Series, str, list[str]]:
    """The series that is wanted, its key, and the names of files that are no image."""
    found, left_out = dicom.read_headers(files)
    if not found:
        kinds = {kind for file in files if (kind := packed_with(file))}
        remedy = (
            f"unpack them first ({', '.join(sorted(kinds))})" if kinds else "give the path of one image file"
        )
        raise InputError(f"{name}: no DICOM series: none of its {len(files)} files is an image; {remedy}.")
    numbers = [one.number for one in found]
    keys = (
        numbers
        if len(set(numbers)) == len(numbers) and all(numbers)
        else [str(n + 1) for n in range(len(found))]
    )
    wanted = (
        None if series is None else next((n for n, key in enumerate(keys) if key == series.split(".")[0]), -1)
    )
    if wanted == -1 or (wanted is None and len(found) > 1):
        choices = [
            SeriesChoice(key, one.description or "no description", len(one.frames))
            for key, one in zip(keys, found, strict=True)
        ]
        raise SeveralSeries(name, choices, "" if wanted is None else f"no series #{series}")
    chosen = wanted or 0
    return found[chosen], keys[chosen], left_out


def dicom_grids(files: Sequence[Path]) -> tuple[list[Grid], tuple[str, ...]]:
    """Where the slices of the DICOM files of one series lie by their headers, as regular grids, and notices.

    Both are empty where the files are no images, or of several series.

    Raises:
        InputError: for a damaged file, and for an image whose place is not stated.
    """
    found, _ = dicom.read_headers({file: file.name for file in files})
    if len(found) != 1:
        return [], ()
    pieces, why = pieces_of([group[0].plane for group in _by_place(found[0].frames)])
    return [piece.grid for piece in pieces], (f"{why}.",) if why else ()


def _check_size(frames: Sequence[Frame], name: str, max_voxels: int | None) -> None:
    voxels = sum(frame.plane.shape_ji[0] * frame.plane.shape_ji[1] for frame in frames)
    if max_voxels is not None and voxels > max_voxels:
        raise too_large(name, f"{len(frames)} slices of {voxels / 1e6:.0f} million voxels", max_voxels)


def too_large(name: str, what: str, max_voxels: int) -> InputError:
    """The error about more voxels than are read.

    Args:
        name: the file.
        what: how many it has, in words.
        max_voxels: how many are read.
    """
    return InputError(
        f"{name}: {what}; at most {max_voxels / 1e6:.0f} million are read. Crop or resample it first."
    )


def left_out_notice(files: list[str]) -> str:
    """What to say of files that were left out because they are no images; empty for none."""
    more = f" and {len(files) - _LISTED} more" if len(files) > _LISTED else ""
    why = "they are no images" if len(files) > 1 else "it is no image"
    return f"left out, because {why}: {', '.join(files[:_LISTED])}{more}." if files else ""


def _of_one_kind(
    found: dicom.Series, key: str, wanted: str | None, name: str, names: dict[Path, str]
) -> tuple[list[Frame], list[str]]:
    """The frames of a series, each plane once, and notices.

    Where a plane was imaged several times with other pixels, the frames are those of one echo, time point or
    the like: the one that is wanted (as in "3.2").

    Raises:
        SeveralSeries: where none is.
    """
    places = [group for group in _by_place(found.frames) if len(group) > 1]
    different = [group for group in places if not _same_pixels(group, names)]
    if not different:
        doubled = {id(frame) for group in places for frame in group[1:]}
        what = "1 slice was there twice, with the same pixels; it is" if len(doubled) == 1 else ""
        notice = (
            f"{what or f'{len(doubled)} slices were there twice, with the same pixels; each is'} used once."
        )
        return [frame for frame in found.frames if id(frame) not in doubled], [notice] if doubled else []
    kind = dicom.kind_that_differs(places)
    if kind is None:
        raise InputError(
            f"{name}: {len(different)} slices of series {key} are there several times with different pixels, "
            "and nothing in the headers "
            "tells them apart; take out the files that are not wanted."
        )
    attribute, called = kind
    values = sorted({frame.kinds.get(attribute, "") for frame in found.frames}, key=_as_number)
    choices = [f"{key}.{n + 1}" for n in range(len(values))]
    if wanted not in choices:
        groups = [
            [frame for frame in found.frames if frame.kinds.get(attribute, "") == value] for value in values
        ]
        listed = [
            SeriesChoice(
                choice,
                f"{found.description or 'no description'}, {called} {value or 'not stated'}",
                len(group),
            )
            for choice, value, group in zip(choices, values, groups, strict=True)
        ]
        raise SeveralSeries(
            name, listed, f"series {key} shows the same slices {len(values)} times, with different {called}"
        )
    value = values[choices.index(wanted)]
    return [frame for frame in found.frames if frame.kinds.get(attribute, "") == value], []


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return 0.0, text


def _by_place(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames of the same plane together, in their order."""
    along = np.array([frame.plane.ij_to_ras[:3, 3] for frame in frames]) @ _ASKEW
    groups: list[list[int]] = []
    for n in np.argsort(along, kind="stable"):
        for group in reversed(groups):
            if along[n] - along[group[0]] > 2 * SAME_PLACE_MM:
                groups.append([n])
                break
            if same_place(frames[group[0]].plane, frames[n].plane):
                group.append(n)
                break
        else:
            groups.append([n])
    return [[frames[n] for n in sorted(group)] for group in groups]


def _same_pixels(group: list[Frame], names: dict[Path, str]) -> bool:
    first, *others = dicom.pixels_of(group, names)
    return all(np.array_equal(first, other, equal_nan=True) for other in others)


def _stacked(frames: list[Frame], notices: list[str], names: dict[Path, str]) -> Scan:
    """The parts that the frames make."""
    pieces, why = pieces_of([frame.plane for frame in frames])
    pixels = dicom.pixels_of(frames, names)
    parts = tuple(
        Part(Volume(np.stack([pixels[n] for n in piece.members]), piece.grid), piece.thickness_mm)
        for piece in pieces
    )
    if any(frame.inverted for frame in frames):
        notices = [
            "dark and bright are exchanged in its files (MONOCHROME1) and were changed back.",
            *notices,
        ]
    if why:
        notices = [f"{why}: the series is kept as {len(parts)} parts, at their own positions.", *notices]
    return Scan(parts, tuple(notices))
