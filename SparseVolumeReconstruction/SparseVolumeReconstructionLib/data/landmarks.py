"""Rigid canonical spaces of specimens in any pose, by landmarks beside the volumes or the volumes themselves.

Generalised Procrustes analysis (Gower, Psychometrika 40, 1975) of the shapes whose landmarks lie on their
volume. Size is kept: no volume is scaled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import center_of_mass, gaussian_filter
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from torch.nn.functional import grid_sample

from ..geometry import Grid, InputError, Volume
from ..observation.rotations import rotation_matrices
from ..solvers.adam import Adam
from .cache import kept
from .cohort import Cohort, subject_name
from .registration import on_grid
from .space import CanonicalSpace

_BONE = 0.2
_NEAR_VOXELS = 3.0
_ROUNDS = 5
_COARSE, _TURNS, _KEPT = 24, 1500, 12
_STEPS = 80


@dataclass(frozen=True)
class Directions:
    """Labels of a landmark at the front and of one at the top: they tell A and S of the mean shape."""

    front: str
    top: str


def read_landmarks(path: Path) -> dict[str, np.ndarray]:
    """Points of a Slicer markups file (.mrk.json), RAS mm (3,), by label. Raises InputError."""
    try:
        markups = json.loads(path.read_text(encoding="utf-8"))["markups"][0]
        sign = np.array([1, 1, 1] if markups["coordinateSystem"] in ("RAS", 0) else [-1, -1, 1], float)
        points = {str(p["label"]): sign * np.array(p["position"], float) for p in markups["controlPoints"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as landmarks of 3D Slicer (.mrk.json).") from error
    if any(p.shape != (3,) or not np.isfinite(p).all() for p in points.values()):
        raise InputError(f"{path}: a landmark has no position; place all of them or remove it.")
    return points


def rigid(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """4x4 rotation and shift that brings points (n, 3) onto others best (Kabsch, Acta Cryst. A 32, 1976)."""
    centre, onto = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((source - centre).T @ (target - onto))
    out = np.eye(4)
    out[:3, :3] = (u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt).T
    out[:3, 3] = onto - out[:3, :3] @ centre
    return out


def landmark_space(
    cohort: Cohort,
    names: Sequence[str],
    directions: Directions,
    spacing_mm: float,
    voxels: int,
    on_step: Callable[[str, float], None] = lambda step, fraction: None,
) -> tuple[CanonicalSpace, dict[str, np.ndarray]]:
    """A cubic canonical grid around the mean of a cohort, and how every subject lies in it.

    Args:
        cohort: volumes; files NAME.mrk.json beside them hold landmarks. Files that cannot be used are added
            to its `skipped`.
        names: of the subjects.
        directions: which landmarks are at the front and at the top.
        spacing_mm: of the grid.
        voxels: along each of its axes.
        on_step: called with a text and the fraction done; may raise to cancel.

    Returns:
        The space, and 4x4 matrices (RAS mm) from its points to those of each subject. Where landmarks do not
        lie on the bone of their volume, as those of another scan do not, the volume itself is registered.

    Raises:
        InputError: fewer than three subjects have landmarks that lie on them.
    """
    volumes, shapes = _read(cohort, names, on_step)
    mean, onto = _mean_shape(list(shapes.values()), directions)
    matrices = dict(zip(shapes, onto, strict=True))
    grid = Grid.centred((voxels,) * 3, spacing_mm)
    average = np.mean([on_grid(volumes[name], grid, matrix) for name, matrix in matrices.items()], 0)
    centre = np.array([0.0, *_middle(average, grid)[1:]])
    grid = Grid.centred((voxels,) * 3, spacing_mm, centre)
    average = np.mean([on_grid(volumes[name], grid, matrix) for name, matrix in matrices.items()], 0)
    for done, name in enumerate(n for n in volumes if n not in matrices):
        on_step(f"registering {name}", 0.5 + 0.5 * done / len(volumes))
        parts = [average.tobytes(), grid.ijk_to_ras.tobytes(), cohort.files[name].read_bytes()]
        onto_average = partial(register_any_pose, Volume(average, grid), volumes[name])
        matrices[name] = kept("rigid", parts, onto_average)
    best = max(shapes, key=lambda n: _likeness(on_grid(volumes[n], grid, matrices[n]), average))
    reference = np.round(on_grid(volumes[best], grid, matrices[best]) * 255).astype(np.float32) / 255
    space = CanonicalSpace(
        f"rigid space of {len(shapes)} shapes of {len(mean)} landmarks", Volume(reference, grid), grid
    )
    return space, {name: matrices[name] for name in names if name in matrices}


def _read(
    cohort: Cohort, names: Sequence[str], on_step: Callable[[str, float], None]
) -> tuple[dict[str, Volume], dict[str, dict[str, np.ndarray]]]:
    """Volumes of all subjects that can be used, and landmarks of those on whose volume they lie."""
    volumes, shapes = {}, {}
    for done, name in enumerate(names):
        on_step(f"reading {name}", 0.5 * done / len(names))
        try:
            volumes[name] = cohort.volume(name)
        except InputError as error:
            cohort.skipped[cohort.files[name].name] = str(error)
            continue
        beside = cohort.files[name].with_name(f"{subject_name(cohort.files[name])}.mrk.json")
        if beside.exists() and _lie_on(volumes[name], points := read_landmarks(beside)):
            shapes[name] = points
    if len(shapes) < 3:
        raise InputError(
            f"{len(shapes)} of {len(names)} volumes have landmarks that lie on them (NAME.mrk.json beside "
            "NAME.nii.gz); at least 3 are needed."
        )
    return volumes, shapes


def _lie_on(volume: Volume, points: dict[str, np.ndarray]) -> bool:
    """Whether most of some points (RAS mm) are in the volume, within voxels of what is bright."""
    ras = np.array(list(points.values()))
    ijk = ras @ volume.grid.ras_to_ijk[:3, :3].T + volume.grid.ras_to_ijk[:3, 3]
    inside = ((ijk > -1) & (ijk < volume.grid.shape_kji[::-1])).all(1)
    if inside.mean() < 0.9:
        return False
    distance, _ = cKDTree(np.argwhere(volume.array > _BONE)[:, ::-1]).query(ijk[inside])
    return bool(np.median(distance) < _NEAR_VOXELS)


def _mean_shape(
    shapes: list[dict[str, np.ndarray]], directions: Directions
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The mean shape (n, 3) with canonical axes, and matrices from it to every shape. Raises InputError."""
    labels = [label for label in shapes[0] if all(label in shape for shape in shapes)]
    missing = [label for label in (directions.front, directions.top) if label not in labels]
    if missing or len(labels) < 4:
        raise InputError(
            f"landmark {(missing or ['4'])[0]} is not in all files; they share {', '.join(labels)}."
        )
    points = [np.array([shape[label] for label in labels]) for shape in shapes]
    mean = points[0] - points[0].mean(0)
    for _ in range(_ROUNDS):
        turned = [own @ (m := rigid(own, mean))[:3, :3].T + m[:3, 3] for own in points]
        mean = np.mean(turned, 0)
        mean -= mean.mean(0)
    front, top = (mean[labels.index(label)] for label in (directions.front, directions.top))
    right, middle = _mirror_plane(mean)
    forward = _longest(mean, right)
    forward *= np.sign(front @ forward)
    up = np.cross(right, forward)
    up *= np.sign(top @ up)
    turn = np.stack([np.cross(forward, up), forward, up])
    mean = (mean - middle * right) @ turn.T
    return mean, [rigid(mean, own) for own in points]


