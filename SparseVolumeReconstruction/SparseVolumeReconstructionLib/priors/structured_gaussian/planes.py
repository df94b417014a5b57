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
from ..base import Posterior, seeded_generator
from ..intervals import IntervalScale
from .field import GaussianField
from .plane_variance import dense_variance, foot_point_variance
from .preconditioner import PlanePreconditioner

TOLERANCE = 1e-4
SAMPLE_TOLERANCE = 1e-2
DENSE_COST = 5e8
_LANCZOS_STEPS, _LANCZOS_PROBES = 25, 4


class PlanesPosterior(Posterior):
    """Posterior given `pixels` (count,) observed through `operator` on `planes`, canonical units.

    check: called in every solver iteration (raises to cancel). tolerance: relative residual of the mean's
    solution.
    """

    def __init__(
        self,
        field: GaussianField,
        planes: list[Plane],
        operator: PlaneOperator,
        pixels: torch.Tensor,
        intervals: IntervalScale,
        check: Callable[[], None] = lambda: None,
        tolerance: float = TOLERANCE,
    ):
        self.grid, self._field, self._planes, self._operator = field.grid, field, planes, operator
        self.intervals, self._check, self._pixels, self._tolerance = intervals, check, pixels, tolerance
        self._low_rank = operator.forward(field.loadings)
        self._sd = operator.forward(field.sd[None])[0].clamp(min=float(field.sd.min()))
        self._precondition = PlanePreconditioner(field, planes, operator, self._sd, self._low_rank)
        self._difference = (pixels - operator.forward(field.mean[None])[0])[None]

    @cached_property
    def _weights(self) -> torch.Tensor:
        """S^-1 (y - A mean), (1, count); solved when first needed."""
        return self._solve(self._difference, self._tolerance)

    def _covariance(self, pixels: torch.Tensor) -> torch.Tensor:
        """S applied to (m, count)."""
        residual = self._operator.forward(self._field.residual_covariance(self._operator.adjoint(pixels)))
        return (
            residual + pixels @ self._low_rank.T @ self._low_rank + self._field.noise * self._sd**2 * pixels
        )

    def _spread(self, weights: torch.Tensor) -> torch.Tensor:
        """Sigma A' applied to (m, count): (m, K, J, I)."""
        low = torch.tensordot(weights @ self._low_rank.T, self._field.loadings, 1)
        return low + self._field.residual_covariance(self._operator.adjoint(weights))

    def _solve(self, right: torch.Tensor, tolerance: float, iterations: int = 400) -> torch.Tensor:
        """S^-1 right for (m, count) by preconditioned conjugate gradients, all right sides at once."""
        x = torch.zeros_like(right)
        if right.shape[1] == 0:
            return x
        r = right.clone()
        z = self._precondition(r)
        p, rz = z, (r * z).sum(1, keepdim=True)
        goal = tolerance * right.norm(dim=1)
        for _ in range(iterations):
            self._check()
            sp = self._covariance(p)
            step = rz / (p * sp).sum(1, keepdim=True).clamp(min=1e-30)
            x, r = x + step * p, r - step * sp
            if bool((r.norm(dim=1) <= goal).all()):
                break
            z = self._precondition(r)
            rz_next = (r * z).sum(1, keepdim=True)
            p, rz = z + rz_next / rz.clamp(min=1e-30) * p, rz_next
        return x

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
        """log det S by Lanczos quadrature on D^-1 S D^-1 with fixed Rademacher probes."""
        count = self._operator.count
        generator = seeded_generator(0)
        v = (torch.randint(0, 2, (_LANCZOS_PROBES, count), generator=generator) * 2.0 - 1).to(
            self._pixels
        ) / math.sqrt(count)
        previous, beta = torch.zeros_like(v), torch.zeros(_LANCZOS_PROBES, 1, device=v.device)
        diagonal, off, basis = [], [], []
        for _ in range(_LANCZOS_STEPS):
            self._check()
            basis.append(v)
            w = self._covariance(v / self._sd) / self._sd - beta * previous
            alpha = (w * v).sum(1, keepdim=True)
            w = w - alpha * v
            for q in basis:
                w = w - (w * q).sum(1, keepdim=True) * q
            diagonal.append(alpha[:, 0])
            beta = w.norm(dim=1, keepdim=True)
            off.append(beta[:, 0])
            previous, v = v, w / beta.clamp(min=1e-20)
        t = torch.diag_embed(torch.stack(diagonal, 1)).double()
        side = torch.stack(off[:-1], 1).double()
        t = t + torch.diag_embed(side, 1) + torch.diag_embed(side, -1)
        values, vectors = torch.linalg.eigh(t)
        each = (vectors[:, 0] ** 2 * values.clamp(min=1e-12).log()).sum(1) * count
        return float(each.mean() + 2 * self._sd.double().log().sum())
