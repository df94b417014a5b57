"""How far a prior's anatomy reaches, in its own space and around a patient."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..geometry import Grid, InputError
from ..priors.base import Prior

_MAX_VOXELS = 60_000_000


@lru_cache(maxsize=4)
def outline(prior: Prior) -> np.ndarray:
    """Points (n, 4; RAS mm and 1) of the prior's anatomy between which the rest of it lies."""
    kji = prior.anatomy_mask.nonzero().cpu().numpy()
    extremes = np.concatenate(
        [kji[kji[:, axis] == kji[:, axis].min()] for axis in range(3)]
        + [kji[kji[:, a] == kji[:, a].max()] for a in range(3)]
    )
    kji = np.concatenate([extremes, kji[:: max(1, len(kji) // 20000)]])
    outline: np.ndarray = np.c_[kji[:, ::-1], np.ones(len(kji))] @ prior.grid.ijk_to_ras.T
    return outline


def covering(prior: Prior, patient_to_canonical: np.ndarray, spacing_mm: float) -> Grid:
    """Isotropic patient grid that covers the prior's anatomy.

    Args:
        patient_to_canonical: 4x4 RAS mm.
        spacing_mm: of its voxels.

    Raises:
        InputError: it would have more than 60 million voxels.
    """
    patient = outline(prior) @ np.linalg.inv(patient_to_canonical)[:3].T
    count = np.prod((patient.max(0) - patient.min(0)) / spacing_mm + 1)
    if count > _MAX_VOXELS:
        raise InputError(
            f"spacing {spacing_mm:g} mm gives {count / 1e6:.0f} million voxels; at most "
            f"{_MAX_VOXELS / 1e6:.0f} million are made."
        )
    return Grid.covering(patient, spacing_mm)
