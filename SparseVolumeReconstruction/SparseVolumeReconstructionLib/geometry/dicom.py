"""DICOM files: geometry and kind of every slice from the headers, its pixels through SimpleITK.

Headers are read with pydicom, pixels with GDCM.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .dicom_elements import check_elements
from .errors import InputError
from .image import LPS
from .mosaic import tiles
from .packing import packed_with
from .plane import Plane

DIRECTORY = "DICOMDIR"  # the table of contents of an export: nothing is missed without it
_MAGIC_AT = 128
_BARE_STARTS = (b"\x08\x00", b"\x02\x00")
_NAMES = re.compile(r"\.(dcm|dicom|ima)$", re.IGNORECASE)
# What tells images of one plane apart, the most telling first: name of the attribute, what to call it.
_KINDS = {
    "EchoTime": "echo time",
    "EffectiveEchoTime": "echo time",
    "InversionTime": "inversion time",
    "DiffusionBValue": "b-value",
    "TemporalPositionIdentifier": "time point",
    "TemporalPositionIndex": "time point",
    "NominalCardiacTriggerDelayTime": "trigger delay",
    "TriggerTime": "trigger time",
    "FlipAngle": "flip angle",
    "ComplexImageComponent": "complex component",
    "FrameType": "frame type",
    "ImageType": "image type",
    "AcquisitionNumber": "acquisition",
    "AcquisitionTime": "acquisition time",
    "ContentTime": "content time",
    "InstanceNumber": "image number",
}


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice of a DICOM file.

    Attributes:
        index: which frame of the file.
        plane: patient RAS, mm (thickness 0: not stated).
        scale: slope and intercept that make of a value rescaled like the file's first frame one rescaled like
            this frame.
        kinds: attributes of _KINDS that it states, as texts.
        inverted: whether low values are bright (MONOCHROME1).
        tile: row and column of the picture where the slice begins, of a mosaic.
    """

    file: Path
    index: int
    plane: Plane
    scale: tuple[float, float]
    kinds: dict[str, str]
    inverted: bool = False
    tile: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Series:
    """The frames of one series instance UID, in the order of their numbers.

    Attributes:
        modality: as the standard abbreviates it, "MR"; empty where it is not stated.
    """

    number: str
    description: str
    frames: tuple[Frame, ...]
    modality: str = ""


def read_headers(names: dict[Path, str]) -> tuple[list[Series], list[str]]:
    """The series of images among files, and the names of the files that are no image.

    Args:
        names: the files, with what to call each.

    Raises:
        InputError: for a damaged file and for an image whose place in the patient is not stated.
    """
    series: dict[str, list[tuple[float, str, object, list[Frame]]]] = {}
    left_out = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, of values that are not what the standard says
        for file in names:
            header = read_header(file, names[file])
            try:
                if header is None or not _is_image(header, names[file]):
                    if Path(names[file]).name.upper() != DIRECTORY:
                        left_out.append(names[file])
                    continue
                frames = _frames(file, header, names[file])
                member = (_number_in([header], "InstanceNumber") or 0.0, names[file], header, frames)
                series.setdefault(_series_of(header), []).append(member)
                _title(header)
            except InputError:
                raise
            except Exception as error:  # nonsense in a header fails in pydicom in many ways
                raise _damaged(names[file], error) from error
        found = [_series(sorted(members, key=lambda member: member[:2])) for members in series.values()]
    return sorted(found, key=lambda one: (int(one.number or 0), one.description)), left_out


def _series_of(header) -> str:
    """What images of one series have in common: two patients are never one series."""
    return "|".join(str(header.get(key, "")) for key in ("SeriesInstanceUID", "PatientID"))


def _series(members: list[tuple]) -> Series:
    number, description, modality = _title(members[0][2])
    frames = tuple(frame for *_, those in members for frame in those)
    return Series("" if number is None else f"{number:.0f}", description[:60], frames, modality)


def _title(header) -> tuple[float | None, str, str]:
    """Number, description and modality of the series of an image."""
    description = _text_in([header], "SeriesDescription") or _text_in([header], "ProtocolName")
    return _number_in([header], "SeriesNumber"), description, _text_in([header], "Modality")


