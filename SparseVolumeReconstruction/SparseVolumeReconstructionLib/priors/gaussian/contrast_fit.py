"""The grey values of the tissues in a scan, found by evidence from slices whose place is known.

The evidence of the low-rank model is maximised (type II maximum likelihood), tempered because neighbouring
pixels are not independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ...geometry import InputError
from ...observation.base import IntensityMap
from ...observation.planes import corner_weights
from ...observation.slices import Slice, resample_slice
from .parameters import GaussianParameters
from .tissues import TISSUES, ZONES, TissueContrast

STARTS = {
    "T1w": (0.2, 0.55, 0.82),
    "T2w": (1.0, 0.5, 0.35),
    "FLAIR": (0.15, 0.75, 0.6),
    "PD": (0.8, 0.75, 0.6),
}
"""Grey values of fluid, grey and white matter to start from: several, as the evidence has several maxima."""
_RANK, _SIZE_MM, _MAX_PIXELS, _MIN_PIXELS = 24, 3.0, 3000, 100
_AREA_MM2 = 220.0  # in which pixels are not independent
_FIRST_SPREAD, _FLOOR = 0.08, 0.01  # in units of the brightest pixels
_ZONE_SD = 0.5  # of what is added in a zone, in these units
_STEPS = 60
_MORE_NUMBERS = 12 - 5  # of a contrast than of a monotone map


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels (m,) of slices in canonical space that lie in the anatomy.

    values: grey values, of any unit. at: how to look at masked voxels there. temper: as many pixels are worth
    one that is independent.
    """

    values: torch.Tensor
    at: _Lookup
    temper: float

    @classmethod
    def of(cls, slices: list[Slice], parameters: GaussianParameters) -> Pixels:
        """Those of slices, on a lattice of some mm.

        Args:
            slices: canonical mm, grey values of any contrast, 0 outside the anatomy.
            parameters: say where the anatomy is.

        Raises:
            InputError: where too few pixels show brain.
        """
        lattices = [resample_slice(s, max(_SIZE_MM, float(s.plane.spacing_ij.max()))) for s in slices]
        points = np.concatenate([s.plane.points_ras() for s in lattices])
        values = np.concatenate([s.pixels.ravel() for s in lattices])
        at = _Lookup.of(parameters, points)
        kept = np.flatnonzero((at.weight.sum(0) > 0.5).numpy() & (values > 0))
        if len(kept) < _MIN_PIXELS:
            raise InputError(
                f"Only {len(kept)} pixels of the slices show brain; pick slices that show more of it."
            )
        kept = kept[:: -(-len(kept) // _MAX_PIXELS)]
        area = sum(float(np.prod(s.plane.spacing_ij)) * (s.pixels > 0).sum() for s in lattices) / len(kept)
        return cls(torch.as_tensor(values[kept]).double(), at.subset(kept), max(1.0, _AREA_MM2 / area))

    @property
    def cost(self) -> float:
        """Nats that a contrast has to gain by its many numbers over a monotone map.

        Schwarz, Ann. Stat. 1978.
        """
        return 0.5 * _MORE_NUMBERS * float(np.log(len(self.values) / self.temper))

    def evidence(self, mean: torch.Tensor, loadings: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        """log p (nats, tempered) of the values.

        Args:
            mean: expected at the pixels, (m,).
            loadings: at the pixels, (rank, m).
            variance: of each pixel on its own, (m,), above 0.

        Returns:
            A number, up to a constant; differentiable.
        """
        difference, scaled = self.values - mean, loadings / (variance * self.temper)
        gram = torch.eye(len(loadings), dtype=mean.dtype) + scaled @ loadings.T
        factor = torch.linalg.cholesky(gram)
        half = torch.linalg.solve_triangular(factor, (scaled @ difference)[:, None], upper=False)
        quadratic = (difference**2 / variance).sum() / self.temper - (half**2).sum()
        log_det = variance.log().sum() / self.temper + 2 * factor.diagonal().log().sum()
        return -0.5 * (quadratic + log_det)


@dataclass(frozen=True, eq=False)
class _Lookup:
    """Trilinear interpolation of masked voxels (.., n) at m points: index and weight of 8 voxels, (8, m)."""

    index: torch.Tensor
    weight: torch.Tensor

    @classmethod
    def of(cls, parameters: GaussianParameters, points_ras: np.ndarray) -> _Lookup:
        grid, number = parameters.grid, np.full(parameters.mask.shape, -1)
        number[parameters.mask] = np.arange(parameters.mask.sum())
        ijk = points_ras @ grid.ras_to_ijk[:3, :3].T + grid.ras_to_ijk[:3, 3]
        flat, weight = corner_weights(ijk, grid.shape_kji)
        index = number.ravel()[flat.T]
        return cls(torch.as_tensor(np.maximum(index, 0)), torch.as_tensor(np.where(index < 0, 0, weight.T)))

    def subset(self, kept: np.ndarray) -> _Lookup:
        return _Lookup(self.index[:, kept], self.weight[:, kept])

    def __call__(self, masked: torch.Tensor) -> torch.Tensor:
        """(.., n) -> (.., m) float64."""
        parts = zip(self.index, self.weight, strict=True)
        return sum((masked[..., index].double() * weight for index, weight in parts), torch.zeros(()))


def fit_contrast(pixels: Pixels, parameters: GaussianParameters) -> tuple[TissueContrast, float]:
    """The contrast that makes pixels most probable, of all STARTS; and its log evidence, nats, tempered.

    Args:
        pixels: of any contrast.
        parameters: with tissues.

    Returns:
        The contrast in units of the pixels, and the evidence, in which shades of zones count as their prior
        has them.
    """
    fields = parameters.tissues
    assert fields is not None
    at, unit = pixels.at, float(torch.quantile(pixels.values, 0.9))
    count = len(TISSUES)
    means, zones = at(fields.means), at(parameters.zones)
    loadings = torch.stack([at(part[:_RANK]) for part in fields.loadings]) * fields.step
    covariance = at(fields.residual_covariance[1:, 1:].reshape(count**2, -1)).reshape(count, count, -1)

    def evidence(theta: torch.Tensor) -> torch.Tensor:
        shades, spread = theta[: 3 * count].reshape(count, 3) * unit, theta[3 * count :].exp() * unit
        w = shades @ zones
        variance = torch.einsum("tm,tum,um->m", w, covariance, w).clamp(min=0)
        variance = variance + spread**2 @ means.clamp(0, 1) + (_FLOOR * unit) ** 2
        seen = pixels.evidence((w * means).sum(0), torch.einsum("tm,trm->rm", w, loadings), variance)
        return seen - 0.5 * ((shades[:, 1:] / unit / _ZONE_SD) ** 2).sum()

    found = [_climb(evidence, _start(shape, pixels.values, means, unit)) for shape in STARTS.values()]
    nats, theta = max(found, key=lambda one: one[0])
    shades = (theta[: 3 * count].reshape(count, len(ZONES)) * unit).numpy()
    return TissueContrast(shades, (theta[3 * count :].exp() * unit).numpy()), nats


def own_evidence(pixels: Pixels, parameters: GaussianParameters, intensity: IntensityMap) -> float:
    """Log evidence of pixels, nats, tempered, where they are of the process's own contrast.

    Args:
        pixels: the same as for `fit_contrast`, with whose evidence it is compared.
        parameters: of the process.
        intensity: from the units of the slices to canonical ones, increasing; its slope is a part of the
            evidence.
    """
    values = pixels.values.numpy()
    step = 0.01 * float(values.max())
    slope = (intensity.to_canonical(values + step) - intensity.to_canonical(values - step)) / (2 * step)
    mapped = Pixels(torch.as_tensor(intensity.to_canonical(values)).double(), pixels.at, pixels.temper)
    variance = pixels.at(parameters.sd[None])[0] ** 2 + _FLOOR**2
    seen = mapped.evidence(
        pixels.at(parameters.means.mean(0)), pixels.at(parameters.loadings[:_RANK]), variance
    )
    return float(seen) + float(np.log(np.maximum(slope, 1e-9 / step)).sum()) / pixels.temper


def _start(shape: tuple[float, ...], values: torch.Tensor, means: torch.Tensor, unit: float) -> torch.Tensor:
    """Shades row by row, then logs of spreads: grey values of that shape, as bright as the pixels."""
    expected = torch.tensor(shape).double() @ means
    gain = float((values * expected).sum() / (expected**2).sum()) / unit
    theta = torch.zeros(3 * len(shape) + len(shape), dtype=torch.float64)
    theta[0 : 3 * len(shape) : 3] = gain * torch.tensor(shape)
    theta[3 * len(shape) :] = float(np.log(_FIRST_SPREAD))
    return theta


def _climb(
    evidence: Callable[[torch.Tensor], torch.Tensor], theta: torch.Tensor
) -> tuple[float, torch.Tensor]:
    """The highest evidence near a start, and where it is."""
    theta = theta.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [theta], lr=0.7, max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-4
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = -evidence(theta)
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        return float(evidence(theta)), theta.detach()
