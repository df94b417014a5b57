"""From a folder of label maps to coded maps in the canonical space.

They are registered by what they would look like.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from ...data.cache import kept
from ...data.cohort import Cohort, list_cohort, told_by_cohort
from ...data.registration import register_affine
from ...data.space import canonical_space
from ...data.stacks import stack_grid
from ...geometry import Grid, InputError, Volume
from ...geometry.io import read_volume
from ...geometry.resample import resample
from ...progress import Progress
from ..loop.config import TrainConfig
from .structures import FLUID, MEANS, coded

_FLUID_MM = 3.0


@dataclass(frozen=True, eq=False)
class LabelMaps:
    """Label maps on one grid, to train on and to validate.

    space: name of the canonical space. grid: of every map. maps: (N, K, H, W) of "fit" and "validation",
    codes as uint8.

    names: {"fit", "validation": subjects}. skipped: {file: why}.
    """

    space: str
    grid: Grid
    maps: dict[str, torch.Tensor]
    names: dict[str, list[str]]
    skipped: dict[str, str]


def load_maps(
    folder: Path, config: TrainConfig, split: dict[str, list[str]] | None, progress: Progress
) -> LabelMaps:
    """Code, register and keep the label maps of a folder.

    Files that cannot be used are left out and named in `skipped`.

    Args:
        folder: of maps with FreeSurfer's numbers, one per person.
        config: its data give the space, which needs a reference, and the grid.
        split: its "test" people are kept for validation; without one, a share (config.validation) of all, by
            chance.
        progress: told of steps, and of what was left out.

    Raises:
        InputError: no map is left to train on or to validate, or the reference is none or cannot be used.
        Cancelled: when asked to stop.
    """
    if config.data.reference is None:
        raise InputError(
            'data: reference: none; label maps need the space of the images, "mni152" or a volume file.'
        )
    cohort = list_cohort(folder, skip=())
    space = canonical_space(
        config.data.reference, cohort, config.data.spacing_mm, config.data.slices, warn=progress.warn
    )
    grid = stack_grid(space.protocol, config.data)
    found: dict[str, np.ndarray] = {}
    for done, (name, file) in enumerate(cohort.files.items()):
        progress.update(f"preparing {name}", done / len(cohort.files))
        try:
            found[name] = _registered(file, space.reference, grid)
        except InputError as error:
            cohort.skipped[file.name] = str(error)
    cohort.warn(progress)
    order = np.random.default_rng(config.seed).permutation(sorted(found)).tolist()
    count = max(1, round(config.validation * len(order)))
    split = split or {"fit": sorted(order[count:]), "test": sorted(order[:count])}
    names = {
        part: [name for name in split[chosen] if name in found]
        for part, chosen in (("fit", "fit"), ("validation", "test"))
    }
    if not all(names.values()):
        counts = " and ".join(f"{len(members)} for {part}" for part, members in names.items())
        raise InputError(
            f"{folder}: usable label maps: {counts}; expected at least one of each.{_why(cohort)}"
        )
    maps = {part: torch.as_tensor(np.stack([found[n] for n in members])) for part, members in names.items()}
    return LabelMaps(space.name, grid, maps, names, cohort.skipped)


def brain_of(volume: Volume) -> Volume:
    """Codes of a map of FreeSurfer's labels, float32, cut to the brain.

    Without what a skull-stripped image does not show.

    Fluid stays where it fills the folds of the brain. Raises InputError where there is no brain.
    """
    codes = coded(volume.array)
    tissue = (codes > 0) & (codes != FLUID)
    if np.count_nonzero(tissue) < 100:
        raise InputError("no brain in it; expected a map of FreeSurfer's labels.")
    spacing = volume.grid.spacing_ijk[::-1]
    margin = np.ceil(2 * _FLUID_MM / spacing).astype(int)
    found = np.argwhere(tissue)
    low = np.maximum(found.min(0) - margin, 0)
    high = found.max(0) + 1 + margin
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    codes, tissue = codes[box], tissue[box]
    near = distance_transform_edt(~tissue, spacing) <= _FLUID_MM
    filled = distance_transform_edt(np.pad(near, 1), spacing)[1:-1, 1:-1, 1:-1] > _FLUID_MM
    matrix = volume.grid.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ low[::-1]
    return Volume(np.where(tissue | filled, codes, 0).astype(np.float32), Grid(codes.shape, matrix))


def _registered(file: Path, reference: Volume, grid: Grid) -> np.ndarray:
    """Codes of a label map on the grid, (K, H, W) uint8."""

    def compute() -> np.ndarray:
        codes = brain_of(read_volume(file, warn=told_by_cohort))
        matrix = register_affine(reference, Volume(MEANS[codes.array.astype(np.uint8)], codes.grid))
        return resample(codes, grid, matrix, labels=True).array.astype(np.uint8)

    parts = [reference.array, reference.grid.ijk_to_ras, grid.ijk_to_ras, np.array(grid.shape_kji), MEANS]
    return kept(
        "labels", [file.read_bytes(), *(np.ascontiguousarray(part).tobytes() for part in parts)], compute
    )


def _why(cohort: Cohort) -> str:
    """The first reason for which a file was left out."""
    return "".join(f" {file}: {reason}" for file, reason in list(cohort.skipped.items())[:1])
