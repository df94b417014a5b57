"""How improbable what was observed is, given the rest of it and the prior.

Every pixel is compared with what the process expects there: of the other slices alone (leave one slice out),
which judges slices, and of all slices, its own included, but for the residual around the pixel itself, which
judges pixels: sixty modes of a whole brain cannot follow a lesion, so it stands out from what surrounds it.
Standardised differences are averaged over some millimetres and turned into p-values by what was measured on
healthy people; those that stand out are found at a false discovery rate (Benjamini and Hochberg, J. R. Stat.
Soc. B 57, 1995).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import binary_erosion, gaussian_filter

from ..observation import Slice
from ..observation.planes import plane_operator
from ..observation.slices import resample_slice
from ..priors.gaussian.field import GaussianField
from ..priors.structured_gaussian.preconditioner import planes_inverse, variance_shares

PIXEL_MM = 3.0
RATE = 0.05
_SMOOTH_MM = 3.0  # standard deviation of the average around a pixel
_MIN_PIXELS = 30
_SHOWN = 0.15  # canonical units, of the mean
_MODEL_ERROR = 0.05  # standard deviation, canonical units: frames and intensities are not exact either
_MAD = 1.4826


@dataclass(frozen=True, eq=False)
class SliceScore:
    """One slice on pixels of PIXEL_MM.

    image: the slice, resampled. inside: bool (rows, columns), where the anatomy is. pixels: standardised
    differences given everything but the surroundings, averaged, (rows, columns), 0 outside. alone: root mean
    square of those given the other slices alone.
    """

    image: Slice
    inside: np.ndarray
    pixels: np.ndarray
    alone: float


def scores(
    field: GaussianField,
    anatomy: np.ndarray,
    slices: Sequence[Slice],
    check: Callable[[], None] = lambda: None,
) -> list[SliceScore]:
    """Standardised differences of slices from what is expected, in units of this body's usual ones.

    Args:
        field: the process.
        anatomy: (K, J, I) bool on its grid; its outermost voxels, and those that hardly show it, say nothing.
        slices: canonical mm and units; those that show less than 30 pixels of the anatomy are left out.
        check: called for every slice; raise from it to cancel.
    """
    inside = binary_erosion(anatomy & (field.mean.cpu().numpy() > _SHOWN))
    each = [one for one in (_compared(field, inside, image, check) for image in slices) if one is not None]
    information = torch.eye(len(field.loadings), dtype=torch.float64) + sum(one.gram for one in each)
    projection = sum((one.projection for one in each), torch.zeros(len(field.loadings), dtype=torch.float64))
    found = []
    for one in each:
        own = one.standardised(information, projection)
        others = one.standardised(information - one.gram, projection - one.projection)
        alone = float(others[one.inside].pow(2).mean().sqrt()) if len(each) > 1 else float("nan")
        found.append((one, _averaged(own.numpy(), one.inside.numpy()), alone))
    usual = (
        _MAD * np.median(np.abs(np.concatenate([p[o.inside.numpy()] for o, p, _ in found]))) if found else 1
    )
    return [SliceScore(o.image, o.inside.numpy(), p / max(usual, 1e-6), alone) for o, p, alone in found]


@dataclass(frozen=True, eq=False)
class _Compared:
    """A slice and the process at its pixels; all (n,) but loadings (rank, n), gram (rank, rank)."""

    image: Slice
    inside: torch.Tensor
    difference: torch.Tensor
    variance: torch.Tensor
    loadings: torch.Tensor
    gram: torch.Tensor
    projection: torch.Tensor

    def standardised(self, information: torch.Tensor, projection: torch.Tensor) -> torch.Tensor:
        """Differences from what latents of that information say, over their standard deviation; an image."""
        factor = torch.linalg.cholesky(information)
        latents = torch.cholesky_solve(projection[:, None], factor)[:, 0]
        half = torch.linalg.solve_triangular(factor, self.loadings, upper=False)
        left = self.difference - latents @ self.loadings
        image = torch.zeros(self.inside.shape, dtype=torch.float64)
        image[self.inside] = left / (self.variance + (half**2).sum(0)).sqrt()
        return image


def _compared(
    field: GaussianField, anatomy: np.ndarray, image: Slice, check: Callable[[], None]
) -> _Compared | None:
    check()
    lattice = resample_slice(image, max(PIXEL_MM, float(image.plane.spacing_ij.max())))
    operator = plane_operator([lattice.plane], field.grid, anatomy)
    if operator.count < _MIN_PIXELS:
        return None
    maps = operator.forward(torch.cat([field.mean[None], field.sd[None], field.loadings]))
    sd = maps[1].clamp(min=float(field.sd.min()))
    loadings = maps[2:]
    inside = torch.as_tensor(operator.keep[0])
    difference = torch.as_tensor(lattice.pixels)[inside] - maps[0]
    own = torch.full_like(sd, image.noise**2) / sd**2
    inverse = planes_inverse(field, [lattice.plane], operator, sd, own)
    solved = inverse(torch.cat([loadings, difference[None]])).double()
    share = variance_shares(field, operator, sd)[0]
    variance = (sd**2 * (share + field.noise + own) + _MODEL_ERROR**2).double()
    wide = loadings.double()
    gram = solved[:-1] @ wide.T
    return _Compared(
        lattice,
        inside,
        difference.double(),
        variance,
        wide,
        (gram + gram.T) / 2,
        wide @ solved[-1],
    )


def _averaged(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Average of an image (rows, columns) over neighbours that are inside, 0 outside."""
    sigma = _SMOOTH_MM / PIXEL_MM
    weight = gaussian_filter(inside.astype(float), sigma)
    return np.where(inside, gaussian_filter(image, sigma) / np.maximum(weight, 1e-3), 0.0)


@dataclass(frozen=True)
class NullDistribution:
    """How often scores of healthy people are as large: p-values at ascending scores, log-linear between."""

    score: tuple[float, ...]
    p: tuple[float, ...]

    @classmethod
    def fit(cls, values: np.ndarray, p: Sequence[float]) -> NullDistribution:
        """From scores (n,) of healthy people, at p-values p, descending.

        Args:
            values: absolute scores.
            p: down to a few over n; beyond, the tail falls off as it does between the last two.
        """
        return cls(tuple(float(np.quantile(values, 1 - one)) for one in p), tuple(p))

    def p_values(self, values: np.ndarray) -> np.ndarray:
        """Two-sided p-values of scores, in (0, 1], in their shape."""
        x, logs = np.array(self.score), np.log(self.p)
        slope = (logs[-1] - logs[-2]) / (x[-1] - x[-2])
        size = np.abs(values)
        found = np.interp(size, np.r_[0.0, x], np.r_[0.0, logs])
        p: np.ndarray = np.exp(np.where(size > x[-1], logs[-1] + slope * (size - x[-1]), found))
        return p


def discoveries(p: np.ndarray, rate: float = RATE) -> float:
    """The largest of p-values (n,) that stands out at a false discovery rate; 0 where none does."""
    ordered = np.sort(p)
    passed = np.flatnonzero(ordered <= rate * np.arange(1, len(p) + 1) / len(p))
    return float(ordered[passed[-1]]) if len(passed) else 0.0


def replaced(scored: SliceScore, values: np.ndarray) -> Slice:
    """A slice that shows other values (rows, columns) in place of its own."""
    return replace(scored.image, pixels=values)
