"""Exact posterior of the structured Gaussian when whole grid planes of one orientation were observed.

With Psi = D (C_s x C_j x C_i) D and noise proportional to D^2, the eigenvectors of the n x n correlation
between the observed positions and of the two in-plane correlations diagonalise S = A Psi A' + R, so
everything is exact and cheap (Saatci, Scalable inference for structured Gaussian process models, Cambridge
2011, chapter 5).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import torch

from ..base import Posterior, seeded_generator
from ..intervals import IntervalScale
from .field import GaussianField, Latents, evidence_scale, misfit


class StackPosterior(Posterior):
    """Posterior given full planes `index` along array axis `axis` of the field's grid.

    Args:
        field: the process.
        axis: array axis, 0, 1 or 2 for k, j, i.
        index: numbers of the planes along it; there may be none.
        pixels: (n, ...) canonical values in array order of the two remaining axes.
        intervals: of the posterior.
        donor: the donor of a seed, (1, K, J, I), from which its sample starts; a draw of the field if None.
    """

    def __init__(
        self,
        field: GaussianField,
        axis: int,
        index: list[int],
        pixels: torch.Tensor,
        intervals: IntervalScale,
        donor: Callable[[int], torch.Tensor] | None = None,
    ):
        self.grid, self.intervals, self._donor = field.grid, intervals, donor
        rows, columns = (n for n in range(3) if n != axis)
        self._order = order = (axis, rows, columns)
        self._inverse = order.index(0), order.index(1), order.index(2)
        self._field = f = field.permuted(order)
        self._index = index
        self._sd = f.sd[index]
        c_s, c_j, c_i = f.correlations
        value_s, u = torch.linalg.eigh(c_s[index][:, index].double())
        value_j, q_j = torch.linalg.eigh(c_j.double())
        value_i, q_i = torch.linalg.eigh(c_i.double())

        def to(t: torch.Tensor) -> torch.Tensor:
            return t.to(f.mean)

        self._u, self._q_j, self._q_i = to(u), to(q_j), to(q_i)
        self._value_j, self._value_i = to(value_j).clamp(min=0), to(value_i).clamp(min=0)
        self._spectrum = (
            to(value_s).clamp(min=0)[:, None, None] * self._value_j[:, None] * self._value_i + f.noise
        )
        self._through = c_s[:, index] @ self._u
        self._w = self._transform(f.loadings[:, index] / self._sd)
        weighted = (self._w / self._spectrum).flatten(1)
        m = (
            torch.eye(len(self._w), dtype=weighted.dtype, device=weighted.device)
            + weighted @ self._w.flatten(1).T
        )
        self._m_factor = torch.linalg.cholesky(m.double()).to(m.dtype)
        self._observed = pixels
        self._difference = (pixels - f.mean[index])[None]
        self._mean = f.mean + self._update(self._difference)[0]

    def _transform(self, slices: torch.Tensor) -> torch.Tensor:
        """(m, n, J, I) in the eigenbasis of S."""
        out = torch.matmul(torch.matmul(self._q_j.T, slices), self._q_i)
        return torch.tensordot(out, self._u, ([1], [0])).movedim(-1, 1)

    def _in_plane(self, spectral: torch.Tensor) -> torch.Tensor:
        """Spectral coefficients (m, n, J, I) through the in-plane part of the residual covariance."""
        return torch.matmul(torch.matmul(self._q_j * self._value_j, spectral), (self._q_i * self._value_i).T)

    def _spread(self, in_plane: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
        """Carry (m, n, J, I) from the observed to the stack positions `rows`: (m, len(rows), J, I)."""
        return torch.tensordot(in_plane, self._through[rows], ([1], [1])).movedim(-1, 1)

    def _solve(self, spectral: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z (m, rank) and the spectral residual S^-1 (d - A W z) of transformed differences (m, n, J, I)."""
        weighted = spectral / self._spectrum
        right = weighted.flatten(1) @ self._w.flatten(1).T
        z = torch.cholesky_solve(right.T, self._m_factor).T
        return z, weighted - torch.tensordot(z, self._w, 1) / self._spectrum

    def _update(self, difference: torch.Tensor) -> torch.Tensor:
        """Sigma A' (A Sigma A' + R)^-1 applied to differences (m, n, J, I)."""
        z, residual = self._solve(self._transform(difference / self._sd))
        return torch.tensordot(z, self._field.loadings, 1) + self._field.sd * self._spread(
            self._in_plane(residual)
        )

    def _restore(self, volumes: torch.Tensor) -> torch.Tensor:
        axes = tuple(n + volumes.ndim - 3 for n in self._inverse)
        return volumes.permute(*range(volumes.ndim - 3), *axes).contiguous()

    def mean(self) -> torch.Tensor:
        """Posterior mean, (K, J, I)."""
        return self._restore(self._mean)

    def std(self) -> torch.Tensor:
        """Posterior standard deviation, (K, J, I); computed once."""
        return self._std

    @cached_property
    def _std(self) -> torch.Tensor:
        f = self._field
        gain_j, gain_i = (self._q_j * self._value_j) ** 2, (self._q_i * self._value_i) ** 2
        explained = torch.matmul(torch.matmul(gain_j, 1 / self._spectrum), gain_i.T)
        variance = (1 - torch.tensordot(self._through**2, explained, 1)).clamp(min=0) * f.sd**2
        in_plane = self._in_plane(self._w / self._spectrum)
        for start in range(0, len(variance), 16):
            rows = slice(start, start + 16)
            b = f.loadings[:, rows] - f.sd[rows] * self._spread(in_plane, rows)
            half = torch.linalg.solve_triangular(self._m_factor, b.flatten(1), upper=False)
            variance[rows] += (half**2).sum(0).reshape(variance[rows].shape)
        return self._restore(variance.clamp(min=1e-12).sqrt())

    def _sample(self, seeds: list[int]) -> torch.Tensor:
        """By Matheron's rule (Journel and Huijbregts, 1978), (n, K, J, I); of donors not below 0."""
        out = []
        for seed in seeds:
            generator = seeded_generator(seed)
            drawn = (
                self._donor(seed).permute(0, *(n + 1 for n in self._order))
                if self._donor
                else self._field.draw([generator])
            )
            noise = (
                torch.randn(self._sd.shape, generator=generator).to(drawn)
                * self._sd
                * math.sqrt(self._field.noise)
            )
            out.append((drawn + self._update(self._observed - drawn[:, self._index] - noise))[0])
        samples = self._restore(torch.stack(out))
        return samples.clamp(min=0) if self._donor else samples

    def latents(self) -> Latents:
        """What is known of z."""
        z, _ = self._solve(self._transform(self._difference / self._sd))
        return Latents(self._field.permuted(self._inverse), z[0], torch.cholesky_inverse(self._m_factor))

    def residual_scale(self) -> float:
        """Factor on sd that maximises the evidence of these pixels.

        1 where the subject is like the cohort.
        """
        spectral = self._transform(self._difference / self._sd)
        weighted = spectral / self._spectrum
        gram = (self._w / self._spectrum).flatten(1) @ self._w.flatten(1).T
        return evidence_scale(
            float((spectral * weighted).sum()),
            weighted.flatten(1)[0] @ self._w.flatten(1).T,
            gram,
            spectral.numel(),
        )

    def misfit(self) -> float:
        """How much further from the expected values the observed ones lie than the cohort's, see `field`."""
        f, index = self._field, self._index
        variance = self._sd**2 + (f.loadings[:, index] ** 2).sum(0)
        return misfit(self._difference[0], f.mean[index], variance)

    def log_evidence(self) -> float:
        """log p(pixels) in nats, exact."""
        spectral = self._transform(self._difference / self._sd)
        _, residual = self._solve(spectral)
        quadratic = (spectral.double() * residual.double()).sum()
        log_det = (
            self._spectrum.double().log().sum()
            + 2 * self._sd.double().log().sum()
            + 2 * self._m_factor.diagonal().double().log().sum()
        )
        return float(-0.5 * (quadratic + log_det + self._observed.numel() * math.log(2 * math.pi)))