def pixels_of(frames: Sequence[Frame], names: dict[Path, str]) -> list[np.ndarray]:
    """Pixels (rows, columns) of every frame as float32, rescaled as it states.

    GDCM gives inverted ones as they are displayed, but below 0 or far above it: their darkest becomes 0.

    Args:
        frames: may be of several files; each file is read once.
        names: what to call each file.

    Raises:
        InputError: for a file that cannot be read.
    """
    out = [np.zeros(0, np.float32)] * len(frames)
    for file in dict.fromkeys(frame.file for frame in frames):
        whole = _pixels(file, names[file])
        for n, frame in enumerate(frames):
            if frame.file == file:
                out[n] = _rescaled(whole, frame, names[file])
    inverted = [n for n, frame in enumerate(frames) if frame.inverted]
    darkest = min((float(out[n].min()) for n in inverted), default=0.0)
    for n in inverted:
        out[n] = out[n] - np.float32(darkest)
    return out


def kind_that_differs(groups: Sequence[Sequence[Frame]]) -> tuple[str, str] | None:
    """(attribute, what to call it) whose value differs between all frames of each group.

    None where there is no such one.
    """
    for attribute, called in _KINDS.items():
        values = [[frame.kinds.get(attribute) for frame in group] for group in groups]
        if all(None not in those and len(set(those)) == len(those) for those in values):
            return attribute, called
    return None


