"""Approximate inverse of S = A (W W' + Psi) A' + R: for planes at any pose from the field's own spectrum."""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import next_fast_len

from ...geometry import Plane
from ...observation.operator import LinearOperator
from ...observation.planes import PlaneOperator
from ...solvers import Apply, LowRankPreconditioner, circulant_inverse
from ..gaussian.field import GaussianField, evidence_scale

_PAD, _PROBES = 24, 4
_MIN_SHARE = 1e-4


class ResidualPreconditioner(LowRankPreconditioner):
    """Approximately the inverse of S = A (W W' + Psi) A' + R; M = I + (AW)' S_r^-1 AW."""

    def residual_scale(self, difference: torch.Tensor) -> float:
        """Factor on sd that maximises the approximate evidence of differences (1, count)."""
        solved = self.residual_inverse(difference)
        gram = self._low_rank @ self._solved.T
        return evidence_scale(
            float((difference * solved).sum()), (solved @ self._low_rank.T)[0], gram, difference.numel()
        )


def planes_inverse(
    field: GaussianField,
    planes: list[Plane],
    operator: PlaneOperator,
    sd: torch.Tensor,
    own_noise: torch.Tensor,
) -> Apply:
    """Approximately the inverse of A Psi A' + R of (m, count) pixels on planes.

    Args:
        field: the process.
        planes: what was observed of it.
        operator: of the planes on the field's grid.
        sd: the residual's at the pixels, (count,).
        own_noise: variance of the measurement's own noise as a share of the residual's, (count,).
    """
    own = own_noise.split([int(keep.sum()) for keep in operator.keep])
    noises = [field.noise + (float(part.mean()) if len(part) else 0.0) for part in own]
    shares = variance_shares(field, operator, sd)
    spectra = [
        share * plane_spectrum(field, plane) + noise
        for plane, share, noise in zip(planes, shares, noises, strict=True)
    ]
    return circulant_inverse(operator, spectra, sd)


def plain_inverse(
    field: GaussianField, operator: LinearOperator, sd: torch.Tensor, own_noise: torch.Tensor
) -> Apply:
    """Approximately the inverse of A Psi A' + R of (m, count) values of any operator, by its diagonal.

    See `planes_inverse`; of the diagonal of A Psi A' only the mean share of sd^2 is estimated.

    Args:
        field: the process.
        operator: on its grid.
        sd: the residual's at the values, (count,).
        own_noise: variance of the measurement's own noise as a share of the residual's, (count,).
    """
    share = float(_seen_variance(field, operator, sd).mean().clamp(min=_MIN_SHARE))
    variance = sd**2 * (share + field.noise + own_noise)
    return lambda values: values / variance


def axis_correlation(field: GaussianField, axis: int, lag: torch.Tensor) -> torch.Tensor:
    """Residual correlation along an array axis at |lag| in voxels (any shape), linear between lags.

    Args:
        field: the process.
        axis: 0, 1, 2 for k, j, i.
        lag: beyond the grid's extent it is taken as this.
    """
    curve = field.correlations[axis][0]
    lag = lag.abs().clamp(max=len(curve) - 1.001)
    low = lag.floor().long()
    part = lag - low
    return curve[low] * (1 - part) + curve[low + 1] * part


def plane_spectrum(field: GaussianField, plane: Plane) -> torch.Tensor:
    """Eigenvalues of a plane's residual correlation, on a padded periodic lattice.

    (rows, columns / 2 + 1), in the layout of rfft2.

    Args:
        field: the process.
        plane: in the space of its grid.
    """
    rows, columns = (2 * next_fast_len((n + _PAD + 1) // 2) for n in plane.shape_ji)
    steps = torch.as_tensor(field.grid.ras_to_ijk[:3, :3] @ plane.ij_to_ras[:3, :2], dtype=torch.float32)
    j = torch.as_tensor(
        np.minimum(np.arange(rows), rows - np.arange(rows)) * np.where(np.arange(rows) > rows / 2, -1, 1)
    )
    i = torch.as_tensor(
        np.minimum(np.arange(columns), columns - np.arange(columns))
        * np.where(np.arange(columns) > columns / 2, -1, 1)
    )
    correlation = torch.ones(rows, columns, device=field.mean.device)
    for axis in range(3):
        lag = j[:, None] * steps[2 - axis, 1] + i * steps[2 - axis, 0]
        correlation = correlation * axis_correlation(field, axis, lag.to(correlation))
    return torch.fft.rfft2(correlation).real.clamp(min=0)


def variance_shares(field: GaussianField, operator: PlaneOperator, sd: torch.Tensor) -> list[float]:
    """Mean of diag(A Psi A') / sd^2 per plane.

    Interpolation and slice thickness average a part of the residual away.

    Args:
        field: the process.
        operator: of planes on its grid.
        sd: (count,) = A field.sd.

    Returns:
        Each 0.05..1.
    """
    return [
        float((i.sum() / (_PROBES * max(int(k.sum()), 1))).clamp(0.05, 1.0))
        for i, k in zip(operator.split(_seen_variance(field, operator, sd)), operator.keep, strict=True)
    ]


def _seen_variance(field: GaussianField, operator: LinearOperator, sd: torch.Tensor) -> torch.Tensor:
    """Terms (probes, count) whose means are those of diag(A Psi A') / sd^2.

    The estimator of Hutchinson (Commun. Stat. Simul. Comput. 1989) with fixed probes.
    """
    generator = torch.Generator().manual_seed(0)
    probes = (torch.randint(0, 2, (_PROBES, operator.count), generator=generator) * 2.0 - 1).to(sd)
    seen = operator.forward(field.residual_covariance(operator.adjoint(probes / sd))) / sd
    return probes * seen
