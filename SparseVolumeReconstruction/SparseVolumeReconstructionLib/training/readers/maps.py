"""From folders of label maps, with or without images beside them, to coded maps on one grid.

A code says of what grey value a voxel is to be, once a contrast is drawn: that of a tissue, a shade between
tissues, a shade or a tissue outside the brain, or a distance from a fetal brain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt

from ...data.cache import kept
from ...data.cohort import labels_beside, list_cohort, told_by_cohort
from ...data.registration import register_affine
from ...data.space import canonical_space
from ...data.subjects import chance_split
from ...geometry import Grid, InputError, Volume
from ...geometry.io import read_volume
from ...geometry.resample import resample
from ...progress import Progress
from ..loop.config import TrainConfig
from ..segmentation.maps import brain_of
from ..segmentation.structures import MEANS

KINDS = ("freesurfer", "brainweb", "dlmuse")
FLUID, GREY, WHITE = 1, 2, 3  # codes of tissues in both maps; 0 is outside the brain
SHADES, OUTER, OTHERS, RINGS = range(16, 48), range(64, 128), range(128, 200), range(200, 240)
SHADE_KNOTS = (0.18, 0.55, 0.82)  # shades of fluid, grey and white matter; the brightest is 1.2
RING_MM = 0.2  # a code of RINGS, from the brain outwards

_TISSUES = np.array(
    [0, 3, 2, 1, 3, 2, 2, 2, 2, 2, 1, 3, 2, 2, 2, 3, 1, 1, 3], np.uint8
)  # of coded structures
_BRAINWEB = np.array([0, 24, 3, 2, *range(504, 600)])  # its tissues in the numbers of FreeSurfer
_MUSE_FLUID = (1, 4, 11, 46, 49, 50, 51, 52)
_MUSE_WHITE = (35, 40, 41, 61, 62, 69, *range(81, 96))
_FETAL = np.array([0, 3, 1, 3, 1, 2, 2, 3, 3], np.uint8)  # tissues of the labels of fetal atlases
_HEAD_MM = np.array([200.0, 240.0, 250.0])  # the box of a head along R, A and S
_NECK_MM = 25.0  # how far its middle lies below that of the reference
_FETUS_MM = np.array([140.0, 160.0, 140.0])
_FOLD_MM, _GAP_MM = 5.0, 3.0  # gaps in a fetal and an adult brain that are filled with fluid


@dataclass(frozen=True, eq=False)
class Bodies:
    """Coded maps on one grid, to train on and to validate.

    space: name of the canonical space. maps: (N, 2, K, H, W) uint8 of "fit" and "validation"; the first says
    the grey value, the second is 0 outside the brain, else FLUID, GREY or WHITE. names: {"fit", "validation":
    subjects}. skipped: {subject: why}.
    """

    space: str
    grid: Grid
    maps: dict[str, torch.Tensor]
    names: dict[str, list[str]]
    skipped: dict[str, str] = field(default_factory=dict)


def load_heads(
    folders: list[Path],
    kinds: list[str],
    config: TrainConfig,
    split: dict[str, list[str]] | None,
    progress: Progress,
) -> Bodies:
    """Whole heads, affinely in the canonical space of the configuration's reference.

    Args:
        folders: of heads.
        kinds: one for all folders or one each: label maps with the numbers of "freesurfer" or "brainweb", or
            T1w heads with maps of "dlmuse" beside them.
        config: its data give reference and voxels.
        split: {"fit", "test": names}, by chance if None; the latter are kept for validation.
        progress: told of steps, and of what was left out.

    Raises:
        InputError: a kind is not known, or nothing is left to train on or to validate.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise InputError(f'labels: "{unknown[0]}" is not known; expected one of {", ".join(KINDS)}.')
    if len(kinds) not in (1, len(folders)):
        raise InputError(f"labels: {len(kinds)} for {len(folders)} cohorts; give one, or one for each.")
    if config.data.reference is None:
        raise InputError('data: reference: none; heads need the space of a volume file, or "mni152".')
    first = list_cohort(folders[0], skip=())
    space = canonical_space(config.data.reference, first, config.data.spacing_mm, warn=progress.warn)
    middle = (space.grid.corners_ras()[0] + space.grid.corners_ras()[-1]) / 2 - (0, 0, _NECK_MM)
    grid = _box(_HEAD_MM, config.data.spacing_mm, middle)
    jobs = {}
    for folder, kind in zip(folders, kinds * len(folders), strict=False):
        beside = kind == "dlmuse"
        files = list_cohort(folder).files if beside else list_cohort(folder, skip=()).files
        for name, file in files.items():
            jobs[name] = (file, labels_beside(file, kind) if beside else file, kind)

    def coded(image: Path, labels: Path | None, kind: str) -> np.ndarray:
        if labels is None:
            raise InputError("no label map beside it.")
        read = _muse(image, labels) if kind == "dlmuse" else _labelled(_read(labels), kind)
        look, codes, tissue = read
        matrix = register_affine(space.reference, look)
        pair = [Volume(array.astype(np.float32), codes.grid) for array in (codes.array, tissue)]
        return np.stack([resample(v, grid, matrix, labels=True).array for v in pair]).astype(np.uint8)

    parts = [space.reference.array, grid.ijk_to_ras, np.array(grid.shape_kji)]
    return _bodies(space.name, grid, jobs, coded, parts, config, split, progress)


