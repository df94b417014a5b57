"""Reading files that nobody trusts.

The format by the name, the size by the header before anything is unpacked, no other file.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..geometry.dicom_writing import NOTICE
from ..geometry.errors import InputError
from ..geometry.files import image_suffix, read_file
from ..geometry.io import write_volume
from ..geometry.scan import Scan, SeveralSeries, read_dicom
from ..progress import Progress
from ..reconstruction.result import inferred_by

MAX_VOLUME_BYTES = 1 << 30  # of the voxels, unpacked
FORMATS = "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha) or the files of one DICOM series"
MAX_PARTS = 100
_BYTES = 4  # of a voxel in memory


class ReadRequest(BaseModel):
    """Files of one scan that nobody trusts.

    paths: where they lie. names: what each was called. name: what to call the scan. series: which DICOM
    series, by the key of a choice that was asked for. output: the folder for what is read.
    """

    model_config = ConfigDict(extra="forbid")
    paths: list[str]
    names: list[str]
    name: str
    series: str | None = None
    output: str


def read_upload(request: ReadRequest, progress: Progress) -> dict[str, Any]:
    """What uploaded files show, every part written as NRRD again.

    Or which DICOM series there are, where one has to be chosen.

    Args:
        request: the files.
        progress: told of steps, asked whether to stop.

    Returns:
        {"files": {"part-1": path, ...}, "result": {"thicknesses_mm": [number or None, ...], "notices": [text,
        ...], "title": text, "inferred": what says that this program has made it or None, "choices": [{"key",
        "description", "slices"}, ...]}}.

    Raises:
        InputError: what is no image, is damaged, is larger than MAX_VOLUME_BYTES, or names another file.
    """
    name = request.name
    folder = Path(request.output)
    files = {Path(path): called for path, called in zip(request.paths, request.names, strict=True)}
    progress.update("reading the file", 0.1)
    try:
        scan = _read(files, name, request.series)
    except SeveralSeries as several:
        progress.finish()
        return {"files": {}, "result": _said(Scan(()), None, several)}
    if len(scan.parts) > MAX_PARTS:
        raise InputError(f"{name}: {scan.notices[0]} At most {MAX_PARTS} parts are taken.")
    progress.update("checking the image", 0.7)
    written = {f"part-{n + 1}": str(folder / f"part-{n + 1}.nrrd") for n in range(len(scan.parts))}
    for path, part in zip(written.values(), scan.parts, strict=True):
        write_volume(part.volume, path, compress=False)
    progress.finish()
    return {"files": written, "result": _said(scan, _inferred_by(files, scan))}


def _said(scan: Scan, inferred: str | None, several: SeveralSeries | None = None) -> dict[str, Any]:
    return {
        "thicknesses_mm": [part.thickness_mm for part in scan.parts],
        "notices": list(scan.notices),
        "title": scan.title,
        "inferred": inferred,
        "choices": [asdict(each) for each in several.choices] if several else [],
    }


def _inferred_by(files: dict[Path, str], scan: Scan) -> str | None:
    """As `inferred_by`; of the files of several series, the one that was read counts."""
    if scan.title.endswith(NOTICE):
        return "its Series Description"
    return inferred_by(next(iter(files))) if len(files) == 1 else None


def _read(files: dict[Path, str], name: str, series: str | None) -> Scan:
    """One file of a format that holds everything, or the files of a DICOM series."""
    images = [path for path in files if image_suffix(path.name)]
    max_voxels = MAX_VOLUME_BYTES // _BYTES
    if not images:
        return read_dicom(files, name, series, max_voxels)
    if len(images) > 1 or len(files) > 1:
        raise InputError(
            f"{name}: {len(files)} files; upload one volume at a time, or all files of one DICOM series."
        )
    return read_file(images[0], name, max_voxels)
