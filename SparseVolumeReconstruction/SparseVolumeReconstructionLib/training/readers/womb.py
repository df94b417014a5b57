"""What is around a fetal brain in a slice: the face and body of the fetus, fluid, placenta and mother.

All of it is made up: ellipsoids of random size and place with uneven rims, filled with random textures.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from ...alignment.head_network import FIELD
from .slices import Section2D

_GRAINS = (1, 2, 4)  # of textures, pixels
_SHEETS = 8  # of noise of each grain, always the same ones; parts of them are used


class _Picture:
    """A picture (FIELD, FIELD) that shapes are painted into."""

    def __init__(self, seen: Section2D, random: np.random.Generator):
        self.random = random
        self.points = seen.points
        self.image = np.zeros((FIELD, FIELD))
        self.wobble = 0.1 * self.noise(4) + 0.18 * self.noise(8)  # of rims, share of the radius squared
        self.wide = 0.35 * self.noise(16)

    def noise(self, grain: int) -> np.ndarray:
        """Smooth noise (FIELD, FIELD) of unit spread; `grain`: pixels."""
        sheet = _sheets(grain)[self.random.integers(_SHEETS)]
        row, column = self.random.integers(0, 3 * FIELD, 2)
        return np.rot90(sheet[row : row + FIELD, column : column + FIELD], int(self.random.integers(4)))

    def texture(self, spread: float) -> np.ndarray:
        """Factors about 1, of any grain; at most so much spread."""
        return 1 + self.random.uniform(0, spread) * self.noise(int(self.random.choice(_GRAINS)))

    def distance(self, centre, radii, turn: np.ndarray | None = None) -> np.ndarray:
        """Squared distance from a centre (mm) in radii (mm) along the columns of `turn`: below 1 inside."""
        away = self.points - centre
        return (((away if turn is None else away @ turn) / radii) ** 2).sum(-1)

    def paint(self, inside: np.ndarray, value) -> None:
        """Give pixels a value, or those of a picture."""
        self.image = np.where(inside, value, self.image)


def surroundings(seen: Section2D, random: np.random.Generator) -> np.ndarray:
    """Grey values (FIELD, FIELD) around a fetal brain in a slice.

    Args:
        seen: where the slice passes.
        random: all chance comes from it.
    """
    picture = _Picture(seen, random)
    half = seen.half_mm
    down = np.array([random.normal(0, 0.3), random.normal(0.1, 0.5), -1.0])
    down /= np.linalg.norm(down)
    trunk = -half * (0, 0.25, 0.85) + down * half[2] * random.uniform(1.4, 2.4)
    _mother(picture, seen)
    _womb(picture, half, trunk)
    _fetus(picture, half, down, trunk)
    _face(picture, half)
    return picture.image


def _mother(picture: _Picture, seen: Section2D) -> None:
    """Patches of tissue, fine patterns such as bowel, organs and fat, 0 outside the body."""
    random = picture.random
    count = int(random.integers(3, 9))
    grain = int(random.choice([8, 16, 32] if seen.pixel_mm < 2 else [4, 8, 16]))
    patches = np.argmax([picture.noise(grain) for _ in range(count)], 0)
    picture.image = random.uniform(0.02, 0.8, count)[patches] * picture.texture(0.25)
    for _ in range(random.integers(0, 3)):
        fine = np.abs(picture.noise(2)) < random.uniform(0.2, 0.8)
        picture.paint((patches == random.integers(count)) & fine, random.uniform(0.02, 1.1))
    reach = 0.5 * FIELD * seen.pixel_mm
    for _ in range(random.integers(0, 4 if reach < 100 else 12)):
        pixel = tuple(random.integers(0, FIELD, 2))
        centre = picture.points[pixel] + random.normal(0, 8, 3)
        away = picture.distance(centre, random.uniform(5, 40, 3), _any_turn(random)) + 0.5 * picture.wobble
        value = random.random()
        picture.paint(away < 1, value)
        picture.paint((away < 0.5) & (random.random() < 0.5), 1 - value)
    v, u = np.mgrid[-reach : reach : FIELD * 1j, -reach : reach : FIELD * 1j]
    middle, radii = random.normal(0, 35, 2), random.uniform([110, 85], [200, 150])
    body = ((u - middle[0]) / radii[0]) ** 2 + ((v - middle[1]) / radii[1]) ** 2 + 0.15 * picture.wide
    picture.paint(body > 1 - random.uniform(0.05, 0.3), random.uniform(0.3, 1.1) * picture.texture(0.15))
    picture.paint(body > 1, 0)


def _womb(picture: _Picture, half: np.ndarray, trunk: np.ndarray) -> None:
    """The wall of the uterus, the placenta and the fluid."""
    random = picture.random
    tight = random.random() < 0.4
    radii = random.uniform(1.05, 1.6, 3) * half.max() if tight else random.uniform(50, 140, 3)
    centre = random.uniform(0.1, 0.6) * trunk + random.normal(0, 28, 3)
    away = picture.distance(centre, radii, _any_turn(random)) + 0.8 * picture.wide + 0.5 * picture.wobble
    picture.paint(away < 1 + random.uniform(0.02, 0.12), random.uniform(0.1, 0.5) * picture.texture(0.2))
    picture.paint(away < 1, random.uniform(0.25, 0.85) * picture.texture(0.2))
    placenta = picture.noise(32) + random.normal(0, 0.8) > 0.6
    inner = np.where(placenta, 1 - random.uniform(0.15, 0.5), 1 - random.uniform(0, 0.03))
    fluid = random.uniform(0.75, 1.15) if random.random() < 0.8 else random.uniform(0.1, 0.8)
    picture.paint(away < inner, fluid * (1 + random.uniform(0, 0.12) * picture.noise(8)))


def _fetus(picture: _Picture, half: np.ndarray, down: np.ndarray, trunk: np.ndarray) -> None:
    """Limbs, neck, trunk with organs, and spine."""
    random = picture.random
    length = half[2] * random.uniform(1.2, 2.0)
    for _ in range(random.integers(2, 7)):
        centre = (trunk if random.random() < 0.7 else 0) + random.normal(0, 1.1 * half[2], 3)
        radii, turn = np.array([*random.uniform(5, 12, 2), random.uniform(15, 38)]), _any_turn(random)
        limb = picture.distance(centre, radii, turn) + 0.5 * picture.wobble
        picture.paint(limb < 1, random.uniform(0.2, 0.7) * picture.texture(0.15))
        bone = picture.distance(centre, radii * (0.3, 0.3, 0.8), turn)
        picture.paint(bone < 1, random.uniform(0.02, 0.4))
    along = _along(down, random)
    neck = -half * (0, 0.25, 0.85) + down * 0.3 * half[2]
    width = half[0] * random.uniform(0.7, 1.05)
    tissue = 0.5 * picture.wobble
    near = picture.distance(neck, half[0] * np.array([0.45, 0.5, 0.8]), along) + tissue < 1
    picture.paint(near, random.uniform(0.15, 0.6) * picture.texture(0.25))
    inside = picture.distance(trunk, np.array([width, width, length]), along) + tissue < 1
    picture.paint(inside, random.uniform(0.15, 0.6) * picture.texture(0.25))
    for _ in range(random.integers(3, 8)):
        centre = trunk + along @ (random.uniform(-0.6, 0.6, 3) * (width, width, length))
        organ = (
            picture.distance(centre, random.uniform(0.12, 0.55, 3) * width, _any_turn(random)) + tissue < 1
        )
        picture.paint(organ & inside, random.uniform(0.03, 1.05) * picture.texture(0.15))
    back = trunk - along[:, 0] * 0.7 * width
    for radius, low, high in ((8, 0.03, 0.35), (4, 0.3, 1.0)):
        spine = picture.distance(back, np.array([radius, radius, 0.9 * length]), along)
        picture.paint(spine < 1, random.uniform(low, high))


def _face(picture: _Picture, half: np.ndarray) -> None:
    """The face with bones, airways and muscles, and the eyes."""
    random = picture.random
    centre = half * (0, 0.6, -0.8) * random.uniform(0.9, 1.15, 3)
    away = picture.distance(centre, half * (0.66, 0.55, 0.7) * random.uniform(0.85, 1.15, 3))
    inside = away + 0.5 * picture.wobble < 1
    grey = random.uniform(0.1, 0.6) + 0.2 * random.random() * picture.noise(2)
    picture.paint(inside, np.maximum(grey, 0.02))
    for _ in range(random.integers(1, 5)):
        noise = picture.noise(int(random.choice([2, 4, 8])))
        lines = random.random() < 0.5
        pattern = np.abs(noise) < random.uniform(0.1, 0.5) if lines else noise > random.uniform(0, 1.2)
        dark = random.random() < 0.5
        picture.paint(inside & pattern, random.uniform(0.02, 0.35) if dark else random.uniform(0.2, 1.05))
    for side in (-1, 1):
        eye = picture.distance(half * (0.42 * side, 0.86, -0.62), 0.17 * half[1])
        picture.paint(eye < 1, random.uniform(0.6, 1.15))
        picture.paint(eye < 0.12, random.uniform(0.05, 0.4))


@cache
def _sheets(grain: int) -> np.ndarray:
    """Sheets of smooth noise, unit spread, (_SHEETS, 4 * FIELD, 4 * FIELD) float32."""
    white = np.random.default_rng(grain).standard_normal((_SHEETS, 4 * FIELD, 4 * FIELD), np.float32)
    found = np.stack([gaussian_filter(one, grain, mode="wrap") for one in white])
    return (found - found.mean()) / found.std()


def _any_turn(random: np.random.Generator) -> np.ndarray:
    return np.asarray(Rotation.random(random_state=random).as_matrix())


def _along(axis: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Unit columns (3, 3), the last one along an axis."""
    side = np.cross(axis, random.standard_normal(3))
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(axis, side), axis], 1)
