"""The result: volumes with geometry, the frame, the provenance of every voxel; and its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import InputError, Volume
from ..geometry.io import (
    NOTE,
    dicom_source,
    read_affine,
    read_volume,
    stated_texts,
    write_affine,
    written_whole,
)
from ..geometry.nifti import read_four_dimensions, sidecar
from ..geometry.sequence import read_sequence
from .formats import DICOM, FORMATS
from .images import DESCRIPTION, IMAGES, SAMPLES, image_names, write_images

ATTRIBUTE = "SparseVolumeReconstruction."
"""Begins the names of attributes of result nodes; 3D Slicer writes them into the header of a NRRD file."""
VOLUMES = ("mean", "std", "observed", "brain_mask", "template", "template_mask", "atlas", "reprojection")
TISSUE_VOLUMES = ("csf", "csf_std", "gm", "gm_std", "wm", "wm_std")
MASKS = ("observed", "brain_mask", "template_mask")


def file_names(image_format: str = "nrrd") -> tuple[str, ...]:
    """What the files of a result are called, images as one of FORMATS."""
    return (*image_names((*VOLUMES, *TISSUE_VOLUMES), image_format), "frame.h5", "result.json")


ALL_FILES = {name for each in FORMATS for name in file_names(each)}


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """One result in patient space and patient intensity units; None is what was not asked for.

    patient_to_canonical: 4x4 RAS mm. provenance: JSON-ready dict. mean, std: float32. observed: uint8 on the
    same grid, 1 where a voxel was observed, 0 where it was inferred; there with mean, std or samples.
    samples: (n, K, J, I) float32 on that grid. template: float32, isotropic, for slice-to-volume
    reconstruction; template_mask: uint8, its anatomy. brain_mask: uint8 on the same grid as mean, where the
    slices show whole heads. atlas: float32, the prior without slices on the
    canonical grid. reprojection: float32, transparency that the mean gives on the detector of the first
    radiograph, (1, rows, columns). tissues: float32 in [0, 1] on the grid of the mean, by TISSUE_VOLUMES:
    share of fluid, grey and white matter in every voxel, and their standard deviations.
    """

    patient_to_canonical: np.ndarray
    provenance: dict[str, Any] = field(default_factory=dict)
    mean: Volume | None = None
    std: Volume | None = None
    observed: Volume | None = None
    samples: np.ndarray | None = None
    template: Volume | None = None
    template_mask: Volume | None = None
    brain_mask: Volume | None = None
    atlas: Volume | None = None
    reprojection: Volume | None = None
    tissues: dict[str, Volume] = field(default_factory=dict)

    @classmethod
    def of(
        cls, made: dict[str, Any], patient_to_canonical: np.ndarray, provenance: dict[str, Any]
    ) -> Reconstruction:
        """What of `made` belongs to a result; its provenance names the volumes that it has.

        Args:
            made: values of the table of outputs, by name.
            patient_to_canonical: 4x4 RAS mm.
            provenance: JSON-ready dict.
        """
        there = [name for name in VOLUMES if made.get(name) is not None]
        volumes = {name: made.get(name) for name in (*VOLUMES, "samples")}
        tissues = made.get("tissues", {})
        return cls(patient_to_canonical, provenance | {"volumes": there}, tissues=tissues, **volumes)


def write_result(
    result: Reconstruction, directory: str | Path, compress: bool = True, image_format: str = "nrrd"
) -> dict[str, str]:
    """Write all files of a result into `directory`, all or none; returns {name: path}.

    Those of an older result, in whatever format, are removed.

    Args:
        compress: smaller files, more time.
        image_format: one of FORMATS; NIfTI is always compressed.

    Raises:
        InputError: the folder cannot be written or the disk is full.
    """
    with written_whole(directory, ALL_FILES) as folder:
        _write_files(result, folder, compress, image_format)
    directory = Path(directory)
    return {name: str(directory / name) for name in file_names(image_format) if (directory / name).exists()}


def _write_files(result: Reconstruction, folder: Path, compress: bool, image_format: str) -> None:
    """All files of a result into an empty folder. Raises OSError."""
    made = {name: getattr(result, name) for name in VOLUMES}
    volumes = {name: volume for name, volume in made.items() if volume is not None} | result.tissues
    samples = None
    if result.samples is not None and result.observed is not None:
        samples = result.samples, result.observed.grid
    write_images(folder, volumes, samples, image_format, compress, result.provenance)
    write_affine(result.patient_to_canonical, folder / "frame.h5")
    (folder / "result.json").write_text(json.dumps(result.provenance, indent=2, sort_keys=True) + "\n")


def inferred_by(path: Path, series: str | None = None) -> str | None:
    """What says that this program has made a file, or the DICOM files of a folder; None where nothing does.

    Args:
        path: of the file or folder.
        series: of DICOM, as in `read_scan`.

    Raises:
        InputError: for DICOM files that cannot be read.
    """
    if path.name.split(".")[0] in IMAGES and (path.parent / "result.json").is_file() and path.is_file():
        return "result.json beside it"
    if ".nii" in path.name and sidecar(path).get("Description") == DESCRIPTION:
        return "the JSON file beside it"
    texts = stated_texts(path) if path.is_file() else {}
    if texts.get(NOTE) == DESCRIPTION or f"{ATTRIBUTE}Role" in texts:
        return "its header"
    source = dicom_source(path, series)
    return "Derivation Description in its header" if source and source.is_own else None


def read_result(directory: str | Path) -> Reconstruction:
    """What `write_result` wrote into a folder, in whichever format, of this version or an earlier one.

    Raises:
        InputError: where a file is missing or damaged.
    """
    directory = Path(directory)
    path = directory / "result.json"
    try:
        provenance = json.loads(path.read_text(encoding="utf-8"))
        request = provenance["request"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: cannot be read; reconstruct again.") from error
    image_format = request.get("format", "nrrd")
    if image_format == DICOM:
        raise InputError(f"{directory}: is a result in DICOM, to be read as such; or reconstruct as nrrd.")
    made: dict[str, Any] = {}
    wanted = provenance.get("volumes", _written_by_request(request))
    for name in [name for name in VOLUMES if name in wanted]:
        volume = read_volume(directory / f"{name}.{image_format}")
        made[name] = Volume(volume.array.astype(np.uint8), volume.grid) if name in MASKS else volume
    if "tissues" in request.get("outputs", []):
        made["tissues"] = {n: read_volume(directory / f"{n}.{image_format}") for n in TISSUE_VOLUMES}
    if request.get("samples"):
        samples = directory / SAMPLES[image_format]
        made["samples"] = read_sequence(samples) if image_format == "nrrd" else read_four_dimensions(samples)
    return Reconstruction.of(made, read_affine(directory / "frame.h5"), provenance)


def _written_by_request(request: dict[str, Any]) -> set[str]:
    """The volumes of a result that does not name them, as those of 0.1.0 do not: what was asked for."""
    outputs = request.get("outputs", [])
    there = {*outputs, *(["template_mask"] if "template" in outputs else [])}
    if request.get("samples") or {"mean", "std", "tissues"} & there:
        there.add("observed")
    return there
