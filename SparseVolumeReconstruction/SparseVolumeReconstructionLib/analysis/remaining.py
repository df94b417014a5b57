"""The variance that is left of a Gaussian process once planes were observed, and what one more would take.

At points of the anatomy, not on a whole grid: each point is conditioned on its foot point on every plane (as
in `priors.structured_gaussian.plane_variance`), and the latents on all pixels of every plane by the spectrum
of its lattice. What one more plane takes then costs milliseconds, whatever its orientation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..geometry import Plane
from ..priors.gaussian.field import GaussianField
from ..priors.structured_gaussian.preconditioner import axis_correlation, plane_spectrum

_NEAREST, _FAR = 6, 1e3
_JITTER = 1e-4


@dataclass(frozen=True, eq=False)
class _Known:
    """What planes that were observed say of points (n, 3).

    feet: (n, m, 3), mm, on the nearest planes. inverse: (n, m, m), of the correlation of the residual there.
    weight: (n, m), kriging weights. left: (n,), share of the residual's variance that is left. loadings: (n,
    rank), over the residual's standard deviation, less what the feet tell of them.
    """

    feet: torch.Tensor
    inverse: torch.Tensor
    weight: torch.Tensor
    left: torch.Tensor
    loadings: torch.Tensor


class Anatomy:
    """What a process says of any point of its anatomy: that of the nearest voxel.

    Args:
        field: the process.
        anatomy: (K, J, I) bool on its grid.
    """

    def __init__(self, field: GaussianField, anatomy: torch.Tensor):
        self.field = field
        inside = anatomy.flatten().nonzero()[:, 0]
        self._sd = field.sd.flatten()[inside]
        self._loadings = field.loadings.flatten(1).index_select(1, inside).div_(self._sd).T.contiguous()
        self._row = torch.full((field.grid.size,), -1)
        self._row[inside] = torch.arange(len(inside))
        self.to_ijk = torch.tensor(field.grid.ras_to_ijk, dtype=torch.float32)

    def __call__(self, points: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """At points (..., 3) mm: loadings over sd (..., rank), sd (...), and whether they show anatomy."""
        ijk = (points @ self.to_ijk[:3, :3].T + self.to_ijk[:3, 3]).round().long()
        size = torch.tensor(self.field.grid.shape_kji[::-1])
        on_grid = ((ijk >= 0) & (ijk < size)).all(-1)
        i, j, k = ijk.clamp(min=torch.zeros(3, dtype=torch.long), max=size - 1).unbind(-1)
        row = self._row[(k * size[1] + j) * size[0] + i]
        known = row.clamp(min=0)
        return self._loadings[known, :rank], self._sd[known], on_grid & (row >= 0)


class RemainingVariance:
    """Variance that is left at points of a process, given planes.

    Args:
        anatomy: the process; pixels outside of its anatomy tell nothing.
        points: (n, 3), RAS mm in the anatomy, whose variance is counted.
        rank: so many latents are accounted for, all if None.
        temper: share (0..1) that counts of what pixels tell of the latents; 1 is exact for the process.

    Attributes:
        total: sum of the variances that are left at the points, canonical units squared.
    """

    def __init__(self, anatomy: Anatomy, points: np.ndarray, rank: int | None = None, temper: float = 1.0):
        self._anatomy = anatomy
        self._temper = temper
        self._field = anatomy.field
        self._rank = min(rank or len(self._field.loadings), len(self._field.loadings))
        self._points = torch.as_tensor(points, dtype=torch.float32)
        self._sd = anatomy(self._points, 0)[1]
        self._planes: list[Plane] = []
        self._information = torch.eye(self._rank)
        self._spectra: dict[bytes, torch.Tensor] = {}
        self._known = self._given(self._points)
        self.total = self._total()

    def add(self, plane: Plane) -> None:
        """Take a plane as observed; its pixels should be as far apart as the residual is correlated."""
        self._information = self._information + self._told_of_latents([plane])[0]
        self._planes.append(plane)
        self._known = self._given(self._points)
        self.total = self._total()

    def _total(self) -> float:
        low = self._known.loadings * self._sd[:, None]
        return float((self._sd**2 * self._known.left).sum() + self._spread(low, self._information))

    def gains(self, planes: Sequence[Plane]) -> torch.Tensor:
        """By how much `total` falls once one of the planes was observed, in expectation (whatever it shows).

        (p,), each plane for itself.
        """
        known, points = self._known, self._points
        normals, centres = _normals_and_centres(planes)
        off = points @ normals.T - (centres * normals).sum(1)
        foot = points - off.T[..., None] * normals[:, None]
        of_foot, _, seen = self._anatomy(foot, self._rank)
        seen &= _on(planes, foot)
        between = self._correlation(foot[:, :, None] - known.feet)
        solved = (known.inverse @ between[..., None])[..., 0]
        joint = self._correlation(points - foot) - (known.weight * between).sum(-1)
        own = 1 + self._field.noise - (solved * between).sum(-1)
        weight = seen * joint / own.clamp(min=_JITTER)
        of_feet = self._anatomy(known.feet, self._rank)[0]
        loadings = of_foot - torch.einsum("pnm,nmr->pnr", solved, of_feet)
        low = (known.loadings - weight[..., None] * loadings) * self._sd[:, None]
        information = self._information + self._told_of_latents(planes)
        left = (self._sd**2 * (known.left - weight * joint)).sum(1) + self._spread(low, information)
        return self.total - left

    def _spread(self, low: torch.Tensor, information: torch.Tensor) -> torch.Tensor:
        """Trace of B M^-1 B'; (...,)."""
        spread: torch.Tensor = torch.linalg.solve(information.double(), (low.mT @ low).double())
        return spread.diagonal(dim1=-2, dim2=-1).sum(-1)

    def _correlation(self, lag: torch.Tensor) -> torch.Tensor:
        """Of the residual between points that are `lag` (..., 3) mm apart."""
        voxels = lag @ self._anatomy.to_ijk[:3, :3].T
        k, j, i = (axis_correlation(self._field, axis, voxels[..., 2 - axis]) for axis in range(3))
        return k * j * i

    def _given(self, points: torch.Tensor) -> _Known:
        """What the planes say of points."""
        count = min(len(self._planes), _NEAREST)
        own = self._anatomy(points, self._rank)[0]
        if not count:
            none = points.new_zeros(len(points), 0)
            feet, inverse = points.new_zeros(len(points), 0, 3), points.new_zeros(len(points), 0, 0)
            return _Known(feet, inverse, none, torch.ones(len(points)), own)
        normals, centres = _normals_and_centres(self._planes)
        off = (points @ normals.T) - (centres * normals).sum(1)
        feet = points[:, None] - off[..., None] * normals
        of_feet, _, seen = self._anatomy(feet, self._rank)
        seen &= _on(self._planes, feet.movedim(1, 0)).T
        nearest = (off.abs() + _FAR * ~seen).topk(count, dim=1, largest=False).indices
        feet = feet.gather(1, nearest[..., None].expand(-1, -1, 3))
        of_feet = of_feet.gather(1, nearest[..., None].expand(-1, -1, self._rank))
        # a foot that shows nothing is put where it is correlated with nothing
        apart = torch.arange(1, count + 1)[:, None] * _FAR * torch.ones(3)
        feet = torch.where(seen.gather(1, nearest)[..., None], feet, points[:, None] + apart)
        between = self._correlation(feet[:, :, None] - feet[:, None])
        inverse = torch.linalg.inv(between + (self._field.noise + _JITTER) * torch.eye(count))
        correlation = self._correlation(points[:, None] - feet)
        weight = (inverse @ correlation[..., None])[..., 0]
        loadings = own - torch.einsum("nm,nmr->nr", weight, of_feet)
        return _Known(feet, inverse, weight, 1 - (weight * correlation).sum(1), loadings)

    def _told_of_latents(self, planes: Sequence[Plane]) -> torch.Tensor:
        """(A W)' S^-1 A W of the pixels of each plane, less what others have told, (p, rank, rank)."""
        points = torch.as_tensor(np.concatenate([p.points_ras() for p in planes]), dtype=torch.float32)
        seen = self._anatomy(points, 0)[2]
        loadings = points.new_zeros(len(points), self._rank)
        loadings[seen] = self._given(points[seen]).loadings
        own = iter(loadings.split([math.prod(plane.shape_ji) for plane in planes]))
        told = []
        for _, group in itertools.groupby(planes, _lattice):
            parallel = list(group)
            images = torch.stack([next(own) for _ in parallel]).mT.unflatten(2, parallel[0].shape_ji)
            spectrum = self._spectrum(parallel[0])
            size = (spectrum.shape[0], 2 * (spectrum.shape[1] - 1))
            twice = torch.full((spectrum.shape[1],), 2.0)
            twice[[0, -1]] = 1.0  # the other half of the spectrum is its mirror image
            weight = (twice / (spectrum + self._field.noise)).flatten() * self._temper / (size[0] * size[1])
            waves = torch.view_as_real(torch.fft.rfft2(images, s=size)).flatten(2)
            told.append((waves * weight.repeat_interleave(2)) @ waves.mT)
        return torch.cat(told)

    def _spectrum(self, plane: Plane) -> torch.Tensor:
        """Of the residual's correlation on the lattice of a plane; kept for all that are parallel."""
        key = _lattice(plane)
        if key not in self._spectra:
            self._spectra[key] = plane_spectrum(self._field, plane)
        return self._spectra[key]


def _lattice(plane: Plane) -> bytes:
    """The same for all planes whose pixels lie alike."""
    return np.round(plane.ij_to_ras[:3, :2], 4).tobytes() + bytes(str(plane.shape_ji), "ascii")


def _normals_and_centres(planes: Sequence[Plane]) -> tuple[torch.Tensor, torch.Tensor]:
    """(p, 3) each; mm."""
    return (
        torch.as_tensor(np.stack([p.normal for p in planes]), dtype=torch.float32),
        torch.as_tensor(np.stack([p.centre for p in planes]), dtype=torch.float32),
    )


def _on(planes: Sequence[Plane], points: torch.Tensor) -> torch.Tensor:
    """Which points (p, n, 3) of planes, as many of each, lie in its rectangle, bool (p, n)."""
    to_pixel = torch.as_tensor(np.linalg.inv([p.ij_to_ras for p in planes])[:, :2], dtype=torch.float32)
    column, row = (points @ to_pixel[..., :3].mT + to_pixel[:, None, :, 3]).unbind(-1)
    rows, columns = torch.tensor([p.shape_ji for p in planes])[..., None].unbind(1)
    return (column >= -0.5) & (column <= columns - 0.5) & (row >= -0.5) & (row <= rows - 0.5)
