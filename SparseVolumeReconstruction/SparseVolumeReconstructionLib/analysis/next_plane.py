"""Which plane to scan next: the one that lowers the variance expected to be left the most.

tr[Sigma A' (A Sigma A' + R)^-1 A Sigma] over the anatomy or a region of it, with Sigma what is left after the
slices that are there (D-optimal design's cousin for prediction: Krause, Singh and Guestrin, J. Mach. Learn.
Res. 9, 2008). A search over planes by a rough account of that variance, and a finer one for those that win.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from scipy.stats import qmc

from ..geometry import InputError, Plane
from ..priors.gaussian.field import GaussianField
from .remaining import Anatomy, RemainingVariance

_ROUGH_POINTS, _ROUGH_RANK, _ROUGH_MM = 700, 16, 8.0
_FINE_POINTS, _FINE_MM = 2500, 4.0
_STEP_MM, _SHIFT_MM, _TILT_DEG = 14.0, 4.0, 8.0
_ANOTHER_DEG, _ANOTHER_MM = 25.0, 15.0
_FINALISTS = 3
# Real residuals are correlated further than the process says, so pixels tell less of the latents: a tenth
# gave less error than all of it on four people who were neither fitted nor tested (Docs/analysis.md).
_TEMPER = 0.1
_DRAWN = 2**16
AMONG = ("any", "orthogonal", "stack")


@dataclass(frozen=True)
class Suggestion:
    """A plane to scan, and the share (0..1) of the variance left before it that it is expected to take."""

    plane: Plane
    gain: float


class Planner:
    """Suggests planes in the space of a process, one after the other.

    Args:
        field: the process.
        anatomy: (K, J, I) bool on its grid.
        region: the same of what matters; all of the anatomy if None.
        observed: planes of what is there already.
        check: called between candidates; raise from it to cancel.

    Raises:
        InputError: where no part of the region lies in the anatomy.
    """

    def __init__(
        self,
        field: GaussianField,
        anatomy: torch.Tensor,
        *,
        region: torch.Tensor | None = None,
        observed: Sequence[Plane] = (),
        check: Callable[[], None] = lambda: None,
    ):
        wanted = anatomy if region is None else anatomy & region
        if not wanted.any():
            raise InputError("no part of the region lies in the anatomy; draw it over what the slices show.")
        field = replace(field, **{name: getattr(field, name).cpu() for name in ("mean", "loadings", "sd")})
        self._check, anatomy = check, anatomy.cpu()
        corners = _points(anatomy, field)
        self._low, self._high = corners.min(0), corners.max(0)
        points = spread_points(wanted.cpu(), field, _FINE_POINTS)
        process = Anatomy(field, anatomy)
        self._rough = RemainingVariance(process, points[:_ROUGH_POINTS], _ROUGH_RANK, _TEMPER)
        self._fine = RemainingVariance(process, points, temper=_TEMPER)
        for plane in observed:
            self.add(plane)

    def add(self, plane: Plane) -> None:
        """Take a plane as observed."""
        self._rough.add(plane.with_pixel_size(_ROUGH_MM))
        self._fine.add(plane.with_pixel_size(_FINE_MM))

    @property
    def remaining(self) -> float:
        """Sum of the variances that are left, in a unit of its own."""
        return self._fine.total

    def ranked(self, among: str, count: int, normal: np.ndarray | None = None) -> list[Suggestion]:
        """The best planes, none of which is a neighbour of another; the best first.

        Args:
            among: "any" orientation, "orthogonal" (axial, sagittal, coronal) or a "stack" along `normal`.
            count: how many at most.
            normal: (3,), for a stack.
        """
        tried: list[tuple[float, np.ndarray, float]] = []
        for one in _normals(among, normal):
            reach = np.abs(one) @ (self._high - self._low) / 2
            moves = [(one, offset) for offset in np.arange(_STEP_MM / 2 - reach, reach, _STEP_MM)]
            tried += [(gain, *move) for gain, move in zip(self._rough_gains(moves), moves, strict=True)]
        tried.sort(key=lambda each: -each[0])
        wanted = max(count, _FINALISTS)
        chosen: list[tuple[np.ndarray, float]] = []
        for _, one, offset in tried:
            if len(chosen) < wanted and all(_is_another(one, offset, *other) for other in chosen):
                chosen.append((one, offset))
        best = [self._refined(*one, among == "any") for one in chosen]
        found = [Suggestion(plane, self.gain(plane)) for plane in best]
        return sorted(found, key=lambda each: -each.gain)[:count]

    def sequence(self, among: str, count: int, normal: np.ndarray | None = None) -> list[Suggestion]:
        """The best plane, the best one once that was scanned, and so on; each is taken as observed.

        Args:
            among, normal: see `ranked`.
            count: how many.
        """
        planned = []
        for _ in range(count):
            planned += self.ranked(among, 1, normal)
            self.add(planned[-1].plane)
        return planned

    def gain(self, plane: Plane) -> float:
        """Share (0..1) of the variance that is left which a plane is expected to take."""
        return float(self._fine.gains([plane.with_pixel_size(_FINE_MM)])) / self._fine.total

    def plane(self, normal: np.ndarray, offset: float, pixel_mm: float = _FINE_MM) -> Plane:
        """The plane across all of the anatomy, at `offset` mm from its centre along a unit normal (3,)."""
        normal = normal / np.linalg.norm(normal)
        second = np.eye(3)[2 if np.abs(normal).argmax() < 2 else 1]
        first = np.cross(second, normal)
        first /= np.linalg.norm(first)
        axes = np.stack([first, np.cross(normal, first)])
        extent = np.abs(axes) @ (self._high - self._low)
        columns, rows = np.ceil(extent / pixel_mm).astype(int) + 1
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([*(pixel_mm * axes), normal], 1)
        middle = (self._low + self._high) / 2 + offset * normal
        matrix[:3, 3] = middle - matrix[:3, :2] @ [(columns - 1) / 2, (rows - 1) / 2]
        return Plane((rows, columns), matrix)

    def through(self, point: np.ndarray, normal: np.ndarray) -> Plane:
        """The plane across all of the anatomy through a point (3,), mm, with a normal (3,) of any length."""
        normal = normal / np.linalg.norm(normal)
        return self.plane(normal, float(normal @ (point - (self._low + self._high) / 2)))

    def _rough_gains(self, moves: Sequence[tuple[np.ndarray, float]]) -> list[float]:
        """Of planes with a normal and an offset each."""
        self._check()
        gains: list[float] = self._rough.gains([self.plane(*move, _ROUGH_MM) for move in moves]).tolist()
        return gains

    def _refined(self, normal: np.ndarray, offset: float, tilts: bool) -> Plane:
        """The best of the planes around one, by two rounds of small moves."""
        for shift, tilt in ((_SHIFT_MM, _TILT_DEG), (_SHIFT_MM / 2, _TILT_DEG / 2)):
            moves = [(normal, offset + sign * shift) for sign in (0, -1, 1)]
            if tilts:
                turns = np.concatenate([np.eye(3), -np.eye(3)]) * np.radians(tilt)
                moves += [(turned, offset) for turned in Rotation.from_rotvec(turns).apply(normal)]
            normal, offset = moves[int(np.argmax(self._rough_gains(moves)))]
        return self.plane(normal, offset)


def spread_points(region: torch.Tensor, field: GaussianField, count: int) -> np.ndarray:
    """Up to `count` points (n, 3), RAS mm, spread evenly over a region (K, J, I) bool of a process's grid.

    A Halton sequence in the box around the region; every voxel where there are no more than `count`.
    """
    voxels = _points(region, field)
    if len(voxels) <= count:
        return voxels
    low, high = voxels.min(0), voxels.max(0)
    drawn = low + (high - low) * qmc.Halton(3, scramble=False).random(_DRAWN)
    to_ijk = field.grid.ras_to_ijk
    i, j, k = np.rint(drawn @ to_ijk[:3, :3].T + to_ijk[:3, 3]).astype(int).T
    inside: np.ndarray = drawn[region.numpy()[k, j, i]]
    return inside[:count]


def _points(region: torch.Tensor, field: GaussianField) -> np.ndarray:
    """Voxel centres (n, 3) of a region, RAS mm."""
    ijk, matrix = region.nonzero().flip(1).double(), torch.tensor(field.grid.ijk_to_ras)
    points: np.ndarray = (ijk @ matrix[:3, :3].T + matrix[:3, 3]).numpy()
    return points


def _normals(among: str, normal: np.ndarray | None) -> np.ndarray:
    """Unit normals (n, 3) to start from; for "any" the directions to faces, edges and corners of a cube."""
    if among == "stack" and normal is not None:
        return np.stack([normal / np.linalg.norm(normal)])
    if among == "orthogonal":
        return np.eye(3)
    every = [np.array(n, float) for n in itertools.product((-1, 0, 1), repeat=3) if n > (0, 0, 0)]
    return np.stack([n / np.linalg.norm(n) for n in every])


def _is_another(normal: np.ndarray, offset: float, other: np.ndarray, at: float) -> bool:
    """Whether a plane is clearly another than one at `at` mm along the normal `other`."""
    cosine = float(normal @ other)
    return bool(
        np.degrees(np.arccos(min(abs(cosine), 1.0))) > _ANOTHER_DEG
        or abs(offset - np.copysign(1.0, cosine) * at) > _ANOTHER_MM
    )
