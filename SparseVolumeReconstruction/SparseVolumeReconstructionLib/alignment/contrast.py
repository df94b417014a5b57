"""Whether slices show the tissues in the contrast of the prior, which a monotone map alone does not tell.

FLAIR has the dark fluid of T1w MRI, but its grey and white matter are nearly equally bright. Two things
follow, and are weighed against each other: most pixels have about the same value, and the brighter part of
the anatomy does not look like the prior's.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..observation.slices import Slice

MIN_CONTRAST = -0.1  # of T1w MRI in which grey and white matter can be told apart, none was below -0.05
_WEIGHT = 1.2
_PIXEL_MM = 2.0
_FOREGROUND, _DARK, _NEAR = 0.1, 0.3, 0.15
_BINS, _SMOOTH = 260, 6


def contrast_likeness(tissue_match: float, slices: list[Slice]) -> float:
    """How much the contrast of slices is the prior's: below MIN_CONTRAST it seems to be another one.

    tissue_match: correlation of the brighter part of the anatomy with the prior's prediction.
    """
    return tissue_match - _WEIGHT * _alike(slices)


def _alike(slices: list[Slice]) -> float:
    """Share (0..1) of the pixels that show anatomy whose values are within 15 % of the most common one."""
    values = np.concatenate([s.no_finer(_PIXEL_MM).pixels.ravel() for s in slices])
    bright = float(np.quantile(values, 0.99))
    values = values[values > _FOREGROUND * bright] / bright
    if not len(values):
        return 1.0
    counts, edges = np.histogram(values, _BINS, (0, 1.3))
    first = int(_DARK / edges[1])
    common = edges[first + int(gaussian_filter1d(counts.astype(float), _SMOOTH)[first:].argmax())]
    return float((np.abs(values - common) < _NEAR * common).mean())
