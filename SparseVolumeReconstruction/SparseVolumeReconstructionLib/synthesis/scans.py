"""Scans of one visit in several contrasts, on the grid that the networks know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes

from ..data.bids import contrast_of, without_contrast
from ..data.cohort import FOREGROUND, list_cohort, normalised, subject_name, told_by_cohort
from ..data.registration import pose_of, told_by
from ..geometry import Grid, InputError, Volume
from ..geometry.io import read_volume
from ..geometry.resample import resample
from ..progress import Progress

_DARKEST = 1e-3  # of what is shown, so that networks know it from the background
_APART = 0.2  # of two cohorts 0.02 and 0.05 nats where scans lie apart, 0.13 to 0.62 where not


@dataclass(frozen=True)
class Field:
    """The box of a head that the networks see: axes R, A, S, around the middle of what is not background.

    shape_kji: voxels. spacing_mm: along all axes.
    """

    shape_kji: tuple[int, int, int]
    spacing_mm: float

    def grid(self, volume: Volume) -> Grid:
        """The box around the foreground of a volume. Raises InputError where it does not fit into the box."""
        low, high = _extent(volume)
        if self._short(high - low).any():
            raise InputError(
                f"the head measures {_mm(high - low)} mm; the model sees {self.reach} mm. A whole head was "
                "perhaps given to a model of skull-stripped ones."
            )
        return Grid.centred(self.shape_kji, self.spacing_mm, (low + high) / 2)

    def grid_of_any(self, volume: Volume) -> Grid:
        """The box, larger where a head does not fit. Raises InputError where it is over twice as large."""
        low, high = _extent(volume)
        need = np.ceil((high - low) / self.spacing_mm).astype(int)[::-1] + 1
        if (need > 2 * np.array(self.shape_kji)).any():
            raise InputError(
                f"the head measures {_mm(high - low)} mm; the model sees {self.reach} mm. Is its voxel size "
                "right, and is it a skull-stripped head?"
            )
        k, j, i = np.where(self._short(high - low)[::-1], need, self.shape_kji).tolist()
        return Grid.centred((k, j, i), self.spacing_mm, (low + high) / 2)

    @property
    def reach(self) -> str:
        """The size of the box in mm, for people."""
        return _mm(self.spacing_mm * np.array(self.shape_kji[::-1]))

    def _short(self, extent_mm: np.ndarray) -> np.ndarray:
        """Along which of the axes R, A, S the box is too small."""
        return extent_mm > self.spacing_mm * (np.array(self.shape_kji[::-1]) + 1)


def _extent(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest R, A, S of the foreground, mm. Raises InputError where there is none."""
    inside = np.argwhere(volume.array > FOREGROUND)[:, ::-1]
    if not len(inside):
        raise InputError("nothing is above 0 in the scan; expected a head.")
    points = inside @ volume.grid.ijk_to_ras[:3, :3].T + volume.grid.ijk_to_ras[:3, 3]
    return points.min(0), points.max(0)


def _mm(extent: np.ndarray) -> str:
    return " x ".join(f"{value:.0f}" for value in extent)


def stacked(
    volumes: Sequence[Volume], grid: Grid, matrices: Sequence[np.ndarray | None] | None = None
) -> torch.Tensor:
    """Volumes in [0, 1] on one grid, (C, K, J, I) float32; above 0 where, and only where, they show any.

    Args:
        volumes, grid: any.
        matrices: 4x4 from points of the grid to points of each volume; they lie on one another if None.
    """
    found = []
    for volume, matrix in zip(volumes, matrices or [None] * len(volumes), strict=True):
        array = resample(volume, grid, matrix).array.clip(_DARKEST, 1)
        found.append(np.where(shown_on(volume, grid, matrix), array, 0))
    return torch.as_tensor(np.stack(found))


def shown_on(volume: Volume, grid: Grid, matrix: np.ndarray | None = None) -> np.ndarray:
    """Voxels of a grid most of which a volume shows, bool (K, J, I): resampling rings in the background.

    Args:
        volume: 0 outside.
        grid, matrix: as in `resample`.
    """
    shown = Volume(binary_fill_holes(volume.array > 0).astype(np.float32), volume.grid)
    return resample(shown, grid, matrix).array > 0.5


def visits(folder: Path, contrasts: Sequence[str]) -> dict[str, dict[str, Path]]:
    """{visit: {contrast: file}} of the visits of a folder that were scanned in all of the contrasts.

    Args:
        folder: of volumes SUBJECT_T1w, SUBJECT_FLAIR ..., or a BIDS data set.
        contrasts: as `data.bids.contrast_of` calls them.

    Raises:
        InputError: there is no such folder, or no such visit.
    """
    cohort = list_cohort(folder)
    found: dict[str, dict[str, Path]] = {}
    for name, file in cohort.files.items():
        if (contrast := contrast_of(name)) in contrasts:
            found.setdefault(without_contrast(subject_name(file)), {})[str(contrast)] = file
    whole = {name: files for name, files in found.items() if len(files) == len(contrasts)}
    if not whole:
        raise InputError(
            f"{folder}: nobody was scanned in {' and '.join(contrasts)}; expected files such as "
            f"sub-01_{contrasts[0]} beside sub-01_{contrasts[-1]}."
        )
    return whole


def load_visits(
    folder: Path, contrasts: Sequence[str], field: Field, progress: Progress, aligned: bool = False
) -> dict[str, torch.Tensor]:
    """Scans (C, K, J, I) in [0, 1] of every visit, in the order of `contrasts`; what cannot be used is told.

    Args:
        folder, contrasts: as in `visits`.
        field: what is seen of a head; placed by the first contrast.
        progress: told of steps and warnings, asked whether to stop.
        aligned: the scans of a visit are known to lie on one another; else each is registered rigidly to the
            first, where that is clearly better than the poses of their headers.

    Visits whose scans tell little of each other against those of the others are left out: they do not lie on
    one another.

    Raises:
        InputError: as `visits`, and where none can be used.
    """
    found: dict[str, torch.Tensor] = {}
    every = visits(folder, contrasts)
    for done, (name, files) in enumerate(every.items()):
        progress.update(f"reading {name}", done / len(every))
        try:
            read = [read_volume(files[one], warn=told_by_cohort) for one in contrasts]
            volumes = [normalised(each, name) for each in read]
            poses = [None if aligned else pose_of(volumes[0], each) for each in volumes[1:]]
            found[name] = stacked(volumes, field.grid(volumes[0]), [None, *poses])
        except InputError as error:
            progress.warn(f"{name} is left out: {error}")
    for name in _apart(found):
        progress.warn(f"{name} is left out: its {' and '.join(contrasts)} do not lie on one another.")
        del found[name]
    if not found:
        raise InputError(f"{folder}: none of its {len(every)} visits can be used.")
    return found


def _apart(found: Mapping[str, torch.Tensor]) -> list[str]:
    """Visits whose scans (C, K, J, I) tell far less of each other than those of most visits do."""
    told = {
        name: min(told_by(scans[0].numpy(), each.numpy()) for each in scans[1:])
        for name, scans in found.items()
        if len(scans) > 1
    }
    usual = float(np.median(list(told.values()))) if told else 0.0
    return [name for name, share in told.items() if share < _APART * usual]
