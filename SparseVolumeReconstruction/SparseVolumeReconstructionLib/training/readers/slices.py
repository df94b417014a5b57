"""A slice of a coded body at a random pose, in a random contrast, as a scanner might have taken it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import Field
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from ...alignment.head_network import FIELD, UNIT_MM
from ...alignment.reader import in_plane_axes, steps
from ...geometry import Grid
from ..loop.config import Section

AROUND = -1.0
"""Grey value of what the body does not say: there the picture shows what is around it."""
_PLANES = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
_SUBSLICES = (-1 / 3, 0.0, 1 / 3)  # of the thickness


class SliceConfig(Section):
    """Standard deviations where nothing else is said.

    looks: smallest and largest pixel of each kind of field, mm; one is chosen for each slice. turn_deg: of
    the body in the scanner; None: any orientation. size: log of the body's size, half of it along each axis
    alone. middle_mm: of the field's middle in the plane. beyond: share of slices that pass the brain.
    thickness_mm: smallest and largest. bias: log of the shading at the edges. gamma: log of the exponent of
    the grey values. blur: largest, pixels. noise: largest, share of the range. cut: share of slices of which
    a part is not in view.
    """

    looks: tuple[tuple[float, float], ...] = ((2.0, 2.0),)
    turn_deg: float | None = Field(9.0, ge=0)
    size: float = Field(0.07, ge=0)
    middle_mm: float = Field(12.0, ge=0)
    beyond: float = Field(0.1, ge=0, le=1)
    thickness_mm: tuple[float, float] = (1.0, 6.0)
    bias: float = Field(0.3, ge=0)
    gamma: float = Field(0.2, ge=0)
    blur: float = Field(1.0, ge=0)
    noise: float = Field(0.06, ge=0)
    cut: float = Field(0.1, ge=0, le=1)


@dataclass(frozen=True, eq=False)
class Example:
    """What the network sees and is to say.

    images: (FIELD, FIELD). offsets: (3, FIELD / 2, FIELD / 2), units of UNIT_MM in the axes of the scanner.
    classes: (FIELD, FIELD), see head_network.CLASSES. places: as offsets, in the axes of the body's grid.
    """

    images: np.ndarray
    offsets: np.ndarray
    classes: np.ndarray
    places: np.ndarray


@dataclass(frozen=True, eq=False)
class Section2D:
    """Where a slice passes through a body.

    points: (FIELD, FIELD, 3) mm from the middle of the brain in the axes of the body's grid. across: how
    these change (3, 3) along the slice's thickness and from pixel to pixel. pixel_mm: of the field. half_mm:
    half extents (3,) of the brain.
    """

    points: np.ndarray
    across: np.ndarray
    pixel_mm: float
    half_mm: np.ndarray


Surroundings = Callable[[Section2D, np.random.Generator], np.ndarray]


def example(
    maps: np.ndarray,
    grid: Grid,
    config: SliceConfig,
    greys: Callable[[np.random.Generator], np.ndarray],
    around: Surroundings | None,
    random: np.random.Generator,
) -> Example:
    """One slice of a body.

    Args:
        maps: (2, K, H, W) uint8, codes of grey values and tissues, see maps.
        grid: of the maps.
        config: what varies.
        greys: draws the grey value of every code, (256,), AROUND where `around` is to be seen.
        around: draws what is around the body, (FIELD, FIELD); 0 if None.
        random: all chance comes from it.
    """
    inside = np.argwhere(maps[1, ::2, ::2, ::2]) * 2
    low, high = inside.min(0)[::-1], inside.max(0)[::-1]
    half = (high - low + 1) / 2 * grid.spacing_ijk
    middle = grid.ijk_to_ras[:3, :3] @ (low + high) / 2 + grid.ijk_to_ras[:3, 3]
    seen, offsets, mirror = _section(half, config, random)
    picture = np.maximum(around(seen, random), 0) if around else np.zeros((FIELD, FIELD))
    table = greys(random)
    parts = []
    for place in _SUBSLICES:
        jitter = random.uniform(-0.5, 0.5, (FIELD, FIELD, 3)) * (1 / 3, 0.9, 0.9) + (place, 0, 0)
        codes, _ = _looked_up(maps, grid, seen.points + middle + jitter @ seen.across)
        values = table[codes]
        parts.append(np.where(values == AROUND, picture, values))
    image = np.mean(parts, 0)
    _, classes = _looked_up(maps, grid, seen.points + middle)
    image, classes = scanned(image, classes, config, random)
    places = (seen.points + middle) * (mirror, 1, 1)
    return Example(image, _halved(offsets), classes.astype(np.int64), _halved(places))


def _section(
    half: np.ndarray, config: SliceConfig, random: np.random.Generator
) -> tuple[Section2D, np.ndarray, float]:
    """A section of a body, the offsets (FIELD, FIELD, 3) mm of its pixels in the scanner, and the mirror.

    The mirror is -1 where left and right of the body are exchanged, else 1.
    """
    turn = (
        Rotation.random(random_state=random)
        if config.turn_deg is None
        else Rotation.from_rotvec(np.deg2rad(random.normal(0, config.turn_deg, 3)))
    )
    mirror = random.choice([-1.0, 1.0])
    size = np.exp(random.normal(0, config.size) + random.normal(0, config.size / 2, 3))
    to_body = turn.as_matrix() * size * (mirror, 1, 1)
    normal = Rotation.from_rotvec(random.normal(0, 0.09, 3)).apply(_PLANES[random.integers(3)])
    axes = in_plane_axes(normal)
    reach = float(np.linalg.norm(half * np.linalg.solve(to_body, np.eye(3)).T @ normal))
    share = random.uniform(-1, 1)
    if random.random() < config.beyond:
        share = np.sign(share) * (1 + random.uniform(0, 0.8))
    low, high = config.looks[random.integers(len(config.looks))]
    pixel = random.uniform(low, high)
    offsets = steps(FIELD, pixel) @ axes
    points = offsets + normal * reach * share + random.normal(0, config.middle_mm, 2) @ axes
    thickness = random.uniform(*config.thickness_mm)
    across = np.stack([normal * thickness, *(axes * pixel)]) @ to_body.T
    return Section2D(points @ to_body.T, across, pixel, half), offsets, float(mirror)


def _looked_up(maps: np.ndarray, grid: Grid, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both codes of the nearest voxel at points (..., 3) mm; those of the first voxel where there is none."""
    ijk = np.rint(points @ grid.ras_to_ijk[:3, :3].T + grid.ras_to_ijk[:3, 3]).astype(np.int32)
    inside = ((ijk >= 0) & (ijk < maps.shape[:0:-1])).all(-1)
    i, j, k = np.moveaxis(np.where(inside[..., None], ijk, 0), -1, 0)
    codes, tissue = maps[:, k, j, i]
    return codes, np.where(inside, tissue, 0)


