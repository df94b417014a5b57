"""NIfTI files through nibabel.

Exactly the bytes of the file that is named, with the geometry that it states, or an error.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .grid import Grid, Volume, check_axes, is_rectangular
from .plane import Plane
from .scan import Part, Scan
from .stack import Piece, pieces_of
from .units import millimetres

_STARTS = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))  # of headers
_SAME_MM = 0.1  # shear and disagreement of less are rounding
_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT


def nifti_header(path: Path, name: str):
    """The header (nibabel's, not corrected) of a NIfTI file.

    Args:
        path: of the .nii, or of the .hdr of a pair; may be packed with gzip.
        name: what to call it in messages.

    Raises:
        InputError: for a file that is none, and for Analyze.
    """
    import nibabel

    try:
        _check_packing(path, name)
        with nibabel.openers.ImageOpener(str(path)) as stream:
            start = stream.read(348)
        kind = (
            nibabel.Nifti2Header
            if int.from_bytes(start[:4], "little") == 540 or start[:4] == b"\0\0\2\x1c"
            else nibabel.Nifti1Header
        )
        if kind is nibabel.Nifti1Header and start[344:347] not in (b"n+1", b"ni1"):
            if int.from_bytes(start[:4], "little") == 348 or start[:4] == b"\0\0\1\x5c":
                raise InputError(
                    f"{name}: an Analyze file states no orientation; convert it to NIfTI with the right one."
                )
            raise ValueError("no NIfTI")
        with nibabel.openers.ImageOpener(str(path)) as stream:
            header = kind.from_fileobj(stream, check=False)
        _check_start(header, name)
        voxel_bytes(header)  # raises for a kind of voxels that there is not
        return header
    except InputError:
        raise
    except Exception as error:  # damaged files fail in many ways
        raise InputError(
            f"{name}: cannot be read as an image (damaged, or no image of the format that its name says)."
        ) from error


def _check_packing(path: Path, name: str) -> None:
    """Raise InputError where a file is packed and its name does not say so, or the other way round."""
    with open(path, "rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        plain = stream.read(4) in _STARTS
    if packed and path.suffix.lower() != ".gz":
        raise InputError(f"{name}: is packed with gzip, which its name does not say; end it with .nii.gz.")
    if plain and path.suffix.lower() == ".gz":
        raise InputError(f"{name}: is not packed with gzip, as its name says; end it with .nii.")


def _check_start(header, name: str) -> None:
    """Raise InputError where the voxels of a single file are said to begin inside its header."""
    least, stated = int(header.single_vox_offset), float(header["vox_offset"])
    if header["magic"].item().startswith(b"n+") and stated < least:
        raise InputError(
            f"{name}: damaged; its voxels begin {stated:g} bytes after the start, inside the header; "
            f"expected {least} or more."
        )


def voxel_bytes(header) -> int:
    """Bytes of the voxels that a header promises."""
    return math.prod(int(n) for n in header.get_data_shape()) * header.get_data_dtype().itemsize


def read_nifti(path: Path, name: str) -> Scan:
    """The volume of a NIfTI file, or every slice by itself.

    The latter where its slices are shifted against each other (a tilted gantry).

    Args:
        path: as in nifti_header; a JSON file beside it may state the slice thickness.
        name: what to call it in messages.

    Raises:
        InputError: for what is no scalar volume and for geometry that is missing or contradicts itself.
    """
    from nibabel.arrayproxy import ArrayProxy

    header = nifti_header(path, name)
    pieces, notices = nifti_pieces(header, sidecar_thickness(path), name)
    data = path if header["magic"].item().startswith(b"n+") else path.with_suffix(".img")
    try:
        array = (
            np.asarray(ArrayProxy(str(data), header), np.float32).reshape(_shape(header, name), order="F").T
        )
    except Exception as error:
        raise InputError(f"{name}: cannot be read as an image (damaged, or not complete).") from error
    if len(pieces) == 1:
        return Scan((Part(Volume(array, pieces[0].grid), pieces[0].thickness_mm),), notices)
    parts = (Part(Volume(array[list(each.members)], each.grid), each.thickness_mm) for each in pieces)
    return Scan(tuple(parts), notices)


def nifti_pieces(header, thickness: float | None, name: str) -> tuple[list[Piece], tuple[str, ...]]:
    """Where the slices lie by a header (nibabel's), as regular grids, and notices.

    Args:
        thickness: of a slice, in mm, where it is known.

    Raises:
        InputError: as read_nifti.
    """
    shape = _shape(header, name)
    matrix, notices = _geometry(header, name)
    if is_rectangular(matrix[:3, :3]):
        return [Piece(tuple(range(shape[2])), Grid(shape[::-1], matrix), thickness)], notices
    return _tilted(shape, matrix, thickness, name, notices)


def _shape(header, name: str) -> tuple[int, int, int]:
    """Voxels along i, j, k."""
    shape = tuple(int(n) for n in header.get_data_shape())
    if header.get_data_dtype().names or header.get_data_dtype().kind not in "iufb":
        raise InputError(f"{name}: several values per voxel (RGB, complex or vectors); expected grey values.")
    if len(shape) < 2 or any(n > 1 for n in shape[3:]):
        raise InputError(f"{name}: {len(shape)}D, {shape} voxels; expected one 3D volume or 2D slice.")
    i, j, k = (*shape[:3], 1)[:3]
    return i, j, k


def _geometry(header, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """4x4 ijk_to_ras (mm), and notices. The sform counts, and the qform where that has none."""
    unit = _unit(header, name)
    codes = {"sform": int(header["sform_code"]), "qform": int(header["qform_code"])}
    forms = {
        form: matrix
        for form, matrix in (("sform", _sform(header, unit)), ("qform", _qform(header, unit)))
        if codes[form] > 0
    }
    if not forms:
        raise InputError(
            f"{name}: states no orientation (qform_code and sform_code are 0), so where the head lies is not "
            "known; "
            "convert it again from DICOM, or set the code of the form that you know to be right."
        )
    for form, matrix in forms.items():
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
            if len(forms) == 1:
                raise InputError(
                    f"{name}: its {form} has a spacing of 0, or values that are no numbers; correct the "
                    "header."
                )
            forms = {other: m for other, m in forms.items() if other != form}
            break
    if len(forms) == 1:
        ((form, matrix),) = forms.items()
        return matrix, _other_sizes(header, unit, matrix, form)
    return _agreed(forms, codes, np.array((*header.get_data_shape(), 1, 1)[:3]), name)


def _other_sizes(header, unit: float, matrix: np.ndarray, form: str) -> tuple[str, ...]:
    """A notice where the header states other sizes of voxels than the form that is used."""
    own = np.linalg.norm(matrix[:3, :3], axis=0)
    stated = np.abs(np.asarray(header["pixdim"][1:4], float)) * unit
    told = (stated > 0) & np.isfinite(stated) & (np.array((*header.get_data_shape(), 1, 1)[:3]) > 1)
    if not is_rectangular(matrix[:3, :3]) or np.allclose(own[told], stated[told], rtol=0.01):
        return ()
    sizes = [" x ".join(f"{length:.3g}" for length in lengths) for lengths in (stated, own)]
    return (f"its pixdim says voxels of {sizes[0]} mm, its {form} {sizes[1]} mm, which is used.",)


def _unit(header, name: str) -> float:
    """Millimetres of the unit of length that the header states; 1 where it states none that there is."""
    try:
        called = header.get_xyzt_units()[0]
    except KeyError:
        return 1.0
    size = zip(header["pixdim"][1:3], header.get_data_shape()[:2], strict=True)
    return millimetres(called, max(abs(float(length)) * count for length, count in size), name)


def _sform(header, unit: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3] = [[float(x) for x in header[f"srow_{axis}"]] for axis in "xyz"]
    matrix[:3] *= unit
    return matrix


def _qform(header, unit: float) -> np.ndarray:
    """NaN where it cannot be computed."""
    if not all(0 < float(x) < math.inf for x in header["pixdim"][1:4]):
        return np.full((4, 4), np.nan)
    from nibabel.spatialimages import HeaderDataError

    try:
        matrix = header.get_qform()
    except (ValueError, HeaderDataError):  # a quaternion that is none, or a qfac that is not 1 or -1
        return np.full((4, 4), np.nan)
    matrix[:3] *= unit
    return matrix


def _agreed(
    forms: dict[str, np.ndarray], codes: dict[str, int], size: np.ndarray, name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The form that counts.

    Raises:
        InputError: where they place the image differently and neither is known to be the scanner's.
    """
    corners = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)]) * (size - 1)
    change = forms["sform"] - forms["qform"]
    apart = float(np.linalg.norm(corners @ change[:3, :3].T + change[:3, 3], axis=1).max())
    if apart <= _SAME_MM:
        return forms["sform" if is_rectangular(forms["sform"][:3, :3]) else "qform"], ()
    in_plane = float(np.abs(change[:3, [0, 1]] * size[:2]).max() + np.abs(change[:3, 3]).max())
    if in_plane <= _SAME_MM and not is_rectangular(forms["sform"][:3, :3]):
        return forms["sform"], ()  # a tilted gantry: the qform cannot say it
    if (codes["sform"] == _SCANNER) == (codes["qform"] == _SCANNER):
        raise InputError(
            f"{name}: its sform and qform place it up to {apart:.3g} mm apart, and nothing tells which is "
            "right; "
            "set the code of the wrong one to 0."
        )
    used, other = ("sform", "qform") if codes["sform"] == _SCANNER else ("qform", "sform")
    notice = (
        f"its {other} places it up to {apart:.3g} mm away from where the scanner did; the scanner's "
        f"place ({used}) is used."
    )
    return forms[used], (notice,)


