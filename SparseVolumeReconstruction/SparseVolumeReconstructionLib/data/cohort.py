"""Cohorts: folders of volumes, read and normalised alike, and registered to one reference; what does not
belong is left out.
"""

from __future__ import annotations

import fnmatch
import hashlib
import multiprocessing
import os
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_fill_holes

from ..folders import cache_folder
from ..geometry import Grid, InputError, Volume
from ..geometry.io import read_volume, write_atomically
from ..geometry.resample import resample
from ..progress import Progress
from .bids import contrast_of
from .registration import register_affine

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
LABEL_FILES = ("*dlmuse*", "*dseg*", "*_seg*", "*label*", "*mask*")
FOREGROUND = 0.02
_EXPECTED = ("label file", "not ")  # how reasons begin to skip a file about which nobody needs to be told
_MIN_GREYS = 5  # fewer different values in the foreground: a mask or a label map
_MIN_TO_COMPARE, _DEVIATIONS, _MIN_GAP, _OTHER_SIZE = 5, 6.0, 0.12, 0.5  # see `_outliers`


@dataclass(frozen=True)
class Cohort:
    """Volumes of a folder by subject name. skipped: {file name: why} of those that are none or cannot be
    used. labels: label maps of the subjects that still show other tissue, which is removed: what is 0 there.
    """

    files: dict[str, Path]
    skipped: dict[str, str] = field(default_factory=dict)
    labels: dict[str, Path] = field(default_factory=dict)

    def volume(self, name: str) -> Volume:
        """The normalised volume of one subject. Raises InputError when the file cannot be used."""
        return _read(self.files[name], self.labels.get(name))

    @property
    def unusable(self) -> dict[str, str]:
        """What of `skipped` somebody should know: not the label files and other modalities that belong to any
        cohort.
        """
        return {name: why for name, why in self.skipped.items() if not why.startswith(_EXPECTED)}

    def warn(self, progress: Progress) -> None:
        """Tell which files were left out and why, and how many they are."""
        for number, (name, why) in enumerate(self.unusable.items(), 1):
            progress.warn(f"{name} was left out ({number} of {len(self.unusable)}): {why}")

    def registered(
        self,
        reference: Volume,
        names: list[str] | None = None,
        on_step: Callable[[str, float], None] = lambda step, fraction: None,
    ) -> dict[str, np.ndarray]:
        """4x4 RAS-to-RAS matrix from points of `reference` to points of each subject (affine, from the whole
        volume).

        names: of all subjects if None. on_step: called with a text and the fraction done; may raise to
        cancel. Matrices are kept in `cache_folder()` under a digest of
        both contents; the missing ones are found in parallel processes of one thread each, so that they are
        reproducible. Files that cannot be used, and those that do not look like the others once registered,
        are left out and added to `skipped`.
        """
        folder = cache_folder()
        names = list(self.files) if names is None else names
        digests = {n: _digest(reference, self.files[n], self.labels.get(n)) for n in names}
        paths = {name: folder / f"registered-{digest}.npz" for name, digest in digests.items()}
        missing = [name for name in names if not paths[name].exists()]
        if missing:
            self._register(missing, paths, reference, on_step)
        found = {name: np.load(path) for name, path in paths.items() if path.exists()}
        matrices = {name: each["matrix"] for name, each in found.items()}
        for name, why in _outliers(
            matrices, {name: float(each["fit"]) for name, each in found.items()}
        ).items():
            self.skipped[self.files[name].name] = why
            del matrices[name]
        return matrices

    def _register(self, missing: list[str], paths: dict[str, Path], reference: Volume, on_step) -> None:
        """Register the missing subjects in parallel and keep each result as soon as it is there."""
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(os.cpu_count() or 1, len(missing)), mp_context=context) as pool:
            jobs = [
                pool.submit(_register_file, reference, self.files[n], self.labels.get(n)) for n in missing
            ]
            try:
                for done, (name, job) in enumerate(zip(missing, jobs, strict=True)):
                    on_step(f"registering {name}", done / len(jobs))
                    try:
                        found = job.result()
                    except InputError as error:
                        self.skipped[self.files[name].name] = str(error)
                        continue
                    write_atomically(paths[name], lambda temporary, found=found: np.savez(temporary, **found))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def subject_name(file: str | Path) -> str:
    """File name without folder and suffix."""
    name = Path(file).name
    return next((name[: -len(s)] for s in SUFFIXES if name.lower().endswith(s)), name)