def scanned(
    image: np.ndarray, classes: np.ndarray, config: SliceConfig, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (FIELD, FIELD) with shading, blur, noise and edges, 1 as bright as tissue gets; its classes.

    Args:
        image: 0 or more.
        classes: (FIELD, FIELD); 0 where nothing is in view.
        config: what varies.
        random: all chance comes from it.
    """
    v, u = np.mgrid[-1 : 1 : FIELD * 1j, -1 : 1 : FIELD * 1j]
    b = random.normal(0, config.bias, 5) * random.random()
    image = image * np.exp(b[0] * u + b[1] * v + b[2] * u * v + b[3] * u**2 + b[4] * v**2)
    image = gaussian_filter(image, random.uniform(0, config.blur, 2))
    image = np.maximum(image, 0) ** np.exp(random.normal(0, config.gamma))
    noise = random.uniform(0, config.noise) * (random.random() < 0.85)
    rician = random.random() < 0.6
    image = np.hypot(
        image + noise * random.standard_normal(image.shape),
        noise * random.standard_normal(image.shape) * rician,
    )
    if random.random() < config.cut:
        at, side = random.integers(FIELD // 16, FIELD // 3), int(random.integers(4))
        out = np.rot90(np.arange(FIELD)[:, None] + np.zeros(FIELD) < at, side)
        image, classes = np.where(out, 0, image), np.where(out, 0, classes)
    top = np.quantile(image, 0.99)
    bright = image[image > 0.1 * top]
    scale = max(float(np.quantile(bright, 0.98)), 1e-6) if len(bright) else 1.0
    return np.clip(image / scale, 0, 1.5).astype(np.float32), classes


def _halved(points: np.ndarray) -> np.ndarray:
    """Means (3, FIELD / 2, FIELD / 2) over 2 x 2 pixels of points (FIELD, FIELD, 3) mm, units of UNIT_MM."""
    half = points.reshape(FIELD // 2, 2, FIELD // 2, 2, 3).mean((1, 3)) / UNIT_MM
    return np.moveaxis(half, -1, 0).astype(np.float32)
