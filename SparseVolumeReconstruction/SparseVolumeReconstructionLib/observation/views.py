"""Directions from which radiographs are taken, and detectors that look along them."""

from __future__ import annotations

import numpy as np

from ..geometry import Grid, Plane

VIEWS = {"front": (0.0, -1.0, 0.0), "side": (1.0, 0.0, 0.0), "top": (0.0, 0.0, -1.0)}  # of the rays, RAS
_HALF = np.array([0.6, -0.7, -0.8])  # parallel rays of one and the opposite direction show the same


def view_axes(direction: np.ndarray) -> np.ndarray:
    """Rows are the unit axes of a picture, RAS: to the right, downwards, and along the rays; right-handed.

    Upwards is S in the picture, and A where one looks along S.

    Args:
        direction: of the rays, (3,).
    """
    z = np.asarray(direction, float) / np.linalg.norm(direction)
    up = np.array([0.0, 0.0, 1.0]) if abs(z[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    y = -(up - (up @ z) * z)
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z])


def rolled(axes: np.ndarray, angle: float) -> np.ndarray:
    """Axes (3, 3) of a picture, as `view_axes` gives them, turned in its plane by an angle, rad."""
    c, s = np.cos(angle), np.sin(angle)
    turned: np.ndarray = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ axes
    return turned


def detector(axes: np.ndarray, centre: np.ndarray, shape_ji: tuple[int, int], pixel_mm: float) -> Plane:
    """A detector whose middle lies at a point.

    Args:
        axes: as `view_axes` gives them, (3, 3).
        centre: RAS mm.
        shape_ji: rows and columns.
        pixel_mm: of the square pixels.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = axes.T * [pixel_mm, pixel_mm, 1.0]
    matrix[:3, 3] = centre - matrix[:3, :2] @ (np.array(shape_ji[::-1]) - 1) / 2
    return Plane(shape_ji, matrix)


def middle_of(grid: Grid) -> np.ndarray:
    """The middle of a grid, RAS mm (3,)."""
    corners = grid.corners_ras()
    middle: np.ndarray = (corners[0] + corners[-1]) / 2
    return middle


def half_directions(count: int) -> np.ndarray:
    """Directions spread evenly over half a sphere, (count, 3): all that differ for parallel rays."""
    n = np.arange(2 * count) + 0.5
    z, turn = 1 - n / count, np.pi * (1 + np.sqrt(5)) * n
    radius = np.sqrt(1 - z**2)
    found = np.stack([radius * np.cos(turn), radius * np.sin(turn), z], 1)
    return found[np.argsort(found @ _HALF)[count:]]


def facing(direction: np.ndarray) -> np.ndarray:
    """The direction (3,), or its opposite: whichever is in the half that `half_directions` spreads over."""
    return direction if direction @ _HALF >= 0 else -direction
