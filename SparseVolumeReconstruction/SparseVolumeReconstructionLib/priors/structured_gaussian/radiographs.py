"""Radiographs of the structured Gaussian: the preconditioner knows what neighbouring rays share.

The residual is nearly stationary along and between neighbouring rays, so that A Psi A' is nearly L Q L: Q the
correlation between rays by their distance on the detector, L^2 the variance that each ray gathers.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import next_fast_len

from ...geometry import Grid
from ...observation import Radiograph
from ...observation.operator import LinearOperator
from ...solvers import Apply, circulant_inverse
from ..gaussian.field import GaussianField
from .posterior import Measured
from .preconditioner import axis_correlation

_PAD = 24


class _Detector:
    """Values of the valid pixels of a detector as a picture, see solvers.preconditioner.Lattices."""

    def __init__(self, valid: torch.Tensor):
        self._valid = valid

    def split(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        image = pixels.new_zeros(len(pixels), *self._valid.shape)
        image[:, self._valid] = pixels
        return [image]

    def join(self, images: list[torch.Tensor]) -> torch.Tensor:
        return images[0][:, self._valid]


def measured_radiograph(seen: Radiograph, grid: Grid, device: torch.device | str) -> Measured:
    """What a radiograph measured of a field on `grid`, canonical mm."""
    operator = seen.operator(grid, device=device)
    values = torch.as_tensor(seen.values[seen.kept_pixels]).to(device)

    def inverse(field: GaussianField, _: LinearOperator, sd: torch.Tensor, own_noise: torch.Tensor) -> Apply:
        gathered = operator.forward(field.sd[None] ** 2)[0]
        gathered = gathered.clamp(min=1e-3 * float(gathered.max()))
        noise = float((sd**2 * (field.noise + own_noise) / gathered).mean())
        detector = _Detector(torch.as_tensor(seen.kept_pixels, device=values.device))
        return circulant_inverse(detector, [ray_spectrum(field, seen) + noise], gathered.sqrt())

    return Measured(operator, values, torch.full_like(values, seen.noise**2), inverse)


def ray_spectrum(field: GaussianField, seen: Radiograph) -> torch.Tensor:
    """Eigenvalues of the covariance between rays, on a padded periodic detector, per variance gathered.

    (rows, columns / 2 + 1), in the layout of rfft2. Rays are taken as parallel, and as far apart as they are
    in the middle of the grid.

    Args:
        field: the process.
        seen: in the space of its grid.
    """
    plane = seen.plane
    corners = field.grid.corners_ras()
    nearer = 1.0
    if seen.source_ras is not None:
        middle = (corners[0] + corners[-1]) / 2
        start = seen.source_ras
        nearer = float((middle - start) @ plane.normal / ((plane.centre - start) @ plane.normal))
    step = float(field.grid.spacing_ijk.min()) / 2
    extent = np.abs(plane.normal @ field.grid.ijk_to_ras[:3, :3]) @ field.grid.shape_kji[::-1]
    along = torch.arange(-int(extent / step), int(extent / step) + 1) * step
    rows, columns = (2 * next_fast_len((n + _PAD + 1) // 2) for n in plane.shape_ji)
    j, i = torch.as_tensor(np.fft.fftfreq(rows, 1 / rows)), torch.arange(columns // 2 + 1)
    steps = np.column_stack([plane.ij_to_ras[:3, :2] * nearer, plane.normal])
    lags = field.grid.ras_to_ijk[:3, :3] @ steps  # voxels per column, row and mm along the rays
    correlation = torch.ones(rows, len(i), len(along), device=field.mean.device)
    for axis in range(3):
        column, row, ray = lags[2 - axis]
        lag = (j[:, None] * row + i * column)[..., None] + ray * along
        correlation *= axis_correlation(field, axis, lag.to(correlation))
    half = correlation.sum(2) * step * seen.attenuation_per_mm
    covariance = torch.cat([half, half.flip(0).roll(1, 0)[:, 1:-1].flip(1)], 1)  # of the opposite lags
    return torch.fft.rfft2(covariance).real.clamp(min=0)
