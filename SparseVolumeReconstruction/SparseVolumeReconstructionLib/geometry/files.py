"""Single image files: the format by the name, whole by the header, or an error.

No other file is read in its place.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .errors import InputError
from .grid import Grid, Volume
from .image import from_image, image_geometry
from .nifti import nifti_header, nifti_pieces, read_nifti, voxel_bytes
from .packing import packed_with
from .scan import Part, Scan, too_large
from .text_headers import (
    LONGEST_HEADER,
    NRRD,
    check_meta_place,
    check_nrrd_place,
    meta_voxels,
    nrrd_dimension,
    nrrd_thickness,
    nrrd_voxels,
    stated_unit,
)
from .units import millimetres

_NIFTI = (".nii.gz", ".nii")
_ITK = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
_PAIRS = (".hdr", ".img", ".img.gz", ".hdr.gz")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif")
_SPARE_BYTES = 1 << 20  # what a file may hold besides its voxels
_CHUNK = 1 << 20
FORMATS = "NIfTI (.nii, .nii.gz, .hdr), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) or DICOM"
ALONE = (".nii.gz", ".nii", ".nrrd", ".mha")  # suffixes of the formats that hold everything in one file


def image_suffix(name: str) -> str | None:
    """One of ALONE where a file is called so; None for any other name."""
    return next((suffix for suffix in ALONE if name.lower().endswith(suffix)), None)


def read_file(path: Path, name: str, max_voxels: int | None = None) -> Scan:
    """What a file shows that is no DICOM.

    Args:
        path: a suffix that is not known is refused.
        name: what to call the file in messages.
        max_voxels: for files that nobody trusts: not more than these are read or unpacked, and no other file.

    Raises:
        InputError: for what is no image of one of FORMATS, damaged, or without a place in the patient.
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
    suffix = next((suffix for suffix in _ITK if called.endswith(suffix)), None)
    if suffix is None:
        if kind := packed_with(path):
            raise InputError(f"{name}: is packed with {kind}; unpack it first.")
        convert = "; convert it with mri_convert" if called.endswith((".mgz", ".mgh")) else ""
        raise InputError(f"{name}: not a format that is read here; expected {FORMATS}{convert}.")
    return _read_itk(path, suffix, name, max_voxels)


def stated_grids(path: Path, name: str) -> tuple[list[Grid], tuple[str, ...]]:
    """Where the slices of a file that is no DICOM lie by its header, as regular grids, and notices.

    Args:
        path: only its header is read.
        name: what to call the file in messages.

    Returns:
        Grids, RAS mm; none where only the voxels would tell (pictures, four dimensions). Notices, a line
        each.

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
    if suffix in NRRD:
        check_nrrd_place(path, name)
    else:
        check_meta_place(path, name)
    reader = _reader(path, suffix)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(name, error) from error
    if reader.GetDimension() != 3:
        return [], ()
    grid = Grid(reader.GetSize()[::-1], image_geometry(reader))
    factor = millimetres(stated_unit(path, suffix), _widest(grid), name)
    return [_scaled(grid, factor)], ()


def _reader(path: Path, suffix: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_ITK[suffix])
    return reader


def _read_itk(path: Path, suffix: str, name: str, max_voxels: int | None) -> Scan:
    reader = _reader(path, suffix)
    place = (nrrd_voxels if suffix in NRRD else meta_voxels)(path, name, max_voxels)
    try:
        reader.ReadImageInformation()
        _check_voxels(reader.GetSize(), name, max_voxels)
        if place:
            _check_whole(path, place[0], _promised(reader, name), place[1], name, max_voxels)
        image = reader.Execute()
    except RuntimeError as error:
        if suffix in NRRD and (stated := nrrd_dimension(path)) not in ("", "3"):
            raise InputError(f"{name}: {stated}D; expected a 3D volume, of one slice or more.") from error
        raise _unreadable(name, error) from error
    volume = from_image(image, name)
    thickness = nrrd_thickness(path) if suffix in NRRD else None
    factor = millimetres(stated_unit(path, suffix), _widest(volume.grid), name)
    volume = Volume(volume.array, _scaled(volume.grid, factor))
    return Scan((Part(volume, thickness and thickness * factor),)).checked(name)


def _widest(grid: Grid) -> float:
    """Larger side of the slices of a grid, in its unit."""
    return float((grid.spacing_ijk * grid.shape_kji[::-1])[:2].max())


def _scaled(grid: Grid, factor: float) -> Grid:
    """A grid in another unit of length."""
    return Grid(grid.shape_kji, np.diag([factor, factor, factor, 1.0]) @ grid.ijk_to_ras)


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
    if not 0 <= skip < LONGEST_HEADER:
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
    stream = zlib.decompressobj()
    data = file.read(_CHUNK)
    while not stream.eof:
        if not data:
            raise EOFError
        yield len(stream.decompress(data, _CHUNK))
        data = stream.unconsumed_tail or file.read(_CHUNK)


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


def _mb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
