"""Whole heads: the brain found in every slice, and everything around it removed.

So priors of brains can be conditioned on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..observation import Slice
from ..priors.card import ModelCard
from .head_network import HeadNetwork
from .reader import Brain, Content, Field, Reading, load_reader, one_piece, surrounded

_PIXEL_MM = 2.0
_LITTLE_MM2 = 300.0  # less brain than this in a slice tells nothing
_DARK = 0.15  # of the brightest slice of a series: less is the noise beside a head
_KEPT = 128  # readings, each of some hundred kB


@dataclass(frozen=True, eq=False)
class HeadReader:
    """The trained network and the card that says what it was trained on."""

    network: HeadNetwork
    card: ModelCard

    def read(self, slices: list[Slice]) -> list[Reading]:
        """One reading for every slice (patient mm, any units).

        Each by itself, so that what is read does not depend on what else is there, and kept: while one slice
        moves, the others cost nothing.
        """
        return [_reading(self.network, Content.of(s)) for s in slices]

    def brain_of(self, slices: list[Slice]) -> Brain | None:
        """The slices without what is around the brain.

        None where nothing was around it, or no brain is found: they are to be used as they are.
        """
        readings = self.read(slices)
        pairs = zip(readings, _show_something(slices), strict=True)
        masks = [one_piece((r.brain > 0.5) & shows) for r, shows in pairs]
        brain = Brain.of(slices, masks, readings, _LITTLE_MM2)
        return brain if brain.slices and surrounded(slices, masks) else None


@lru_cache(maxsize=1)
def head_reader() -> HeadReader:
    """The reader that the extension brings. Raises InputError where its file is missing or damaged."""
    return HeadReader(*load_reader("head-reader"))


@lru_cache(maxsize=_KEPT)
def _reading(network: HeadNetwork, content: Content) -> Reading:
    """What the network reads in a slice, in two passes.

    First the middle of what the slice shows lies in the middle of the field, then the brain's.
    """
    field = Field.of(content.slice, _PIXEL_MM)
    field = field.recentred(field.seen_by(network)[0], _LITTLE_MM2)
    return field.reading(*field.seen_by(network))


def _show_something(slices: list[Slice]) -> list[bool]:
    """Whether each slice is not nearly dark against the others of its series: noise looks like a brain."""
    bright = [float(np.quantile(s.pixels, 0.99)) for s in slices]
    most = {
        s.source: max(b for t, b in zip(slices, bright, strict=True) if t.source == s.source) for s in slices
    }
    return [b > _DARK * most[s.source] for s, b in zip(slices, bright, strict=True)]


def disagreement_mm(readings: list[Reading], patient_to_canonical: np.ndarray) -> float:
    """How far (mm, root mean square) a frame puts the brain's pixels from where they look to be.

    What is uncertain weighs less.

    Args:
        readings: together at least one pixel that shows brain, with its place in canonical space.
        patient_to_canonical: 4x4, RAS mm.
    """
    points, places, spread = (
        np.concatenate([getattr(r, name) for r in readings]) for name in ("points", "places", "spread")
    )
    found = points @ patient_to_canonical[:3, :3].T + patient_to_canonical[:3, 3]
    weight = spread**-2.0
    return float(np.sqrt(3 * (weight * (found - places) ** 2).sum() / weight.sum()))
