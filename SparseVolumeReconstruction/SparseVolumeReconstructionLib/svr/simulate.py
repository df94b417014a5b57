"""Stacks of a body that moves between slices, with noise and spoiled slices, whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from scipy.spatial.transform import Rotation

from ..geometry import Grid, Plane, Volume
from ..observation import Slice
from ..observation.planes import slice_profile
from ..observation.points import PointOperator
from .acquisition import Acquisition
from .motion import stack_planes
from .pixels import MaskedSlice

NOISE = 0.02  # of the range
_GAIN_SD = 0.05  # of slices, log
_MIN_PIXELS = 40  # of the body; slices with fewer are left out
_INSIDE = 0.4  # of a pixel that is body


@dataclass(frozen=True)
class Scan:
    """How a body is scanned: square pixels and thickness (mm), stacks along these axes of its grid.

    acquisition: of all stacks. knots: shots from one independent pose to the next; in between the body moves
    evenly. 1: it lies elsewhere in every slice.
    """

    pixel_mm: float = 1.1
    thickness_mm: float = 3.3
    axes: tuple[int, ...] = (2, 1, 0)
    acquisition: Acquisition = field(default_factory=Acquisition)
    knots: int = 1


@dataclass(frozen=True, eq=False)
class Simulated:
    """What the scanner gave, and the truth.

    Attributes:
        slices: in scanner space.
        poses: (S, 4, 4) scanner to body, RAS mm.
        spoiled: (S,) bool.
        still: numbers of the slices between which nothing moved.
    """

    slices: list[MaskedSlice]
    poses: np.ndarray
    spoiled: np.ndarray
    still: list[int]


def simulate(
    body: Volume,
    scan: Scan,
    max_mm: float,
    max_deg: float,
    *,
    spoiled: float = 0.1,
    still: int = 0,
    seed: int = 0,
) -> Simulated:
    """Stacks of a body that lies elsewhere in every slice, by up to so many mm and degrees.

    Distance and angle are uniform, direction and axis are any; `scan` says when slices are taken. Spoiled
    slices lost signal (all of it or in a band), or show the body at two places at once.

    Args:
        body: 0 outside, [0, 1], on a grid along R, A and S.
        scan: pixels, thickness and directions.
        max_mm, max_deg: of the motion, about the middle of the body.
        spoiled: share of the slices.
        still: so many slices of the first stack, evenly spread, are not moved and not spoiled.
        seed: the same one gives the same stacks.
    """
    draw = np.random.default_rng(seed)
    inside = Volume((body.array > 0).astype(np.float32), body.grid)
    middle = body.grid.points_ras()[inside.array.ravel() > 0].mean(0)
    around = Grid.covering(body.grid.corners_ras(), float(body.grid.spacing_ijk[0]))
    slices: list[MaskedSlice] = []
    poses, bad, quiet = [], [], []
    for stack, axis in enumerate(scan.axes):
        planes = stack_planes(around, axis, scan.pixel_mm, scan.thickness_mm, scan.thickness_mm)
        calm = _calm(inside, planes, still if stack == 0 else 0)
        shots = scan.acquisition.shots(len(planes))
        course = _course(seed + stack, int(shots.max()) + 1, scan.knots, (max_mm, max_deg), middle)
        for place, plane in enumerate(planes):
            if place in calm:
                pose = np.eye(4)
            elif scan.knots == 1 and scan.acquisition.multiband == 1:
                pose = random_pose(draw, max_mm, max_deg, middle)
            else:
                pose = course[shots[place]]
            spoil = bool(draw.random() < spoiled) and place not in calm
            image = _seen(body, plane.transformed(pose))
            mask = _seen(inside, plane.transformed(pose)) > _INSIDE
            if mask.sum() < _MIN_PIXELS:
                continue
            if spoil:
                other = pose @ random_pose(draw, 8.0, 8.0, middle)
                image = _spoil(image, _seen(body, plane.transformed(other)), draw)
            image = image * np.exp(_GAIN_SD * draw.standard_normal()) + NOISE * draw.standard_normal(
                image.shape
            )
            number = len(slices)
            pixels = Slice(image, plane, f"slice {number}", False, f"stack {stack + 1}", place)
            slices.append(MaskedSlice(pixels, binary_dilation(mask), stack, place, int(shots[place])))
            poses.append(pose)
            bad.append(spoil)
            quiet += [number] if place in calm else []
    return Simulated(slices, np.stack(poses), np.array(bad), quiet)


def _course(seed: int, count: int, knots: int, most: tuple[float, float], centre: np.ndarray) -> np.ndarray:
    """Poses (count, 4, 4) of shots: independent ones every `knots` shots, and evenly from one to the next."""
    draw = np.random.default_rng([seed, knots])
    own = np.stack([random_pose(draw, *most, centre) for _ in range(-(-(count - 1) // knots) + 1)])
    turns = Rotation.from_matrix(own[:, :3, :3]).as_rotvec()
    shifts = own[:, :3, 3] - centre + own[:, :3, :3] @ centre
    when = np.arange(len(own)) * knots
    vectors = np.stack(
        [np.interp(np.arange(count), when, v) for v in np.concatenate([turns, shifts], 1).T], 1
    )
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(vectors[:, :3]).as_matrix()
    poses[:, :3, 3] = centre + vectors[:, 3:] - poses[:, :3, :3] @ centre
    return poses


def random_pose(draw: np.random.Generator, max_mm: float, max_deg: float, centre: np.ndarray) -> np.ndarray:
    """A rigid 4x4 about a centre: uniform angle and distance up to these, any axis and direction."""
    axis, way = (v / np.linalg.norm(v) for v in draw.standard_normal((2, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(axis * np.radians(max_deg) * draw.random()).as_matrix()
    matrix[:3, 3] = centre + way * max_mm * draw.random() - matrix[:3, :3] @ centre
    return matrix


def _calm(inside: Volume, planes: list[Plane], count: int) -> list[int]:
    """Numbers of `count` planes, evenly spread over the middle of those that show the body."""
    shown = [n for n, plane in enumerate(planes) if (_seen(inside, plane) > _INSIDE).sum() >= _MIN_PIXELS]
    if not count or not shown:
        return []
    return [shown[int(n)] for n in np.linspace(0.15, 0.85, count) * (len(shown) - 1)]


def _seen(volume: Volume, plane: Plane) -> np.ndarray:
    offsets, weights = (torch.as_tensor(a, dtype=torch.float32) for a in slice_profile(plane.thickness_mm))
    points = torch.as_tensor(plane.points_ras(), dtype=torch.float32)
    through = points + offsets[:, None, None] * torch.as_tensor(plane.normal.copy(), dtype=torch.float32)
    data = torch.as_tensor(volume.array, dtype=torch.float32)[None]
    return PointOperator(volume.grid, through, weights).forward(data)[0].reshape(plane.shape_ji).numpy()


def _spoil(image: np.ndarray, elsewhere: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Signal lost in the whole slice or in a band of it, or two places at once."""
    kind = draw.integers(3)
    if kind == 0:
        return image * draw.uniform(0.15, 0.4)
    if kind == 1:
        rows = len(image)
        at, width = draw.uniform(0.35, 0.65) * rows, draw.uniform(0.06, 0.12) * rows
        return image * (1 - 0.9 * np.exp(-(((np.arange(rows) - at) / width) ** 2)))[:, None]
    return (image + elsewhere) / 2
