"""Posterior of the structured Gaussian for planes at any pose, by preconditioned conjugate gradients.

Mean, samples and evidence use the same covariance S = A (W W' + Psi) A' + R as the stack solution, solved to
a relative residual of `TOLERANCE`. The standard deviation is exact for small problems; otherwise each voxel
is conditioned on the nearest pixels of its nearest planes (exact for one plane under a separable kernel,
slightly too wide elsewhere).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import torch

from ...geometry import Plane
from ...observation.planes import PlaneOperator
from ...solvers import conjugate_gradients, log_determinant
from ..base import Posterior, seeded_generator
from ..gaussian.field import GaussianField
from ..intervals import IntervalScale
from .plane_variance import dense_variance, foot_point_variance
from .preconditioner import PlanePreconditioner

TOLERANCE = 1e-4
SAMPLE_TOLERANCE = 1e-2
DENSE_COST = 5e8


class PlanesPosterior(Posterior):
    """Posterior given pixels observed on planes, canonical units."""

    def __init__(
        self,
        field: GaussianField,
        planes: list[Plane],
        operator: PlaneOperator,
        pixels: torch.Tensor,
        intervals: IntervalScale,
        check: Callable[[], None] = lambda: None,
        tolerance: float = TOLERANCE,
        noises: list[float] | None = None,
    ):
        """
        Args:
            field: the process.
            planes: what was observed.
            operator: of the planes on the field's grid.
            pixels: what was seen, (count,).
            intervals: of the posterior.
            check: called in every solver iteration; raise from it to cancel.
            tolerance: relative residual of the mean's solution.
            noises: standard deviation of each plane's own noise, beyond that of the field (0 if None).
        """
        self.grid, self._field, self._planes, self._operator = field.grid, field, planes, operator
        self.intervals, self._check, self._pixels, self._tolerance = intervals, check, pixels, tolerance
        self._low_rank = operator.forward(field.loadings)
        self._sd = operator.forward(field.sd[None])[0].clamp(min=float(field.sd.min()))
        counts = [int(keep.sum()) for keep in operator.keep]
        noises = noises or [0.0] * len(planes)
        own = [pixels.new_full((n,), sd**2) for n, sd in zip(counts, noises, strict=True)]
        self._own_noise = torch.cat([pixels.new_zeros(0), *own])
        self._noise = field.noise * self._sd**2 + self._own_noise
        own = (self._own_noise / self._sd**2).split(counts)
        shares = [field.noise + (float(part.mean()) if len(part) else 0.0) for part in own]
        self._precondition = PlanePreconditioner(field, planes, operator, self._sd, self._low_rank, shares)
        self._difference = (pixels - operator.forward(field.mean[None])[0])[None]

    @cached_property
    def _weights(self) -> torch.Tensor:
        """S^-1 (y - A mean), (1, count); solved when first needed."""
        return self._solve(self._difference, self._tolerance)

    def _covariance(self, pixels: torch.Tensor) -> torch.Tensor:
        """S applied to (m, count)."""
        residual = self._operator.forward(self._field.residual_covariance(self._operator.adjoint(pixels)))
        return residual + pixels @ self._low_rank.T @ self._low_rank + self._noise * pixels

    def _spread(self, weights: torch.Tensor) -> torch.Tensor:
        """Sigma A' applied to (m, count): (m, K, J, I)."""
        low = torch.tensordot(weights @ self._low_rank.T, self._field.loadings, 1)
        return low + self._field.residual_covariance(self._operator.adjoint(weights))

    def _solve(self, right: torch.Tensor, tolerance: float) -> torch.Tensor:
        """S^-1 right for (m, count), all right sides at once."""
        return conjugate_gradients(
            self._covariance, right, self._precondition, tolerance=tolerance, check=self._check
        )

    def mean(self) -> torch.Tensor:
        """Posterior mean, (K, J, I); computed once."""
        return self._mean

    @cached_property
    def _mean(self) -> torch.Tensor:
        return self._field.mean + self._spread(self._weights)[0]

    @property
    def _small(self) -> bool:
        return self._operator.count**2 * self.grid.size <= DENSE_COST

    def residual_scale(self) -> float:
        """Factor on sd that maximises the evidence of these pixels, with the preconditioner's approximation
        of S.
        """
        return self._precondition.residual_scale(self._difference)

    def std(self) -> torch.Tensor:
        """Posterior standard deviation, (K, J, I); computed once."""
        return self._std

    @cached_property
    def _std(self) -> torch.Tensor:
        if self._small:
            variance = dense_variance(self._field, self._spread, self._dense())
        else:
            variance = foot_point_variance(
                self._field,
                self._planes,
                self._operator,
                self._sd,
                self._low_rank,
                self._own_noise / self._sd**2,
                self._precondition.m_factor,
                self._check,
            )
        return variance.clamp(min=1e-12).sqrt()

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """By Matheron's rule (Journel and Huijbregts, 1978), (n, K, J, I)."""
        generators = [seeded_generator(seed) for seed in seeds]
        tolerance = TOLERANCE if self._small else SAMPLE_TOLERANCE
        out = self._mean.new_empty(len(seeds), *self.grid.shape_kji)
        for sample, generator in zip(
            out, generators, strict=True
        ):  # one by one: a sample must not depend on the others asked for
            drawn = self._field.draw([generator])
            noise = (
                torch.randn(len(self._pixels), generator=generator).to(drawn)
                * self._sd
                * math.sqrt(self._field.noise)
            )
            own = torch.randn(len(self._pixels), generator=generator).to(drawn) * self._own_noise.sqrt()
            noise = noise + own
            sample[:] = (
                drawn
                + self._spread(self._solve(self._pixels - self._operator.forward(drawn) - noise, tolerance))
            )[0]
        return out

    def _dense(self) -> torch.Tensor:
        """S as a matrix, (count, count) float64."""
        columns = self._covariance(torch.eye(self._operator.count, device=self._pixels.device))
        return ((columns + columns.T) / 2).double()

    def log_evidence(self) -> float:
        """log p(pixels) in nats: exact when small, else with a stochastic Lanczos log-determinant (fixed
        probes).
        """
        quadratic = float((self._difference.double() * self._weights.double()).sum())
        log_det = float(torch.linalg.slogdet(self._dense())[1]) if self._small else self._lanczos_log_det()
        return -0.5 * (quadratic + log_det + self._operator.count * math.log(2 * math.pi))

    def _lanczos_log_det(self) -> float:
        """log det S from that of D^-1 S D^-1."""
        scaled = log_determinant(
            lambda v: self._covariance(v / self._sd) / self._sd, self._pixels, check=self._check
        )
        return scaled + float(2 * self._sd.double().log().sum())
