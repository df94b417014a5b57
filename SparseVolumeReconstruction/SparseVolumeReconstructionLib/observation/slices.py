"""Slices: images on planes of any pose, the first kind of observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.ndimage import map_coordinates

from ..geometry import Grid, InputError, Plane, Volume
from ..geometry.plane import assumed_thickness_mm
from ..geometry.resample import resample
from .base import IntensityMap, Observation, ObservedVoxels

if TYPE_CHECKING:
    import torch

    from .operator import LinearOperator

_PARALLEL = 0.95  # cosine: up to 18 degrees


@dataclass(frozen=True, eq=False)
class Slice(Observation):
    """One observed slice: `pixels` (rows, columns) float32 on `plane`.

    name: what to call it in messages. thickness_assumed: the thickness was not in the file but taken
    from the spacing. volume_index: position along the third index axis of the volume it came from.
    """

    kind: ClassVar[str] = "slice"

    pixels: np.ndarray
    plane: Plane
    name: str = "slice"
    thickness_assumed: bool = True
    source: str = ""
    volume_index: int | None = None
    noise: float = 0.0

    def __post_init__(self) -> None:
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

    @property
    def values(self) -> np.ndarray:
        """The pixels, (rows, columns) float32."""
        return self.pixels

    def operator(
        self,
        grid: Grid,
        *,
        mask: np.ndarray | None = None,
        pose: torch.Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> LinearOperator:
        """Interpolation averaged over the slice profile, of the pixels whose centre lies in the mask."""
        from .planes import plane_operator
        from .points import moved_plane_operator

        if pose is None:
            return plane_operator([self.plane], grid, mask, device)
        return moved_plane_operator(self.plane, grid, pose, mask, device)

    def kept(self, grid: Grid, mask: np.ndarray | None = None) -> np.ndarray:
        """The pixels (rows, columns) whose centre lies on the grid and in the mask."""
        from .planes import observed_pixels

        return observed_pixels(self.plane, grid, mask)

    def transformed(self, matrix: np.ndarray) -> Slice:
        """The slice seen through a 4x4 affine (mm to mm, RAS)."""
        return replace(self, plane=self.plane.transformed(matrix))

    def with_intensity(self, intensity: IntensityMap) -> Slice:
        """The slice in canonical units; its noise grows as the map's mean slope over the pixels."""
        pixels = intensity.to_canonical(self.pixels)
        noise = 0.0
        if self.noise:
            high, low = (intensity.to_canonical(self.pixels + n) for n in (self.noise, -self.noise))
            noise = float((high - low).mean() / 2)
        return replace(self, pixels=pixels, noise=noise)

    def observed_voxels(self, grid: Grid) -> ObservedVoxels:
        """The voxels that the slice passes through.

        Such a voxel's centre is within half a voxel (along the slice's normal) of the slice's mid-plane and
        inside its rectangle; a thicker slice does not mark more voxels, since each of those holds only a part
        of the average. Finer pixels are averaged to the grid's spacing first.
        """
        box = _box_around(self.plane, grid)
        if box is None:
            return ObservedVoxels.none()
        matrix = np.linalg.inv(self.plane.ij_to_ras) @ grid.ijk_to_ras
        k, j, i = np.ogrid[box]
        column, row, distance = (m[0] * i + m[1] * j + m[2] * k + m[3] for m in matrix[:3])
        footprint = np.abs(self.plane.normal @ grid.ijk_to_ras[:3, :3]).sum()
        rows, columns = self.plane.shape_ji
        near = np.abs(distance) <= footprint / 2 + 1e-6
        near &= (column >= -0.5) & (row >= -0.5) & (column <= columns - 0.5) & (row <= rows - 0.5)
        picture = self.no_finer(float(grid.spacing_ijk.min()))
        to_picture = np.linalg.inv(picture.plane.ij_to_ras) @ self.plane.ij_to_ras
        column, row = to_picture[:2, :2] @ [column[near], row[near]] + to_picture[:2, 3:]
        values = map_coordinates(picture.pixels.astype(np.float64), [row, column], order=1, mode="nearest")
        closeness = 1e-3 + 1 - 2 * np.abs(distance[near]) / (footprint + 1e-6)
        start = np.array([axis.start for axis in box])[:, None]
        index = np.ravel_multi_index(tuple(np.array(np.nonzero(near)) + start), grid.shape_kji)
        return ObservedVoxels(index, values, closeness)

    def no_finer(self, spacing_mm: float) -> Slice:
        """The slice on pixels of `spacing_mm` where its own are clearly finer, else itself."""
        finer = spacing_mm > 1.2 * float(self.plane.spacing_ij.max())
        return resample_slice(self, spacing_mm) if finer else self

    def provenance(self) -> dict[str, Any]:
        """Where the slice comes from, its pixels, its place (4x4, RAS mm) and its thickness (mm)."""
        return {
            "kind": self.kind,
            "name": self.name,
            "source": self.source,
            "slice": self.volume_index,
            "pixels_ji": list(self.plane.shape_ji),
            "ij_to_ras": self.plane.ij_to_ras.round(6).tolist(),
            "thickness_mm": self.plane.thickness_mm,
            "thickness_assumed": self.thickness_assumed,
        }


