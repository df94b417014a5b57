"""Variance of the structured Gaussian: of the prior, exact, and for planes at any pose."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from ...geometry import Plane
from ...observation.planes import PlaneOperator
from ..gaussian.field import GaussianField
from .preconditioner import axis_correlation

_NEAREST_PLANES = 6
_CHUNK = 32768


def dense_variance(
    field: GaussianField, spread: Callable[[torch.Tensor], torch.Tensor], covariance: torch.Tensor
) -> torch.Tensor:
    """Exact diag(Sigma - Sigma A' S^-1 A Sigma), (K, J, I).

    Args:
        field: the process.
        spread: Sigma A', of (m, count) to (m, K, J, I).
        covariance: S, (count, count) float64.
    """
    prior = prior_variance(field)
    if not len(covariance):
        return prior
    gain = spread(torch.eye(len(covariance), device=field.mean.device)).flatten(1).double()
    half = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), gain, upper=False)
    return prior - (half**2).sum(0).reshape(prior.shape).to(prior.dtype)


def prior_variance(field: GaussianField) -> torch.Tensor:
    """Exact diag(Sigma), before anything was observed, (K, J, I)."""
    k, j, i = (c.diagonal() for c in field.correlations)
    return field.sd**2 * (k[:, None, None] * j[:, None] * i) + (field.loadings**2).sum(0)


def foot_point_variance(
    field: GaussianField,
    planes: list[Plane],
    operator: PlaneOperator,
    sd: torch.Tensor,
    low_rank: torch.Tensor,
    own_noise: torch.Tensor,
    m_factor: torch.Tensor,
    check: Callable[[], None],
) -> torch.Tensor:
    """Each voxel conditioned on the observed pixels nearest to it on its nearest planes, (K, J, I).

    As in the approximation of Vecchia (J. R. Stat. Soc. B 50, 1988), few neighbours stand for all pixels.
    The residual's kriging weights w from those pixels give Var r = sd^2 (1 - k'w) and B = W - w (sd / sd_p)
    W_p, so the variance is Var r + |M^-1/2 B|^2. Around the anatomy, where no loading reaches, it is that of
    the prior.

    Args:
        field: the process.
        planes: in the space of its grid.
        operator: of the planes on this grid.
        sd: the residual's at the pixels, sd_p, (count,).
        low_rank: loadings at the pixels, W_p, (rank, count).
        own_noise: (count,), variance of the measurement's own noise as a share of the residual's.
        m_factor: Cholesky factor of M, see ResidualPreconditioner.
        check: called between parts of the work; raise from it to cancel.
    """
    feet = _PlaneFeet(planes, operator, field)
    flat_w, flat_sd = field.loadings.flatten(1), field.sd.flatten()
    variance = prior_variance(field).flatten()
    for index in flat_w.any(0).nonzero()[:, 0].split(_CHUNK):
        check()
        voxels = feet.voxel_positions(index)
        pixel, points, valid = feet.nearest(voxels)
        between = points[:, :, None] - points[:, None]
        cross = points - voxels[:, None]
        k_matrix, k_vector = torch.ones_like(between[..., 0]), valid.to(flat_sd)
        for axis in range(3):
            k_matrix = k_matrix * axis_correlation(field, axis, between[..., axis])
            k_vector = k_vector * axis_correlation(field, axis, cross[..., axis])
        both = valid[:, :, None] & valid[:, None]
        eye = torch.eye(points.shape[1], device=points.device)
        weight = (
            torch.linalg.solve(
                k_matrix * both + (field.noise + 1e-4) * eye + torch.diag_embed(own_noise[pixel]),
                k_vector[..., None],
            )[..., 0]
            * valid
        )
        scale = flat_sd[index]
        b = flat_w[:, index]
        if low_rank.shape[1]:
            b = b - torch.einsum("vp,rvp->rv", weight * scale[:, None] / sd[pixel], low_rank[:, pixel])
        whitened = torch.linalg.solve_triangular(m_factor, b, upper=False)
        variance[index] = scale**2 * (1 - (weight * k_vector).sum(1)).clamp(min=0) + (whitened**2).sum(0)
    return variance.reshape(field.sd.shape)


class _PlaneFeet:
    """Nearest observed pixel on each plane for voxels given as (n, 3) k, j, i positions."""

    def __init__(self, planes: list[Plane], operator: PlaneOperator, field: GaussianField):
        self._shape, device = field.grid.shape_kji, field.mean.device
        as_tensor = partial(torch.tensor, dtype=torch.float32, device=device)
        self._ijk_to_ras, self._ras_to_ijk = (
            as_tensor(field.grid.ijk_to_ras),
            as_tensor(field.grid.ras_to_ijk),
        )
        self._planes = []
        start = 0
        for plane, keep in zip(planes, operator.keep, strict=True):
            mask = torch.as_tensor(keep, device=device)
            number = torch.full(keep.shape, -1, dtype=torch.int64, device=device)
            number[mask] = torch.arange(start, start + int(keep.sum()), device=device)
            start += int(keep.sum())
            matrix = plane.ij_to_ras.copy()
            self._planes.append((as_tensor(matrix), torch.linalg.inv(as_tensor(matrix)), number))

    def voxel_positions(self, index: torch.Tensor) -> torch.Tensor:
        _, rows, columns = self._shape
        return torch.stack([index // (rows * columns), index // columns % rows, index % columns], 1).float()

    def nearest(self, voxels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pixel numbers, (k, j, i) positions and validity on the p nearest planes.

        Shapes are (n, p), (n, p, 3) and (n, p).
        """
        ras = voxels.flip(1) @ self._ijk_to_ras[:3, :3].T + self._ijk_to_ras[:3, 3]
        numbers, points, distances = [], [], []
        for matrix, inverse, number in self._planes:
            local = ras @ inverse[:3, :3].T + inverse[:3, 3]
            column, row = local[:, 0].round().long(), local[:, 1].round().long()
            inside = (row >= 0) & (row < number.shape[0]) & (column >= 0) & (column < number.shape[1])
            row, column = row.clamp(0, number.shape[0] - 1), column.clamp(0, number.shape[1] - 1)
            pixel = torch.where(inside, number[row, column], -1)
            foot = torch.stack([column, row], 1).float() @ matrix[:3, :2].T + matrix[:3, 3]
            numbers.append(pixel)
            points.append((foot @ self._ras_to_ijk[:3, :3].T + self._ras_to_ijk[:3, 3]).flip(1))
            distances.append(torch.where(pixel >= 0, local[:, 2].abs(), torch.inf))
        distance = torch.stack(distances, 1)
        chosen = distance.topk(min(_NEAREST_PLANES, len(numbers)), dim=1, largest=False).indices
        pixel = torch.stack(numbers, 1).gather(1, chosen)
        point = torch.stack(points, 1).gather(1, chosen[..., None].expand(-1, -1, 3))
        return pixel.clamp(min=0), point, pixel >= 0
