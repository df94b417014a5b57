"""One plane cut out of a volume, at any orientation."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from ..geometry import Grid, InputError, Volume
from ..geometry.plane import assumed_thickness_mm

_MIN_PIXELS = 4
_DIGITS = 6  # of a voxel: what lies on the first or last slice must not fall outside by rounding


def reslice_plane(
    volume: Volume,
    slice_to_ras: np.ndarray,
    thickness_mm: float | None = None,
    name: str = "volume",
    pixel_mm: float = 0.0,
) -> Volume:
    """A plane through a volume, as a volume of one slice (1, rows, columns), float32.

    Args:
        slice_to_ras: 4x4 (mm); the plane is its z = 0.
        thickness_mm: as in `plane_grid`, as are the pixels.
        name: begins the error.
        pixel_mm: pixels are at least so large (and not averaged).

    Raises:
        InputError: where the plane is not one or misses the volume.
    """
    plane = plane_grid(volume.grid, slice_to_ras, thickness_mm, name)
    if pixel_mm > plane.spacing_ijk[:2].min():
        plane = plane.with_spacing(np.maximum(plane.spacing_ijk, [pixel_mm, pixel_mm, 0.0]))
    return Volume(_read(volume, plane, "nearest"), plane)


def read_plane(volume: Volume, plane: Grid) -> np.ndarray:
    """Pixels (rows, columns) float32 of a volume at those of a grid of one slice: linear, 0 outside.

    Only the voxels around them are read, so it takes milliseconds whatever the size of the volume.
    """
    return _read(volume, plane, "constant")[0]


def _read(volume: Volume, plane: Grid, outside: str) -> np.ndarray:
    """Pixels (1, rows, columns) at a grid of one slice."""
    to_index = volume.grid.ras_to_ijk @ plane.ijk_to_ras
    rows, columns = np.indices(plane.shape_kji[1:])
    ijk = (to_index[:3, :2] @ [columns.ravel(), rows.ravel()] + to_index[:3, 3:]).round(_DIGITS)
    return map_coordinates(volume.array, ijk[::-1], np.float32, order=1, mode=outside).reshape(
        plane.shape_kji
    )


def plane_grid(
    volume: Grid, slice_to_ras: np.ndarray, thickness_mm: float | None = None, name: str = "volume"
) -> Grid:
    """Pixel centres of a plane through a volume's grid, as a grid of one slice.

    Only the plane's place and normal count: rows and columns run along the volume's own axes as far as the
    plane allows and have its resolution in that direction, so a plane of the volume comes out pixel for
    pixel. Pixels outside the volume are cut off, not made up.

    Args:
        slice_to_ras: 4x4 (mm); the plane is its z = 0.
        thickness_mm: the spacing along the normal; None: `assumed_thickness_mm` of the volume's voxel size
            there.
        name: begins the error.

    Raises:
        InputError: where the plane is not one or misses the volume.
    """
    matrix = np.asarray(slice_to_ras, float)
    normal = matrix[:3, 2]
    length = np.linalg.norm(matrix[:3, 2])
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or length < 1e-9:
        raise InputError(
            f"{name}: not a plane; expected a 4x4 SliceToRAS matrix with a normal in its third column."
        )
    normal = normal / length
    axes = np.stack([*_in_plane(volume, normal), normal], 1)
    steps = 1.0 / np.linalg.norm(volume.ras_to_ijk[:3, :3] @ axes, axis=0)
    outline = _outline(volume, normal, float(normal @ matrix[:3, 3]), float(steps[2]) / 2, name) @ axes
    low, high = outline.min(0), outline.max(0)
    columns, rows = (int(n) + 1 for n in (high - low)[:2] / steps[:2] + 1e-6)
    geometry = np.eye(4)
    geometry[:3, :3] = axes * steps
    geometry[:3, 3] = axes @ low
    grid = _without_outside(Grid((1, rows, columns), geometry), volume, name)
    geometry = grid.ijk_to_ras.copy()
    geometry[:3, 2] = normal * (thickness_mm or assumed_thickness_mm(steps[2]))
    return Grid(grid.shape_kji, geometry)


def _in_plane(grid: Grid, normal: np.ndarray) -> list[np.ndarray]:
    """Two unit vectors across `normal`, along the grid axes that lie nearest to the plane."""
    axes = (grid.ijk_to_ras[:3, :3] / grid.spacing_ijk).T
    first, second = sorted(np.argsort(np.abs(axes @ normal).round(6), kind="stable")[:2])
    column = axes[first] - (axes[first] @ normal) * normal
    column /= np.linalg.norm(column)
    row = np.cross(normal, column)
    return [column, row if row @ axes[second] >= 0 else -row]


def _outline(grid: Grid, normal: np.ndarray, offset: float, half_mm: float, name: str) -> np.ndarray:
    """Corners (n, 3) in mm of the polygon in which a plane meets the box of voxel centres.

    The box reaches up to half a voxel further.
    """
    corners = grid.corners_ras()
    heights = corners @ normal
    if not heights.min() - half_mm <= offset <= heights.max() + half_mm:
        raise InputError(f"{name}: the plane does not meet the volume; move it inside.")
    heights = heights - np.clip(offset, heights.min(), heights.max())
    points = [corner for corner, height in zip(corners, heights, strict=True) if abs(height) < 1e-6]
    for a, b in ((a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit):
        if heights[a] * heights[b] < 0:
            points.append(corners[a] + (corners[b] - corners[a]) * heights[a] / (heights[a] - heights[b]))
    return np.array(points)


def _without_outside(plane: Grid, volume: Grid, name: str) -> Grid:
    """The largest part of a plane's lattice without pixels outside the volume.

    It is found by dropping the emptiest border line.
    """
    ijk = plane.points_ras() @ volume.ras_to_ijk[:3, :3].T + volume.ras_to_ijk[:3, 3]
    inside = (
        ((ijk > -1e-3) & (ijk < np.array(volume.shape_kji[::-1]) - 0.999)).all(1).reshape(plane.shape_kji[1:])
    )
    top, bottom, left, right = 0, inside.shape[0], 0, inside.shape[1]
    while min(bottom - top, right - left) >= _MIN_PIXELS:
        part = inside[top:bottom, left:right]
        if part.all():
            break
        worst = int(np.argmin([line.mean() for line in (part[0], part[-1], part[:, 0], part[:, -1])]))
        top, bottom, left, right = (
            top + (worst == 0),
            bottom - (worst == 1),
            left + (worst == 2),
            right - (worst == 3),
        )
    else:
        raise InputError(f"{name}: the plane only grazes the volume; move it inside.")
    geometry = plane.ijk_to_ras.copy()
    geometry[:3, 3] += geometry[:3, :2] @ [left, top]
    return Grid((1, bottom - top, right - left), geometry)
