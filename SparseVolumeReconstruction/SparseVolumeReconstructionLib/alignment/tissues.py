"""The tissues of the brain in slices of any contrast.

What the network says of each pixel is made sharper by the grey values of the slice.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..observation import Slice
from .reader import Reading, one_piece

T1W = np.array([0.18, 0.55, 0.82])
"""Grey values of fluid, grey and white matter in T1w MRI, over that of the brightest tissue."""
_ROUNDS, _NARROWEST = 15, 0.02
_UNITS = 1000.0  # of slices that are shown as T1w


def brain_in_field(reading: Reading) -> np.ndarray:
    """Pixels of the field that show brain, bool (FIELD, FIELD)."""
    return one_piece(reading.classes[0] < 0.5)


def fractions(image: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Shares of fluid, grey and white matter (3, n) in pixels that show brain.

    A mixture of three Gaussians of the grey values, as in unified segmentation (Ashburner and Friston, 2005),
    with what the network says as the prior of each pixel.

    Args:
        image: (n,) grey values, in units where tissue is at most about 1.
        classes: (3, n), their shares by the network; they sum to 1 in each pixel.

    Returns:
        They sum to 1 in each pixel.
    """
    prior = np.sqrt(classes)
    values = image.astype(np.float64)
    values = np.minimum(values, 1.1 * np.quantile(values, 0.995))
    shares = prior / prior.sum(0)
    for _ in range(_ROUNDS):
        count = shares.sum(1) + 1e-6
        mean = (shares * values).sum(1) / count
        sd = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1) / count + _NARROWEST**2)
        likely = np.exp(-0.5 * ((values - mean[:, None]) / sd[:, None]) ** 2) / sd[:, None]
        shares = prior * likely + 1e-9
        shares /= shares.sum(0)
    return shares


def as_t1w(image: Slice, reading: Reading) -> Slice:
    """The slice as T1w MRI would show its tissues, 0 outside the brain.

    Args:
        image: any MR contrast.
        reading: of this slice.

    Returns:
        On the same pixels; the slice as it is where nothing of the brain was read.
    """
    brain = brain_in_field(reading)
    if reading.field is None or not brain.any():
        return image
    said = reading.classes[1:, brain].astype(np.float64)
    said /= np.maximum(said.sum(0), 1e-6)
    picture = np.zeros(brain.shape)
    picture[brain] = T1W @ (said + fractions(reading.field.image[brain], said)) / 2
    inside = reading.field.on_slice(brain.astype(np.float32)) > 0.5
    pixels = np.where(inside, reading.field.on_slice(picture), 0)
    return replace(image, pixels=_UNITS * pixels) if pixels.any() else image