def load_fetuses(
    folders: list[Path],
    config: TrainConfig,
    split: dict[str, list[str]] | None,
    progress: Progress,
) -> Bodies:
    """Fetal brains of atlases, each around its own middle, with the distance from them outside.

    Args:
        folders: of label maps NAME_labels (1 white matter, 2 ventricles, 3 cerebellum, 4 outer fluid,
            5 cortex, 6 deep grey matter, 7 brain stem, 8 corpus callosum); T2w templates NAME_T2w beside
            them are used.
        config: its data give the voxels.
        split: as in `load_heads`.
        progress: told of steps, and of what was left out.

    Raises:
        InputError: nothing is left to train on or to validate.
    """
    grid = _box(_FETUS_MM, config.data.spacing_mm, np.zeros(3))
    jobs = {}
    for folder in folders:
        for name, file in list_cohort(folder, skip=()).files.items():
            if name.endswith("_labels"):
                image = labels_beside(file.with_name(file.name.replace("_labels", "_T2w")), "T2w")
                jobs[f"{name[:-7]}_T2w" if image else name] = (file, image)
    if not jobs:
        raise InputError(f"{folders[0]}: no label maps; expected files called NAME_labels.nii.gz.")

    def coded(labels: Path, image: Path | None) -> np.ndarray:
        return _fetus(labels, image, grid)

    return _bodies("any", grid, jobs, coded, [grid.ijk_to_ras], config, split, progress)


def _box(extent_mm: np.ndarray, spacing_mm: float, middle: np.ndarray) -> Grid:
    return Grid.centred(tuple(np.ceil(extent_mm[::-1] / spacing_mm).astype(int)), spacing_mm, middle)


def _bodies(
    space: str,
    grid: Grid,
    jobs: dict[str, tuple],
    coded: Callable[..., np.ndarray],
    depends: list[np.ndarray],
    config: TrainConfig,
    split: dict[str, list[str]] | None,
    progress: Progress,
) -> Bodies:
    """Code every job (its files first), keep what was made, and split."""
    found, skipped = {}, {}
    for done, (name, job) in enumerate(jobs.items()):
        progress.update(f"preparing {name}", done / len(jobs))
        contents = [p.read_bytes() if isinstance(p, Path) else str(p).encode() for p in job]
        same = [np.ascontiguousarray(part).tobytes() for part in depends]
        try:
            found[name] = kept("reader", [*contents, *same], partial(coded, *job))
        except InputError as error:
            skipped[name] = str(error)
            progress.warn(f"{name} was left out: {error}")
    split = split or chance_split(list(found), config.seed)
    names = {part: [n for n in split[chosen] if n in found] for part, chosen in _PARTS.items()}
    if not all(names.values()):
        counts = " and ".join(f"{len(members)} for {part}" for part, members in names.items())
        raise InputError(f"usable label maps: {counts}; expected at least one of each.")
    maps = {part: torch.as_tensor(np.stack([found[n] for n in own])) for part, own in names.items()}
    return Bodies(space, grid, maps, names, skipped)


_PARTS = {"fit": "fit", "validation": "test"}


def tissues_of(labels: Volume, kind: str) -> np.ndarray:
    """Tissues in the brain of a label map (K, J, I): 0 outside, else FLUID, GREY or WHITE.

    Args:
        labels: the map.
        kind: its numbers, one of KINDS.

    Raises:
        InputError: there is no brain in it.
    """
    if kind == "dlmuse":
        return _muse_tissues(labels.array)
    tissue = _labelled(labels, kind)[2]
    return np.where(binary_fill_holes(tissue > 0) & (tissue == 0), FLUID, tissue)


def _read(file: Path) -> Volume:
    return read_volume(file, warn=told_by_cohort)


