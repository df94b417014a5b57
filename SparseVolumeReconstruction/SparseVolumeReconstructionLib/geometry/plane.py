"""Planes at any pose, and how thick slices are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .grid import Grid

_THICKEST_MM = 5.0
THICKNESS_MM = (0.01, 100.0)  # of any slice


@dataclass(frozen=True, eq=False)
class Plane:
    """A rectangle of pixel centres in patient space.

    Attributes:
        shape_ji: rows and columns.
        ij_to_ras: 4x4; columns 0 and 1 step one pixel along i and j (mm), column 2 is the unit normal, column
            3 the centre of pixel (0, 0).
        thickness_mm: slice thickness (full width of the slice profile) along the normal; 0 is an ideal plane.
    """

    shape_ji: tuple[int, int]
    ij_to_ras: np.ndarray
    thickness_mm: float = 0.0

    def __post_init__(self):
        matrix = np.array(self.ij_to_ras, dtype=np.float64)
        if matrix.shape != (4, 4):
            raise InputError(f"Plane: ij_to_ras has shape {matrix.shape}; expected 4x4.")
        normal = np.cross(matrix[:3, 0], matrix[:3, 1])
        length = np.linalg.norm(normal)
        if not (np.isfinite(matrix).all() and length > 1e-9):
            raise InputError(
                "Plane: the two axes are parallel, zero or not finite; expected steps of one pixel in mm."
            )
        normal /= length
        matrix[:3, 2] = normal if normal @ matrix[:3, 2] >= 0 else -normal
        if not (np.isfinite(self.thickness_mm) and self.thickness_mm >= 0):
            raise InputError(f"Plane: thickness {self.thickness_mm} mm; expected 0 or more.")
        matrix.setflags(write=False)
        object.__setattr__(self, "ij_to_ras", matrix)
        object.__setattr__(self, "shape_ji", tuple(int(n) for n in self.shape_ji))

    @property
    def spacing_ij(self) -> np.ndarray:
        """Pixel spacing along i and j in mm."""
        return np.linalg.norm(self.ij_to_ras[:3, :2], axis=0)

    @property
    def normal(self) -> np.ndarray:
        """Unit normal in RAS."""
        return self.ij_to_ras[:3, 2]

    @property
    def centre(self) -> np.ndarray:
        """Centre of the rectangle in RAS mm."""
        j, i = (np.array(self.shape_ji) - 1) / 2
        return self.ij_to_ras[:3, :2] @ [i, j] + self.ij_to_ras[:3, 3]

    def points_ras(self) -> np.ndarray:
        """Pixel centres in row-major order, (rows*columns, 3) in mm."""
        j, i = np.indices(self.shape_ji)
        return np.stack([i.ravel(), j.ravel()], 1) @ self.ij_to_ras[:3, :2].T + self.ij_to_ras[:3, 3]

    def transformed(self, matrix: np.ndarray) -> Plane:
        """The plane seen through a 4x4 affine (mm to mm); a slight shear of its axes is kept."""
        stretch = float(np.linalg.norm(matrix[:3, :3] @ self.normal))
        return Plane(self.shape_ji, matrix @ self.ij_to_ras, self.thickness_mm * stretch)

    def with_pixel_size(self, size_mm: float) -> Plane:
        """The same rectangle (outer pixel edges) sampled at square pixels of `size_mm`."""
        extent = self.spacing_ij * self.shape_ji[::-1]
        counts = np.maximum(np.rint(extent / size_mm).astype(int), 1)
        matrix = self.ij_to_ras.copy()
        matrix[:3, :2] = matrix[:3, :2] / self.spacing_ij * size_mm
        matrix[:3, 3] = self.centre - matrix[:3, :2] @ ((counts - 1) / 2)
        return Plane((counts[1], counts[0]), matrix, self.thickness_mm)


def assumed_thickness_mm(spacing_mm: float) -> float:
    """Thickness of slices that nothing states: their spacing, at most 5 mm.

    Slices are not acquired thicker; the rest is a gap.
    """
    return float(min(spacing_mm, _THICKEST_MM))


def check_thickness(thickness_mm: float | None, name: str, grid: Grid | None = None) -> None:
    """Raise InputError for a slice thickness (mm) that none is.

    Out of range, or more than the slice is wide (another unit).

    Args:
        thickness_mm: None passes.
        name: what to call the slice's file in messages.
        grid: how wide the slices are: those along its third index axis; None: not looked at.

    Raises:
        InputError: outside of THICKNESS_MM, or more than the slice is wide.
    """
    if thickness_mm is None:
        return
    if not THICKNESS_MM[0] <= thickness_mm <= THICKNESS_MM[1]:
        raise InputError(
            f"{name}: slice thickness {thickness_mm:g} mm; expected {THICKNESS_MM[0]:g} to "
            f"{THICKNESS_MM[1]:g} mm."
        )
    width = thickness_mm if grid is None else float((grid.spacing_ijk * grid.shape_kji[::-1])[:2].min())
    if thickness_mm > width:
        raise InputError(
            f"{name}: slice thickness {thickness_mm:g} mm is more than the slice is wide ({width:.4g} mm); "
            "expected millimetres."
        )
