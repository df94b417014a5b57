"""Cohorts: folders of volumes, read and normalised alike, and registered to one reference.

What does not belong is left out.
"""

from __future__ import annotations

import fnmatch
import hashlib
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import binary_fill_holes

from ..folders import cache_folder
from ..geometry import InputError, Volume
from ..geometry.io import read_volume, stated_grids, write_atomically
from ..geometry.resample import resample
from ..progress import Progress
from .bids import WRITTEN, contrast_in, contrast_of, without_contrast
from .likeness import FOREGROUND, Likeness, register_subject, unlike_others

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
LABEL_FILES = ("*dlmuse*", "*dseg*", "*_seg*", "*label*", "*mask*")
_EXPECTED = ("label file", "not ")  # how reasons begin to skip a file about which nobody needs to be told
_MIN_GREYS = 5  # fewer different values in the foreground: a mask or a label map


@dataclass(frozen=True)
class Cohort:
    """Volumes of a folder by subject name.

    skipped: {file name: why} of those that are none or cannot be used. labels: label maps of the subjects
    that still show other tissue, which is removed: what is 0 there. contrast: of all volumes ("flair", as
    `bids.contrast_of` calls it) where it is stated. other: whether it is not that of the reference.
    """

    files: dict[str, Path]
    skipped: dict[str, str] = field(default_factory=dict)
    labels: dict[str, Path] = field(default_factory=dict)
    contrast: str | None = None
    other: bool = False

    def volume(self, name: str) -> Volume:
        """The normalised volume of one subject. Raises InputError when the file cannot be used."""
        return _read(self.files[name], self.labels.get(name))

    def as_scanned(self, name: str) -> Volume:
        """The same with all that its label map removes, in the same units; tissue may be above 1."""
        scan = read_volume(self.files[name], warn=told_by_cohort)
        inside = _stripped(scan, self.labels[name]).array
        return Volume((scan.array / _bright(inside[inside > 0])).astype(np.float32), scan.grid)

    def stripped_by(self, word: str) -> Cohort:
        """Whole heads with the label maps beside them; who has none is skipped.

        Args:
            word: ends the names of the label maps, see `labels_beside`.

        Raises:
            InputError: nobody has one.
        """
        found = {name: labels_beside(file, word) for name, file in self.files.items()}
        labels = {name: own for name, own in found.items() if own}
        without = [file for name, file in self.files.items() if name not in labels]
        if not labels:
            raise InputError(
                f"no volume has a label map called SUBJECT_{word} beside it, for instance {without[0].name}; "
                "expected one for each head that is to be stripped."
            )
        skipped = {file.name: f"no label map ({word}) beside it" for file in without}
        files = {name: self.files[name] for name in labels}
        return replace(self, files=files, skipped=self.skipped | skipped, labels=labels)

    @property
    def unusable(self) -> dict[str, str]:
        """What of `skipped` somebody should know.

        Not the label files and other modalities that belong to any cohort.
        """
        return {name: why for name, why in self.skipped.items() if not why.startswith(_EXPECTED)}

    @property
    def notices(self) -> dict[str, tuple[str, ...]]:
        """{file name: what is not as usual in it, though it is used}; label maps included."""
        used = [*self.files.values(), *self.labels.values()]
        found = {file.name: _notices(file) for file in used if file.name not in self.skipped}
        return {name: notices for name, notices in found.items() if notices}

    def warn(self, progress: Progress) -> None:
        """Tell which files were left out and why, and how many they are, and what is odd about the others."""
        for number, (name, why) in enumerate(self.unusable.items(), 1):
            progress.warn(f"{name} was left out ({number} of {len(self.unusable)}): {why}")
        for name, notices in self.notices.items():
            for notice in notices:
                progress.warn(f"{name}: {notice}")

    def registered(
        self,
        reference: Volume,
        names: list[str] | None = None,
        on_step: Callable[[str, float], None] = lambda step, fraction: None,
    ) -> dict[str, np.ndarray]:
        """4x4 RAS-to-RAS matrix from points of `reference` to points of each subject.

        It is affine, and found from the whole volume. Matrices are kept in `cache_folder()` under a digest of
        both contents; the missing ones are found in parallel processes of one thread each, so that they are
        reproducible. Files that cannot be used, and those that do not look like the others once registered,
        are left out and added to `skipped`.

        Args:
            reference: [0, 1], background 0.
            names: of all subjects if None.
            on_step: called with a text and the fraction done; may raise to cancel.

        Returns:
            {name: matrix (mm)} of those that are not left out.
        """
        folder = cache_folder()
        names = list(self.files) if names is None else names
        digests = {n: self._digest(reference, n) for n in names}
        paths = {name: folder / f"likeness-{digest}.npz" for name, digest in digests.items()}
        missing = [name for name in names if not paths[name].exists()]
        if missing:
            self._register(missing, paths, reference, on_step)
        found = {name: Likeness(**_numbers(path)) for name, path in paths.items() if path.exists()}
        unlike = unlike_others(found)
        self.skipped.update({self.files[name].name: why for name, why in unlike.items()})
        return {name: each.matrix for name, each in found.items() if name not in unlike}

    def _register(self, missing: list[str], paths: dict[str, Path], reference: Volume, on_step) -> None:
        """Register the missing subjects in parallel and keep each result as soon as it is there."""
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(os.cpu_count() or 1, len(missing)), mp_context=context) as pool:
            jobs = [
                pool.submit(_register_file, reference, self.files[n], self.labels.get(n), not self.other)
                for n in missing
            ]
            try:
                for done, (name, job) in enumerate(zip(missing, jobs, strict=True)):
                    on_step(f"registering {name}", done / len(jobs))
                    try:
                        found = job.result()
                    except InputError as error:
                        self.skipped[self.files[name].name] = str(error)
                        continue
                    write_atomically(
                        paths[name], lambda temporary, found=found: np.savez(temporary, **vars(found))
                    )
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _digest(self, reference: Volume, name: str) -> str:
        """Digest of everything the registration of a subject depends on."""
        digest = hashlib.sha256(np.ascontiguousarray(reference.array, np.float32).tobytes())
        digest.update(reference.grid.ijk_to_ras.tobytes() + str(reference.grid.shape_kji).encode())
        for file in filter(None, (self.files[name], self.labels.get(name))):
            digest.update(file.read_bytes())
        digest.update(b"other" if self.other else b"")
        return digest.hexdigest()


