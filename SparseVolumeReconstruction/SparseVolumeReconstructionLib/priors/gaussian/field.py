"""The structured Gaussian process on one grid: x = mean + W z + r, r ~ N(0, Psi)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from ...geometry import Grid, InputError

_JITTER = 1e-3
_EXPECTS_ANATOMY = 0.1


@dataclass(frozen=True, eq=False)
class GaussianField:
    """Discretised prior on `grid` (K, J, I).

    mean, sd: (K, J, I). loadings: W, (rank, K, J, I). correlations: C_k, C_j, C_i, the separable correlation
    of the residual along each axis, so that Psi = D (C_k x C_j x C_i) D with D = diag(sd). noise: observation
    variance as a share of the residual's: R = noise * diag((A sd)^2). widened: standard deviation of the
    latents z that `loadings` are already multiplied with.
    """

    grid: Grid
    mean: torch.Tensor
    loadings: torch.Tensor
    sd: torch.Tensor
    correlations: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    noise: float
    widened: float = 1.0

    def residual_covariance(self, volumes: torch.Tensor) -> torch.Tensor:
        """Psi applied to (n, K, J, I)."""
        spread: torch.Tensor = self.sd * along_axes(self.correlations, self.sd * volumes)
        return spread

    def draw(self, generators: list[torch.Generator]) -> torch.Tensor:
        """One prior sample per generator, (n, K, J, I)."""
        z = torch.stack([torch.randn(len(self.loadings), generator=g) for g in generators]).to(self.mean)
        return self.mean + torch.tensordot(z, self.loadings, 1) + self.draw_residual(generators)

    def draw_residual(self, generators: list[torch.Generator]) -> torch.Tensor:
        """One residual r per generator, (n, K, J, I)."""
        white = torch.stack([torch.randn(self.mean.shape, generator=g) for g in generators]).to(self.mean)
        factors = tuple(torch.linalg.cholesky(c.double()).to(c.dtype) for c in self.correlations)
        return self.sd * along_axes(factors, white)

    def permuted(self, order: tuple[int, int, int]) -> GaussianField:
        """The same field with its array axes reordered; `grid` keeps describing the original order."""
        return replace(
            self,
            mean=self.mean.permute(order),
            sd=self.sd.permute(order),
            loadings=self.loadings.permute(0, *(n + 1 for n in order)),
            correlations=(
                self.correlations[order[0]],
                self.correlations[order[1]],
                self.correlations[order[2]],
            ),
        )

    def on(self, grid: Grid) -> GaussianField:
        """The field seen on another axis-aligned grid.

        Each axis is blurred and interpolated by a small matrix H.

        mean' = H mean, W' = H W, and Psi' follows from H C H' per axis with sd' = (H sd) sqrt(diag(H C H')).

        Raises:
            InputError: when the axes differ.
        """
        if grid.same_as(self.grid):
            return self
        turn = (
            grid.ijk_to_ras[:3, :3] / grid.spacing_ijk - self.grid.ijk_to_ras[:3, :3] / self.grid.spacing_ijk
        )
        if np.abs(turn).max() > 1e-6:
            raise InputError(
                "The grid is rotated against the canonical axes; condition on a canonical grid and resample "
                "the result."
            )
        h = [operator.to(self.mean) for operator in axis_operators(self.grid, grid)]
        correlations, scale = [], torch.ones((), dtype=self.mean.dtype, device=self.mean.device)
        for n, (operator, correlation) in enumerate(zip(h, self.correlations, strict=True)):
            covariance = operator @ correlation @ operator.T
            root = covariance.diagonal().clamp(min=1e-6).sqrt()
            eye = torch.eye(len(root), dtype=root.dtype, device=root.device)
            correlations.append((covariance / root[:, None] / root + _JITTER * eye) / (1 + _JITTER))
            scale = scale * root.reshape([-1 if m == n else 1 for m in range(3)])
        sd = (along_axes(h, self.sd[None])[0] * scale).clamp(min=float(self.sd.min()))
        mean = along_axes(h, self.mean[None])[0]
        k, j, i = correlations
        return GaussianField(grid, mean, along_axes(h, self.loadings), sd, (k, j, i), self.noise)


def axis_operators(source: Grid, target: Grid) -> list[torch.Tensor]:
    """The `axis_operator` of each array axis (k, j, i) between grids with the same axes.

    Args:
        source: where values are known.
        target: where they are wanted.

    Returns:
        For `along_axes`: float32, (K', K), (J', J) and (I', I).
    """
    offset = (source.ras_to_ijk @ target.ijk_to_ras[:, 3])[:3]
    ratio = target.spacing_ijk / source.spacing_ijk
    return [
        axis_operator(source.shape_kji[n], target.shape_kji[n], offset[2 - n], ratio[2 - n]) for n in range(3)
    ]


@dataclass(frozen=True, eq=False)
class Latents:
    """What a posterior knows of the latents z of its `field`: mean (rank,) and covariance (rank, rank)."""

    field: GaussianField
    mean: torch.Tensor
    covariance: torch.Tensor

    @cached_property
    def factor(self) -> torch.Tensor:
        """Lower triangular (rank, rank) root of the covariance."""
        root: torch.Tensor = torch.linalg.cholesky((self.covariance + self.covariance.T) / 2)
        return root


def axis_operator(source: int, target: int, offset: float, ratio: float) -> torch.Tensor:
    """(target, source) matrix: sample index offset + ratio * n.

    A Gaussian footprint where ratio > 1, else linear.

    Args:
        source: number of samples that are known.
        target: number of samples that are wanted.
        offset: where the first of these lies, in samples of the source.
        ratio: distance of target samples in samples of the source.
    """
    position = offset + ratio * np.arange(target)
    distance = np.abs(position[:, None] - np.arange(source))
    if ratio > 1.05:
        weight = np.exp(-0.5 * (distance * 2.355 / np.sqrt(ratio**2 - 1)) ** 2)
        weight /= np.maximum(weight.sum(1, keepdims=True), 1e-6)
        weight *= ((position >= -0.5) & (position <= source - 0.5))[:, None]
    else:
        weight = np.maximum(1 - distance, 0)
    return torch.as_tensor(weight, dtype=torch.float32)


def correlation_matrix(curve: torch.Tensor, size: int) -> torch.Tensor:
    """Positive definite (size, size) Toeplitz correlation from values at lags 0, 1, ... (voxels).

    Lags beyond the curve decay with the e-folding length of its last two values.

    Args:
        curve: begins with 1; cut off where it is longer than `size`.
        size: voxels along the axis.
    """
    curve = curve.double().cpu()
    decay = float((curve[-1] / curve[-2]).nan_to_num(0.0).clamp(0.0, 0.95)) if len(curve) > 1 else 0.0
    tail = curve[-1] * decay ** torch.arange(1, max(size - len(curve), 0) + 1, dtype=torch.float64)
    lags = torch.arange(size)
    toeplitz = torch.cat([curve, tail])[:size][(lags[:, None] - lags).abs()]
    values, vectors = torch.linalg.eigh(toeplitz)
    matrix = (vectors * values.clamp(min=_JITTER)) @ vectors.T
    root = matrix.diagonal().sqrt()
    return (matrix / root[:, None] / root).float()


def evidence_scale(quadratic: float, projection: torch.Tensor, gram: torch.Tensor, count: int) -> float:
    """Factor c in [1, 3] on the residual's sd that maximises log p(y) when S_r = c^2 S_1.

    The evidence approximation, or type II maximum likelihood (MacKay, Neural Computation 4, 1992).

    With g the eigenvalues of gram and b the projection in its eigenbasis, -2 log p = q / c^2 - sum b^2 / (c^4
    (1 + g / c^2)) + count log c^2 + sum log(1 + g / c^2).

    Args:
        quadratic: q = d' S_1^-1 d, of the differences d.
        projection: (AW)' S_1^-1 d, (rank,).
        gram: (AW)' S_1^-1 AW, (rank, rank).
        count: pixels; 1 is returned for none.
    """
    if count == 0:
        return 1.0
    g, vectors = torch.linalg.eigh((gram + gram.T).double() / 2)
    b2, g = (vectors.T @ projection.double()) ** 2, g.clamp(min=0)
    c2 = torch.logspace(0.0, np.log10(9.0), 200, dtype=torch.float64, device=g.device)[:, None]
    objective = (
        quadratic / c2[:, 0]
        - (b2 / (c2**2 + g * c2)).sum(1)
        + count * c2[:, 0].log()
        + (1 + g / c2).log().sum(1)
    )
    return float(c2[objective.argmin(), 0].sqrt())


def misfit(difference: torch.Tensor, expected: torch.Tensor, variance: torch.Tensor) -> float:
    """Root mean square distance of observed values from the expected ones, where anatomy is expected.

    In the process's own standard deviations: about 1 for subjects like the cohort.

    Args:
        difference: observed less expected values, canonical units, of any shape.
        expected: of the same shape.
        variance: of the process, of the same shape.

    Returns:
        1 where no anatomy is expected.
    """
    inside = expected > _EXPECTS_ANATOMY
    return float((difference**2 / variance)[inside].mean().sqrt()) if inside.any() else 1.0


def widening(of: float) -> float:
    """Factor on all standard deviations of the process for a subject with that `misfit`.

    On scanners left out of the fit the error of the mean grew with the root of the misfit: 1.0 for people of
    a fitted scanner; 1.0 to 1.5 times, at misfits of 1.2 to 2.5, for elderly people of another scanner; 1.2
    to 2 times, at 1.4 to 2.4, for patients with lesions.
    """
    return max(1.0, of) ** 0.5


def along_axes(factors: Sequence[torch.Tensor], volumes: torch.Tensor) -> torch.Tensor:
    """Apply one matrix per axis to (n, K, J, I).

    Args:
        factors: (K', K), (J', J) and (I', I).
        volumes: (n, K, J, I).

    Returns:
        (n, K', J', I').
    """
    k, j, i = factors
    out = torch.matmul(volumes, i.T)
    out = torch.matmul(j, out)
    shape = out.shape
    return torch.matmul(k, out.reshape(shape[0], shape[1], shape[2] * shape[3])).reshape(
        shape[0], len(k), *shape[2:]
    )
