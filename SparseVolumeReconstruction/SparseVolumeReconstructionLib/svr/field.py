"""The volume given all slices: the exact posterior of a stationary Gaussian field, by conjugate gradients.

The field has the exponential covariance s^2 exp(-k r), which in three dimensions is the solution of
(k^2 - Laplacian) x = white noise (Whittle 1954; Lindgren, Rue and Lindstrom, J. R. Stat. Soc. B 2011). Its
precision is a sparse stencil, diagonal under the Fourier transform: millions of voxels cost what the slices
cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from ..geometry import Grid
from ..observation.planes import PlaneOperator, plane_operator
from ..solvers import conjugate_gradients
from .lengths import SMOOTH_MM
from .pixels import Pixels

_DEGREES, _EDGE_MM = 0.3, 1.5  # of freedom of Student's distribution, and over which its scale changes


@dataclass(frozen=True)
class FieldPrior:
    """A stationary Gaussian field on a periodic grid.

    Attributes:
        mean: of every voxel.
        sd: of every voxel, in units of the volume.
        kappa: 1 / correlation length, 1 / mm.
    """

    mean: float
    sd: float
    kappa: float

    def root(self, values: torch.Tensor, spacing_mm: float) -> torch.Tensor:
        """The symmetric root of the precision, times (n, K, J, I) volumes."""
        out = values * (self.kappa**2 + 6 / spacing_mm**2)
        for axis in (1, 2, 3):
            out -= (torch.roll(values, 1, axis) + torch.roll(values, -1, axis)) / spacing_mm**2
        return out * math.sqrt(self._density(spacing_mm))

    def spectrum(self, grid: Grid, device: torch.device | str) -> torch.Tensor:
        """Eigenvalues of the precision in the layout of rfftn of (K, J, I)."""
        spacing = float(grid.spacing_ijk[0])
        parts = []
        for axis, size in enumerate(grid.shape_kji):
            turns = torch.fft.rfftfreq(size) if axis == 2 else torch.fft.fftfreq(size)
            shape = [1, 1, 1]
            shape[axis] = -1
            parts.append((2 - 2 * torch.cos(2 * math.pi * turns)).reshape(shape) / spacing**2)
        return ((self.kappa**2 + parts[0] + parts[1] + parts[2]) ** 2 * self._density(spacing)).to(device)

    def _density(self, spacing_mm: float) -> float:
        """1 / (variance of the white noise in a voxel)."""
        return spacing_mm**3 / (8 * math.pi * self.kappa * self.sd**2)


def field_prior(pixels: Pixels, length_mm: float = SMOOTH_MM) -> FieldPrior:
    """Mean and spread of a body, from the pixels of its slices.

    Args:
        pixels: of all slices.
        length_mm: over which voxels are alike; the shorter, the sharper and the less certain.
    """
    values = pixels.values.double()
    return FieldPrior(float(values.mean()), max(float(values.std()), 1e-6), 1 / length_mm)


@dataclass(frozen=True, eq=False)
class FieldPosterior:
    """The field given pixels at known poses.

    Attributes:
        grid: isotropic, RAS mm.
        operator: of the pixels, in the order of `Pixels`.
        scale: (P,), a pixel is so many times what the operator gives.
        precision: (P,), 1 / variance of the noise of each pixel; 0 leaves it out.
        calm: (K, J, I), 1 / variance of the prior's white noise in each voxel over the usual one; less than 1
            where edges are. All 1 if None.
    """

    prior: FieldPrior
    grid: Grid
    operator: PlaneOperator
    values: torch.Tensor
    scale: torch.Tensor
    precision: torch.Tensor
    calm: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        prior: FieldPrior,
        grid: Grid,
        pixels: Pixels,
        poses: np.ndarray,
        scale: torch.Tensor,
        precision: torch.Tensor,
    ) -> FieldPosterior:
        """See the class. poses: (S, 4, 4), scanner to body, RAS mm."""
        planes = [i.plane.transformed(pose) for i, pose in zip(pixels.slices, poses, strict=True)]
        operator = plane_operator(planes, grid, device=pixels.device, keep=pixels.keep)
        return cls(prior, grid, operator, pixels.values, scale, precision)

    def solve(
        self,
        seeds: list[int],
        *,
        tolerance: float = 3e-3,
        iterations: int = 60,
        check: Callable[[], None] = lambda: None,
    ) -> torch.Tensor:
        """The mean and one exact sample for each seed, (1 + n, K, J, I).

        A sample solves the same system for values and a prior that are disturbed by their own noise
        (Papandreou and Yuille, NIPS 2010). Their error is that of the solver.

        Args:
            seeds: of the samples; the same one gives the same sample.
            tolerance: norm of the residual over that of the right side.
            iterations: at most so many.
            check: called in every iteration; raise from it to cancel.
        """
        shape = self.grid.shape_kji
        spacing = float(self.grid.spacing_ijk[0])
        device = self.values.device
        calm = torch.ones(shape, device=device) if self.calm is None else self.calm
        given = (
            self.values
            - self.scale * self._forward(torch.full((1, *shape), self.prior.mean, device=device))[0]
        )
        right = self._adjoint((given * self.precision * self.scale)[None])
        rows = [right]
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            noise = torch.randn(len(given), generator=generator).to(device)
            field = torch.randn((1, *shape), generator=generator).to(device)
            wrong = self._adjoint((noise * self.precision.sqrt() * self.scale)[None])
            rows.append(right + wrong + self.prior.root(field * calm.sqrt(), spacing))
        weight = self.precision * self.scale**2

        def apply(flat: torch.Tensor) -> torch.Tensor:
            volumes = flat.reshape(-1, *shape)
            seen = self._adjoint(self._forward(volumes) * weight)
            rough = calm * self.prior.root(volumes, spacing)
            return (seen + self.prior.root(rough, spacing)).reshape(flat.shape)

        typical = self._typical_precision(weight)
        spectrum = self.prior.spectrum(self.grid, device) * float(calm.mean()) + typical

        def precondition(flat: torch.Tensor) -> torch.Tensor:
            volumes = flat.reshape(-1, *shape)
            out = torch.fft.irfftn(torch.fft.rfftn(volumes, dim=(1, 2, 3)) / spectrum, s=shape, dim=(1, 2, 3))
            return out.reshape(flat.shape)

        flat = torch.cat(rows).reshape(len(rows), -1)
        solved = conjugate_gradients(
            apply, flat, precondition, tolerance=tolerance, iterations=iterations, check=check
        )
        return solved.reshape(-1, *shape) + self.prior.mean

    def preserving_edges(self, sample: torch.Tensor) -> FieldPosterior:
        """The same with a prior that gives way where a sample (K, J, I) of it is rougher than usual.

        Its white noise is Student's, with a scale that changes slowly: one step of the usual iteration of
        reweighted least squares.
        """
        spacing = float(self.grid.spacing_ijk[0])
        noise = self.prior.root(sample[None] - self.prior.mean, spacing)[0]
        level = gaussian_filter((noise**2).cpu().numpy(), _EDGE_MM / spacing)
        calm = torch.as_tensor((_DEGREES + 1) / (_DEGREES + level), device=sample.device)
        return replace(self, calm=calm)

    def with_precision(self, precision: torch.Tensor) -> FieldPosterior:
        """The same pixels with other weights (P,)."""
        return replace(self, precision=precision)

    def seen(self) -> torch.Tensor:
        """(K, J, I) bool, voxels that a pixel with some weight reaches."""
        return self._adjoint((self.precision > 0).float()[None])[0] > 0.02

    def _typical_precision(self, weight: torch.Tensor) -> float:
        """Of the data in a voxel that is observed."""
        ones = torch.ones((1, *self.grid.shape_kji), device=weight.device)
        gained = self._adjoint(self._forward(ones) * weight)
        inside = gained[gained > 0]
        return float(inside.mean()) if len(inside) else 1.0

    def _forward(self, volumes: torch.Tensor) -> torch.Tensor:
        return self.operator.forward(volumes)

    def _adjoint(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.operator.adjoint(pixels)
