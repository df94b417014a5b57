"""What the pixels say before anything is fitted.

Values that are no MR with a background of 0, and the cause to name.
"""

from __future__ import annotations

import numpy as np

from ..geometry import InputError
from ..geometry.units import other_unit
from ..observation import Slice
from .anatomy import anatomy_level
from .gain import by_source

_BAND = 2  # pixels along the edges of a slice, which lie outside any anatomy
_LITTLE = 0.02  # of the brightest tissue
_OFFSET = 0.05
_NEGATIVE_SHARE, _BACKGROUND_SHARE = 0.02, 0.1
_MIN_GREYS = 5
_FLAT = 0.12  # of the pixels: at most 0.043 in 69 scans, at least 0.229 in 89 label maps
_CT_AIR = -900.0
_MAX_SIZE, _MIN_SIZE = 4.0, 0.2  # extent of what slices show over that of the anatomy


def check_values(slices: list[Slice]) -> None:
    """Raise InputError for slices of one volume whose values are not 0 outside and positive inside.

    It names what they are instead.
    """
    name = slices[0].source
    values = np.concatenate([image.pixels.ravel() for image in slices])
    if len(greys := np.unique(values[values > 0])) < _MIN_GREYS:
        raise InputError(
            f"{name}: only {len(greys)} different values above 0; a mask or label map, expected grey "
            "values as scanned."
        )
    bright, dark = float(np.quantile(values, 0.99)), float(values.min())
    spread = bright - dark
    background, share = _most_common(values)
    around = float((np.concatenate([_edges(image.pixels) for image in slices]) == background).mean())
    below = values < -_OFFSET * spread
    if dark <= _CT_AIR and float((below & (values != background)).mean()) > _NEGATIVE_SHARE:
        raise InputError(
            f"{name}: values from {dark:g} to {values.max():g} look like CT (Hounsfield units); expected MR, "
            "with 0 outside."
        )
    if share >= _BACKGROUND_SHARE and around > 0.5 and abs(background) > _OFFSET * spread:
        raise InputError(
            f"{name}: its background is {background:g} ({100 * share:.0f} % of the pixels), expected 0: set "
            "those pixels to 0, "
            f"or {_remedy(background, values)}."
        )
    if float(below.mean()) > _NEGATIVE_SHARE:
        raise InputError(
            f"{name}: {100 * float(below.mean()):.0f} % of the pixels are negative (from {dark:.3g}): "
            "normalised, or shifted by an offset; expected grey values as scanned, with 0 outside the "
            "anatomy."
        )
    if _flat_share(slices) > _FLAT:
        raise InputError(
            f"{name}: large areas have exactly the same value: a label map or a drawing, expected grey "
            "values as scanned."
        )


def _flat_share(slices: list[Slice]) -> float:
    """Of the pixels that show something, how many equal all four neighbours.

    Neither dark nor the brightest: noise of few bits and what is clipped are flat in scans, too.
    """
    top = max(float(image.pixels.max()) for image in slices)
    same = shown = 0
    for image in slices:
        middle, p = image.pixels[1:-1, 1:-1], image.pixels
        counted = (middle > _OFFSET * top) & (middle < top)
        equal = (middle == p[:-2, 1:-1]) & (middle == p[2:, 1:-1]) & (middle == p[1:-1, :-2])
        same += int((equal & (middle == p[1:-1, 2:]) & counted).sum())
        shown += int(counted.sum())
    return same / max(shown, 1)


def _remedy(background: float, values: np.ndarray) -> str:
    """What may be wrong where the background is not 0, and what helps."""
    if background > float(np.median(values[values != background])):
        return "exchange dark and bright: such a bright background suggests inverted grey values"
    return "subtract the offset if all values have it"


def check_size(slices: list[Slice], anatomy_mm: float, name: str) -> None:
    """Raise InputError where the slices of a source are in another unit of length than mm.

    Then what they show is far larger (mm) than any anatomy of that extent can be, or all of them together are
    far smaller.

    Args:
        slices: 0 outside the anatomy.
        anatomy_mm: its largest extent.
        name: what to call the anatomy in messages.

    Raises:
        InputError: naming the source, and the unit that would explain it.
    """
    for source, own in by_source(slices).items():
        shown = max(_extent(image) for image in own)
        seen = _seen_mm(own)
        if shown > _MAX_SIZE * anatomy_mm or seen < _MIN_SIZE * anatomy_mm:
            found = shown if seen > anatomy_mm else seen
            raise InputError(
                f"{source}: the slices do not look like {name}: what they show is {found:.3g} mm wide, "
                f"expected about {anatomy_mm:.3g}: {other_unit(found, anatomy_mm)}"
            )


def _seen_mm(slices: list[Slice]) -> float:
    """Longest side (mm) of the box along R, A, S around all slices."""
    corners = []
    for image in slices:
        j, i = np.array(image.plane.shape_ji) - 1
        ij = np.array([[0, 0], [i, 0], [0, j], [i, j]])
        corners.append(ij @ image.plane.ij_to_ras[:3, :2].T + image.plane.ij_to_ras[:3, 3])
    return float(np.ptp(np.concatenate(corners), axis=0).max())


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
    filled = np.argwhere(image.pixels > anatomy_level(image.pixels))
    return float(((np.ptp(filled, axis=0) + 1) * image.plane.spacing_ij[::-1]).max()) if len(filled) else 0.0
