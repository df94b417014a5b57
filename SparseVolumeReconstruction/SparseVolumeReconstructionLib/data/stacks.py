"""From folders of volumes to stacks of axial slices: registered, normalised, and kept for the next run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..geometry import Grid, InputError, Volume
from ..progress import Progress
from .cache import kept_file
from .cohort import Cohort
from .config import DataConfig
from .registration import on_grid
from .space import CanonicalSpace, canonical_space
from .stored import StoredVolumes
from .subjects import chance_split, list_subjects


@dataclass(frozen=True, eq=False)
class Stacks:
    """Volumes as stacks of axial slices, in three parts.

    space: where the stacks lie. names: {"fit", "validation", "test": subjects}. matrices: canonical to
    patient points, mm, by name. files: of the stacks, by name, see `_stack_file`.
    """

    space: CanonicalSpace
    cohort: Cohort
    names: dict[str, list[str]]
    matrices: dict[str, np.ndarray]
    files: dict[str, Path]

    @property
    def grid(self) -> Grid:
        """Of every stack."""
        return self.space.protocol

    def volumes(self, part: str) -> StoredVolumes:
        """Stacks of a part, (N, K, H, W), [0, 1]."""
        return StoredVolumes([self.files[name] for name in self.names[part]], self.grid.shape_kji)

    def subjects(self, part: str) -> Mapping[str, Volume]:
        """The same by name, each read when it is asked for."""
        return _Subjects(self.names[part], self.volumes(part), self.grid)


class _Subjects(Mapping[str, Volume]):
    """Volumes by name, on one grid."""

    def __init__(self, names: list[str], volumes: StoredVolumes, grid: Grid):
        self._numbers = {name: n for n, name in enumerate(names)}
        self._volumes = volumes
        self._grid = grid

    def __getitem__(self, name: str) -> Volume:
        return Volume(self._volumes[self._numbers[name]].numpy(), self._grid)

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def load_stacks(
    folders: list[Path],
    data: DataConfig,
    split: dict[str, list[str]] | None,
    modality: str,
    progress: Progress,
    *,
    seed: int,
    validation: float,
) -> Stacks:
    """Register the subjects of a split (by chance if None). A share of "fit" becomes "validation".

    Files that cannot be used are left out and named in `cohort.skipped`.

    Args:
        folders: of volumes; no name may be in two of them.
        data: the stack, and the reference that is registered to.
        split: {"fit": names, "test": names}; names that no folder has are passed over.
        modality: files whose names tell another one are skipped.
        progress: told of steps, and of what was left out.
        seed: of the split by chance, and of who is for validation.
        validation: share of "fit", 0..1; at least one subject.

    Raises:
        InputError: less than three subjects to fit are left, or a folder or the reference cannot be used.
        Cancelled: when asked to stop.
    """
    cohort = list_subjects(folders, modality, (0,), None, seed).cohort
    split = split or chance_split(list(cohort.files), seed)
    space = canonical_space(data.reference, cohort, data.spacing_mm, data.slices, warn=progress.warn)
    space = replace(space, protocol=stack_grid(space.protocol, data))
    wanted = [name for name in split["fit"] + split["test"] if name in cohort.files]
    matrices = cohort.registered(space.reference, wanted, lambda step, done: progress.update(step, 0.0))
    files = {}
    for name in matrices:
        progress.update(f"preparing {name}", 0.0)
        try:
            files[name] = _stack_file(cohort, name, space.protocol, matrices[name])
        except InputError as error:
            cohort.skipped[cohort.files[name].name] = str(error)
    cohort.warn(progress)
    fit, test = ([n for n in split[part] if n in files] for part in ("fit", "test"))
    if len(fit) < 3:
        why = "".join(f" {file}: {reason}" for file, reason in list(cohort.unusable.items())[:1])
        raise InputError(
            f"{len(fit)} volumes to fit; at least 3 are needed, one of them for validation "
            f"({len(cohort.skipped)} files skipped).{why}"
        )
    order = np.random.default_rng(seed).permutation(len(fit))
    left = sorted(order[: max(1, round(validation * len(fit)))])
    names = {
        "fit": [n for i, n in enumerate(fit) if i not in left],
        "validation": [fit[i] for i in left],
        "test": test,
    }
    return Stacks(space, cohort, names, matrices, files)


def stack_grid(protocol: Grid, data: DataConfig) -> Grid:
    """The grid of the stack around the middle of the protocol's grid.

    Args:
        protocol: the grid of a canonical space; gives the extent where `data` does not.
        data: number of slices and pixels, and their extent.
    """
    shape = (data.slices, data.size, data.size)
    extent = protocol.spacing_ijk * protocol.shape_kji[::-1]
    field = data.field_mm or extent[0]
    height = data.height_mm or extent[2]
    centre = (protocol.corners_ras()[0] + protocol.corners_ras()[-1]) / 2
    return Grid.centred(shape, (field / data.size, field / data.size, height / data.slices), centre)


def _stack_file(cohort: Cohort, name: str, grid: Grid, matrix: np.ndarray) -> Path:
    """The file of one subject on the grid, (K, H, W) float16.

    In $SVR_CACHE, under a digest of all it depends on.
    """
    parts = [
        cohort.files[name].read_bytes(),
        matrix.tobytes(),
        grid.ijk_to_ras.tobytes(),
        str(grid.shape_kji).encode(),
    ]
    return kept_file("stack", parts, lambda: on_grid(cohort.volume(name), grid, matrix).astype(np.float16))
