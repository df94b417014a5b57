"""Posterior of the structured Gaussian for linear measurements of any kind, by conjugate gradients.

Mean, samples and evidence use the same covariance S = A (W W' + Psi) A' + R as the stack solution, solved to
a relative residual of `TOLERANCE`. The standard deviation is exact for small problems, and estimated from
draws for others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch.nn.functional import avg_pool3d

from ...observation.operator import LinearOperator, StackedOperator
from ...solvers import Apply, block_inverse, conjugate_gradients, log_determinant
from ..base import Posterior, seeded_generator
from ..gaussian.field import GaussianField, Latents, misfit
from ..intervals import IntervalScale
from .plane_variance import dense_variance, prior_variance
from .preconditioner import ResidualPreconditioner, plain_inverse

TOLERANCE = 1e-4
SAMPLE_TOLERANCE = 1e-2
_VARIANCE_TOLERANCE = 0.3  # what is left after it is squared
DENSE_COST = 5e8
_DRAWS = 16  # of the residual, behind the standard deviation of large problems
_FIRST_SEED = 2**40  # of these
_TOGETHER = 2**21, 2**25  # voxels of the right sides that are solved at once: what caches hold, and on a GPU


@dataclass(frozen=True, eq=False)
class Measured:
    """What one operator measured.

    Attributes:
        operator: on the field's grid.
        values: (count,), canonical units.
        variance: of the measurement's own noise, beyond that of the field, (count,).
        inverse: inverse(field, operator, sd, own noise) approximates that of the residual's covariance, see
            `preconditioner.plain_inverse`.
    """

    operator: LinearOperator
    values: torch.Tensor
    variance: torch.Tensor
    inverse: Callable[[GaussianField, LinearOperator, torch.Tensor, torch.Tensor], Apply] = plain_inverse


class OperatorPosterior(Posterior):
    """Posterior given what any linear operators measured, canonical units.

    The noise that the field assumes of everything that is observed has the variance noise (A sd)^2, whatever
    the operator.
    """

    def __init__(
        self,
        field: GaussianField,
        measured: Sequence[Measured],
        intervals: IntervalScale,
        check: Callable[[], None] = lambda: None,
        tolerance: float = TOLERANCE,
        donor: Callable[[int], torch.Tensor] | None = None,
    ):
        """Condition a process.

        Args:
            field: the process.
            measured: at least one.
            intervals: of the posterior.
            check: called in every solver iteration; raise from it to cancel.
            tolerance: relative residual of the mean's solution.
            donor: the donor of a seed, (1, K, J, I), from which its sample starts; the field's draw if None.
        """
        operators = [one.operator for one in measured]
        counts = [operator.count for operator in operators]
        self._operator = operator = operators[0] if len(operators) == 1 else StackedOperator(operators)
        self.grid = field.grid
        self.intervals = intervals
        self._field, self._check, self._tolerance, self._donor = field, check, tolerance, donor
        self._values = torch.cat([one.values for one in measured])
        self._own_variance = torch.cat([one.variance for one in measured])
        self._low_rank = operator.forward(field.loadings)
        self._sd = operator.forward(field.sd[None])[0].clamp(min=float(field.sd.min()))
        self._noise = field.noise * self._sd**2 + self._own_variance
        units = [float(sd.mean()) if len(measured) > 1 and len(sd) else 1.0 for sd in self._sd.split(counts)]
        self._unit = self._sd.new_tensor(units).repeat_interleave(torch.tensor(counts).to(self._sd.device))
        parts = zip(
            measured,
            self._sd.split(counts),
            (self._own_variance / self._sd**2).split(counts),
            strict=True,
        )
        inverses = [one.inverse(field, one.operator, sd, own) for one, sd, own in parts]
        self._precondition = ResidualPreconditioner(block_inverse(inverses, counts), self._low_rank)
        self._difference = (self._values - operator.forward(field.mean[None])[0])[None]

    @cached_property
    def _weights(self) -> torch.Tensor:
        """S^-1 (y - A mean), (1, count); solved when first needed."""
        return self._solve(self._difference, self._tolerance)

    def _covariance(self, values: torch.Tensor) -> torch.Tensor:
        """S applied to (m, count)."""
        return self._residual(values) + values @ self._low_rank.T @ self._low_rank

    def _residual(self, values: torch.Tensor) -> torch.Tensor:
        """S_r = A Psi A' + R applied to (m, count)."""
        spread = self._field.residual_covariance(self._operator.adjoint(values))
        return self._operator.forward(spread) + self._noise * values

    def _spread(self, weights: torch.Tensor) -> torch.Tensor:
        """Sigma A' applied to (m, count): (m, K, J, I)."""
        low = torch.tensordot(weights @ self._low_rank.T, self._field.loadings, 1)
        return low + self._field.residual_covariance(self._operator.adjoint(weights))

    def _solve(self, right: torch.Tensor, tolerance: float, residual: bool = False) -> torch.Tensor:
        """S^-1 right for (m, count), all right sides at once; S_r^-1 right with `residual`.

        Every measurement is solved in units of its own, so that none is overlooked beside larger numbers.
        """
        unit = self._unit
        covariance = self._residual if residual else self._covariance
        inverse: Apply = self._precondition.residual_inverse if residual else self._precondition
        solved = conjugate_gradients(
            lambda rows: covariance(rows / unit) / unit,
            right / unit,
            lambda rows: inverse(rows * unit) * unit,
            tolerance=tolerance,
            check=self._check,
        )
        return solved / unit

    def mean(self) -> torch.Tensor:
        """Posterior mean, (K, J, I); computed once."""
        return self._mean

    @cached_property
    def _mean(self) -> torch.Tensor:
        return self._field.mean + self._spread(self._weights)[0]

    def latents(self) -> Latents:
        """What is known of z; its covariance with the preconditioner's approximation of S."""
        z = (self._weights @ self._low_rank.T)[0]
        return Latents(self._field, z, torch.cholesky_inverse(self._precondition.m_factor))

    @property
    def _small(self) -> bool:
        return self._operator.count**2 * self.grid.size <= DENSE_COST

    def residual_scale(self) -> float:
        """Factor on sd that maximises the evidence of these values.

        With the preconditioner's approximation of S.
        """
        return self._precondition.residual_scale(self._difference)

    def misfit(self) -> float:
        """How much further from the expected values the observed ones lie than the cohort's, see `field`."""
        variance = self._sd**2 + self._own_variance + (self._low_rank**2).sum(0)
        return misfit(self._difference[0], self._values - self._difference[0], variance)

    def std(self) -> torch.Tensor:
        """Posterior standard deviation, (K, J, I); computed once."""
        return self._std

    @cached_property
    def _std(self) -> torch.Tensor:
        if self._small:
            variance = dense_variance(self._field, self._spread, self._dense())
        else:
            variance = self._large_variance()
        return variance.clamp(min=1e-12).sqrt()

    def _large_variance(self) -> torch.Tensor:
        """Posterior variance where the dense solution costs too much, (K, J, I).

        That of the latents exactly, |M^-1/2 (W - Psi A' S_r^-1 A W)'|^2 with S_r of the residual alone. That
        of the residual is its own times the share that is left of draws of it, which is taken over
        neighbouring voxels too: exact where nothing is known, elsewhere within the error of `_DRAWS` draws.
        """
        drawn, seen = self._residual_draws()
        right = torch.cat([self._low_rank, seen])
        left = torch.cat([self._field.loadings, drawn])
        many = max(1, _TOGETHER[right.is_cuda] // self.grid.size)
        for part in torch.arange(len(right)).split(many):
            right[part] = self._solve(right[part], _VARIANCE_TOLERANCE, residual=True)
            left[part] -= self._field.residual_covariance(self._operator.adjoint(right[part]))
        rank = len(self._low_rank)
        m = self._low_rank.double() @ right[:rank].double().T
        factor = torch.linalg.cholesky(torch.eye(rank).to(m) + (m + m.T) / 2).float()
        latent = torch.linalg.solve_triangular(factor, left[:rank].flatten(1), upper=False).square().sum(0)
        remaining, before = (_nearby((t / self._field.sd).square().mean(0)) for t in (left[rank:], drawn))
        own = prior_variance(replace(self._field, loadings=self._field.loadings[:0]))
        return latent.reshape(own.shape) + own * (remaining / before.clamp(min=1e-6)).clamp(max=1)

    def _residual_draws(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws of the residual, (n, K, J, I), and what would be seen of them with its noise, (n, count)."""
        generators = [seeded_generator(_FIRST_SEED + n) for n in range(_DRAWS)]
        drawn = torch.cat([self._field.draw_residual([g]) for g in generators])
        noise = torch.stack([torch.randn(len(self._values), generator=g) for g in generators]).to(drawn)
        return drawn, self._operator.forward(drawn) + noise * self._noise.sqrt()

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """By Matheron's rule (Journel and Huijbregts, 1978), (n, K, J, I).

        One by one: a sample must not depend on the others asked for. Of donors not below 0.
        """
        tolerance = TOLERANCE if self._small else SAMPLE_TOLERANCE
        samples = []
        for seed in seeds:
            generator = seeded_generator(seed)
            drawn = self._donor(seed) if self._donor else self._field.draw([generator])
            samples.append(self._corrected(drawn, generator, tolerance))
        return torch.cat(samples).clamp(min=0) if self._donor else torch.cat(samples)

    def _corrected(self, drawn: torch.Tensor, generator: torch.Generator, tolerance: float) -> torch.Tensor:
        """The sample of the posterior that becomes of one of the prior, (1, K, J, I)."""
        noise = (
            torch.randn(len(self._values), generator=generator).to(drawn)
            * self._sd
            * math.sqrt(self._field.noise)
        )
        own = torch.randn(len(self._values), generator=generator).to(drawn) * self._own_variance.sqrt()
        seen = self._values - self._operator.forward(drawn) - (noise + own)
        return drawn + self._spread(self._solve(seen, tolerance))

    def _dense(self) -> torch.Tensor:
        """S as a matrix, (count, count) float64."""
        columns = self._covariance(torch.eye(self._operator.count, device=self._values.device))
        return ((columns + columns.T) / 2).double()

    def log_evidence(self) -> float:
        """log p(values) in nats.

        Exact when small, else with a stochastic Lanczos log-determinant (fixed probes).
        """
        quadratic = float((self._difference.double() * self._weights.double()).sum())
        log_det = float(torch.linalg.slogdet(self._dense())[1]) if self._small else self._lanczos_log_det()
        return -0.5 * (quadratic + log_det + self._operator.count * math.log(2 * math.pi))

    def _lanczos_log_det(self) -> float:
        """log det S from that of D^-1 S D^-1."""
        scaled = log_determinant(
            lambda v: self._covariance(v / self._sd) / self._sd, self._values, check=self._check
        )
        return scaled + float(2 * self._sd.double().log().sum())


def _nearby(volume: torch.Tensor) -> torch.Tensor:
    """Mean over each voxel and those that touch it, (K, J, I)."""
    mean: torch.Tensor = avg_pool3d(volume[None], 3, 1, 1)[0]
    return mean
