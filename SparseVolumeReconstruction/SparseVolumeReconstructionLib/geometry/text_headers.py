"""The text headers of NRRD and MetaImage: where the voxels begin, and what is stated of place and unit.

ITK fills in what they do not state, so that is looked at here.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from .errors import InputError

NRRD, META = (".nrrd", ".nhdr"), (".mha", ".mhd")
LONGEST_HEADER = 1 << 20
_META_VECTORS = (
    b"DimSize",
    b"ElementSpacing",
    b"ElementSize",
    b"Offset",
    b"Position",
    b"Origin",
    b"CenterOfRotation",
)
_META_MATRICES = (b"TransformMatrix", b"Rotation", b"Orientation")
_BOUND = 1e9  # no length in mm and no number of voxels of a scan is so large


def nrrd_voxels(path: Path, name: str, max_voxels: int | None) -> tuple[int, str] | None:
    """Where the voxels of an NRRD file begin (bytes) and how they are packed.

    Args:
        path: of the header, or of the file that holds both.
        name: what to call it in messages.
        max_voxels: for files that nobody trusts; only whether it is None counts here.

    Returns:
        Bytes, and "" or "gzip"; None where that is not to be counted here.

    Raises:
        InputError: for what is no NRRD, where the place of the voxels is not stated, and for an untrusted
            file whose voxels are in another file or packed in another way.
    """
    fields, begin = _nrrd_fields(path)
    if not fields:
        raise InputError(
            f"{name}: cannot be read as an image (damaged, or no image of the format that its name says)."
        )
    check_nrrd_place(path, name)
    if {"data file", "datafile"} & fields.keys():
        if max_voxels is not None:
            raise InputError(f"{name}: its voxels are in another file; upload one .nrrd that holds them.")
        _check_beside(path, rb"^data ?file *: *(.*)$", name)
        return None
    encoding = fields.get("encoding", "raw").lower()
    if encoding in ("raw", "gzip", "gz"):
        return begin, "" if encoding == "raw" else "gzip"
    if max_voxels is not None:
        raise InputError(f"{name}: encoding {encoding[:20]}; expected raw or gzip.")
    return None


def check_nrrd_place(path: Path, name: str) -> None:
    """Raise InputError unless an NRRD header states a patient's axes, and where the voxels lie on them.

    Args:
        path: of the header.
        name: what to call it in messages.
    """
    fields = _nrrd_fields(path)[0]
    space = fields.get("space", "").lower()
    if not re.fullmatch("(left|right)-(anterior|posterior)-(superior|inferior)|[lr][ap][si]", space):
        what = f'space "{space}"' if space else "no anatomical space"
        raise InputError(
            f"{name}: states {what}, so where its slices lie in the patient is not known; expected "
            "left-posterior-superior."
        )
    for field in ("space directions", "space origin"):
        if field not in fields:
            raise InputError(
                f"{name}: states no {field}, so where its slices lie in the patient is not known; expected "
                "space directions and space origin in its header."
            )
        words = re.split(r"[(),\s]+", fields[field].strip("() "))
        _check_numbers(field, [word for word in words if word != "none"], name)


def meta_voxels(path: Path, name: str, max_voxels: int | None) -> tuple[int, str] | None:
    """The same of a MetaImage.

    Args:
        path: of the header, or of the file that holds both.
        name: what to call it in messages.
        max_voxels: for files that nobody trusts; only whether it is None counts here.

    Returns:
        Bytes, and "" or "zlib"; None where that is not to be counted here.

    Raises:
        InputError: for a header that is damaged or states no place, and for an untrusted file whose voxels
            are in another file.
    """
    with open(path, "rb") as file:
        start = file.read(LONGEST_HEADER)
    spacing = re.search(rb"^ElementSpacing *= *(.*?)\r?$", start, re.MULTILINE)
    if spacing and None in [positive(word.decode("latin-1")) for word in spacing[1].split()]:
        raise InputError(f"{name}: a voxel spacing is 0, negative or not a number; correct the header.")
    check_meta_place(path, name)
    found = re.search(rb"^ElementDataFile *= *(\S.*?) *\r?$", start, re.MULTILINE)
    if found is None or found.start() != start.find(b"ElementDataFile"):
        # ITK takes what follows for its name, on the next line or behind a colon too.
        raise InputError(f"{name}: names its voxels in no line ElementDataFile = FILE; damaged, or no image.")
    if found[1] != b"LOCAL":
        if max_voxels is not None:
            raise InputError(f"{name}: its voxels are in another file; upload one .mha that holds them.")
        _check_beside(path, rb"^ElementDataFile *= *(.*)$", name)
        return None
    skipped = re.search(rb"^HeaderSize *= *(-?\d+)", start[: found.end()], re.MULTILINE)
    if skipped and int(skipped[1]) > 0:
        raise InputError(
            f"{name}: states HeaderSize {int(skipped[1])}, though its voxels follow its header; take "
            "the line out."
        )
    packed = re.search(rb"^CompressedData *= *True", start[: found.end()], re.MULTILINE | re.IGNORECASE)
    return found.end() + 1, "zlib" if packed else ""


def _check_beside(path: Path, field: bytes, name: str) -> None:
    """Raise InputError where a header leads to a file of another folder: a file from anywhere may be its own.

    Args:
        path: of the header.
        field: pattern of the line that names its file, a pattern of files, or LIST with a file a line after
            it.
        name: what to call it in messages.
    """
    with open(path, "rb") as file:
        start = file.read(LONGEST_HEADER)
    for found in re.finditer(field, start, re.MULTILINE | re.IGNORECASE):
        files = [found[1]]
        if found[1].strip().upper().startswith(b"LIST"):
            files = start[found.end() :].splitlines()
        for each in (text.decode("latin-1").strip().replace("\\", "/") for text in files):
            if "%" in each and not re.fullmatch("[^%]*%0?[0-9]?[di][^%]*", each):
                raise InputError(f"{name}: names its voxels by a pattern that is none ({each[:80]}).")
            place = os.path.normpath(each)
            if os.path.isabs(place) or re.match("[A-Za-z]:", place) or place.split(os.sep)[0] == os.pardir:
                raise InputError(
                    f"{name}: its voxels are said to be in another folder ({each[:80]}); put them beside the "
                    "header, and name them without a folder."
                )


def check_meta_place(path: Path, name: str) -> None:
    """Raise InputError unless a MetaImage header states spacing, axes and origin.

    ITK reads each by any of several names.

    Args:
        path: of the header.
        name: what to call it in messages.
    """
    with open(path, "rb") as file:
        start = file.read(LONGEST_HEADER).partition(b"ElementDataFile")[0]
    _check_meta_counts(start, name)
    for names in (
        ("ElementSpacing", "ElementSize"),
        ("TransformMatrix", "Rotation", "Orientation"),
        ("Offset", "Position", "Origin"),
    ):
        if not re.search(rb"^(%s) *=" % "|".join(names).encode(), start, re.MULTILINE):
            raise InputError(
                f"{name}: states no {names[0]}, so where its slices lie in the patient is not known; "
                "expected ElementSpacing, TransformMatrix and Offset in its header."
            )


def _check_meta_counts(header: bytes, name: str) -> None:
    """Raise InputError unless a MetaImage header has as many numbers as dimensions.

    ITK writes past its arrays where there are more.

    Args:
        header: up to the line that names the voxels.
        name: what to call the file in messages.
    """
    fields = re.findall(rb"^[ \t]*(\w+)[ \t]*[=:](.*)$", header, re.MULTILINE)
    stated = {value.strip() for field, value in fields if field == b"NDims"}
    if len(stated) != 1 or not re.fullmatch(b"[1-9]", count := stated.pop()):
        raise InputError(f"{name}: states no number of dimensions (NDims); damaged, or no image.")
    expected = dict.fromkeys(_META_VECTORS, int(count)) | dict.fromkeys(_META_MATRICES, int(count) ** 2)
    for field, value in fields:
        if len(value.split()) != expected.get(field, len(value.split())):
            raise InputError(
                f"{name}: {field.decode()} has {len(value.split())} numbers; expected {expected[field]} for "
                f"{int(count)} dimensions."
            )
        if field in expected:
            _check_numbers(field.decode(), value.decode("latin-1").split(), name)


def _check_numbers(field: str, words: list[str], name: str) -> None:
    """Raise InputError for what is no number, or one of no patient: ITK may never end with it.

    Args:
        field: what the header calls them.
        words: the numbers as the header has them.
        name: what to call the file in messages.
    """
    for word in words:
        try:
            is_bounded = abs(float(word)) < _BOUND
        except ValueError:
            is_bounded = False
        if not is_bounded:
            raise InputError(f"{name}: {field} has {word[:40]} among its numbers; correct the header.")


def stated_unit(path: Path, suffix: str) -> str:
    """The unit of length that an NRRD or MetaImage header states; empty where it states none.

    Args:
        path: of the header.
        suffix: of NRRD or META, in lower case: which format it is.
    """
    if suffix in NRRD:
        units = set(re.findall(r'"([^"]*)"', _nrrd_fields(path)[0].get("space units", "")))
        return ", ".join(sorted(units))
    with open(path, "rb") as file:
        found = re.search(rb"^DistanceUnits *= *(.*?) *\r?$", file.read(LONGEST_HEADER), re.MULTILINE)
    return found[1].decode("latin-1") if found and suffix in META else ""


def free_texts(path: Path) -> dict[str, str]:
    """Fields of an NRRD or MetaImage header that have a word as key, free texts among them, as they stand."""
    with open(path, "rb") as file:
        head = re.split(rb"\n\r?\n|ElementDataFile", file.read(LONGEST_HEADER), maxsplit=1)[0]
    found = re.findall(rb"^([^\s:=]+)(?: *= *|:=)(.*?)\r?$", head, re.MULTILINE)
    return {key.decode("latin-1"): text.decode("latin-1") for key, text in found}


def _nrrd_fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields of an NRRD header, and where the voxels begin (bytes)."""
    with open(path, "rb") as file:
        start = file.read(LONGEST_HEADER)
    end = min(
        (at + len(gap) for gap in (b"\n\n", b"\r\n\r\n") if (at := start.find(gap)) >= 0), default=len(start)
    )
    if not start.startswith(b"NRRD"):
        return {}, 0
    lines = [
        line.split(":", 1)
        for line in start[:end].decode("latin-1").splitlines()
        if ":" in line and not line.startswith("#")
    ]
    return {key.strip().lower(): value.strip() for key, value in lines}, end


def nrrd_dimension(path: Path) -> str:
    """How many dimensions an NRRD header states; empty where it states none."""
    return _nrrd_fields(path)[0].get("dimension", "")


def nrrd_thickness(path: Path) -> float | None:
    """Slice thickness in mm along the third axis that an NRRD header states; None where it states none."""
    words = _nrrd_fields(path)[0].get("thicknesses", "").split()
    return positive(words[2]) if len(words) > 2 else None


def positive(text: str) -> float | None:
    """The number (in the unit of the text) that a header states.

    None where it is no finite number above 0.
    """
    try:
        return float(text) if 0 < float(text) < math.inf else None
    except ValueError:
        return None