def _labelled(labels: Volume, kind: str) -> tuple[Volume, Volume, np.ndarray]:
    """What a map would look like in T1w, its codes, and the tissues in its brain."""
    numbers = labels.array.astype(np.int32)
    if kind == "brainweb":
        numbers = _BRAINWEB[np.clip(numbers, 0, len(_BRAINWEB) - 1)]
    brain = brain_of(Volume(numbers.astype(np.float32), labels.grid))
    structure = resample(brain, labels.grid, labels=True).array.astype(np.uint8)
    tissue = _TISSUES[structure]
    filled = _closed(tissue > 0, _GAP_MM / float(labels.grid.spacing_ijk.min()))
    tissue = np.where(filled & (tissue == 0) & (numbers > 0), FLUID, tissue)  # vessels, dura
    other = OTHERS.start + numbers % len(OTHERS)
    codes = np.where(tissue > 0, tissue, np.where(numbers > 0, other, 0))
    return Volume(MEANS[brain.array.astype(np.uint8)], brain.grid), Volume(codes, labels.grid), tissue


def _muse(image: Path, labels: Path) -> tuple[Volume, Volume, np.ndarray]:
    """The brain of a T1w head, the shades of the head as codes, and the tissues in its brain."""
    head = read_volume(image, warn=told_by_cohort)
    regions = resample(read_volume(labels, warn=told_by_cohort), head.grid, labels=True).array
    tissue = _muse_tissues(regions)
    middles = [np.median(head.array[tissue == t]) for t in (FLUID, GREY, WHITE) if (tissue == t).any()]
    if len(middles) < 3 or np.diff(middles).min() <= 0:
        raise InputError("fluid, grey and white matter are not in order; expected a T1w head with its map.")
    shades = np.interp(head.array, [0, *middles, 1.5 * middles[-1]], [0, *SHADE_KNOTS, 1.2])
    top = np.quantile(head.array[head.array > 0], 0.995)
    codes = np.where(tissue > 0, _shade(shades / 1.2, SHADES), _shade(head.array / top, OUTER))
    codes[head.array <= 0.02 * top] = 0
    return Volume(np.where(tissue > 0, head.array, 0), head.grid), Volume(codes, head.grid), tissue


def _muse_tissues(regions: np.ndarray) -> np.ndarray:
    tissue = np.full(regions.shape, GREY, np.uint8)
    tissue[np.isin(regions, _MUSE_FLUID)] = FLUID
    tissue[np.isin(regions, _MUSE_WHITE)] = WHITE
    tissue[regions == 0] = 0
    return tissue


def _fetus(labels: Path, image: Path | None, grid: Grid) -> np.ndarray:
    """A fetal brain and the distances from it, (2, K, H, W) uint8, its middle in that of the grid."""
    volume = read_volume(labels, warn=told_by_cohort)
    numbers = volume.array.astype(np.uint8)
    spacing = float(volume.grid.spacing_ijk.min())
    inside = binary_fill_holes(_closed(numbers > 0, _FOLD_MM / spacing))
    if np.count_nonzero(inside) < 100:
        raise InputError("no brain in it; expected the labels 1 to 8.")
    numbers = np.where(inside & (numbers == 0), 4, np.minimum(numbers, 8) * inside)
    codes = _FETAL[numbers]
    tissue = codes.copy()
    if image is not None:
        shown = resample(read_volume(image, warn=told_by_cohort), volume.grid).array
        fluid = np.median(shown[numbers == 4]) if (numbers == 4).any() else shown.max()
        shown = np.where(shown < 0.03 * shown.max(), fluid, shown) / shown.max()
        codes = np.where(inside, _shade(shown, SHADES), 0)
    middle = np.argwhere(inside).mean(0)[::-1]
    shift = np.eye(4)
    shift[:3, 3] = volume.grid.ijk_to_ras[:3, :3] @ middle + volume.grid.ijk_to_ras[:3, 3]
    both = [Volume(a.astype(np.float32), volume.grid) for a in (codes, tissue)]
    out, tissue = (resample(v, grid, shift, labels=True).array.astype(np.uint8) for v in both)
    away = distance_transform_edt(tissue == 0) * float(grid.spacing_ijk[0])
    rings = RINGS.start + np.minimum(away / RING_MM, len(RINGS) - 1)
    return np.stack([np.where(tissue > 0, out, rings), tissue]).astype(np.uint8)


def _closed(mask: np.ndarray, voxels: float) -> np.ndarray:
    """A mask (K, J, I) with its gaps of up to so many voxels to each side closed."""
    count = max(1, round(voxels))
    return np.asarray(binary_closing(np.pad(mask, count), iterations=count))[(slice(count, -count),) * 3]


def _shade(share: np.ndarray, codes: range) -> np.ndarray:
    """Shares 0..1 of a range as its codes."""
    return codes.start + np.clip(share * len(codes), 0, len(codes) - 1).astype(int)