def subject_name(file: str | Path) -> str:
    """File name without folder and suffix."""
    name = Path(file).name
    return next((name[: -len(s)] for s in SUFFIXES if name.lower().endswith(s)), name)


def list_cohort(folder: str | Path, *, skip: tuple[str, ...] = LABEL_FILES, modality: str = "") -> Cohort:
    """Volumes (NIfTI, NRRD, MHA) of a folder, in the order of their names.

    Those of a BIDS data set lie in the folders sub-*/anat.

    Args:
        skip: patterns (lower case) of the names of label files.
        modality: such as "T1w MRI". Where names tell it ("_T1w", "_T2w", "_FLAIR", "_PDw"), files of another
            modality than the one this text mentions are skipped; none if it mentions none.

    Raises:
        InputError: there is no such folder, or nothing is left.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of volumes (NIfTI, NRRD, MHA).")
    wanted = contrast_in(modality)
    files: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    for file in [*_images(folder), *(file for anat in _bids_folders(folder) for file in _images(anat))]:
        contrast = contrast_of(subject_name(file))
        if any(fnmatch.fnmatch(file.name.lower(), pattern) for pattern in skip):
            skipped[file.name] = "label file"
        elif contrast and wanted and contrast != wanted:
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


def cohort_of(folder: str | Path, skip: tuple[str, ...], own: str, modality: str | None) -> Cohort:
    """The volumes of one contrast in a folder, to be compared with a model.

    Args:
        folder: of volumes, or of a BIDS data set.
        skip: as in `list_cohort`.
        own: modality of the model, such as "T1w MRI".
        modality: that is wanted. If None, the model's; another one where all names in the folder tell it.

    Raises:
        InputError: as `list_cohort`, and where names tell several contrasts and none is the model's.
    """
    known = contrast_in(own)
    if not modality:
        told = {contrast_of(name) for name in list_cohort(folder, skip=skip).files}
        if known is None or None in told or known in told:
            return list_cohort(folder, skip=skip, modality=own)
        if len(told) > 1:
            several = ", ".join(sorted(WRITTEN.get(each or "", str(each)) for each in told))
            raise InputError(
                f"{folder}: holds no {own}, but volumes of several contrasts ({several}); choose one of "
                "them (--modality)."
            )
        (modality,) = filter(None, told)
    cohort, contrast = list_cohort(folder, skip=skip, modality=modality), contrast_in(modality)
    return replace(cohort, contrast=contrast, other=contrast != known)


def _images(folder: Path) -> list[Path]:
    """Files of a folder that are called like volumes, links to what is not there included, no hidden ones."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.name.lower().endswith(SUFFIXES) and not file.name.startswith(".") and not file.is_dir()
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
    """The label map of a volume, "sub-01_dlmuse.nii.gz" of "sub-01_T1w.nii.gz" for "dlmuse"; None without.

    Args:
        file: of the volume; a last part of its name that tells the contrast is left out.
        word: ends the name of the label map.
    """
    stem = without_contrast(subject_name(file))
    found = (file.with_name(f"{stem}_{word}{suffix}") for suffix in SUFFIXES)
    return next((path for path in found if path.is_file()), None)


