"""The contrast of slices in words, by the grey values of fluid, grey and white matter in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from .judge import Judge
from .reader import Reading
from .tissues import brain_in_field

MEASURES = ("local fluid", "local white", "fluid", "grey", "white", "rim", "middle", "deep")
"""What `measures` gives, in units of the median of the brain; the local ones against grey matter nearby."""
MAX_OTHER, MIN_SURE = 0.3, 0.6
_RIM_MM, _MIDDLE_MM, _DEEP_MM = 4.0, (6.0, 14.0), 16.0
_NEARBY_MM, _RIDGE, _BRIGHTEST = 10.0, 0.002, 2.5
_LITTLE_MM2, _FEW = 300.0, 20
# 1 of 288 sets of four slices of people without an agent has so much so bright, so far from the rim: vessels
_FAR_BRIGHTER, _WHITE, _MANY, _INSIDE_MM = 1.8, 0.8, 0.001, 5.0
# at most 0.56 in 48 sets of T2w or FLAIR slices; inverted T1w mostly lie above
_INVERTED = 0.62
_KEPT = 64  # slices, each of some hundred kB


@dataclass(frozen=True)
class Contrast:
    """What kind of contrast slices have.

    probabilities: of each kind of contrast that is known, by its name.
    """

    probabilities: dict[str, float]

    @property
    def words(self) -> str:
        """Such as "T2w-like", or "unclear"."""
        name = max(self.probabilities, key=lambda n: self.probabilities[n])
        return f"{name}-like" if self.probabilities[name] >= MIN_SURE else "unclear"

    def is_other_than(self, kind: str) -> bool:
        """Whether it is not `kind`, beyond reasonable doubt."""
        return self.probabilities.get(kind, 1.0) < MAX_OTHER


def contrast_of(readings: list[Reading]) -> Contrast | None:
    """The contrast of slices of one series; None where they show too little brain to tell."""
    found = measures(readings)
    if found is None:
        return None
    return Contrast(Judge.of("contrast").probabilities(dict(zip(MEASURES, found, strict=True))))


def shows_agent(readings: list[Reading]) -> bool:
    """Whether much of the brain in T1w slices is as bright as only a contrast agent makes it."""
    parts = [part for r in readings if (part := _Part.of(r))]
    if not parts:
        return False
    values = np.concatenate([part.values for part in parts])
    inside = values[np.concatenate([part.depth for part in parts]) > _INSIDE_MM]
    bright = inside > _FAR_BRIGHTER * np.quantile(values, _WHITE)
    return len(inside) > 0 and float(bright.mean()) > _MANY


def looks_inverted(readings: list[Reading]) -> bool:
    """Whether slices of another contrast than T1w are so bright at the rim and so dark in white matter.

    In no MRI known here both are: as if dark and bright of T1w had been exchanged inside the brain.
    """
    found = measures(readings)
    if found is None:
        return False
    by_name = dict(zip(MEASURES, found, strict=True))
    return by_name["rim"] - by_name["white"] > _INVERTED


def measures(readings: list[Reading]) -> np.ndarray | None:
    """The MEASURES of slices, (8,) float64; None where they show too little brain."""
    parts = [part for r in readings if (part := _Part.of(r))]
    if not parts:
        return None
    values, shares, local, local_shares, depth = (
        np.concatenate([getattr(part, name) for part in parts], -1)
        for name in ("values", "shares", "local", "local_shares", "depth")
    )
    ridge = _RIDGE * len(values)
    near = np.linalg.solve(local_shares @ local_shares.T + ridge * np.eye(2), local_shares @ local)
    means = np.linalg.solve(shares @ shares.T + ridge * np.eye(3), shares @ values + ridge)
    zones = [depth <= _RIM_MM, (depth > _MIDDLE_MM[0]) & (depth <= _MIDDLE_MM[1]), depth > _DEEP_MM]
    shown = [float(np.median(values[z])) if z.sum() > _FEW else 1.0 for z in zones]
    return np.array([*near, max(-1.0, min(2.0, means[0])), *means[1:], *shown])


@dataclass(frozen=True, eq=False)
class _Part:
    """The n pixels of one slice that show brain.

    values: (n,). shares: of fluid, grey and white, (3, n). local, local_shares: the values, and the shares of
    fluid and white (2, n), without what is common nearby. depth: below the surface, mm (n,).
    """

    values: np.ndarray
    shares: np.ndarray
    local: np.ndarray
    local_shares: np.ndarray
    depth: np.ndarray

    @classmethod
    @lru_cache(maxsize=_KEPT)
    def of(cls, reading: Reading) -> _Part | None:
        """None where there is too little brain. Kept: a slice is judged with its series, and by itself."""
        brain = brain_in_field(reading)
        if reading.field is None or brain.sum() * reading.field.pixel_mm**2 < _LITTLE_MM2:
            return None
        pixel_mm, image = reading.field.pixel_mm, reading.field.image
        image = image / max(float(np.median(image[brain])), 1e-6)
        tissues = reading.classes[1:].astype(np.float64)
        tissues /= np.maximum(tissues.sum(0), 1e-3)
        wide = _NEARBY_MM / pixel_mm
        around = np.maximum(gaussian_filter(brain.astype(float), wide), 1e-3)

        def without_common(picture: np.ndarray) -> np.ndarray:
            return (picture - gaussian_filter(np.where(brain, picture, 0), wide) / around)[brain]

        return cls(
            image[brain],
            tissues[:, brain],
            without_common(np.clip(image, 0, _BRIGHTEST)),
            np.stack([without_common(tissues[0]), without_common(tissues[2])]),
            distance_transform_edt(brain, pixel_mm)[brain],
        )
