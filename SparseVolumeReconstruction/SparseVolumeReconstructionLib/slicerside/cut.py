"""One plane cut out of a volume, at any orientation."""

from __future__ import annotations

import numpy as np

from ..geometry import Grid, InputError, Volume
from ..geometry.resample import resample

_FEWEST_PIXELS = 4


def cut_plane(volume: Volume, slice_to_ras: np.ndarray, thickness_mm: float | None = None, name: str = "volume") -> Volume:
    """The plane z = 0 of `slice_to_ras` (4x4, mm) through a volume, as a volume of one slice (1, rows, columns), float32.

    Only the plane's place and normal count: rows and columns run along the volume's own axes as far as the plane allows
    and have its resolution in that direction, so a plane of the volume comes out pixel for pixel. Pixels outside the
    volume are cut off, not made up. thickness_mm None: the volume's voxel size along the normal.
    Raises InputError where the plane is not one or misses the volume.
    """
    matrix = np.asarray(slice_to_ras, float)
    normal, length = matrix[:3, 2], np.linalg.norm(matrix[:3, 2])
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or length < 1e-9:
        raise InputError(f"{name}: not a plane; expected a 4x4 SliceToRAS matrix with a normal in its third column.")
    normal = normal / length
    axes = np.stack([*_in_plane(volume.grid, normal), normal], 1)
    steps = 1.0 / np.linalg.norm(volume.grid.ras_to_ijk[:3, :3] @ axes, axis=0)
    outline = _outline(volume.grid, normal, float(normal @ matrix[:3, 3]), float(steps[2]) / 2, name) @ axes
    low, high = outline.min(0), outline.max(0)
    columns, rows = (int(n) + 1 for n in (high - low)[:2] / steps[:2] + 1e-6)
    geometry = np.eye(4)
    geometry[:3, :3] = axes * steps
    geometry[:3, 3] = axes @ low
    grid = _without_outside(Grid((1, rows, columns), geometry), volume.grid, name)
    if thickness_mm is not None:
        geometry = grid.ijk_to_ras.copy()
        geometry[:3, 2] = normal * thickness_mm
        grid = Grid(grid.shape_kji, geometry)
    return resample(volume, grid, antialias=False)


def _in_plane(grid: Grid, normal: np.ndarray) -> list[np.ndarray]:
    """Two unit vectors across `normal`, along the grid axes that lie nearest to the plane."""
    axes = (grid.ijk_to_ras[:3, :3] / grid.spacing_ijk).T
    first, second = sorted(np.argsort(np.abs(axes @ normal).round(6), kind="stable")[:2])
    column = axes[first] - (axes[first] @ normal) * normal
    column /= np.linalg.norm(column)
    row = np.cross(normal, column)
    return [column, row if row @ axes[second] >= 0 else -row]


def _outline(grid: Grid, normal: np.ndarray, offset: float, half_mm: float, name: str) -> np.ndarray:
    """Corners (n, 3) in mm of the polygon in which a plane meets the box of voxel centres (up to half a voxel outside)."""
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
    """The largest part of a plane's lattice without pixels outside the volume, found by dropping the emptiest border line."""
    ijk = plane.points_ras() @ volume.ras_to_ijk[:3, :3].T + volume.ras_to_ijk[:3, 3]
    inside = ((ijk > -1e-3) & (ijk < np.array(volume.shape_kji[::-1]) - 0.999)).all(1).reshape(plane.shape_kji[1:])
    top, bottom, left, right = 0, inside.shape[0], 0, inside.shape[1]
    while min(bottom - top, right - left) >= _FEWEST_PIXELS:
        part = inside[top:bottom, left:right]
        if part.all():
            break
        worst = int(np.argmin([line.mean() for line in (part[0], part[-1], part[:, 0], part[:, -1])]))
        top, bottom, left, right = top + (worst == 0), bottom - (worst == 1), left + (worst == 2), right - (worst == 3)
    else:
        raise InputError(f"{name}: the plane only grazes the volume; move it inside.")
    geometry = plane.ijk_to_ras.copy()
    geometry[:3, 3] += geometry[:3, :2] @ [left, top]
    return Grid((1, bottom - top, right - left), geometry)
