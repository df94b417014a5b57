"""Volumes and slices from and to files: NIfTI, NRRD, MHA, DICOM files and folders."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .dicom import DIRECTORY, is_dicom, read_header, stated_thickness_of_file
from .dicom_source import Source
from .errors import FileWarning, InputError, file_errors
from .files import read_file
from .files import stated_grids as files_grids
from .grid import Grid, Volume
from .image import LPS, to_image
from .nifti import nifti_header, sidecar_thickness
from .scan import Scan, dicom_grids, read_dicom, series_source
from .staging import staging
from .text_headers import META, NRRD, free_texts, nrrd_thickness

NOTE = "ITK_FileNotes"
"""What ITK calls the free text of a header: a key of NRRD and MetaImage, `descrip` of NIfTI."""
_POINTERS = {b"annex/objects/": "datalad get", b"version https://git-lfs": "git lfs pull"}
_LONGEST_POINTER = 1024
_UNFINISHED = '{"unfinished": "The run that writes into this folder has not ended, or was killed."}\n'


def read_scan(path: str | Path, series: str | None = None) -> Scan:
    """Read what a file shows, or the DICOM series in a folder.

    One volume where its slices are a regular grid, else several.

    Args:
        path: of a file, or of the folder of a series.
        series: which DICOM series, by the key that SeveralSeries lists.

    Raises:
        InputError: for what cannot be read, and for more than one series where none is chosen.
    """
    path = Path(path)
    if not os.path.exists(path):  # Path.exists raises for names that are too long
        raise InputError(f"{path}: no such file or folder.")
    if not path.is_dir() and not path.is_file():
        raise InputError(f"{path}: a pipe or device; write it to a file first.")
    _check_is_there(path)
    if path.is_dir() or is_dicom(path):
        return read_dicom(_files_of(path), str(path), series)
    return read_file(path, str(path))


def dicom_source(path: str | Path, series: str | None = None) -> Source | None:
    """What the files of a DICOM series say of patient and study; None for files of other formats.

    Args:
        path: of a file, or of the folder of a series.
        series: as in read_scan.

    Raises:
        InputError: as read_scan.
    """
    path = Path(path)
    if not path.is_dir() and not (path.is_file() and is_dicom(path)):
        return None
    return series_source(_files_of(path), str(path), series)


def _check_is_there(path: Path) -> None:
    """Raise InputError for a text that stands for a file that was not fetched."""
    if path.is_file() and path.stat().st_size < _LONGEST_POINTER:
        with open(path, "rb") as stream:
            start = stream.read(_LONGEST_POINTER)
        if fetch := next((how for words, how in _POINTERS.items() if words in start), None):
            raise InputError(f"{path}: only says where the file is; fetch it first ({fetch}).")


def _files_of(path: Path) -> dict[Path, str]:
    """The files that may make a series, with what to call each.

    Those in a folder, or, where there is no DICOM image among them, all below it: an export such as
    DICOM/ST000/SE000/IM0000, with or without a DICOMDIR.
    """
    if not path.is_dir():
        return {path: path.name}
    files = [file for file in sorted(path.iterdir()) if file.is_file()]
    if not any(is_dicom(file) and file.name.upper() != DIRECTORY for file in files):
        files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file: file.relative_to(path).as_posix() for file in files}


def _as_python_warning(text: str) -> None:
    warnings.warn(text, FileWarning, stacklevel=3)


def read_volume(
    path: str | Path, series: str | None = None, *, warn: Callable[[str], None] = _as_python_warning
) -> Volume:
    """Read one scalar volume or 2D slice; a folder is read as one DICOM series.

    Args:
        path: of a file, or of the folder of a series.
        series: as in read_scan.
        warn: called with each notice about the file, one line that names it.

    Raises:
        InputError: also for what is no one volume.
    """
    scan = read_scan(path, series)
    if len(scan.parts) > 1:
        raise InputError(f"{path}: {scan.notices[0]} One volume is expected here.")
    for notice in scan.notices:
        warn(f"{path}: {notice}")
    return scan.parts[0].volume


def stated_thickness(path: str | Path) -> float | None:
    """Slice thickness in mm (along the third axis) that a file states, or the JSON file beside it.

    Of a DICOM file, an NRRD header or a NIfTI file. None where none is stated, and for other formats.

    Raises:
        InputError: for a file that cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    if is_dicom(path):
        return stated_thickness_of_file(path)
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return sidecar_thickness(path)
    return nrrd_thickness(path) if path.suffix.lower() in NRRD else None


def stated_grids(files: Sequence[Path]) -> tuple[list[Grid], tuple[str, ...]]:
    """Where the slices of one file, or of the DICOM files of one series, lie by their headers, and notices.

    Regular grids, several where they are not one; none where the headers alone do not tell.

    Raises:
        InputError: for geometry that is missing or contradicts itself, as read_scan.
    """
    first = files[0]
    return dicom_grids(files) if is_dicom(first) else files_grids(first, first.name)


def write_atomically(path: str | Path, write) -> None:
    """Call `write(temporary_path)` beside `path`, then rename; on any error nothing is left behind.

    Args:
        path: is replaced where it exists; its folder must exist.
        write: called with the temporary path, a str, that ends with the name of `path`.
    """
    path = Path(path)
    with staging(path) as folder:
        write(str(folder / path.name))
        os.replace(folder / path.name, path)


