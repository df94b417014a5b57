"""Processes over the slices of one body, independent in every latent dimension: Gaussian or Student-t.

Latents are (B, n, D): B bodies, n slices, D dimensions; positions are (B, n), along the stack as a share of
its length. The mean is 0. Of two slices of one body the covariance is variance * correlation in
`ExchangeableProcess`, wherever they lie, and falls with their distance in `PoseProcess`. With n = 0 every
function gives the process itself. The Student-t process (Shah et al., AISTATS 2014) has the same covariance
(not scale) matrix, so that its heavier tails are all that differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import softplus

KINDS = ("gaussian", "student")
_DOF = 1000.0
_CORRELATION, _MAX_CORRELATION = 0.1, 0.999
Normal = Callable[[int], torch.Tensor]  # rows to (S, rows, D) standard normal numbers


@dataclass(frozen=True, eq=False)
class Predictive:
    """Distribution of single latents.

    mean, variance: (B, m, D). dof: (D,) degrees of freedom, None for a Gaussian.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    dof: torch.Tensor | None

    def log_density(self, z: torch.Tensor) -> torch.Tensor:
        """Log density of every latent on its own, (B, m, D)."""
        return _log_density((z - self.mean) ** 2 / self.variance, self.variance.log(), 1, self.dof)


@dataclass(frozen=True, eq=False)
class RecurrentState:
    """What the recurrent form carries after `count` slices, each (B, D).

    Mean and Gaussian variance of the next latent, and the squared Mahalanobis distance of those seen.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    distance: torch.Tensor
    count: int = 0


def _log_density(
    distance: torch.Tensor, log_det: torch.Tensor, count: int, dof: torch.Tensor | None
) -> torch.Tensor:
    """Log density of `count` values.

    From their squared Mahalanobis `distance` and the log determinant of their covariance.
    """
    if dof is None:
        return -0.5 * (distance + log_det + count * math.log(2 * math.pi))
    nu = dof.double()
    constant = (
        torch.lgamma((nu + count) / 2) - torch.lgamma(nu / 2) - count / 2 * torch.log((nu - 2) * math.pi)
    )
    return constant.to(distance) - 0.5 * log_det - (dof + count) / 2 * torch.log1p(distance / (dof - 2))


def _chi_square(dof: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Chi-square numbers of the given degrees of freedom.

    torch.distributions knows the global generator alone: it is lent the state of this one, and gets its own
    back.
    """
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        drawn = torch.distributions.Chi2(dof).sample()
        generator.set_state(torch.get_rng_state())
    return drawn


