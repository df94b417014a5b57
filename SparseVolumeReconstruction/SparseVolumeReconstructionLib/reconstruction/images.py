"""The images of a result as files: each output under its own name, in one of three formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import Grid, InputError, Volume
from ..geometry.dicom_objects import check_can_write, write_map, write_segmentation
from ..geometry.dicom_writing import Study, write_series
from ..geometry.io import NOTE, dicom_source, is_own, write_volume
from ..geometry.nifti import write_four_dimensions
from ..geometry.sequence import write_sequence
from .formats import DICOM

DESCRIPTION = "Inferred; not for diagnosis"
"""What the header of an image says, and the JSON file beside it under Description."""
SAMPLES = {"nrrd": "samples.seq.nrrd", "nii.gz": "samples.nii.gz"}
_TITLES = {
    "mean": "Mean",
    "volume": "Merged volume",
    "std": "Standard deviation",
    "template": "Template",
    "atlas": "Model without slices",
    "reprojection": "Radiograph of the mean",
    "csf": "Fluid, share",
    "gm": "Grey matter, share",
    "wm": "White matter, share",
    "csf_std": "Fluid, standard deviation",
    "gm_std": "Grey matter, standard deviation",
    "wm_std": "White matter, standard deviation",
}
_MAPS = ("std", "csf", "gm", "wm", "csf_std", "gm_std", "wm_std")  # as parametric maps too
_OWN_SPACE = ("atlas", "reprojection")
_SEGMENTS = {  # label of what is 1, and of what is 0, where that is a thing of its own
    "observed": ("observed", "inferred"),
    "seen": ("seen by a slice", "inferred"),
    "brain_mask": ("brain", None),
    "template_mask": ("anatomy", None),
    "lost": ("may be missing in what was made", None),
}
IMAGES = {*_TITLES, *_SEGMENTS, "samples"}
"""Names of the images of all results."""


def image_names(volumes: Sequence[str], image_format: str) -> tuple[str, ...]:
    """What the files (in DICOM: the folder) of volumes and of their samples are called.

    Args:
        volumes: names of outputs.
        image_format: one of `formats.FORMATS`.
    """
    if image_format == DICOM:
        return (DICOM,)
    return (*(f"{name}.{image_format}" for name in volumes), SAMPLES[image_format])


def study_of(provenance: dict[str, Any]) -> Study:
    """What the DICOM files of a reconstruction, a merge of stacks or a synthesis have in common.

    Args:
        provenance: content of its result.json.

    Raises:
        InputError: for a source that cannot be read any more.
    """
    request = provenance.get("request", {})
    given = [*request.get("contexts", []), *request.get("stacks", [])]
    files = [(each["path"], each.get("series")) for each in given]
    files += [(path, None) for path in request.get("inputs", {}).values()]
    found = [dicom_source(path, series) for path, series in dict.fromkeys(files)]
    model = provenance.get("prior") or provenance.get("model") or {}
    name = model.get("id", "svr")
    software = provenance.get("software", {})
    version = str(software.get("SparseVolumeReconstruction") or software.get("version", ""))
    version = f"{version} {str(model.get('sha256', ''))[:16]}".strip()
    description = (
        f"Inferred from {len(files)} files with model {name} (software and SHA-256 of the weights: "
        f"{version}). Voxels that were not observed were inferred, not measured. Not for diagnosis."
    )
    modality = "CT" if any(each.get("kind") == "radiograph" for each in given) else "MR"
    return Study([source for source in found if source], name, version, description, modality)


def check_can_be_written(image_format: str, directory: str | Path) -> None:
    """Raise InputError where a result cannot be written in this format, before anything is computed."""
    if image_format != DICOM:
        return
    check_can_write()
    folder = Path(directory) / DICOM
    if folder.is_dir() and not is_own(folder):
        raise InputError(
            f"{folder}: holds files that this program has not made, where its own are to lie; choose another "
            "folder for the result."
        )


def write_images(
    folder: Path,
    volumes: dict[str, Volume],
    samples: tuple[np.ndarray, Grid] | None,
    image_format: str,
    compress: bool,
    provenance: dict[str, Any],
) -> None:
    """Write the images of a result into a folder.

    Args:
        folder: is there.
        volumes: by the name of the output.
        samples: (n, K, J, I), and the grid of each.
        image_format: one of `formats.FORMATS`.
        compress: smaller files, more time.
        provenance: content of result.json, of which DICOM files tell.

    Raises:
        OSError: when they cannot be written.
        InputError: when a source cannot be read any more.
    """
    if image_format == DICOM:
        _DicomFolder(folder / DICOM, study_of(provenance)).write(volumes, samples)
        return
    for name, volume in volumes.items():
        write_volume(volume, folder / f"{name}.{image_format}", compress, DESCRIPTION)
    if samples is not None and image_format == "nrrd":
        write_sequence(*samples, folder / SAMPLES["nrrd"], compress, {NOTE: DESCRIPTION})
    elif samples is not None:
        write_four_dimensions(*samples, folder / SAMPLES["nii.gz"], DESCRIPTION)


class _DicomFolder:
    """Series numbered from 9001 on, each image output in its own folder; masks and maps beside them."""

    def __init__(self, folder: Path, study: Study):
        self._folder, self._study = folder, study
        self._number = 9000
        self._on_grid: list[tuple[Volume, list[Any]]] = []

    def write(self, volumes: dict[str, Volume], samples: tuple[np.ndarray, Grid] | None) -> None:
        """Arguments as `write_images`."""
        from pydicom.uid import generate_uid

        own_space = {name: generate_uid() for name in _OWN_SPACE}
        for name in (name for name in volumes if name not in _SEGMENTS):
            self._series(volumes[name], name, _TITLES[name], own_space.get(name))
            if name in _MAPS:
                volume, images = self._on_grid[-1]
                path = self._folder / f"{name}_map.dcm"
                write_map(volume, images, _TITLES[name], path, self._study, self._next())
        if samples is not None:
            array, grid = samples
            for n, sample in enumerate(array, 1):
                self._series(Volume(sample, grid), f"samples/{n:04d}", f"Sample {n} of {len(array)}")
        for name in (name for name in volumes if name in _SEGMENTS):
            self._mask(volumes[name], name)

    def _series(self, volume: Volume, name: str, title: str, space: str | None = None) -> None:
        title = f"{title} ({self._study.model})"
        images = write_series(volume, self._folder / name, title, self._study, self._next(), space)
        self._on_grid.append((volume, images))

    def _mask(self, mask: Volume, name: str) -> None:
        """The segments of a mask, on the first series of its grid, or on one of its own."""
        if not (found := [pair for pair in self._on_grid if pair[0].grid.same_as(mask.grid)]):
            self._series(mask, f"{name}_image", name.replace("_", " ").capitalize())
            found = self._on_grid[-1:]
        volume, images = found[0]
        there, rest = _SEGMENTS[name]
        segments = {there: mask.array > 0} | ({rest: mask.array == 0} if rest else {})
        path = self._folder / f"{name}.dcm"
        write_segmentation(segments, images, volume, path, self._study, self._next())

    def _next(self) -> int:
        self._number += 1
        return self._number