@contextmanager
def written_whole(directory: str | Path, names: Collection[str], told: str = "result.json") -> Iterator[Path]:
    """A temporary folder whose files are moved into `directory` at the end: all of them, or none.

    A process that is killed leaves no folder, the older result, or files beside a `told` that is none: until
    all are there, it says that they are not, so that images beside it are never taken for observed ones.

    Args:
        directory: is made where it is not there.
        names: what files and folders of a result may be called; those of an older one that are not written
            are removed, folders where `is_own` says so.
        told: the JSON file that says what the others are.

    Raises:
        InputError: the folder cannot be written or the disk is full.
    """
    directory = Path(directory)
    with file_errors(f"{directory}: the result could not be written"):
        directory.parent.mkdir(parents=True, exist_ok=True)
        with staging(directory) as folder:
            made = folder / "made"
            made.mkdir()
            yield made
            if directory.exists():
                _move_into(directory, made, names, told)
            else:
                os.rename(made, directory)


def _move_into(directory: Path, made: Path, names: Collection[str], told: str) -> None:
    """Move what was made into a folder that is there, and remove what else of `names` it holds."""
    (made.parent / told).write_text(_UNFINISHED, encoding="utf-8")
    os.replace(made.parent / told, directory / told)
    for name in sorted(names, key=told.__eq__):  # told last
        old = directory / name
        if old.is_dir() and is_own(old):
            os.replace(old, made.parent / f"old-{name}")
        if (made / name).exists():
            os.replace(made / name, old)
        elif not old.is_dir():
            old.unlink(missing_ok=True)


def is_own(folder: Path) -> bool:
    """Whether all that a folder holds are DICOM files that this program has made."""
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    headers = (read_header(file, file.name) for file in files)
    return all(header and Source(header, ()).is_own for header in headers)


def write_volume(volume: Volume, path: str | Path, compress: bool = True, note: str = "") -> None:
    """Write a volume (format from the suffix) atomically.

    Args:
        volume: RAS mm; the file states its geometry.
        path: its suffix is one that ITK can write.
        compress: where the format can.
        note: of at most 79 letters, which the header says; `stated_texts` finds it under NOTE.

    Raises:
        OSError: when it cannot.
    """
    image = to_image(volume)
    if note:
        image.SetMetaData(NOTE, note)
    _write_with_itk(path, lambda temporary: sitk.WriteImage(image, temporary, useCompression=compress))


def stated_texts(path: Path) -> dict[str, str]:
    """Free texts in the header of an image file, by their keys; of NIfTI its description, under NOTE.

    None of other files. ITK is not asked: this is looked at before anybody has checked the header.
    """
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            description = nifti_header(path, path.name)["descrip"].item()
            return {NOTE: description.partition(b"\0")[0].decode("latin-1")}
        return free_texts(path) if path.suffix.lower() in (*NRRD, *META) else {}
    except (InputError, OSError):  # who reads the voxels says so
        return {}


def _write_with_itk(path: str | Path, write) -> None:
    """`write_atomically`, with ITK's errors as OSError."""
    try:
        write_atomically(path, write)
    except RuntimeError as error:
        raise OSError(f"{path}: could not be written ({str(error).strip().splitlines()[-1]})") from error


def read_affine(path: str | Path) -> np.ndarray:
    """4x4 RAS-to-RAS matrix of an affine transform file (.h5, .tfm, .txt). Raises InputError.

    The file maps patient to canonical points, stored in LPS as ITK does.
    """
    if not Path(path).exists():
        raise InputError(f"{path}: no such transform file.")
    try:
        transform = sitk.ReadTransform(str(path))
        flat = sitk.CompositeTransform([transform])
        corners = np.vstack([np.zeros(3), np.eye(3) * 100.0])
        mapped = np.array([flat.TransformPoint(p.tolist()) for p in corners])
        if not transform.IsLinear():
            raise InputError(
                f"{path}: not an affine transform; expected a matrix from patient to canonical space."
            )
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as a transform (.h5, .tfm, .txt).") from error
    matrix = np.eye(4)
    matrix[:3, :3] = (mapped[1:] - mapped[0]).T / 100.0
    matrix[:3, 3] = mapped[0]
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise InputError(f"{path}: the transform is singular.")
    return LPS @ matrix @ LPS


def affine_transform(matrix_ras: np.ndarray) -> sitk.AffineTransform:
    """SimpleITK (LPS) transform of a 4x4 RAS-to-RAS matrix in mm."""
    lps = LPS @ matrix_ras @ LPS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def write_affine(matrix_ras: np.ndarray, path: str | Path) -> None:
    """Write a 4x4 RAS-to-RAS matrix as an ITK affine transform (LPS in the file), atomically.

    Args:
        matrix_ras: mm to mm.
        path: its suffix is one that ITK can write, such as .tfm.

    Raises:
        OSError: when it cannot.
    """
    _write_with_itk(path, lambda temporary: sitk.WriteTransform(affine_transform(matrix_ras), temporary))


def write_text(text: str, path: str | Path) -> None:
    """Write a text file (UTF-8) atomically.

    Args:
        path: is replaced where it exists; its folder must exist.

    Raises:
        InputError: when it cannot be written.
    """
    with file_errors(f"{path}: could not be written"):
        write_atomically(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))
