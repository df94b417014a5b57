"""Regular voxel grids and volumes in patient RAS millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import InputError

_ORTHOGONALITY_TOLERANCE = 1e-3


def check_axes(matrix: np.ndarray, what: str) -> None:
    """Raise InputError unless the columns of a 3x3 index-to-mm matrix are finite, non-zero and orthogonal.

    A reflection (left-handed axes) is allowed, a shear is not: slices and voxels are rectangles.

    Args:
        matrix: columns are the steps of one voxel along i, j, k.
        what: begins the message.

    Raises:
        InputError: and says which of these it is.
    """
    if not np.isfinite(matrix).all():
        raise InputError(
            f"{what}: the geometry has values that are not finite; expected index-to-RAS axes in mm."
        )
    lengths = np.linalg.norm(matrix, axis=0)
    if (lengths < 1e-6).any():
        raise InputError(
            f"{what}: spacing {tuple(lengths.round(6).tolist())} mm; every spacing must be above 0."
        )
    if not is_rectangular(matrix):
        raise InputError(
            f"{what}: the axes are not at right angles; resample the image onto a rectangular grid first."
        )


def is_rectangular(matrix: np.ndarray) -> bool:
    """Whether the columns of a 3x3 index-to-mm matrix are at right angles."""
    unit = matrix / np.linalg.norm(matrix, axis=0)
    return bool(np.abs(unit.T @ unit - np.eye(unit.shape[1])).max() <= _ORTHOGONALITY_TOLERANCE)


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxel centres.

    Attributes:
        shape_kji: voxels along the slowest to the fastest array axis.
        ijk_to_ras: 4x4, from voxel index (i, j, k, 1) to patient RAS in mm.
    """

    shape_kji: tuple[int, int, int]
    ijk_to_ras: np.ndarray

    def __post_init__(self):
        matrix = np.array(self.ijk_to_ras, dtype=np.float64)
        shape = tuple(int(n) for n in self.shape_kji)
        if matrix.shape != (4, 4):
            raise InputError(f"Grid: ijk_to_ras has shape {matrix.shape}; expected 4x4.")
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"Grid: shape {shape}; expected three sizes of at least 1.")
        if not np.isfinite(matrix).all():
            raise InputError(
                "Grid: the geometry has values that are not finite; expected index-to-RAS axes and an origin "
                "in mm."
            )
        check_axes(matrix[:3, :3], "Grid")
        matrix.setflags(write=False)
        object.__setattr__(self, "ijk_to_ras", matrix)
        object.__setattr__(self, "shape_kji", shape)

    @classmethod
    def centred(cls, shape_kji, spacing_ijk, centre_ras=(0.0, 0.0, 0.0)) -> Grid:
        """Grid whose axes are R, A, S and whose centre is `centre_ras` (mm).

        Args:
            shape_kji: voxels, slowest array axis first.
            spacing_ijk: mm; one number for all axes, or three.
            centre_ras: three numbers, mm.
        """
        spacing = np.broadcast_to(np.asarray(spacing_ijk, float), 3)
        size = np.array(shape_kji[::-1], float)
        matrix = np.diag([*spacing, 1.0])
        matrix[:3, 3] = np.asarray(centre_ras, float) - spacing * (size - 1) / 2
        return cls(tuple(shape_kji), matrix)

    @classmethod
    def covering(cls, points_ras: np.ndarray, spacing_mm: float) -> Grid:
        """Isotropic RAS-aligned grid covering points (n, 3) in mm.

        Args:
            points_ras: at least one.
            spacing_mm: of the voxels, along all axes.
        """
        low, high = points_ras.min(0), points_ras.max(0)
        size = np.maximum(np.ceil((high - low) / spacing_mm).astype(int) + 1, 1)
        return cls.centred(tuple(size[::-1]), spacing_mm, (low + high) / 2)

    @property
    def spacing_ijk(self) -> np.ndarray:
        """Voxel spacing along i, j, k in mm."""
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    @property
    def ras_to_ijk(self) -> np.ndarray:
        """4x4, from RAS mm to voxel index."""
        return np.linalg.inv(self.ijk_to_ras)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape_kji))

    def corners_ras(self) -> np.ndarray:
        """The eight corner voxel centres, (8, 3) in mm."""
        upper = np.array(self.shape_kji[::-1]) - 1
        ijk = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)]) * upper
        return ijk @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def points_ras(self) -> np.ndarray:
        """All voxel centres in array order, (size, 3) float32 in mm."""
        k, j, i = np.indices(self.shape_kji, dtype=np.float32)
        ijk = np.stack([i.ravel(), j.ravel(), k.ravel()], 1)
        return ijk @ self.ijk_to_ras[:3, :3].T.astype(np.float32) + self.ijk_to_ras[:3, 3].astype(np.float32)

    def with_spacing(self, spacing_ijk) -> Grid:
        """The same box (outer voxel faces) and axes sampled at about `spacing_ijk` mm."""
        spacing = np.broadcast_to(np.asarray(spacing_ijk, float), 3)
        extent = self.spacing_ijk * self.shape_kji[::-1]
        size = np.maximum(np.rint(extent / spacing).astype(int), 1)
        matrix = self.ijk_to_ras.copy()
        unit = matrix[:3, :3] / self.spacing_ijk
        centre = (self.corners_ras()[0] + self.corners_ras()[-1]) / 2
        matrix[:3, :3] = unit * spacing
        matrix[:3, 3] = centre - matrix[:3, :3] @ ((size - 1) / 2)
        return Grid(tuple(size[::-1]), matrix)

    def same_as(self, other: Grid, tolerance_mm: float = 1e-4) -> bool:
        """True where both grids have the same shape and corner positions within `tolerance_mm`.

        Args:
            other: in the same space.
            tolerance_mm: along each of R, A, S.
        """
        return self.shape_kji == other.shape_kji and bool(
            np.abs(self.corners_ras() - other.corners_ras()).max() <= tolerance_mm
        )


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar volume: `array` in k, j, i order on `grid`."""

    array: np.ndarray
    grid: Grid

    def __post_init__(self):
        if tuple(self.array.shape) != self.grid.shape_kji:
            raise InputError(f"Volume: array {self.array.shape} on a grid of shape {self.grid.shape_kji}.")
