"""Radiographs: line integrals of attenuation along the rays to a detector, after Beer and Lambert.

Rays are parallel (the source is far away) or start from a point. A pixel's value is -ln of the share of
radiation that arrives: attenuation_per_mm times the integral of the volume along the ray in mm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..geometry import Grid, InputError, Plane
from .base import IntensityMap, Observation, ObservedVoxels

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from .operator import LinearOperator

STEPS = 128  # as in Henzler et al., Computer Graphics Forum 37, 2018
CHI = 10.0  # extinction of the brightest voxel along one side of their cube


@dataclass(frozen=True, eq=False)
class Radiograph(Observation):
    """One radiograph: -ln of the transparency, (rows, columns) float32, 0 where nothing absorbs.

    Attributes:
        integrals: the values; those that are not `valid` mean nothing.
        plane: pixel centres of the detector, RAS mm; its normal points along the rays.
        source_ras: where all rays start, RAS mm (3,); None for parallel rays along the normal.
        valid: (rows, columns) bool, what shows the body or air: no border, letters or saturation.
        attenuation_per_mm: of a voxel whose value is 1; 0 where nobody states it.
        name, source, noise: see `Observation`.
        steps: of the numerical integral, through all of a grid.
        view: as it was asked for; None where the plane says it.
        body_distance_mm: about how far the middle of the body lies in front of the detector.
        pixel_known: whether anything states the size of the pixels.
    """

    kind: ClassVar[str] = "radiograph"
    integrals: np.ndarray
    plane: Plane
    name: str
    source: str
    source_ras: np.ndarray | None = None
    valid: np.ndarray | None = None
    attenuation_per_mm: float = 1.0
    noise: float = 0.0
    steps: int = STEPS
    view: str | None = None
    body_distance_mm: float = 0.0
    pixel_known: bool = True

    def __post_init__(self) -> None:
        integrals = np.ascontiguousarray(self.integrals, dtype=np.float32)
        valid = np.ones(integrals.shape, bool) if self.valid is None else np.asarray(self.valid, bool)
        if integrals.shape != self.plane.shape_ji or valid.shape != integrals.shape:
            raise InputError(f"{self.name}: pixels {integrals.shape} on a detector of {self.plane.shape_ji}.")
        if not np.isfinite(integrals[valid]).all():
            raise InputError(f"{self.name}: pixels are NaN or infinite; clean the image first.")
        if not valid.any() or float(np.ptp(integrals[valid])) == 0.0:
            raise InputError(
                f"{self.name}: the radiograph is empty; every pixel that can be used is the same."
            )
        object.__setattr__(self, "integrals", np.where(valid, integrals, 0).astype(np.float32))
        object.__setattr__(self, "valid", valid)

    @property
    def values(self) -> np.ndarray:
        """-ln of the transparency, (rows, columns) float32."""
        return self.integrals

    def operator(
        self,
        grid: Grid,
        *,
        mask: np.ndarray | None = None,
        pose: torch.Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> LinearOperator:
        """Integrals along the rays to all valid pixels, of the whole grid; a pose is rigid.

        A mask leaves out nothing, since rays cross everything.
        """
        from .rays import moved_rays, operator_of

        if pose is not None:
            return moved_rays(self, grid, pose)
        return operator_of(self, grid.shape_kji, grid.ijk_to_ras.tobytes(), str(device))

    def kept(self, grid: Grid, mask: np.ndarray | None = None) -> np.ndarray:
        """The valid pixels (rows, columns)."""
        assert self.valid is not None
        return self.valid

    def transformed(self, matrix: np.ndarray) -> Self:
        """The radiograph seen through a 4x4 affine; what it measured stays as it is.

        Itself where that moves nothing: its operators are not made again.
        """
        if np.array_equal(matrix, np.eye(4)):
            return self
        scale = float(np.abs(np.linalg.det(matrix[:3, :3])) ** (1 / 3))
        start = self.source_ras
        moved = None if start is None else matrix[:3, :3] @ start + matrix[:3, 3]
        plane = self.plane.transformed(matrix)
        return replace(
            self, plane=plane, source_ras=moved, attenuation_per_mm=self.attenuation_per_mm / scale
        )

    def with_intensity(self, intensity: IntensityMap) -> Self:
        """Itself: it measures canonical units already, by its attenuation."""
        return self

    def observed_voxels(self, grid: Grid) -> ObservedVoxels:
        """None: no single voxel's value was measured."""
        return ObservedVoxels.none()

    def no_finer(self, spacing_mm: float) -> Self:
        """On blocks of pixels, each the mean of its valid ones, of about `spacing_mm`; itself if coarser."""
        factor = int(spacing_mm / float(self.plane.spacing_ij.max()) + 1e-6)
        if factor < 2:
            return self
        rows, columns = (-(-n // factor) for n in self.plane.shape_ji)
        sums = np.zeros((2, rows * factor, columns * factor), np.float64)
        sums[:, : self.plane.shape_ji[0], : self.plane.shape_ji[1]] = self.integrals, self.kept_pixels
        total, count = sums.reshape(2, rows, factor, columns, factor).sum((2, 4))
        matrix = self.plane.ij_to_ras.copy()
        matrix[:3, 3] += matrix[:3, :2].sum(1) * (factor - 1) / 2
        matrix[:3, :2] *= factor
        return replace(
            self,
            integrals=total / np.maximum(count, 1),
            valid=count >= factor**2 / 2,
            plane=Plane((rows, columns), matrix),
            noise=self.noise / factor,
        )

    @property
    def kept_pixels(self) -> np.ndarray:
        """`valid`, (rows, columns) bool."""
        assert self.valid is not None
        return self.valid

    def provenance(self) -> dict[str, Any]:
        """Where it comes from, detector (4x4, RAS mm), source (RAS mm), pixels left out and attenuation."""
        return {
            "kind": self.kind,
            "name": self.name,
            "source": self.source,
            "view": self.view,
            "pixels_ji": list(self.plane.shape_ji),
            "pixels_masked": int((~self.kept_pixels).sum()),
            "ij_to_ras": self.plane.ij_to_ras.round(6).tolist(),
            "source_ras": None if self.source_ras is None else self.source_ras.round(4).tolist(),
            "attenuation_per_mm": round(self.attenuation_per_mm, 6),
            "noise": round(self.noise, 6),
        }


@dataclass(frozen=True, eq=False)
class Rays:
    """Rays that cross a grid: pixel centres (n, 3), where each starts, and the depths of its steps.

    depth: of the steps along the normal from the detector, mm (steps,). step: between them, mm.
    """

    pixels: np.ndarray
    normal: np.ndarray
    source: np.ndarray | None
    depth: np.ndarray
    step: float

    @classmethod
    def of(cls, seen: Radiograph, grid: Grid) -> Rays:
        """Through a grid to the valid pixels. Raises InputError where the source lies in the grid."""
        normal = seen.plane.normal
        pixels = seen.plane.points_ras()[seen.kept_pixels.ravel()]
        half = 0.5 * np.abs(normal @ grid.ijk_to_ras[:3, :3]).max()
        along = (grid.corners_ras() - seen.plane.centre) @ normal
        low, high = along.min() - half, along.max() + half
        if seen.source_ras is not None:
            start = float((seen.source_ras - seen.plane.centre) @ normal)
            if low <= start <= high:
                raise InputError(
                    f"{seen.name}: the source lies inside the body ({abs(start):.4g} mm from the detector); "
                    "expected a larger source distance."
                )
        step = (high - low) / seen.steps
        return cls(pixels, normal, seen.source_ras, low + step * (np.arange(seen.steps) + 0.5), step)

    def points(self, part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Points (steps, m, 3) RAS mm of some rays, and the length of a step of each, (m,) mm."""
        pixels = self.pixels[part]
        if self.source is None:
            return pixels + self.depth[:, None, None] * self.normal, np.full(len(pixels), self.step)
        direction = pixels - self.source
        direction = direction / (direction @ self.normal)[:, None]
        return pixels + self.depth[:, None, None] * direction, self.step * np.linalg.norm(direction, axis=1)
