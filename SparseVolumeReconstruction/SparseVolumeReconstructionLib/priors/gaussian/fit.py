"""Fit of the structured Gaussian: all of it is linear in the cohort's rows, found from their Gram matrix.

Memory does not grow with subjects x voxels: rows are read in blocks of voxels from a float16 array that may
be a memory map, and only (subjects x subjects) matrices are kept. Principal components from the Gram matrix:
the method of snapshots (Sirovich, Q. Appl. Math. 45, 1987).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ...geometry import Grid
from .parameters import SD_FLOOR, GaussianParameters

_BLOCK = 16384
_LAGS = 20
_CURVE_ROWS = 60
_INFORMATIVE_SD = 0.03
_ROUGHNESS = 0.05


@dataclass(frozen=True, eq=False)
class Rows:
    """A cohort on the canonical grid.

    values: (N, n) float16, masked voxels, canonical units. group: (N,) subject number (a subject and its
    mirror image share one; folds never split a group). covariate: (N,), zeros if there is none.
    """

    values: np.ndarray
    group: np.ndarray
    covariate: np.ndarray

    def combine(self, coefficients: np.ndarray) -> np.ndarray:
        """(m, N) @ values as float32 (m, n), block by block."""
        out = np.empty((len(coefficients), self.values.shape[1]), np.float32)
        for start in range(0, out.shape[1], _BLOCK):
            out[:, start : start + _BLOCK] = coefficients @ self.values[:, start : start + _BLOCK].astype(
                np.float32
            )
        return out

    def subset(self, keep: np.ndarray) -> Rows:
        """The rows where `keep` (N,) is True."""
        return Rows(self.values[keep], self.group[keep], self.covariate[keep])


def hat_functions(covariate: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """(N, Q) weights of linear interpolation between knots.

    Args:
        covariate: (N,); the outer knots hold beyond them.
        knots: (Q,), ascending; one knot has weight 1 everywhere.
    """
    eye = np.eye(len(knots))
    return (
        np.stack([np.interp(covariate, knots, eye[n]) for n in range(len(knots))], 1)
        if len(knots) > 1
        else np.ones((len(covariate), 1))
    )


def knot_solution(design: np.ndarray) -> np.ndarray:
    """(Q, N) matrix from values of N rows to values at the knots.

    Least squares with a small penalty on bends, and a smaller one on steps, so that a knot with few rows
    continues its neighbours. design: (N, Q) weights.
    """
    count, knots = design.shape
    rough = np.concatenate([np.diff(np.eye(knots), n=2, axis=0), 0.1 * np.diff(np.eye(knots), axis=0)])
    return np.linalg.solve(design.T @ design + _ROUGHNESS * count / knots * rough.T @ rough, design.T)


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What is found of a cohort of N rows, as sums over its rows.

    They are the same for anything else that was measured of the same subjects.
    means: of each knot, (Q, N). loadings: (rank, N). held_out: residual of each row under the fit without its
    fold, (N, N).
    """

    means: np.ndarray
    loadings: np.ndarray
    held_out: np.ndarray


def coefficients_of(
    rows: Rows,
    knots: np.ndarray,
    rank: int,
    *,
    folds: int = 5,
    on_step: Callable[[str, float], None] = lambda step, fraction: None,
) -> Coefficients:
    """Means, loadings and residuals of a cohort.

    The variance of every loading comes from subjects left out of the fit.

    Args:
        rows: the cohort.
        knots: of the covariate, (Q,).
        rank: loadings at most; there are fewer in a small cohort.
        folds: of the cross-validation; groups of rows stay together.
        on_step: called with what is done and 0..0.5.
    """
    on_step("products between subjects", 0.0)
    gram = _gram(rows.values)
    design = hat_functions(rows.covariate, knots)
    rank = min(rank, len(gram) - len(knots) - 1)
    variances, held_out, count = np.zeros(rank), np.zeros((len(gram), len(gram))), 0
    for fold in range(folds):
        on_step(f"cross-validation fold {fold + 1} of {folds}", 0.1 + 0.4 * fold / folds)
        test = np.isin(rows.group, np.unique(rows.group)[fold::folds])
        mean, basis, _ = _basis(gram, design, ~test, rank)
        centred = np.eye(len(gram))[test] - design[test] @ mean
        scores = centred @ gram @ basis.T
        held_out[test] = centred - scores @ basis
        variances[: scores.shape[1]] += (scores**2).sum(0)
        count += test.sum()
    means, basis, in_sample = _basis(gram, design, np.ones(len(gram), bool), rank)
    spread = np.sqrt(np.minimum(variances / count, in_sample))
    return Coefficients(means, basis * spread[:, None], held_out)


