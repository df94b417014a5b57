"""Reading files that nobody trusts: the format by the name, the size by the header before anything is unpacked, no other file."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import SimpleITK as sitk

from ..geometry.errors import InputError
from ..geometry.image import from_image
from ..geometry.io import stated_thickness, write_volume
from ..reconstruction.progress import Progress

LARGEST_VOLUME_BYTES = 1 << 30  # of the voxels, unpacked
FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd) or the files of one DICOM series"
_READERS = {".nii": "NiftiImageIO", ".nii.gz": "NiftiImageIO", ".nrrd": "NrrdImageIO"}
_SPARE_BYTES = 1 << 20  # what a file may hold besides its voxels
_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 20


def read_upload(request: dict, progress: Progress) -> dict:
    """{"files": {"volume": path}, "result": {"thickness_mm": number or None}} of one uploaded volume, written as NRRD again.

    request: {"paths": files of one volume, "name": what to call it, "output": folder}. Raises InputError for what is no image, is
    damaged, is larger than LARGEST_VOLUME_BYTES, or names another file.
    """
    paths, name = [Path(path) for path in request["paths"]], str(request["name"])
    progress.update("reading the file", 0.1)
    suffix = image_suffix(paths[0].name)
    if suffix is None:
        series = _series(paths, name)
        image, thickness = _read(series, "GDCMImageIO", name), stated_thickness(series[0])
    elif len(paths) > 1:
        raise InputError(f"{name}: {len(paths)} files; upload one volume at a time, or all files of one DICOM series.")
    else:
        _check(paths[0], suffix, name)
        image, thickness = _read(paths, _READERS[suffix], name), stated_thickness(paths[0])
    progress.update("checking the image", 0.7)
    volume = from_image(image, name)
    path = Path(request["output"]) / "volume.nrrd"
    write_volume(volume, path, compress=False)
    progress.finish()
    return {"files": {"volume": str(path)}, "result": {"thickness_mm": thickness}}


def image_suffix(name: str) -> str | None:
    """ ".nii", ".nii.gz" or ".nrrd" where a file is called so; None for any other name."""
    return next((suffix for suffix in (".nii.gz", ".nii", ".nrrd") if name.lower().endswith(suffix)), None)


def _series(paths: list[Path], name: str) -> list[Path]:
    """The files of the only DICOM series among the files, in order."""
    folder = paths[0].parent
    found = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if len(found) != 1:
        what = f"{len(found)} DICOM series; upload one at a time" if found else f"no image that can be read; expected {FORMATS}"
        raise InputError(f"{name}: {what}.")
    series = [Path(path) for path in sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), found[0])]
    reader = _header(series[0], "GDCMImageIO", name)
    _check_size([*reader.GetSize()[:2], len(series) * max([1, *reader.GetSize()[2:]])], name)
    return series


def _check(path: Path, suffix: str, name: str) -> None:
    """Raise InputError where the header names another file, a size that is too large, or not the size that the file has."""
    packed, skip = suffix.endswith(".gz"), 0
    if suffix == ".nrrd":
        fields, skip = _nrrd_fields(path, name)
        if {"data file", "datafile"} & fields.keys():
            raise InputError(f"{name}: its voxels are in another file; upload one .nrrd that holds them.")
        packed = fields.get("encoding", "raw").lower() in ("gzip", "gz")
        if not packed and fields.get("encoding", "raw").lower() != "raw":
            raise InputError(f"{name}: encoding {fields['encoding'][:20]}; expected raw or gzip.")
    reader = _header(path, _READERS[suffix], name)
    wanted = _check_size(reader.GetSize(), name) * _bytes_per_voxel(reader, name)
    there = _unpacked_bytes(path, skip, packed, wanted + _SPARE_BYTES + 1, name)
    if there < wanted:
        raise InputError(f"{name}: damaged or not complete; its header says {_mb(wanted)} of voxels, the file holds {_mb(there)}.")
    if there > wanted + _SPARE_BYTES:
        raise InputError(f"{name}: its header says {_mb(wanted)} of voxels, but the file unpacks to more; it is not read.")


def _header(path: Path, reader_name: str, name: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{name}: this is no image of the format that its name says; expected {FORMATS}.") from error
    return reader


def _read(paths: list[Path], reader_name: str, name: str) -> sitk.Image:
    """The image of one file, or of the files of a series."""
    try:
        return sitk.ReadImage(str(paths[0]) if len(paths) == 1 else [str(path) for path in paths], imageIO=reader_name)
    except RuntimeError as error:
        raise InputError(f"{name}: cannot be read as an image (damaged, or a kind of this format that is not known).") from error


def _check_size(size, name: str) -> int:
    """Number of voxels. Raises InputError where there are none or too many (4 bytes each)."""
    voxels = 1
    for length in size:
        voxels *= int(length)
    if not 0 < 4 * voxels <= LARGEST_VOLUME_BYTES:
        lengths = " x ".join(str(n) for n in size)
        raise InputError(
            f"{name}: {lengths} voxels are {_mb(4 * voxels)}; at most {_mb(LARGEST_VOLUME_BYTES)} are read. Crop or resample it first."
        )
    return voxels


def _bytes_per_voxel(reader: sitk.ImageFileReader, name: str) -> int:
    if reader.GetNumberOfComponents() != 1:
        raise InputError(f"{name}: {reader.GetNumberOfComponents()} values per voxel (RGB or vectors); expected grey values.")
    return _SIZES.get(reader.GetPixelID(), 1)


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


def _nrrd_fields(path: Path, name: str) -> tuple[dict[str, str], int]:
    """The fields of an NRRD header, and where the voxels begin (bytes)."""
    with open(path, "rb") as file:
        start = file.read(_LONGEST_HEADER)
    end = min((at + len(gap) for gap in (b"\n\n", b"\r\n\r\n") if (at := start.find(gap)) >= 0), default=None)
    if not start.startswith(b"NRRD") or end is None:
        raise InputError(f"{name}: this is no image of the format that its name says; expected {FORMATS}.")
    lines = [line.split(":", 1) for line in start[:end].decode("latin-1").splitlines() if ":" in line and not line.startswith("#")]
    return {key.strip().lower(): value.strip() for key, value in lines}, end


def _unpacked_bytes(path: Path, skip: int, packed: bool, most: int, name: str) -> int:
    """Bytes after the first `skip`, unpacked; counting ends at `most`, so that nothing can expand without limit."""
    if not packed:
        return path.stat().st_size - skip
    count = 0
    with open(path, "rb") as file:
        file.seek(skip)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                while count < most and (part := unpacked.read(_CHUNK)):
                    count += len(part)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{name}: damaged or not complete; its packed voxels end after {_mb(count)}.") from error
    return count


def _mb(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
