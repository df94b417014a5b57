"""Fit of tissue fields: the coefficients of a cohort's own contrast, applied to its tissue fractions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .fit import Rows, coefficients_of
from .tissues import TissueFields

_STEP = 0.004  # of stored loadings: well below what is left unexplained
_BLOCK = 8192


def fit_tissues(own: Rows, fractions: Sequence[np.ndarray], rank: int) -> TissueFields:
    """Tissue fields that share the latents of the process that is fitted to a cohort's own contrast.

    Args:
        own: the cohort, without a covariate, as the process is fitted to it.
        fractions: shares of fluid, grey and white matter in the same rows, 0..1, float16 (N, n) each.
        rank: loadings that are kept; of the others, the residual knows.
    """
    over = coefficients_of(own, np.zeros(1), rank)
    rows = [Rows(values, own.group, own.covariate) for values in fractions]
    means = np.stack([r.combine(over.means)[0] for r in rows])
    loadings = np.stack([np.rint(r.combine(over.loadings) / _STEP).clip(-127, 127) for r in rows])
    return TissueFields(
        torch.as_tensor(means),
        torch.as_tensor(loadings.astype(np.int8)),
        _STEP,
        torch.as_tensor(_covariance([own, *rows], over.held_out)),
    )


def _covariance(fields: list[Rows], held_out: np.ndarray) -> np.ndarray:
    """Covariance of the residuals of every pair of fields, in the order of triu_indices, (pairs, n)."""
    first, second = np.triu_indices(len(fields))
    out = np.empty((len(first), fields[0].values.shape[1]), np.float32)
    for start in range(0, out.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        left = np.stack([held_out @ field.values[:, part].astype(np.float32) for field in fields])
        out[:, part] = (left[first] * left[second]).mean(1)
    return out