def fit_gaussian(
    rows: Rows,
    mask: np.ndarray,
    grid: Grid,
    evaluation_grid: Grid,
    *,
    rank: int = 40,
    knots: np.ndarray | None = None,
    scale_knots: np.ndarray | None = None,
    noise: float = 0.02,
    folds: int = 5,
    on_step: Callable[[str, float], None] = lambda step, fraction: None,
) -> GaussianParameters:
    """Mean, loadings and cross-validated residual of a cohort.

    The residual's sd and correlation and the variance of every loading come from subjects left out of the
    fit: in the sample the residual vanishes at full rank and the variances are several times too large.

    Args:
        rows: the cohort.
        mask: which voxels of the grid the rows hold, (K, J, I) bool.
        grid: the canonical grid.
        evaluation_grid: of the registered protocol.
        rank: loadings at most.
        knots: of the covariate, (Q,); None without one.
        scale_knots: (Q, 2), see GaussianParameters; None: as large as the patient, with a standard deviation
            of 10 %.
        noise: share of the residual variance.
        folds: of the cross-validation.
        on_step: called with what is done and 0..1.

    Returns:
        Multipliers are a Gaussian's until they are calibrated; the reference is 0.
    """
    knots = np.zeros(1) if knots is None else np.asarray(knots, float)
    over = coefficients_of(rows, knots, rank, folds=folds, on_step=on_step)
    on_step("residual", 0.5)
    sd = _root_mean_square(rows, over.held_out).clip(SD_FLOOR)
    informative = np.zeros(mask.shape, bool)
    informative[mask] = sd > _INFORMATIVE_SD
    curves = correlation_curves(_normalised(rows, over.held_out, sd, informative, mask), informative)
    on_step("loadings", 0.8)
    loadings = rows.combine(over.loadings)
    along_k, along_j, along_i = (torch.as_tensor(c, dtype=torch.float32) for c in curves)
    return GaussianParameters(
        grid,
        evaluation_grid,
        mask,
        torch.as_tensor(rows.combine(over.means)),
        torch.as_tensor(knots, dtype=torch.float32),
        torch.as_tensor(loadings),
        torch.as_tensor(sd),
        (along_k, along_j, along_i),
        noise,
        (0.6745, 1.2816, 1.6449, 1.96),
        torch.as_tensor(np.tile([0.0, 0.1], (len(knots), 1)) if scale_knots is None else scale_knots),
        torch.zeros(grid.shape_kji),
    )


def _gram(values: np.ndarray) -> np.ndarray:
    out = np.zeros((len(values), len(values)))
    for start in range(0, values.shape[1], _BLOCK):
        block = values[:, start : start + _BLOCK].astype(np.float32)
        out += block @ block.T
    return out


def _basis(
    gram: np.ndarray, design: np.ndarray, train: np.ndarray, rank: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients over all rows, and their variances.

    Those of the knot means (Q, N) and of the unit principal directions (rank, N).
    """
    h = design[train]
    mean = np.zeros((h.shape[1], len(gram)))
    mean[:, train] = knot_solution(h)
    centre = np.eye(len(gram))[train] - h @ mean
    values, vectors = np.linalg.eigh(centre @ gram @ centre.T)
    order = np.argsort(values)[::-1][:rank]
    values = np.maximum(values[order], 1e-6)
    return mean, (vectors[:, order] / np.sqrt(values)).T @ centre, values / train.sum()


def _root_mean_square(rows: Rows, coefficients: np.ndarray) -> np.ndarray:
    out = np.empty(rows.values.shape[1], np.float32)
    for start in range(0, len(out), _BLOCK):
        block = coefficients @ rows.values[:, start : start + _BLOCK].astype(np.float32)
        out[start : start + _BLOCK] = np.sqrt((block**2).mean(0))
    return out


def _normalised(
    rows: Rows, coefficients: np.ndarray, sd: np.ndarray, informative: np.ndarray, mask: np.ndarray
) -> Iterator[np.ndarray]:
    """Some residuals in units of their deviation, (K, J, I), 0 where they tell nothing."""
    for number in np.linspace(0, len(coefficients) - 1, min(len(coefficients), _CURVE_ROWS)).astype(int):
        volume = np.zeros(mask.shape, np.float32)
        volume[mask] = rows.combine(coefficients[number : number + 1])[0] / sd
        yield volume * informative


def correlation_curves(volumes: Iterable[np.ndarray], informative: np.ndarray) -> list[np.ndarray]:
    """Correlation at lags 0.._LAGS-1 along k, j, i of volumes (K, J, I).

    Args:
        volumes: standardised, and 0 but where `informative`.
        informative: (K, J, I) bool.

    Returns:
        Each begins with 1, and is not longer than its axis.
    """
    products, counts = np.zeros((3, _LAGS)), np.zeros((3, _LAGS))
    for volume in volumes:
        for axis in range(3):
            v, m = np.moveaxis(volume, axis, 0), np.moveaxis(informative, axis, 0)
            for lag in range(min(_LAGS, len(v))):
                products[axis, lag] += np.vdot(v[lag:], v[: len(v) - lag])
                counts[axis, lag] += np.count_nonzero(m[lag:] & m[: len(m) - lag])
    curves = products / np.maximum(counts, 1)
    return [(c / max(c[0], 1e-12))[: informative.shape[axis]] for axis, c in enumerate(curves)]


def knots_over(values: list[float], step: float) -> np.ndarray:
    """Knots every `step` from the lowest value to at least the highest, (Q,).

    Args:
        values: of the covariate.
        step: in its unit, above 0.
    """
    return min(values) + step * np.arange(np.ceil((max(values) - min(values)) / step - 1e-9) + 1)


def scale_statistics(matrices: list[np.ndarray], design: np.ndarray) -> np.ndarray:
    """(Q, 2) mean and standard deviation of log(canonical size / patient size) at each knot.

    Args:
        matrices: canonical to patient points, mm, one per subject.
        design: (N, Q) weights of the knots.
    """
    logs = np.array([-np.log(np.abs(np.linalg.det(m[:3, :3]))) / 3 for m in matrices])
    at_knots = knot_solution(design) @ logs
    spread = max(float(np.std(logs - design @ at_knots)), 0.03)
    return np.stack([at_knots, np.full(len(at_knots), spread)], 1)