class _Process(nn.Module):
    """What both processes share: variance, correlation and degrees of freedom per dimension, (D,) each."""

    def __init__(self, dimensions: int, kind: str = "student"):
        super().__init__()
        self.raw_variance = nn.Parameter(torch.full((dimensions,), math.log(math.e - 1)))
        self.raw_correlation = nn.Parameter(
            torch.full((dimensions,), math.log(_CORRELATION / (_MAX_CORRELATION - _CORRELATION)))
        )
        self.raw_dof = (
            nn.Parameter(torch.full((dimensions,), math.log(_DOF - 2))) if kind == "student" else None
        )

    @property
    def variance(self) -> torch.Tensor:
        """Variance of a latent, (D,)."""
        return softplus(self.raw_variance) ** 2

    @property
    def correlation(self) -> torch.Tensor:
        """Share of the variance that slices of one body have in common, (D,).

        At most 0.999, or equations in float32 would fail.
        """
        return _MAX_CORRELATION * torch.sigmoid(self.raw_correlation)

    @property
    def dof(self) -> torch.Tensor | None:
        """Degrees of freedom, (D,) above 2; None for the Gaussian process."""
        return None if self.raw_dof is None else self.raw_dof.exp() + 2

    def _inflation(self, distance: torch.Tensor, count: int) -> torch.Tensor | float:
        """Factor (B, D) on the Gaussian variance after `count` latents at a squared Mahalanobis distance."""
        return 1.0 if self.dof is None else (self.dof + distance - 2) / (self.dof + count - 2)

    def _after(self, count: int) -> torch.Tensor | None:
        return None if self.dof is None else self.dof + count

    def _moments(self, z: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared Mahalanobis distance (B, D) and log determinant of the covariance of n slices."""
        raise NotImplementedError

    def _given(
        self, z: torch.Tensor, position: torch.Tensor, query: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gaussian mean and variance at the queries, (B, m, D)."""
        raise NotImplementedError

    def _spread(self, position: torch.Tensor, query: torch.Tensor, normal: Normal) -> torch.Tensor:
        """Gaussian deviations from the mean at the queries, (S, m, D)."""
        raise NotImplementedError

    def log_density(self, z: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Joint log density of the n slices of each body, (B,): nats, summed over dimensions.

        Args:
            z: latents (B, n, D).
            position: of the slices, (B, n), as shares of the stack.
        """
        return _log_density(*self._moments(z, position), z.shape[1], self.dof).sum(-1)

    def predict(self, z: torch.Tensor, position: torch.Tensor, query: torch.Tensor) -> Predictive:
        """Distribution of the latents at the positions `query` (B, m), each on its own, given `z`.

        Args:
            z: latents (B, n, D) that are known.
            position: theirs, (B, n), as shares of the stack.
            query: in the same unit.
        """
        mean, variance = self._given(z, position, query)
        inflation = self._inflation(self._moments(z, position)[0], z.shape[1])
        return Predictive(
            mean,
            variance * (inflation if isinstance(inflation, float) else inflation[:, None]),
            self._after(z.shape[1]),
        )

    @torch.no_grad()
    def sample(
        self, z: torch.Tensor, position: torch.Tensor, query: torch.Tensor, generators: list[torch.Generator]
    ) -> torch.Tensor:
        """Joint samples (len(generators), m, D) of the latents at `query` (1, m).

        They are given those of one body, z (1, n, D).

        Args:
            z: the latents that are known; n may be 0.
            position: theirs, (1, n), as shares of the stack.
            query: in the same unit.
            generators: one (CPU) a sample, so that a sample does not depend on those drawn with it.
        """
        dof = self._after(z.shape[1])

        def normal(rows: int) -> torch.Tensor:
            return torch.stack([torch.randn(rows, z.shape[2], generator=g) for g in generators]).to(z)

        deviation = self._spread(position.to(z), query.to(z), normal)
        deviation = deviation * (self._inflation(self._moments(z, position)[0], z.shape[1]) ** 0.5)
        if dof is not None:
            chi2 = torch.stack([_chi_square(dof.cpu().float(), g) for g in generators]).to(z)
            deviation = deviation * ((dof - 2) / chi2).sqrt()[:, None]
        return self._given(z, position, query)[0] + deviation


class ExchangeableProcess(_Process):
    """Slices of one body are exchangeable: the covariance is that of any two. Positions have no influence."""

    def _moments(self, z: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared Mahalanobis distance (B, D) and log determinant (D,) of the covariance of n slices."""
        v = self.variance
        rho = self.correlation
        n = z.shape[1]
        mean = z.sum(1) / max(n, 1)
        distance = ((z - mean[:, None]) ** 2).sum(1) / (v * (1 - rho)) + n * mean**2 / (
            v * (1 + (n - 1) * rho)
        )
        return distance, n * v.log() + (n - 1) * torch.log1p(-rho) + torch.log1p((n - 1) * rho)

    def _given(
        self, z: torch.Tensor, position: torch.Tensor, query: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gaussian mean and variance at the queries, (B, m, D)."""
        v = self.variance
        rho = self.correlation
        n = z.shape[1]
        mean = rho / (1 + (n - 1) * rho) * z.sum(1, keepdim=True)
        variance = v * (1 - rho) * (1 + n * rho) / (1 + (n - 1) * rho)
        shape = (len(z), query.shape[1], z.shape[2])
        return mean.expand(shape), variance.expand(shape)

    def _spread(self, position: torch.Tensor, query: torch.Tensor, normal: Normal) -> torch.Tensor:
        """Gaussian deviations from the mean at the queries, (S, m, D).

        What all of them share, and what each has of its own.
        """
        v = self.variance
        rho = self.correlation
        n = position.shape[1]
        shared = (v * rho * (1 - rho) / (1 + (n - 1) * rho)).sqrt()
        return shared * normal(1) + (v * (1 - rho)).sqrt() * normal(query.shape[1])

    def start(self, batch: int) -> RecurrentState:
        """The state before any slice."""
        zero = self.variance.new_zeros(batch, len(self.variance))
        return RecurrentState(zero, self.variance.expand(batch, -1), zero)

    def update(self, state: RecurrentState, z: torch.Tensor) -> RecurrentState:
        """The state after one more slice, z (B, D); the same as the closed form in any order.

        Args:
            state: after any number of slices.
            z: the latents of the next one.
        """
        v = self.variance
        common = self.variance * self.correlation
        share = common / (v + common * state.count)
        return RecurrentState(
            (1 - share) * state.mean + share * z,
            (1 - share) * state.variance + share * (v - common),
            state.distance + (z - state.mean) ** 2 / state.variance,
            state.count + 1,
        )

    def next(self, state: RecurrentState) -> Predictive:
        """Distribution of the next slice's latents, (B, 1, D)."""
        variance = state.variance * self._inflation(state.distance, state.count)
        return Predictive(state.mean[:, None], variance[:, None], self._after(state.count))


class PoseProcess(_Process):
    """Slices near to each other are alike.

    Their correlation is correlation * (share + (1 - share) * Matern 3/2 of their distance).

    share, length: (D,), of the common part that does not fall with distance, and the length of the other in
    shares of the stack. Every slice has noise of its own besides, the rest of the variance. With share = 1 it
    is the exchangeable process.

    Args:
        dimensions: D, latents of a slice.
        kind: one of KINDS.
        length: to start with, in shares of the stack.
    """

    def __init__(self, dimensions: int, kind: str = "student", length: float = 0.1):
        super().__init__(dimensions, kind)
        self.raw_share = nn.Parameter(torch.zeros(dimensions))
        self.raw_length = nn.Parameter(torch.full((dimensions,), math.log(length)))

    @property
    def share(self) -> torch.Tensor:
        """Part of the correlation that does not fall with distance, (D,) in (0, 1)."""
        return torch.sigmoid(self.raw_share)

    @property
    def length(self) -> torch.Tensor:
        """Length over which the other part falls, (D,), as a share of the stack."""
        return self.raw_length.exp()

    def kernel(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Covariance between different slices at positions (B, n) and (B, m), (B, D, n, m).

        Args:
            one: as shares of the stack.
            other: in the same unit.
        """
        v, rho, share, length = (
            t[:, None, None] for t in (self.variance, self.correlation, self.share, self.length)
        )
        scaled = math.sqrt(3) * (one[:, None, :, None] - other[:, None, None, :]).abs() / length
        return v * rho * (share + (1 - share) * (1 + scaled) * torch.exp(-scaled))

    def covariance(self, position: torch.Tensor) -> torch.Tensor:
        """Covariance of slices at positions (B, n), (B, D, n, n)."""
        own = (self.variance * (1 - self.correlation))[:, None, None]
        return self.kernel(position, position) + own * torch.eye(position.shape[1]).to(own)

    def _whitened(self, z: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cholesky factor (B, D, n, n) of the covariance and the whitened latents (B, D, n, 1)."""
        factor = torch.linalg.cholesky(self.covariance(position.to(z)))
        return factor, torch.linalg.solve_triangular(factor, z.transpose(1, 2)[..., None], upper=False)

    def _moments(self, z: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared Mahalanobis distance and log determinant of the covariance, (B, D)."""
        factor, white = self._whitened(z, position)
        return (white**2).sum((-1, -2)), 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def _given(
        self, z: torch.Tensor, position: torch.Tensor, query: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gaussian mean and variance at the queries, (B, m, D)."""
        factor, white = self._whitened(z, position)
        across = torch.linalg.solve_triangular(factor, self.kernel(position.to(z), query.to(z)), upper=False)
        variance = self.variance[:, None] - (across**2).sum(-2)
        return (across * white).sum(-2).transpose(1, 2), variance.transpose(
            1, 2
        )  # no product that autocast would round

    def _spread(self, position: torch.Tensor, query: torch.Tensor, normal: Normal) -> torch.Tensor:
        """Gaussian deviations from the mean at the queries, (S, m, D).

        A draw without contexts, less what it predicts of itself.
        """
        everywhere, n = torch.cat([position, query], 1)[0], position.shape[1]
        v, rho, share = self.variance, self.correlation, self.share
        common, varying = share.sqrt() * normal(1), (1 - share).sqrt() * self._walk(everywhere, normal)
        drawn = (v * rho).sqrt() * (common + varying) + (v * (1 - rho)).sqrt() * normal(len(everywhere))
        seen = drawn[:, :n].transpose(1, 2)[..., None]
        weights = torch.cholesky_solve(seen, torch.linalg.cholesky(self.covariance(position)))
        return drawn[:, n:] - (self.kernel(query, position) @ weights)[..., 0].transpose(1, 2)

    def _walk(self, position: torch.Tensor, normal: Normal) -> torch.Tensor:
        """Draws (S, p, D) of unit variance and Matern 3/2 correlation at positions (p,).

        From one position to the next, value and slope (in units of its spread) form a Markov chain with
        transition A and noise of covariance I - A A', so that both keep unit variance.
        """
        order = position.argsort()
        step = position[order].diff(prepend=position[order[:1]]).double()
        ahead = math.sqrt(3) * step[:, None] / self.length.double()
        decay = torch.exp(-ahead)
        a, b, c, d = decay * (1 + ahead), decay * ahead, -decay * ahead, decay * (1 - ahead)
        first = (1 - a**2 - b**2).clamp(min=0).sqrt()
        mixed = -(a * c + b * d) / first.clamp(min=1e-9)
        second = (1 - c**2 - d**2 - mixed**2).clamp(min=0).sqrt()
        value, slope = normal(2).double().unbind(1)
        values = torch.empty(
            len(value), len(position), value.shape[1], dtype=value.dtype, device=value.device
        )
        noise = normal(2 * len(position)).double().unflatten(1, (-1, 2))
        for place, k in enumerate(order.tolist()):
            one, other = noise[:, place].unbind(1)
            new = a[place] * value + b[place] * slope + first[place] * one
            slope = c[place] * value + d[place] * slope + mixed[place] * one + second[place] * other
            value = new
            values[:, k] = value
        return values.to(position)