def _mirror_plane(shape: np.ndarray) -> tuple[np.ndarray, float]:
    """Unit normal (3,) and offset (mm) of the plane about which a centred shape (n, 3) is most symmetric."""
    found = []
    for axis in np.linalg.eigh(shape.T @ shape)[1].T:
        normal = axis
        offset = 0.0
        for _ in range(30):
            mirrored = shape - 2 * np.outer(shape @ normal - offset, normal)
            distance, partner = cKDTree(shape).query(mirrored)
            between, middle = shape - shape[partner], (shape + shape[partner]) / 2
            centred = middle - middle.mean(0)
            _, vectors = np.linalg.eigh(centred.T @ centred - between.T @ between / 4)
            normal = vectors[:, 0] * np.sign(vectors[:, 0] @ normal)
            offset = float(middle.mean(0) @ normal)
        found.append((float((distance**2).mean()), normal, offset))
    _, normal, offset = min(found, key=lambda each: each[0])
    return normal, offset


def _longest(shape: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Unit direction (3,) in a plane along which a shape is longest."""
    within = shape - np.outer(shape @ normal, normal)
    longest: np.ndarray = np.linalg.eigh(within.T @ within)[1][:, 2]
    return longest


def _middle(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Middle of the box around what is bright in a mean volume, RAS mm (3,)."""
    kji = np.argwhere(array > _BONE / 2)
    low, high = np.percentile(kji[:, ::-1], [0.5, 99.5], axis=0)
    middle: np.ndarray = grid.ijk_to_ras[:3, :3] @ ((low + high) / 2) + grid.ijk_to_ras[:3, 3]
    return middle


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def centre_of_mass(array: np.ndarray, grid: Grid) -> np.ndarray:
    """Of a volume (K, J, I) on its grid, RAS mm (3,)."""
    centre: np.ndarray = grid.ijk_to_ras[:3, :3] @ np.array(center_of_mass(array))[::-1]
    return centre + grid.ijk_to_ras[:3, 3]


def register_any_pose(reference: Volume, volume: Volume, turns: np.ndarray | None = None) -> np.ndarray:
    """4x4 (RAS mm) from points of a mean to points of a volume in any pose, without a change of size.

    The best of many turns about the centres of mass by correlation on a coarse grid, then refined from the
    best few; deterministic.

    Args:
        reference, volume: [0, 1], background 0.
        turns: to begin from, rotation vectors (n, 3) in rad; 1500 in all directions if None.
    """
    field = reference.grid.with_spacing(float(np.ptp(reference.grid.corners_ras()[:, 0])) / _COARSE)
    coarse = [_blurred(v, float(field.spacing_ijk[0])) for v in (reference, volume)]
    centres = [centre_of_mass(*each) for each in coarse]
    target = torch.as_tensor(_sampled(coarse[0], field))
    cell = float(field.spacing_ijk[0])
    moving = _Moving(coarse[1], field, centres[0], cell)
    if turns is None:
        turns = Rotation.random(_TURNS, random_state=0).as_rotvec()
    poses = torch.as_tensor(
        np.concatenate([turns, np.tile(centres[1] / cell, (len(turns), 1))], 1), dtype=torch.float32
    )
    with torch.no_grad():
        score = torch.cat([moving.agreement(part, target) for part in poses.split(100)])
    poses = poses[score.topk(min(_KEPT, len(score))).indices].requires_grad_()
    adam = Adam([poses], lr=0.05)
    for _ in range(_STEPS):
        adam.zero_grad()
        (-moving.agreement(poses, target)).sum().backward()
        adam.step()
    with torch.no_grad():
        best = poses[moving.agreement(poses, target).argmax()].detach().double().numpy()
    out = np.eye(4)
    out[:3, :3] = Rotation.from_rotvec(best[:3]).as_matrix()
    out[:3, 3] = best[3:] * cell - out[:3, :3] @ centres[0]
    return out


def _blurred(volume: Volume, width_mm: float) -> tuple[np.ndarray, Grid]:
    return gaussian_filter(volume.array, width_mm / 2 / volume.grid.spacing_ijk[::-1]), volume.grid


def _sampled(volume: tuple[np.ndarray, Grid], grid: Grid) -> np.ndarray:
    from ..geometry.resample import resample

    return resample(Volume(*volume), grid, antialias=False).array


class _Moving:
    """A volume seen on a grid after turns about a point, and shifts of that point in units of some mm."""

    def __init__(self, volume: tuple[np.ndarray, Grid], grid: Grid, centre: np.ndarray, unit_mm: float):
        array, own = volume
        self._unit_mm = unit_mm
        self._array = torch.as_tensor(array, dtype=torch.float32)[None, None]
        size = np.array(own.shape_kji[::-1])
        scale = np.diag([*(2 / (size - 1)), 1.0])
        scale[:3, 3] = -1
        self._to_unit = torch.as_tensor(scale @ own.ras_to_ijk, dtype=torch.float32)
        k, j, i = np.indices(grid.shape_kji).reshape(3, -1)
        points = np.stack([i, j, k], 1) @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3] - centre
        self._points = torch.as_tensor(points, dtype=torch.float32)

    def agreement(self, poses: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Correlation (n,) with a target for poses (n, 6): rotation vector, where the point lies, units."""
        at = self._points @ rotation_matrices(poses[:, :3]).transpose(1, 2)
        at = at + poses[:, None, 3:] * self._unit_mm
        unit = at @ self._to_unit[:3, :3].T + self._to_unit[:3, 3]
        seen = grid_sample(
            self._array.expand(len(poses), -1, -1, -1, -1), unit[:, None, None], align_corners=True
        ).reshape(len(poses), -1)
        a, b = seen - seen.mean(1, keepdim=True), target.flatten() - target.mean()
        return (a @ b) / (a.norm(dim=1) * b.norm()).clamp(min=1e-9)