def list_cohort(folder: str | Path, *, skip: tuple[str, ...] = LABEL_FILES, modality: str = "") -> Cohort:
    """Volumes (NIfTI, NRRD, MHA) of a folder, or of the folders sub-*/anat of a BIDS data set, in the order
    of their names.

    skip: patterns of label files. modality: where names tell it ("_T1w", "_T2w", "_FLAIR"), files of another
    modality than the one this text mentions are skipped. Raises InputError when nothing is left.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of volumes (NIfTI, NRRD, MHA).")
    wanted = re.search(r"t1|t2|flair", modality.lower())
    files, skipped = {}, {}
    for file in [*_images(folder), *(file for anat in _bids_folders(folder) for file in _images(anat))]:
        contrast = contrast_of(subject_name(file))
        if any(fnmatch.fnmatch(file.name.lower(), pattern) for pattern in skip):
            skipped[file.name] = "label file"
        elif contrast and wanted and contrast != wanted[0]:
            skipped[file.name] = f"not {modality}"
        elif subject_name(file) in files:
            skipped[file.name] = f"same subject as {files[subject_name(file)].name}"
        elif not file.exists():
            skipped[file.name] = "a link to a file that is not there; fetch it first"
        else:
            files[subject_name(file)] = file
    if not files:
        raise InputError(
            f"{folder}: holds no volume; expected NIfTI, NRRD or MHA files of whole volumes ({len(skipped)} "
            "files skipped)."
        )
    return Cohort(files, skipped)


def _images(folder: Path) -> list[Path]:
    """Files of a folder that are called like volumes, links to what is not there included."""
    return sorted(
        file for file in folder.iterdir() if file.name.lower().endswith(SUFFIXES) and not file.is_dir()
    )


def _bids_folders(folder: Path) -> list[Path]:
    """The folders of anatomical images of a BIDS data set: sub-*/anat and sub-*/ses-*/anat."""
    return sorted(
        anat
        for pattern in ("sub-*/anat", "sub-*/ses-*/anat")
        for anat in folder.glob(pattern)
        if anat.is_dir()
    )


def labels_beside(file: Path, word: str) -> Path | None:
    """The label map of a volume, "sub-01_dlmuse.nii.gz" of "sub-01_T1w.nii.gz" for "dlmuse"; None without."""
    name = subject_name(file)
    stem = name.rsplit("_", 1)[0] if contrast_of(name) else name
    found = (file.with_name(f"{stem}_{word}{suffix}") for suffix in SUFFIXES)
    return next((path for path in found if path.is_file()), None)


def normalised(volume: Volume, name: str = "volume") -> Volume:
    """Intensities divided by the 99.9th percentile of the foreground (> 0) and clipped to [0, 1].

    Raises InputError when voxels are not finite, there is no foreground, or it is a mask rather than an
    image.
    """
    array = volume.array
    if not np.isfinite(array).all():
        raise InputError(f"{name}: voxels are NaN or infinite; clean the volume first.")
    foreground = array[array > 0]
    if min(array.shape) < 2 or len(foreground) < 100 or np.ptp(array) == 0:
        raise InputError(f"{name}: empty, constant or flat; expected a volume with a background of 0.")
    if len(greys := np.unique(foreground)) < _MIN_GREYS:
        raise InputError(
            f"{name}: only {len(greys)} different values above 0; a mask or label map, expected an image."
        )
    return Volume(np.clip(array / np.percentile(foreground, 99.9), 0.0, 1.0).astype(np.float32), volume.grid)


def brain_mask(array: np.ndarray) -> np.ndarray:
    """Foreground (above 2 % of the range) with the holes of every slice filled, (K, J, I) bool."""
    return np.stack([binary_fill_holes(plane) for plane in np.asarray(array) > FOREGROUND])


def on_grid(volume: Volume, grid: Grid, matrix: np.ndarray) -> np.ndarray:
    """A volume on the registered frame's grid, (K, J, I) float32 in [0, 1]; `matrix` as `Cohort.registered`
    gives it.
    """
    return np.clip(resample(volume, grid, matrix).array, 0.0, 1.0)


def _read(file: Path, labels: Path | None) -> Volume:
    """The normalised volume of a file, 0 where the label map (if any) is 0. Raises InputError."""
    volume = read_volume(file)
    if labels is not None:
        inside = resample(read_volume(labels), volume.grid, labels=True).array > 0
        volume = Volume(np.where(inside, volume.array, 0), volume.grid)
    return normalised(volume, file.name)


def _digest(reference: Volume, file: Path, labels: Path | None) -> str:
    """Digest of everything a registration depends on."""
    digest = hashlib.sha256(np.ascontiguousarray(reference.array, np.float32))
    digest.update(reference.grid.ijk_to_ras.tobytes() + str(reference.grid.shape_kji).encode())
    digest.update(file.read_bytes())
    if labels is not None:
        digest.update(labels.read_bytes())
    return digest.hexdigest()


def _register_file(reference: Volume, file: Path, labels: Path | None) -> dict[str, np.ndarray]:
    """The matrix, and as `fit` the correlation with the reference under it, where either shows anything.

    Runs in its own process; one thread makes it reproducible.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    volume = _read(file, labels)
    matrix = register_affine(reference, volume)
    aligned = on_grid(volume, reference.grid, matrix)
    shown = (reference.array > FOREGROUND) | (aligned > FOREGROUND)
    return {"matrix": matrix, "fit": np.corrcoef(reference.array[shown], aligned[shown])[0, 1]}


def _outliers(matrices: dict[str, np.ndarray], fits: dict[str, float]) -> dict[str, str]:
    """Subjects that do not look like the others of their cohort (turned, damaged, another body or unit), with
    the reason.

    matrices: as `Cohort.registered` returns them. fits: correlation with the reference. Only where there are
    enough to compare.
    """
    if len(matrices) < _MIN_TO_COMPARE:
        return {}
    sizes = {name: np.log(np.abs(np.linalg.det(matrix[:3, :3]))) / 3 for name, matrix in matrices.items()}
    usual, typical = np.median([*fits.values()]), np.median([*sizes.values()])
    spread = 1.4826 * np.median([abs(fit - usual) for fit in fits.values()])
    least, found = usual - max(_DEVIATIONS * spread, _MIN_GAP), {}
    for name, fit in fits.items():
        if not fit >= least:
            found[name] = (
                f"does not look like the others (correlation with the reference {fit:.2f}, theirs "
                f"{usual:.2f}): "
                "damaged, turned, or not registered"
            )
        elif abs(sizes[name] - typical) > _OTHER_SIZE:
            found[name] = (
                f"{np.exp(sizes[name] - typical):.2f} times as large as the others; check its unit of length"
            )
    return found
