"""Single image files: the format by the name, whole by the header, or an error.

No other file is read in its place.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .grid import Grid, Volume
from .image import from_image, image_geometry
from .nifti import nifti_header, nifti_pieces, read_nifti, voxel_bytes
from .scan import Part, Scan, too_large
from .units import millimetres

_NIFTI = (".nii.gz", ".nii")
_ITK = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
_PAIRS = (".hdr", ".img", ".img.gz", ".hdr.gz")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif")
_SPARE_BYTES = 1 << 20  # what a file may hold besides its voxels
_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 20
ALONE = (".nii.gz", ".nii", ".nrrd", ".mha")  # suffixes of the formats that hold everything in one file


def image_suffix(name: str) -> str | None:
    """One of ALONE where a file is called so; None for any other name."""
    return next((suffix for suffix in ALONE if name.lower().endswith(suffix)), None)


def read_file(path: Path, name: str, max_voxels: int | None = None) -> Scan:
    """What a file shows that is no DICOM.

    Raises InputError.

    Args:
        max_voxels: for files that nobody trusts: not more than these are read or unpacked, and no other file.
    """
    called = path.name.lower()
    if called.endswith(_PICTURES):
        raise InputError(
            f"{name}: a picture states no place and no pixel size; give the slice as DICOM, or as NIfTI, "
            "NRRD or MHA with its geometry."
        )
    if called.endswith(_NIFTI):
        header = nifti_header(path, name)
        _check_voxels(header.get_data_shape(), name, max_voxels)
        _check_whole(
            path,
            float(header["vox_offset"]),
            voxel_bytes(header),
            "file" if called.endswith(".gz") else "",
            name,
            max_voxels,
        )
        return read_nifti(path, name).checked(name)
    if called.endswith(_PAIRS):
        return read_nifti(path.with_suffix(".hdr") if called.endswith(".img") else path, name).checked(name)
    return _read_itk(path, next((suffix for suffix in _ITK if called.endswith(suffix)), ""), name, max_voxels)


def stated_grids(path: Path, name: str) -> tuple[list[Grid], tuple[str, ...]]:
    """Where the slices of a file that is no DICOM lie by its header, as regular grids, and notices.

    None where only the voxels would tell (pictures, four dimensions).

    Raises:
        InputError: for geometry that is missing or contradicts itself.
    """
    called = path.name.lower()
    if called.endswith((*_NIFTI, *_PAIRS)):
        path = path.with_suffix(".hdr") if called.endswith(".img") else path
        pieces, notices = nifti_pieces(nifti_header(path, name), None, name)
        return [piece.grid for piece in pieces], notices
    suffix = next((suffix for suffix in _ITK if called.endswith(suffix)), "")
    if not suffix:
        return [], ()
    if suffix in (".nrrd", ".nhdr"):
        _check_space(_nrrd_fields(path)[0], name)
    reader = _reader(path, suffix)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(name, error) from error
    if reader.GetDimension() != 3:
        return [], ()
    grid = Grid(reader.GetSize()[::-1], image_geometry(reader))
    factor = millimetres(_stated_unit(path, suffix), _widest(grid), name)
    return [_scaled(grid, factor)], ()


def _reader(path: Path, suffix: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    if suffix:
        reader.SetImageIO(_ITK[suffix])
    return reader


def _read_itk(path: Path, suffix: str, name: str, max_voxels: int | None) -> Scan:
    reader = _reader(path, suffix)
    find = {"NrrdImageIO": _nrrd_voxels, "MetaImageIO": _meta_voxels}.get(_ITK.get(suffix))
    place = find(path, name, max_voxels) if find else None
    try:
        reader.ReadImageInformation()
        _check_voxels(reader.GetSize(), name, max_voxels)
        if place:
            _check_whole(path, place[0], _promised(reader, name), place[1], name, max_voxels)
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(name, error) from error
    volume = from_image(image, name)
    thickness = nrrd_thickness(path) if suffix in (".nrrd", ".nhdr") else None
    factor = millimetres(_stated_unit(path, suffix), _widest(volume.grid), name)
    volume = Volume(volume.array, _scaled(volume.grid, factor))
    return Scan((Part(volume, thickness and thickness * factor),)).checked(name)


def _widest(grid: Grid) -> float:
    """Larger side of the slices of a grid, in its unit."""
    return float((grid.spacing_ijk * grid.shape_kji[::-1])[:2].max())


def _scaled(grid: Grid, factor: float) -> Grid:
    """A grid in another unit of length."""
    return Grid(grid.shape_kji, np.diag([factor, factor, factor, 1.0]) @ grid.ijk_to_ras)


def _stated_unit(path: Path, suffix: str) -> str:
    """The unit of length that an NRRD or MetaImage header states; empty where it states none."""
    if suffix in (".nrrd", ".nhdr"):
        units = set(re.findall(r'"([^"]*)"', _nrrd_fields(path)[0].get("space units", "")))
        return ", ".join(sorted(units))
    with open(path, "rb") as file:
        found = re.search(rb"^DistanceUnits *= *(.*?) *\r?$", file.read(_LONGEST_HEADER), re.MULTILINE)
    return found[1].decode("latin-1") if found and suffix in (".mha", ".mhd") else ""


def _unreadable(name: str, error: RuntimeError) -> InputError:
    """What is wrong with a file that ITK does not read."""
    if "spacing" in str(error).lower():
        return InputError(f"{name}: a voxel spacing is 0 or not a number; correct the header.")
    return InputError(
        f"{name}: cannot be read as an image (damaged, or no image of the format that its name says)."
    )


def _check_voxels(size, name: str, max_voxels: int | None) -> None:
    """Raise InputError where there are no voxels, or too many."""
    voxels = math.prod(int(length) for length in size)
    what = f"{' x '.join(str(n) for n in size)} voxels"
    if voxels <= 0:
        raise InputError(f"{name}: {what}; damaged, or no image.")
    if max_voxels is not None and voxels > max_voxels:
        raise too_large(name, what, max_voxels)


def _check_whole(
    path: Path, skip: float, wanted: int, packed: str, name: str, max_voxels: int | None
) -> None:
    """Raise InputError where a file does not hold the bytes of voxels that its header promises.

    Fewer, or, untrusted, more when unpacked.

    Args:
        skip: bytes before the voxels, which are packed too in a "file" that is packed as a whole.
        packed: "", "file", "gzip" or "zlib".
    """
    if not 0 <= skip < _LONGEST_HEADER:
        raise InputError(f"{name}: damaged; its voxels begin {skip:g} bytes after the start.")
    most = None if max_voxels is None else int(skip) + wanted + _SPARE_BYTES + 1
    if not packed:
        there = path.stat().st_size - int(skip)
    elif packed == "file":
        there = _unpacked_bytes(path, 0, "gzip", most, name) - int(skip)
    else:
        there = _unpacked_bytes(path, int(skip), packed, most, name)
    if there < wanted:
        raise InputError(
            f"{name}: damaged or not complete; its header says {_mb(wanted)} of voxels, the file holds "
            f"{_mb(max(there, 0))}."
        )
    if max_voxels is not None and there > wanted + _SPARE_BYTES:
        raise InputError(
            f"{name}: its header says {_mb(wanted)} of voxels, but the file unpacks to more; it is not read."
        )


def _unpacked_bytes(path: Path, skip: int, packed: str, most: int | None, name: str) -> int:
    """Bytes after the first `skip`, unpacked to the end.

    Counting ends at `most`, so that nothing can expand without limit.
    """
    count = 0
    with open(path, "rb") as file:
        file.seek(skip)
        try:
            for part in _gunzipped(file) if packed == "gzip" else _inflated(file):
                count += part
                if most is not None and count >= most:
                    break
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{name}: damaged or not complete; its packed voxels end too early.") from error
    return count


def _gunzipped(file):
    with gzip.GzipFile(fileobj=file) as unpacked:
        while part := unpacked.read(_CHUNK):
            yield len(part)


def _inflated(file):
    stream, data = zlib.decompressobj(), file.read(_CHUNK)
    while not stream.eof:
        if not data:
            raise EOFError
        yield len(stream.decompress(data, _CHUNK))
        data = stream.unconsumed_tail or file.read(_CHUNK)


def _nrrd_voxels(path: Path, name: str, max_voxels: int | None) -> tuple[int, str] | None:
    """Where the voxels of an NRRD file begin (bytes) and how they are packed.

    None where that is not to be counted here.

    Raises:
        InputError: where the space of the axes is not stated, and for an untrusted file that names another
            one.
    """
    fields, begin = _nrrd_fields(path)
    if not fields:
        raise InputError(
            f"{name}: cannot be read as an image (damaged, or no image of the format that its name says)."
        )
    _check_space(fields, name)
    if {"data file", "datafile"} & fields.keys():
        if max_voxels is not None:
            raise InputError(f"{name}: its voxels are in another file; upload one .nrrd that holds them.")
        return None
    encoding = fields.get("encoding", "raw").lower()
    if encoding in ("raw", "gzip", "gz"):
        return begin, "" if encoding == "raw" else "gzip"
    if max_voxels is not None:
        raise InputError(f"{name}: encoding {encoding[:20]}; expected raw or gzip.")
    return None


def _check_space(fields: dict[str, str], name: str) -> None:
    """Raise InputError unless the axes are those of a patient."""
    space = fields.get("space", "").lower()
    if not re.fullmatch("(left|right)-(anterior|posterior)-(superior|inferior)|[lr][ap][si]", space):
        what = f'space "{space}"' if space else "no anatomical space"
        raise InputError(
            f"{name}: states {what}, so where its slices lie in the patient is not known; expected "
            "left-posterior-superior."
        )


def _meta_voxels(path: Path, name: str, max_voxels: int | None) -> tuple[int, str] | None:
    """The same of a MetaImage."""
    with open(path, "rb") as file:
        start = file.read(_LONGEST_HEADER)
    spacing = re.search(rb"^ElementSpacing *= *(.*?)\r?$", start, re.MULTILINE)
    if spacing and None in [positive(word.decode("latin-1")) for word in spacing[1].split()]:
        raise InputError(f"{name}: a voxel spacing is 0, negative or not a number; correct the header.")
    found = re.search(rb"^ElementDataFile *= *(.*?) *\r?\n", start, re.MULTILINE)
    if found is None or found[1] != b"LOCAL":
        if max_voxels is not None:
            raise InputError(f"{name}: its voxels are in another file; upload one .mha that holds them.")
        return None
    packed = re.search(rb"^CompressedData *= *True", start[: found.end()], re.MULTILINE | re.IGNORECASE)
    return found.end(), "zlib" if packed else ""


def _promised(reader: sitk.ImageFileReader, name: str) -> int:
    """Bytes of the voxels that a header promises."""
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{name}: {reader.GetNumberOfComponents()} values per voxel (RGB or vectors); expected grey "
            "values."
        )
    return math.prod(reader.GetSize()) * _SIZES.get(reader.GetPixelID(), 1)


_SIZES = {
    kind: size
    for size, kinds in {
        1: (sitk.sitkUInt8, sitk.sitkInt8),
        2: (sitk.sitkUInt16, sitk.sitkInt16),
        4: (sitk.sitkUInt32, sitk.sitkInt32, sitk.sitkFloat32),
        8: (sitk.sitkUInt64, sitk.sitkInt64, sitk.sitkFloat64),
    }.items()
    for kind in kinds
}


def _nrrd_fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields of an NRRD header, and where the voxels begin (bytes)."""
    with open(path, "rb") as file:
        start = file.read(_LONGEST_HEADER)
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


def _mb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