def slice_of(
    volume: Volume,
    index: int,
    thickness_mm: float | None = None,
    source: str = "volume",
    number: int | None = None,
) -> Slice:
    """Slice `index` along the third index axis (k) of a volume.

    Args:
        volume: RAS mm.
        index: 0 to the number of slices - 1.
        thickness_mm: `assumed_thickness_mm` of the spacing along k if None.
        source: the file or scan, as in Observation; begins the slice's name.
        number: what to call the slice where not by its index.

    Raises:
        InputError: when the index is out of range, or the slice is empty or has values that are not finite.
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
    return Slice(
        volume.array[index], plane, name, thickness_mm is None, source, index if number is None else number
    )


def are_parallel(slices: Sequence[Slice]) -> bool:
    """Whether there are slices, and all are about parallel."""
    normals = [s.plane.normal for s in slices]
    return bool(normals) and min(abs(float(n @ normals[0])) for n in normals) > _PARALLEL


def resample_slice(image: Slice, pixel_size_mm: float) -> Slice:
    """The slice on square pixels of another size over the same rectangle (blurred first when coarser).

    Args:
        image: stays as it is.
        pixel_size_mm: of the new pixels.
    """
    plane = image.plane.with_pixel_size(pixel_size_mm)
    lattices = []
    for p in (image.plane, plane):
        matrix = np.diag([*p.spacing_ij, 1.0, 1.0])
        matrix[:2, 3] = -p.spacing_ij * (np.array(p.shape_ji[::-1]) - 1) / 2
        lattices.append(Grid((1, *p.shape_ji), matrix))
    pixels = resample(Volume(image.pixels[None], lattices[0]), lattices[1]).array[0]
    return replace(image, pixels=pixels, plane=plane)


def check_slices_agree(slices: list[Slice], tolerance: float = 0.25) -> None:
    """Raise InputError when two slices on the same pixels show different images.

    The pixels may be in any layout, and one slice a part of the other.

    Args:
        slices: of one body, in one space and unit.
        tolerance: allowed root mean square difference as a share of the joint standard deviation.

    Raises:
        InputError: naming the two.
    """
    for a, first in enumerate(slices):
        for second in slices[a + 1 :]:
            one, two = _shared_pixels(first, second)
            spread = np.concatenate([one, two]).std() if len(one) else 0.0
            if spread and np.sqrt(np.mean((one - two) ** 2)) > tolerance * spread:
                raise InputError(
                    f"{first.name} and {second.name} lie on the same plane but disagree; remove one of them."
                )


def _shared_pixels(first: Slice, second: Slice) -> tuple[np.ndarray, np.ndarray]:
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


def _box_around(plane: Plane, grid: Grid) -> tuple[slice, slice, slice] | None:
    """The part of the grid (k, j, i slices) around a plane, None if they do not meet."""
    rows, columns = plane.shape_ji
    corners = np.array([[i, j, 0, 1] for i in (-0.5, columns - 0.5) for j in (-0.5, rows - 0.5)]).T
    ijk = (grid.ras_to_ijk @ plane.ij_to_ras @ corners)[:3]
    low = np.maximum(np.floor(ijk.min(1)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(ijk.max(1)).astype(int) + 2, grid.shape_kji[::-1])
    if (low >= high).any():
        return None
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))
    return k, j, i


def split_slices(observations: Sequence[Observation]) -> tuple[list[Slice], list[Observation]]:
    """The observations that are slices, and those of other kinds, each in order."""
    slices = [observation for observation in observations if isinstance(observation, Slice)]
    return slices, [observation for observation in observations if not isinstance(observation, Slice)]