def _tilted(
    shape: tuple[int, int, int],
    matrix: np.ndarray,
    thickness: float | None,
    name: str,
    notices: tuple[str, ...],
) -> tuple[list[Piece], tuple[str, ...]]:
    """Every slice (k) of a sheared volume where it lies; its own two axes must be at right angles."""
    own = matrix.copy()
    own[:3, 2] = np.cross(matrix[:3, 0], matrix[:3, 1])
    check_axes(own[:3, :3], name)
    own[:3, 2] *= np.sign(own[:3, 2] @ matrix[:3, 2])
    planes = []
    for k in range(shape[2]):
        own[:3, 3] = matrix[:3, 3] + k * matrix[:3, 2]
        planes.append(Plane(shape[1::-1], own, thickness or 0.0))
    pieces, why = pieces_of(planes)
    said = (f"{why}: it is kept as {len(pieces)} parts, at their own positions.",) if why else ()
    return pieces, (*said, *notices)


def write_four_dimensions(volumes: np.ndarray, grid: Grid, path: Path, note: str = "") -> None:
    """Write (n, K, J, I) volumes as one NIfTI file, one after the other along its fourth axis.

    Args:
        volumes: of a kind that NIfTI knows, such as float32.
        grid: of each of them, RAS mm.
        path: its suffix is .nii or .nii.gz; an existing file is overwritten.
        note: as `write_volume` takes it.
    """
    import nibabel

    image = nibabel.Nifti1Image(np.ascontiguousarray(volumes.transpose(3, 2, 1, 0)), grid.ijk_to_ras)
    image.header["descrip"] = note.encode()
    image.header.set_xyzt_units("mm")
    for place in (image.set_qform, image.set_sform):
        place(grid.ijk_to_ras, "scanner")
    nibabel.save(image, path)


def read_four_dimensions(path: Path) -> np.ndarray:
    """The (n, K, J, I) volumes that `write_four_dimensions` wrote. Raises InputError."""
    import nibabel

    try:
        return np.ascontiguousarray(np.asarray(nibabel.nifti1.load(path).dataobj).transpose(3, 2, 1, 0))
    except (OSError, EOFError, ValueError, zlib.error, nibabel.filebasedimages.ImageFileError) as error:
        raise InputError(f"{path}: cannot be read as several volumes; reconstruct again.") from error


def sidecar_thickness(path: Path) -> float | None:
    """Slice thickness in mm that the JSON file beside an image states."""
    try:
        stated = float(sidecar(path)["SliceThickness"])
    except (ValueError, KeyError, TypeError):
        return None
    return stated if 0 < stated < math.inf else None


def sidecar(path: Path) -> dict[str, Any]:
    """What the JSON file beside an image states, as BIDS and dcm2niix write it; empty without one."""
    try:
        beside = path.parent / f"{path.name.split('.nii')[0]}.json"
        text = beside.read_bytes().decode("utf-8-sig", errors="replace")  # names in it may be of any encoding
        stated = json.loads(text)
    except (OSError, ValueError):
        return {}
    return stated if isinstance(stated, dict) else {}
