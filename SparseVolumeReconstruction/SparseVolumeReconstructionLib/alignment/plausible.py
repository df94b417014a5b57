"""What the pixels say before anything is fitted: values that are no MR with a background of 0, and the cause
to name.
"""

from __future__ import annotations

import numpy as np

from ..geometry import InputError
from ..observation import Slice

_BAND = 2  # pixels along the edges of a slice, which lie outside any anatomy
_LITTLE = 0.02  # of the brightest tissue
_OFFSET = 0.05
_NEGATIVE_SHARE, _BACKGROUND_SHARE = 0.02, 0.1
_CT_AIR = -500.0
_MAX_SIZE, _MIN_SIZE = 4.0, 0.2  # extent of what slices show over that of the anatomy


def check_values(slices: list[Slice]) -> None:
    """Raise InputError for slices of one volume whose values are not 0 outside and positive inside, naming
    what they are instead.
    """
    name, values = slices[0].source, np.concatenate([image.pixels.ravel() for image in slices])
    bright, dark = float(np.quantile(values, 0.99)), float(values.min())
    spread = bright - dark
    background, share = _most_common(values)
    around = float((np.concatenate([_edges(image.pixels) for image in slices]) == background).mean())
    if share >= _BACKGROUND_SHARE and around > 0.5 and abs(background) > _OFFSET * spread:
        raise InputError(
            f"{name}: its background is {background:g} ({100 * share:.0f} % of the pixels), expected 0: set "
            "those pixels to 0, "
            "or subtract the offset if all values have it."
        )
    negative = float((values < -_OFFSET * spread).mean())
    if negative <= _NEGATIVE_SHARE:
        return
    if dark <= _CT_AIR:
        raise InputError(
            f"{name}: values from {dark:g} to {values.max():g} look like CT (Hounsfield units); expected MR, "
            "with 0 outside."
        )
    raise InputError(
        f"{name}: {100 * negative:.0f} % of the pixels are negative (from {dark:.3g}): normalised, or "
        "shifted by an offset; "
        "expected grey values as scanned, with 0 outside the anatomy."
    )


def check_size(slices: list[Slice], anatomy_mm: float, name: str) -> None:
    """Raise InputError where what the slices show is far larger or smaller (mm) than any anatomy of that
    extent can be.
    """
    shown = max(_extent(image) for image in slices)
    if not _MIN_SIZE * anatomy_mm <= shown <= _MAX_SIZE * anatomy_mm:
        pixel = float(slices[0].plane.spacing_ij.max())
        unit = "microns" if shown > anatomy_mm else "cm or m"
        raise InputError(
            f"The slices do not look like {name}: what they show is {shown:.3g} mm wide, expected about "
            f"{anatomy_mm:.3g}. "
            f"Their pixels are said to be {pixel:.3g} mm: is the unit {unit}?"
        )


def has_noise_outside(slices: list[Slice]) -> bool:
    """Whether the edges of the slices are not 0 but noise: nothing was removed around the anatomy."""
    bright = np.quantile(np.concatenate([image.pixels.ravel() for image in slices]), 0.99)
    edges = np.concatenate([_edges(image.pixels) for image in slices])
    return (
        float((edges > 0).mean()) > 0.5
        and float(np.median(edges)) > 0
        and float(edges.mean()) > 0.2 * _LITTLE * float(bright)
    )


def _edges(pixels: np.ndarray) -> np.ndarray:
    inside = np.zeros(pixels.shape, bool)
    inside[_BAND:-_BAND, _BAND:-_BAND] = True
    return pixels[~inside]


def _most_common(values: np.ndarray) -> tuple[float, float]:
    """The most common value, and its share."""
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()]), float(counts.max()) / len(values)


def _extent(image: Slice) -> float:
    """Larger side (mm) of the box around the foreground of a slice."""
    filled = np.argwhere(image.pixels > 0.1 * np.quantile(image.pixels, 0.99))
    return float(((np.ptp(filled, axis=0) + 1) * image.plane.spacing_ij[::-1]).max()) if len(filled) else 0.0