def stated_thickness_of_file(file: Path) -> float | None:
    """Slice thickness in mm that a DICOM file states (of its first frame).

    None for other files and where it states none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = read_header(file, file.name)
        return None if header is None or "Rows" not in header else _thickness(_groups(header, 0))


def is_dicom(file: Path) -> bool:
    """True for a file that begins like DICOM, with or without a preamble."""
    with open(file, "rb") as stream:
        start = stream.read(_MAGIC_AT + 4)
    return start[_MAGIC_AT:] == b"DICM" or (start[:2] in _BARE_STARTS and start[3:4] == b"\0")


def read_header(file: Path, name: str):
    """The header of a file without its pixels; None for a file that is no DICOM.

    Args:
        name: what to call the file in messages.

    Raises:
        InputError: for one that is damaged.
    """
    import pydicom

    if not is_dicom(file):
        if (kind := packed_with(file)) and _NAMES.search(Path(name).stem):
            raise InputError(f"{name}: is packed with {kind}; unpack all files of its series first.")
        if _NAMES.search(name) and not name.startswith("."):
            raise InputError(
                f"{name}: damaged, or no DICOM file as its name says; replace it, or take it out of the "
                "series."
            )
        return None
    try:
        return pydicom.dcmread(file, stop_before_pixels=True, force=True)
    except Exception as error:  # damaged files fail in pydicom in many ways
        raise _damaged(name, error) from error


def _is_image(header, name: str) -> bool:
    """False for reports, directories and the like.

    Raises:
        InputError: for an image whose header ends early.
    """
    kind = getattr(header.file_meta.get("MediaStorageSOPClassUID", header.get("SOPClassUID", "")), "name", "")
    if "Rows" not in header and (not kind or "Image Storage" in kind):
        raise InputError(
            f"{name}: its DICOM header is not complete; replace the file, or take it out of the series."
        )
    return "Rows" in header


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(
        f"{name}: its DICOM header is damaged ({type(error).__name__}); replace the file, or take it out of "
        "the series."
    )


def _frames(file: Path, header, name: str) -> list[Frame]:
    """The frames of one file."""
    if int(header.get("SamplesPerPixel", 1)) != 1:
        raise InputError(
            f"{name}: {header.SamplesPerPixel} values per voxel (RGB or vectors); expected grey values."
        )
    if (colours := header.get("PhotometricInterpretation", "")) not in ("", "MONOCHROME1", "MONOCHROME2"):
        raise InputError(f"{name}: colours ({colours}); expected grey values.")
    if header.get("ModalityLUTSequence"):
        raise InputError(
            f"{name}: its values go through a table (Modality LUT), which is not applied here; export it "
            "with slope and intercept."
        )
    count = int(header.get("NumberOfFrames", 1) or 1)
    if count > 1 and len(header.get("PerFrameFunctionalGroupsSequence", [])) != count:
        raise InputError(
            f"{name}: {count} frames, but no plane for each of them; export it as enhanced MR, or as single "
            "slices."
        )
    frames = []
    first = (1.0, 0.0)
    for index in range(count):
        groups = _groups(header, index)
        scale = (_number_in(groups, "RescaleSlope") or 1.0, _number_in(groups, "RescaleIntercept") or 0.0)
        first = first if index else scale
        change = (scale[0] / first[0], scale[1] - first[1] * scale[0] / first[0])
        kinds = {key: text for key in _KINDS if (text := _text_in(groups, key))}
        inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
        frames.append(Frame(file, index, _plane(header, groups, name), change, kinds, inverted))
    if "MOSAIC" in (header.get("ImageType") or []):
        return _tiles_of(frames[0], header, name)
    return frames


def _tiles_of(picture: Frame, header, name: str) -> list[Frame]:
    """The slices of a mosaic."""
    spacing = _number_in([header], "SpacingBetweenSlices") or picture.plane.thickness_mm
    return [
        replace(picture, plane=plane, tile=at) for plane, at in tiles(header, picture.plane, spacing, name)
    ]


def _groups(header, index: int) -> list:
    """Where to look for what is said of a frame: its own functional groups, the shared ones, the file."""
    places = []
    for sequence, n in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        items = header.get(sequence, [])
        if n < len(items):
            for element in items[n]:
                if element.VR == "SQ" and element.value:
                    places.append(element.value[0])
    return [*places, header]


def _value_in(groups: list, key: str):
    """The first value of an attribute; None where nothing states one."""
    return next((group.get(key) for group in groups if group.get(key) not in (None, "")), None)


def _text_in(groups: list, key: str) -> str:
    value = _value_in(groups, key)
    return "" if value is None else str(value)


def _number_in(groups: list, key: str) -> float | None:
    try:
        return float(_value_in(groups, key))
    except (TypeError, ValueError):
        return None


def _plane(header, groups: list, name: str) -> Plane:
    """Where a frame lies. Raises InputError naming what is not stated."""
    wanted = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    values = {key: _value_in(groups, key) for key in wanted}
    missing = [
        re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key)
        for key, n in wanted.items()
        if values[key] is None or len(values[key]) != n
    ]
    if missing:
        raise InputError(
            f"{name}: states no {' and no '.join(missing)}, so where its slice lies is not known; export it "
            "with geometry."
        )
    position, directions, spacing = (np.array([float(x) for x in values[key]]) for key in wanted)
    if not ((spacing > 0) & np.isfinite(spacing)).all() or not np.isfinite(position).all():
        raise InputError(
            f"{name}: Pixel Spacing {spacing.tolist()}, Image Position {position.tolist()}; expected mm; "
            "correct the header."
        )
    check_direction(directions.reshape(2, 3), name)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = directions[:3] * spacing[1], directions[3:] * spacing[0]
    matrix[:3, 2] = np.cross(directions[:3], directions[3:])
    matrix[:3, 3] = position
    return Plane((int(header.Rows), int(header.Columns)), LPS @ matrix, _thickness(groups) or 0.0)


def check_direction(directions: np.ndarray, name: str) -> None:
    """Raise InputError unless two directions (2, 3) have length 1 and are at right angles, to 1 %.

    Args:
        directions: along rows and columns of the pixels, one a row.
        name: of the file, for messages.
    """
    if not np.isfinite(directions).all() or np.abs(directions @ directions.T - np.eye(2)).max() > 0.01:
        raise InputError(
            f"{name}: its Image Orientation is none (two directions at right angles expected); correct the "
            "header."
        )


def _thickness(groups: list) -> float | None:
    value = _number_in(groups, "SliceThickness")
    return value if value is not None and 0 < value < float("inf") else None


def _pixels(file: Path, name: str) -> np.ndarray:
    """All frames of a file (frames, rows, columns); GDCM rescales all of them like the first one."""
    try:
        check_elements(file)
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(file), imageIO="GDCMImageIO"))
    except RuntimeError as error:
        raise InputError(
            f"{name}: its pixels cannot be read (damaged, not complete, or a compression that is not known)."
        ) from error
    return array.reshape(-1, *array.shape[-2:])


def _rescaled(whole: np.ndarray, frame: Frame, name: str) -> np.ndarray:
    """The pixels of one frame with its own slope and intercept."""
    if frame.tile:
        row, column = frame.tile
        rows, columns = frame.plane.shape_ji
        whole = whole[:, row : row + rows, column : column + columns]
    if frame.index >= len(whole) or whole.shape[1:] != frame.plane.shape_ji:
        raise InputError(
            f"{name}: its header promises {frame.plane.shape_ji} pixels, the file holds {whole.shape[1:]}; "
            "it is damaged."
        )
    slope, intercept = frame.scale
    pixels = whole[frame.index]
    return (pixels if (slope, intercept) == (1.0, 0.0) else pixels * slope + intercept).astype(np.float32)
