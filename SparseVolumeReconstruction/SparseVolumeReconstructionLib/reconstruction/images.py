"""The images of a result as files: each output under its own name, in one of three formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import Grid, Volume
from ..geometry.dicom_objects import check_can_write, write_map, write_segmentation
from ..geometry.dicom_source import Source
from ..geometry.dicom_writing import Study, write_series
from ..geometry.io import dicom_source, write_volume
from ..geometry.nifti import write_four_dimensions
from ..geometry.sequence import write_sequence
from .formats import DICOM

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
}


def image_names(volumes: Sequence[str], image_format: str) -> tuple[str, ...]:
    """What the files (in DICOM: the folder) of volumes and of their samples are called.

    Args:
        volumes: names of outputs.
        image_format: one of `formats.FORMATS`.
    """
    if image_format == DICOM:
        return (DICOM,)
    return (*(f"{name}.{image_format}" for name in volumes), SAMPLES[image_format])


@dataclass(frozen=True)
class Origin:
    """Where a result comes from, as its DICOM files say.

    Attributes:
        files: path and DICOM series (or None) of what it was made of.
        model, version: of what made it.
        modality: "MR" or "CT".
    """

    files: tuple[tuple[str, str | None], ...]
    model: str
    version: str
    modality: str = "MR"

    @classmethod
    def of(cls, provenance: dict[str, Any]) -> Origin:
        """That of a reconstruction, a merge of stacks or a synthesis, by its result.json."""
        request = provenance.get("request", {})
        given = [*request.get("contexts", []), *request.get("stacks", [])]
        files = [(each["path"], each.get("series")) for each in given]
        files += [(path, None) for path in request.get("inputs", {}).values()]
        model = provenance.get("prior") or provenance.get("model") or {}
        modality = "CT" if any(each.get("kind") == "radiograph" for each in given) else "MR"
        software = provenance.get("software", {})
        version = str(software.get("SparseVolumeReconstruction") or software.get("version", ""))
        digest = str(model.get("sha256", ""))[:16]
        return cls(tuple(files), model.get("id", "svr"), f"{version} {digest}".strip(), modality)

    def study(self) -> Study:
        """What its DICOM files have in common. Raises InputError for a source that cannot be read."""
        sources: list[Source] = []
        for path, series in dict.fromkeys(self.files):
            if found := dicom_source(path, series):
                sources.append(found)
        description = (
            f"Inferred from {len(self.files)} files with model {self.model} (software and SHA-256 of the "
            f"weights: {self.version}). Voxels that were not observed were inferred, not measured. Not for "
            "diagnosis."
        )
        return Study(sources, self.model, self.version, description, self.modality)


def check_format(image_format: str) -> None:
    """Raise InputError where this format cannot be written here, before anything is computed."""
    if image_format == DICOM:
        check_can_write()


def write_images(
    folder: Path,
    volumes: dict[str, Volume],
    samples: tuple[np.ndarray, Grid] | None,
    image_format: str,
    compress: bool,
    origin: Origin,
) -> None:
    """Write the images of a result into a folder.

    Args:
        folder: is there.
        volumes: by the name of the output.
        samples: (n, K, J, I), and the grid of each.
        image_format: one of `formats.FORMATS`.
        compress: smaller files, more time.
        origin: what DICOM files say of it.

    Raises:
        OSError: when they cannot be written.
        InputError: when a source cannot be read any more.
    """
    if image_format == DICOM:
        _DicomFolder(folder / DICOM, origin.study()).write(volumes, samples)
        return
    for name, volume in volumes.items():
        write_volume(volume, folder / f"{name}.{image_format}", compress)
    if samples is not None and image_format == "nrrd":
        write_sequence(*samples, folder / SAMPLES["nrrd"], compress)
    elif samples is not None:
        write_four_dimensions(*samples, folder / SAMPLES["nii.gz"])


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
