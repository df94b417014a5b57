"""How well slices match a prior at given poses: correlation with its mean, evidence of its low-rank model."""

from __future__ import annotations

import numpy as np
import torch

from ..geometry import InputError
from ..observation.points import PointOperator
from ..observation.slices import Slice, resample_slice
from ..priors.alignment_model import ANATOMY, AlignmentModel
from .anatomy import anatomy_level
from .intensity import MonotoneMap
from .pose import UNITS, PoseFamily

_MODEL_ERROR = 0.05
_INTERIOR = 0.2
_MIN_PIXELS = 40
_MARGIN_MM = 20.0
_HUMAN_MM = 4.0  # voxels of models of human brains; those of smaller animals are finer
_STEP = 0.3  # units of a pose; smaller ones see the kinks of linear interpolation


class Matcher:
    """Slice pixels (points (n, 3) patient mm, values (n,)) against a model; B poses at once.

    Pixels `size_mm` apart are correlated, so log-likelihoods are divided by the number of pixels in one
    correlation area (about 150 mm^2).

    Args:
        model: the prior on a coarse canonical grid.
        points: (n, 3), patient RAS mm.
        values: (n,), patient units.
        size_mm: distance of neighbouring pixels.
    """

    def __init__(self, model: AlignmentModel, points: torch.Tensor, values: torch.Tensor, size_mm: float):
        self.model, self.points, self.values = model, points, values
        self._temper = max(1.0, 150.0 / size_mm**2)
        self.strength = len(points) / self._temper / 4

    @classmethod
    def of(cls, slices: list[Slice], model: AlignmentModel, size_mm: float) -> Matcher:
        """The pixels of slices on lattices of `size_mm`, without the far background.

        Args:
            slices: patient mm, 0 outside the anatomy.
            model: the prior on a coarse canonical grid.
            size_mm: pixel size of the lattices, for human bodies; less for models of smaller ones.
        """
        size_mm *= min(1.0, float(model.grid.spacing_ijk.max()) / _HUMAN_MM)
        return cls(model, *_points(slices, size_mm), size_mm)

    def expected(self, matrix: np.ndarray, covariate: float | None) -> np.ndarray:
        """The model's mean (n,) at the pixels in a frame (4x4, patient to canonical, RAS mm).

        Args:
            matrix: the frame.
            covariate: None is 0, for a model without one.

        Returns:
            Canonical units.
        """
        value = torch.tensor([covariate or 0.0])
        return self._predict(PoseFamily.fixed(matrix), torch.zeros(1, 9), value, 0)[0][0].numpy()

    def foreground(self) -> torch.Tensor:
        """(n,) bool: pixels that show anatomy rather than air."""
        return self.values > anatomy_level(self.values.numpy())

    def _sample(self, family: PoseFamily, theta: torch.Tensor, channels: torch.Tensor) -> torch.Tensor:
        """Model channels at the pixels, (C, B, n)."""
        sampled = PointOperator(self.model.grid, family.apply(theta, self.points)).forward(channels)
        return sampled.reshape(len(channels), len(theta), -1)

    def _predict(
        self, family: PoseFamily, theta: torch.Tensor, value: torch.Tensor, rank: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean (B, n), residual variance (B, n) and loadings (rank, B, n)."""
        q = len(self.model.knots)
        sampled = self._sample(family, theta, self.model.maps[: None if rank is None else q + 1 + rank])
        weights = self.model.knot_weights(value)
        mean = (sampled[:q] * weights.T[:, :, None]).sum(0)
        return mean, sampled[q] ** 2 + _MODEL_ERROR**2, sampled[q + 1 :]

    def correlation(self, family: PoseFamily, theta: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Correlation (B,) of the pixels with the model's mean there.

        Args:
            family: B poses.
            theta: their parameters, (B, 9).
            value: their covariate values, (B,).

        Returns:
            -1..1; differentiable in `theta` and `value`.
        """
        return self._correlate(self._predict(family, theta, value, 0)[0])

    def quick_correlation(self, family: PoseFamily, theta: torch.Tensor, value: float) -> torch.Tensor:
        """The same (B,) at one covariate value for all poses, without gradients.

        Args:
            family: B poses.
            theta: their parameters, (B, 9).
            value: the covariate value.
        """
        with torch.no_grad():
            mean = torch.tensordot(
                self.model.knot_weights(torch.tensor([value])), self.model.maps[: len(self.model.knots)], 1
            )
            parts = torch.arange(len(theta)).split(512)
            return torch.cat(
                [self._correlate(self._sample(family.select(n), theta[n], mean)[0]) for n in parts]
            )

    def _correlate(self, mean: torch.Tensor) -> torch.Tensor:
        y, m = self.values - self.values.mean(), mean - mean.mean(1, keepdim=True)
        return (y * m).sum(1) / (y.norm() * m.norm(dim=1).clamp(min=1e-3))

    def intensity_maps(
        self, family: PoseFamily, theta: torch.Tensor, value: torch.Tensor
    ) -> list[MonotoneMap]:
        """One intensity map per pose, from the pixels where the model shows anatomy there.

        A pose at which too little is shown gets a plain scaling, and loses by its evidence.

        Args:
            family: B poses.
            theta: their parameters, (B, 9).
            value: their covariate values, (B,).

        Raises:
            InputError: if too little is shown at all of them.
        """
        mean, variance, loadings = self._predict(family, theta, value)
        variance = variance - _MODEL_ERROR**2 + (loadings**2).sum(0)
        maps: list[MonotoneMap | None] = []
        problem = None
        for m, v in zip(mean, variance, strict=True):
            inside = (m > ANATOMY) & (self.values > 0)
            try:
                maps.append(
                    MonotoneMap.fit(self.values[inside].numpy(), m[inside].numpy(), v[inside].numpy())
                )
            except InputError as error:
                problem = error
                maps.append(None)
        if problem and not any(maps):
            raise problem
        plain = MonotoneMap(np.array([0.0, float(self.values.max())]), np.array([0.0, 1.0]))
        return [one or plain for one in maps]

    def _canonical(self, maps: list[MonotoneMap]) -> torch.Tensor:
        """Canonical values (B, n) of the pixels."""
        return torch.stack([torch.as_tensor(g.to_canonical(self.values.numpy())) for g in maps])

    def _log_slopes(self, maps: list[MonotoneMap]) -> torch.Tensor:
        """Sum over the foreground of the log slope of each map (B,).

        Without it flat maps would look probable.
        """
        values = self.values[self.foreground()].numpy()
        step = 0.01 * float(values.max())
        slopes = [(g.to_canonical(values + step) - g.to_canonical(values - step)) / (0.02) for g in maps]
        return torch.as_tensor(np.array([np.log(np.maximum(s, 1e-3)).sum() for s in slopes], np.float32))

    def _solve(
        self, family: PoseFamily, theta: torch.Tensor, value: torch.Tensor, maps: list[MonotoneMap]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Residual, its variance, loadings, and the factors of the latent equations.

        The latter are the Cholesky factor and the right side.
        """
        mean, variance, w = self._predict(family, theta, value)
        difference = self._canonical(maps) - mean
        scaled = w / (variance * self._temper)
        m = torch.einsum("rbn,sbn->brs", scaled, w) + torch.eye(len(w))
        return (
            difference,
            variance,
            w,
            torch.linalg.cholesky(m),
            torch.einsum("rbn,bn->br", scaled, difference),
        )

    def evidence(
        self, family: PoseFamily, theta: torch.Tensor, value: torch.Tensor, maps: list[MonotoneMap]
    ) -> torch.Tensor:
        """Tempered log evidence (B,) of the pixels under the low-rank model, in nats up to a constant.

        Args:
            family: B poses.
            theta: their parameters, (B, 9).
            value: their covariate values, (B,).
            maps: B, patient to canonical units, one a pose.
        """
        difference, variance, _, factor, right = self._solve(family, theta, value, maps)
        half = torch.linalg.solve_triangular(factor, right[..., None], upper=False)[..., 0]
        quadratic = (difference**2 / variance).sum(1) / self._temper - (half**2).sum(1)
        log_det = variance.log().sum(1) / self._temper + 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        return -0.5 * (quadratic + log_det) + self._log_slopes(maps) / self._temper

    @torch.no_grad()
    def agreement(
        self, family: PoseFamily, theta: torch.Tensor, value: torch.Tensor, intensity: MonotoneMap
    ) -> float:
        """Correlation (-1..1) of the mapped pixels with the model's best prediction inside the anatomy.

        The outline is left out: it alone makes any brain correlate with any other image of a brain.

        Args:
            family: one pose.
            theta: its parameters, (1, 9).
            value: its covariate value, (1,).
            intensity: patient to canonical units.

        Returns:
            0 where too few pixels lie inside.
        """
        difference, _, w, factor, right = self._solve(family, theta, value, [intensity])
        z = torch.cholesky_solve(right[..., None], factor)[..., 0]
        canonical = self._canonical([intensity])[0]
        predicted = canonical - difference[0] + torch.einsum("br,rbn->bn", z, w)[0]
        inside = (self._predict(family, theta, value)[0][0] > _INTERIOR) & (canonical > 2 * ANATOMY)
        if int(inside.sum()) < _MIN_PIXELS:
            return 0.0
        both = torch.stack([canonical[inside], predicted[inside]])
        return float(torch.corrcoef(both)[0, 1])

    def uncertainty(
        self, family: PoseFamily, theta: torch.Tensor, value: torch.Tensor, intensity: MonotoneMap
    ) -> dict[str, float]:
        """Largest standard deviation of rotation (degrees), translation (mm) and scale (share).

        Args:
            family, theta, value, intensity: see `covariance`.

        Returns:
            By "rotation_deg", "translation_mm" and "scale".
        """
        covariance = self.covariance(family, theta, value, intensity)
        sd = covariance.diagonal().sqrt() * torch.tensor(UNITS, dtype=torch.float64)
        return {
            "rotation_deg": float(torch.rad2deg(sd[:3].max())),
            "translation_mm": float(sd[3:6].max()),
            "scale": float(sd[6:].max()),
        }

    def covariance(
        self, family: PoseFamily, theta: torch.Tensor, value: torch.Tensor, intensity: MonotoneMap
    ) -> torch.Tensor:
        """Laplace's approximation of the covariance of a pose, by the evidence's curvature.

        Args:
            family: one pose.
            theta: its parameters, (1, 9), near to the most probable ones.
            value: its covariate value, (1,).
            intensity: patient to canonical units.

        Returns:
            (9, 9) float64, of parameters in UNITS.
        """
        steps = torch.eye(9).double() * _STEP
        both = torch.cat([steps, -steps]).float()
        batch = family.select(torch.zeros(18, dtype=torch.int64))
        moved = theta + both
        fixed = value.expand(18)
        maps = [intensity] * 18
        moved = moved.detach().requires_grad_()
        loss = -self.evidence(batch, moved, fixed, maps) + batch.penalty(moved)
        gradients = torch.autograd.grad(loss.sum(), moved)[0].double()
        hessian = (gradients[:9] - gradients[9:]) / (2 * _STEP)
        values, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
        return (vectors / values.clamp(min=1e-2)) @ vectors.T


def _points(slices: list[Slice], size_mm: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel positions (n, 3) in patient mm and values (n,) on lattices of `size_mm`.

    Without the far background.
    """
    lattices = [resample_slice(s, max(size_mm, float(s.plane.spacing_ij.max()))) for s in slices]
    level = anatomy_level(np.concatenate([s.pixels.ravel() for s in lattices]))
    near = [_near_foreground(s.pixels > level, _MARGIN_MM / s.plane.spacing_ij[0]).ravel() for s in lattices]
    points = np.concatenate([s.plane.points_ras()[n] for s, n in zip(lattices, near, strict=True)])
    values = np.concatenate([s.pixels.ravel()[n] for s, n in zip(lattices, near, strict=True)])
    return torch.as_tensor(points, dtype=torch.float32), torch.as_tensor(values)


def _near_foreground(foreground: np.ndarray, margin: float) -> np.ndarray:
    """The bounding box of the foreground (rows, columns) with a margin in pixels.

    Everything where there is no foreground.
    """
    near = np.ones(foreground.shape, bool)
    for axis in range(2):
        filled = np.flatnonzero(foreground.any(1 - axis))
        if len(filled):
            place = np.arange(foreground.shape[axis])
            inside = (place >= filled[0] - margin) & (place <= filled[-1] + margin)
            near &= inside[:, None] if axis == 0 else inside
    return near
