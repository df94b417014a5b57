"""Planes at any pose and the images observed on them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .errors import InputError
from .grid import Grid, Volume

_THICKEST_MM = 5.0
THICKNESS_MM = (0.01, 100.0)  # of any slice


@dataclass(frozen=True, eq=False)
class Plane:
    """A rectangle of pixel centres in patient space.

    shape_ji: rows and columns. ij_to_ras: 4x4; columns 0 and 1 step one pixel along i and j (mm),
    column 2 is the unit normal, column 3 the centre of pixel (0, 0). thickness_mm: slice thickness
    (full width of the slice profile) along the normal; 0 is an ideal plane.
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


@dataclass(frozen=True, eq=False)
class SliceImage:
    """One observed slice: `pixels` (rows, columns) float32 on `plane`.

    name: what to call it in messages. thickness_assumed: the thickness was not in the file but taken
    from the spacing. volume_index: position along the third index axis of the volume it came from.
    """

    pixels: np.ndarray
    plane: Plane
    name: str = "slice"
    thickness_assumed: bool = True
    source: str = ""
    volume_index: int | None = field(default=None)

    def __post_init__(self):
        pixels = np.ascontiguousarray(self.pixels, dtype=np.float32)
        if pixels.shape != self.plane.shape_ji:
            raise InputError(f"{self.name}: pixels {pixels.shape} on a plane of shape {self.plane.shape_ji}.")
        if not np.isfinite(pixels).all():
            raise InputError(
                f"{self.name}: {(~np.isfinite(pixels)).sum()} pixels are NaN or infinite; clean the image "
                "first."
            )
        if float(np.ptp(pixels)) == 0.0:
            raise InputError(
                f"{self.name}: the slice is empty (every pixel is {pixels.flat[0]:g}); pick a slice that "
                "shows anatomy."
            )
        object.__setattr__(self, "pixels", pixels)


def slice_of(
    volume: Volume,
    index: int,
    thickness_mm: float | None = None,
    source: str = "volume",
    number: int | None = None,
) -> SliceImage:
    """Slice `index` along the third index axis (k) of a volume.

    thickness_mm None: `assumed_thickness_mm` of the spacing along k. number: what to call the slice where not
    by its index. Raises InputError when the index is out of range.
    """
    count = volume.grid.shape_kji[0]
    if not 0 <= index < count:
        raise InputError(
            f"{source}: slice index {index} is out of range; the volume has slices 0..{count - 1}."
        )
    matrix = volume.grid.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, 2] * index
    thickness = (
        assumed_thickness_mm(volume.grid.spacing_ijk[2]) if thickness_mm is None else float(thickness_mm)
    )
    plane = Plane(volume.grid.shape_kji[1:], matrix, thickness)
    name = f"{source}:{index if number is None else number}" if count > 1 or number else source
    return SliceImage(
        volume.array[index], plane, name, thickness_mm is None, source, index if number is None else number
    )


def assumed_thickness_mm(spacing_mm: float) -> float:
    """Thickness of slices that nothing states: their spacing, at most 5 mm.

    Slices are not acquired thicker; the rest is a gap.
    """
    return float(min(spacing_mm, _THICKEST_MM))


def check_thickness(thickness_mm: float | None, name: str, grid: Grid | None = None) -> None:
    """Raise InputError for a slice thickness (mm) that none is: out of range, or more than the slice is wide
    (another unit).
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


def check_slices_agree(slices: list[SliceImage], tolerance: float = 0.25) -> None:
    """Raise InputError when two slices on the same pixels (in any layout, one may be a part of the other)
    show different images.

    tolerance: allowed root mean square difference as a share of the joint standard deviation.
    """
    for a, first in enumerate(slices):
        for second in slices[a + 1 :]:
            one, two = _shared_pixels(first, second)
            spread = np.concatenate([one, two]).std() if len(one) else 0.0
            if spread and np.sqrt(np.mean((one - two) ** 2)) > tolerance * spread:
                raise InputError(
                    f"{first.name} and {second.name} lie on the same plane but disagree; remove one of them."
                )


def _shared_pixels(first: SliceImage, second: SliceImage) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) of both slices at the pixels whose centres they share (within a tenth of a pixel)."""
    plane, other = first.plane, second.plane
    near = 0.1 * float(plane.spacing_ij.min())
    apart = (
        abs(plane.normal @ (other.centre - plane.centre)) > near or abs(plane.normal @ other.normal) < 0.9999
    )
    if apart:
        return np.zeros(0), np.zeros(0)
    to_other = np.linalg.inv(other.ij_to_ras)
    local = (plane.points_ras() @ to_other[:3, :3].T + to_other[:3, 3])[:, :2]
    column, row = np.rint(local).astype(int).T
    shared = (column >= 0) & (row >= 0) & (column < other.shape_ji[1]) & (row < other.shape_ji[0])
    shared &= (np.abs(local - np.rint(local)) * other.spacing_ij <= near).all(1)
    return first.pixels.ravel()[shared], second.pixels[row[shared], column[shared]]
