"""Grey values of radiographs as line integrals: open field, sense, gamma; what shows no body is masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import binary_dilation, label

from ..geometry import InputError

GreyValues = Literal["auto", "transparency", "absorption", "integral"]
_RING = 0.04  # of the shorter side: where the open field is looked for
_FLAT = 0.004  # of the range: a row or column of a collimator varies less
_EDGE, _ALONG = 0.15, 0.6  # of the range, and along most of the line: a body is narrower
_BORDER = 0.35  # a collimator's border is not wider than this share of the image
_OVER = 1.08  # more than the open field: letters and marks
_FULL = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
_FEW = 12  # pixels at the darkest level make a saturated patch
_PILE, _NEXT = 8, 4  # the darkest level has so many times the pixels of the next levels: it was cut off there
_MAX_INTEGRAL = 12.0  # -ln of the least transparency that a film can tell


@dataclass(frozen=True, eq=False)
class Integrals:
    """-ln of the transparency (rows, columns), which pixels are valid, noise of the levels, and warnings."""

    integrals: np.ndarray
    valid: np.ndarray
    noise: float
    warnings: list[str]


def integrals_of(
    pixels: np.ndarray, grey: GreyValues, open_field: float | None, gamma: float, name: str
) -> Integrals:
    """Line integrals of grey values.

    Args:
        pixels: (rows, columns) float32, as in the file.
        grey: what they are; "auto" tells by whether the border of the field is bright (as air is).
        open_field: grey value where nothing absorbs; the median of what is brightest around the body if None.
        gamma: the grey values are the transparency to this power.
        name: for messages.

    Raises:
        InputError: less than a tenth of the pixels can be used.
    """
    inside = inside_collimator(pixels)
    ring = _ring(inside)
    low, high = np.percentile(pixels[inside], [0.1, 99.9])
    if grey == "auto":
        grey = "transparency" if np.median(pixels[ring]) > (low + high) / 2 else "absorption"
    level = _level(pixels)
    if grey == "integral":
        values = np.maximum(pixels - min(float(np.median(pixels[ring])), 0.0), 0)
        integrals = values / gamma
        valid = inside
        noise = level
    else:
        if grey == "absorption":
            pixels = _full_scale(pixels) - pixels
        air = open_field or float(np.percentile(pixels[ring], 75))
        share = pixels / max(air, 1e-9)
        dark = share <= max(level / max(air, 1e-9), np.exp(-_MAX_INTEGRAL)) / 2 + 1e-9
        dark |= inside & _piled_up(pixels, inside)
        valid = inside & ~_patches(dark) & ~binary_dilation(share > _OVER, iterations=1) & (share > 0)
        share = np.clip(share, np.exp(-_MAX_INTEGRAL), 1.0)
        integrals = -np.log(share) / gamma
        noise = float(level / max(air, 1e-9) / np.median(share[valid])) / np.sqrt(12) if valid.any() else 0.0
    if valid.mean() < 0.1:
        raise InputError(
            f"{name}: {100 * (1 - valid.mean()):.0f}% of the pixels are saturated, border or marks; expected "
            "a radiograph whose grey values tell the body."
        )
    return Integrals(integrals.astype(np.float32), valid, noise, _told(name, inside, valid))


def _told(name: str, inside: np.ndarray, valid: np.ndarray) -> list[str]:
    border, marks = int((~inside).sum()), int((inside & ~valid).sum())
    told = [f"{name}: a border of {border} pixels shows no body and was masked."] if border else []
    if marks:
        told.append(f"{name}: {marks} pixels are saturated, letters or marks, and were masked.")
    return told


def inside_collimator(pixels: np.ndarray) -> np.ndarray:
    """All but a flat frame around the field with a grey value of its own, (rows, columns) bool."""
    keep = np.ones(pixels.shape, bool)
    scale = float(np.ptp(pixels)) or 1.0
    for axis in (0, 1):
        lines = np.moveaxis(pixels, axis, 0)
        for order in (lines, lines[::-1]):
            count = _flat_lines(order, scale)
            if count:
                side = np.s_[:count] if order is lines else np.s_[len(lines) - count :]
                np.moveaxis(keep, axis, 0)[side] = False
    return keep


def _flat_lines(lines: np.ndarray, scale: float) -> int:
    """How many of the first lines are a frame: flat, and then a sudden edge all along the line."""
    flat = lines.std(1) < _FLAT * scale
    count = int(np.argmin(flat)) if not flat.all() else 0
    most = int(_BORDER * len(lines))
    if not 0 < count <= most:
        return 0
    beyond = np.abs(lines[min(count + 2, len(lines) - 1)] - np.median(lines[count - 1]))
    return count if (beyond > _EDGE * scale).mean() > _ALONG else 0


def _ring(inside: np.ndarray) -> np.ndarray:
    """The outermost pixels of the field, bool."""
    rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
    width = max(1, int(_RING * min(len(rows), len(columns))))
    ring = inside.copy()
    ring[rows[0] + width : rows[-1] + 1 - width, columns[0] + width : columns[-1] + 1 - width] = False
    return ring


def _full_scale(pixels: np.ndarray) -> float:
    """The brightest grey value that such a file can hold: of so many bits, or 1."""
    return next((n for n in _FULL if n >= pixels.max()), float(pixels.max()))


def _level(pixels: np.ndarray) -> float:
    """The step between neighbouring grey values."""
    greys = np.unique(pixels)
    return float(np.diff(greys).min()) if len(greys) > 1 else 1.0


def _piled_up(pixels: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Pixels at the darkest level of the field where darker ones were cut off to it, (rows, columns) bool."""
    levels, counts = np.unique(pixels[inside], return_counts=True)
    cut = len(levels) > _NEXT and counts[0] > _PILE * counts[1 : 1 + _NEXT].mean()
    return pixels <= levels[0] if cut else np.zeros(pixels.shape, bool)


def _patches(dark: np.ndarray) -> np.ndarray:
    """Connected pixels without any radiation, of a few or more, and what is beside them."""
    parts, count = label(dark)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    large = (sizes >= _FEW) & (np.arange(count + 1) > 0)
    patches: np.ndarray = binary_dilation(large[parts], iterations=1)
    return patches
