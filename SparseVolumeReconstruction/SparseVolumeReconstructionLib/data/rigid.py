"""Rigid canonical spaces of volumes in patient axes, such as heads of CT: aligned by the volumes alone.

Size is kept: no volume is scaled, so that rays through a canonical body are as long as through a patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from scipy.linalg import fractional_matrix_power
from scipy.spatial.transform import Rotation

from ..geometry import Grid, InputError, Volume
from ..geometry.resample import resample
from .cache import kept
from .cohort import Cohort
from .landmarks import centre_of_mass, register_any_pose
from .registration import on_grid
from .space import CanonicalSpace

_BODY = 0.05
_MIN_SUBJECTS = 3
_SOFT = 0.5  # bone is above; how much of the neck a volume shows must not turn the head
_UPRIGHT = np.zeros((1, 3))


def rigid_space(
    cohort: Cohort,
    names: Sequence[str],
    spacing_mm: float,
    voxels: int,
    on_step: Callable[[str, float], None] = lambda step, fraction: None,
) -> tuple[CanonicalSpace, dict[str, np.ndarray]]:
    """A cubic canonical grid around the mean of a cohort, and how every subject lies in it.

    The bone of all is registered to that of the first, then to the mean of what came of it, which is turned
    as the patients lay on average, and so that its sides mirror each other about the middle.

    Args:
        cohort: volumes in patient axes, more or less upright. Files that cannot be used are added to its
            `skipped`.
        names: of the subjects; those of the first rows of a fit first.
        spacing_mm: of the canonical grid.
        voxels: along each of its axes.
        on_step: called with a text and the fraction done; may raise to cancel.

    Returns:
        The space, and 4x4 matrices (RAS mm) from its points to those of each subject.

    Raises:
        InputError: fewer than three volumes can be used.
    """
    volumes = {}
    for name in names:
        try:
            volumes[name] = _coarse(cohort.volume(name), spacing_mm / 2)
        except InputError as error:
            cohort.skipped[cohort.files[name].name] = str(error)
    if len(volumes) < _MIN_SUBJECTS:
        raise InputError(f"{len(volumes)} volumes can be used; at least {_MIN_SUBJECTS} are needed.")
    bones = {name: Volume((v.array - _SOFT).clip(0), v.grid) for name, v in volumes.items()}
    first = next(iter(volumes.values()))
    grid = Grid.centred((voxels,) * 3, spacing_mm, centre_of_mass(first.array, first.grid))
    template = Volume(on_grid(next(iter(bones.values())), grid, np.eye(4)), grid)
    matrices: dict[str, np.ndarray] = {}
    for turn in range(2):
        for done, (name, bone) in enumerate(bones.items()):
            on_step(f"registering {name}", (turn + done / len(volumes)) / 2)
            parts = [template.array.tobytes(), grid.ijk_to_ras.tobytes(), cohort.files[name].read_bytes()]
            matrices[name] = kept("bones", parts, partial(register_any_pose, template, bone, _UPRIGHT))
        template = Volume(_mean(bones, matrices, grid), grid)
    upright = _as_they_lie(matrices.values(), centre_of_mass(template.array, grid))
    matrices = {name: matrix @ upright for name, matrix in matrices.items()}
    symmetric = _symmetric(Volume(_mean(bones, matrices, grid), grid))
    matrices = {name: matrix @ symmetric for name, matrix in matrices.items()}
    grid = Grid.centred((voxels,) * 3, spacing_mm)
    for _ in range(2):  # the first looks for the middle
        average = _mean(volumes, matrices, grid)
        grid = Grid.centred((voxels,) * 3, spacing_mm, np.array([0.0, *_middle(average, grid)[1:]]))
    average = _mean(volumes, matrices, grid)
    heads = [on_grid(volume, grid, matrices[name]) for name, volume in volumes.items()]
    best = min(heads, key=lambda head: float(((head - average) ** 2).sum()))
    reference = np.round(best * 255).astype(np.float32) / 255
    return CanonicalSpace(f"rigid space of {len(volumes)} volumes", Volume(reference, grid), grid), matrices


def _coarse(volume: Volume, spacing_mm: float) -> Volume:
    """A volume whose voxels are not smaller: it is looked at again and again."""
    if volume.grid.spacing_ijk.max() >= spacing_mm:
        return volume
    return resample(volume, volume.grid.with_spacing(spacing_mm))


def _mean(volumes: dict[str, Volume], matrices: dict[str, np.ndarray], grid: Grid) -> np.ndarray:
    mean: np.ndarray = np.mean([on_grid(v, grid, matrices[n]) for n, v in volumes.items()], 0)
    return mean


def _as_they_lie(matrices: Iterable[np.ndarray], centre: np.ndarray) -> np.ndarray:
    """4x4 about a point (RAS mm) after which the turns of some matrices (4, 4) are none on average."""
    mean = Rotation.from_matrix([matrix[:3, :3] for matrix in matrices]).mean()
    out = np.eye(4)
    out[:3, :3] = mean.inv().as_matrix()
    out[:3, 3] = centre - out[:3, :3] @ centre
    return out


def _symmetric(mean: Volume) -> np.ndarray:
    """4x4 after which a mean volume is the mirror image of itself about the middle of R."""
    middle = centre_of_mass(mean.array, mean.grid)
    centred = np.eye(4)
    centred[:3, 3] = middle
    grid = Grid.centred(mean.grid.shape_kji, float(mean.grid.spacing_ijk[0]))
    own = on_grid(mean, grid, centred)
    to_mirror = register_any_pose(Volume(own, grid), Volume(own[..., ::-1].copy(), grid), _UPRIGHT)
    return centred @ np.real(fractional_matrix_power(to_mirror, -0.5))


def _middle(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Middle of the box around a body in a mean volume, RAS mm (3,)."""
    kji = np.argwhere(array > _BODY)[:, ::-1]
    middle: np.ndarray = grid.ijk_to_ras[:3, :3] @ ((kji.min(0) + kji.max(0)) / 2) + grid.ijk_to_ras[:3, 3]
    return middle
