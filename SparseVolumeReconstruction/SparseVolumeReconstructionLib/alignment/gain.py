"""Series of one body whose grey values differ by a factor: the gain of each, found from its slices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..observation.slices import Slice
from .anatomy import anatomy_level
from .intensity import MonotoneMap

_BRIGHT = 0.75
_INTERIOR, _MIN_PIXELS = 0.2, 40
_SAME = 1.12  # anatomy and noise make as much of a difference between series of one gain


def by_source(slices: list[Slice]) -> dict[str, list[Slice]]:
    """The slices of each file or scan, in their order."""
    sources = dict.fromkeys(s.source for s in slices)
    return {source: [s for s in slices if s.source == source] for source in sources}


def rough_gains(slices: list[Slice]) -> dict[str, float]:
    """Brightness of what each series shows over that of the first: enough to find the frame with.

    Empty where all slices are of one source.
    """
    bright = {}
    for source, own in by_source(slices).items():
        values = np.concatenate([s.pixels.ravel() for s in own])
        shown = values[values > anatomy_level(values)]
        bright[source] = float(np.quantile(shown, _BRIGHT)) if len(shown) else 1.0
    first = next(iter(bright.values()), 1.0)
    return {source: value / first for source, value in bright.items()} if len(bright) > 1 else {}


def in_common_units(slices: list[Slice], gains: dict[str, float]) -> list[Slice]:
    """The slices with their values divided by the gain of their source; those without one as they are.

    Args:
        slices: of any number of sources.
        gains: by source, above 0.
    """
    factors = [gains.get(s.source, 1.0) for s in slices]
    return [
        s if g == 1.0 else replace(s, pixels=s.pixels / np.float32(g), noise=s.noise / g)
        for s, g in zip(slices, factors, strict=True)
    ]


def gain_of(values: np.ndarray, mean: np.ndarray, intensity: MonotoneMap) -> float:
    """How many times brighter pixels (n,) are than a model says: the median over those inside the anatomy.

    Args:
        values: units of the slices.
        mean: (n,) the model's, canonical units.
        intensity: between both, for a gain of 1.

    Returns:
        1 where too few pixels lie inside.
    """
    inside = (mean > _INTERIOR) & (values > 0)
    ratio = values[inside] / np.maximum(intensity.to_patient(mean[inside]), 1e-6)
    return float(np.median(ratio)) if len(ratio) >= _MIN_PIXELS else 1.0


def settled(gains: dict[str, float]) -> dict[str, float]:
    """Gains, 1 where they are so near to it that nothing tells them apart; empty where all are 1."""
    kept = {s: g if abs(np.log(g)) > np.log(_SAME) else 1.0 for s, g in gains.items()}
    return kept if set(kept.values()) != {1.0} else {}