def normalised(volume: Volume, name: str = "volume") -> Volume:
    """Intensities divided by the 99.9th percentile of the foreground (> 0) and clipped to [0, 1].

    Args:
        volume: any units, background 0.
        name: for messages.

    Returns:
        float32 on the same grid.

    Raises:
        InputError: voxels are not finite, there is no foreground, or it is a mask rather than an image.
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
    return Volume(np.clip(array / _bright(foreground), 0.0, 1.0).astype(np.float32), volume.grid)


def _bright(foreground: np.ndarray) -> float:
    """The grey value that is 1 once normalised."""
    return float(np.percentile(foreground, 99.9))


def brain_mask(array: np.ndarray) -> np.ndarray:
    """Foreground (above 2 % of the range) with the holes of every slice filled, (K, J, I) bool."""
    return np.stack([binary_fill_holes(plane) for plane in np.asarray(array) > FOREGROUND])


def _read(file: Path, labels: Path | None) -> Volume:
    """The normalised volume of a file, 0 where the label map (if any) is 0. Raises InputError."""
    volume = read_volume(file, warn=told_by_cohort)
    return normalised(volume if labels is None else _stripped(volume, labels), file.name)


def _stripped(volume: Volume, labels: Path) -> Volume:
    """A volume, 0 where its label map is 0. Raises InputError."""
    inside = resample(read_volume(labels, warn=told_by_cohort), volume.grid, labels=True).array > 0
    return Volume(np.where(inside, volume.array, 0), volume.grid)


def told_by_cohort(_notice: str) -> None:
    """Nothing: what a file is noted for, `Cohort.warn` tells once, even where the file is in a cache."""


def _notices(file: Path) -> tuple[str, ...]:
    """What is not as usual in a file, by its header; nothing of one that cannot be read."""
    try:
        return stated_grids([file])[1]
    except InputError:
        return ()


def _numbers(path: Path) -> dict:
    """What `np.savez` wrote, scalars as such."""
    return {key: value if value.ndim else value.item() for key, value in np.load(path).items()}


def _register_file(reference: Volume, file: Path, labels: Path | None, alike: bool) -> Likeness:
    """Register one subject. Runs in its own process; one thread makes it reproducible."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return register_subject(reference, _read(file, labels), file.name, alike)
