"""Fetal scans as they come, with mother, placenta and fluid.

The brain is found in every slice of a stack, and everything around it removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.ndimage import binary_dilation, binary_fill_holes, distance_transform_edt, label

from ..geometry import InputError
from ..observation import Slice
from ..priors.card import ModelCard
from .brain_shape import SeenStack, with_shape
from .head_network import FIELD, HeadNetwork
from .plausible import has_noise_outside
from .reader import Brain, Content, Field, Reading, load_reader, surrounded

_WIDE_MM, _NEAR_MM = 3.0, 1.2  # pixels of the looks: 384 mm to find the head, 154 mm to outline the brain
_REACH_MM = 60.0  # no brain reaches further from its middle
_MAX_PLACES, _MIN_SEEN = 3, 4.0  # places that are looked at; pixels of brain at each
_LITTLE_MM2 = 40.0  # less brain than this in a slice tells nothing
_NEIGHBOUR_MM = 3.0  # spread of the weights with which parallel slices vote
_THIN_MM = 10.0  # parts of a mask that are thinner are no brain, but tissue beside it
_MIN_SLICES = 6  # that tell the shape of a brain
_SURE, _LIKELY = 0.5, 0.25
_CLEAR, _AS_MUCH = 0.6, 0.5  # of a second brain; what the wide look sees of it over that of the first
_KEPT = 512  # looks, each of some hundred kB

_MIRRORS = ((), (0,), (1,), (0, 1))  # a fetus lies anyhow: the mean of what is seen in them is better

_Look = tuple[Field, np.ndarray]
_Mirrors = tuple[tuple[int, ...], ...]  # axes to flip


@dataclass(frozen=True, eq=False)
class Near:
    """Near looks at the slices of a stack.

    numbers: of the slices, in order of place. fields: what is looked at. seen: probabilities of brain
    (n, FIELD, FIELD). away_mm: places (n,) of the slices along their normal.
    """

    numbers: list[int]
    fields: list[Field]
    seen: np.ndarray
    away_mm: np.ndarray

    def clearness(self, brains: np.ndarray) -> float:
        """Dice's coefficient that is expected of a mask (`brains` above one half) if `seen` is right."""
        inside = brains > _SURE
        return 2 * float(self.seen[inside].sum()) / max(float(inside.sum() + self.seen.sum()), 1.0)


@dataclass(frozen=True, eq=False)
class FetalReader:
    """The trained network and the card that says what it was trained on."""

    network: HeadNetwork
    card: ModelCard

    def brain_of(self, slices: list[Slice]) -> Brain | None:
        """The slices without what is around the brain.

        None where nothing was around it: they are to be used as they are.

        Raises:
            InputError: where no brain is found in a scan that was not masked.
        """
        readings, seconds = self._read(slices)
        masks = [binary_fill_holes(r.brain > _SURE) for r in readings]
        brain = replace(Brain.of(slices, masks, readings, _LITTLE_MM2), seconds=seconds)
        if not brain.slices and has_noise_outside(slices):
            raise InputError(
                "No brain was found in the slices; expected a fetal brain, with or without what is around "
                "it. Check the files, or give a mask."
            )
        return brain if brain.slices and surrounded(slices, masks) else None

    def read(self, slices: list[Slice]) -> list[Reading]:
        """One reading for every slice (patient mm, any units); those of one fetus together."""
        return self._read(slices)[0]

    def _read(self, slices: list[Slice]) -> tuple[list[Reading], list[str]]:
        """The readings, and the sources that show a second brain."""
        keys = [(s.source, *np.abs(s.plane.normal).round(2)) for s in slices]
        stacks = [[n for n, k in enumerate(keys) if k == key] for key in dict.fromkeys(keys)]
        seen = [self._look_at([slices[n] for n in own]) for own in stacks]
        found: dict[int, Reading] = {}
        for own, (near, _), brains in zip(stacks, seen, shaped([near for near, _ in seen]), strict=True):
            pictures = dict(zip(near.numbers, zip(near.fields, brains, strict=True), strict=True))
            for number, n in enumerate(own):
                nothing = np.zeros(slices[n].pixels.shape, np.float32)
                field, brain = pictures.get(number, (None, nothing))
                found[n] = Reading(field.on_slice(brain) if field else brain)
        seconds = [slices[own[0]].source for own, (_, second) in zip(stacks, seen, strict=True) if second]
        return [found[n] for n in range(len(slices))], list(dict.fromkeys(seconds))

    def _look_at(self, stack: list[Slice]) -> tuple[Near, bool]:
        """What the slices show of the brain, in three looks.

        A wide one at every slice by itself, a near one at each place where a brain may be, and one around the
        brain that is seen most clearly. Also whether a second brain is seen elsewhere.
        """
        contents = [Content.of(s) for s in stack]
        wide = [_look(self.network, c, _WIDE_MM, tuple(c.slice.plane.centre)) for c in contents]
        nears = [(self._near(contents, place, _MIRRORS[:1]), much) for place, much in _places(wide)]
        looks = [(near, as_one(near.seen, near.away_mm), much) for near, much in nears]
        clear = [near.clearness(brains) for near, brains, _ in looks]
        if not looks:
            return Near([], [], np.zeros((0, FIELD, FIELD), np.float32), np.zeros(0)), False
        best = int(np.argmax([c * np.sqrt(much) for c, (*_, much) in zip(clear, looks, strict=True)]))
        near, brains, most = looks[best]
        second = any(
            n != best and c > _CLEAR and much > _AS_MUCH * most
            for n, (c, (*_, much)) in enumerate(zip(clear, looks, strict=True))
        )
        around = _places(list(zip(near.fields, brains, strict=True)))
        return (self._near(contents, around[0][0], _MIRRORS) if around else near), second

    def _near(self, contents: list[Content], place: np.ndarray, mirrors: _Mirrors) -> Near:
        """The near look at the slices that pass near a place (patient RAS mm)."""
        planes = [c.slice.plane for c in contents]
        away = np.array([(p.centre - place) @ p.normal for p in planes])
        near = [int(n) for n in np.argsort(away) if abs(away[n]) < _REACH_MM]
        at = [tuple(place + away[n] * planes[n].normal) for n in near]
        looks = [
            _look(self.network, contents[n], _NEAR_MM, c, mirrors) for n, c in zip(near, at, strict=True)
        ]
        return Near(near, [f for f, _ in looks], np.stack([brain for _, brain in looks]), away[near])


@lru_cache(maxsize=1)
def fetal_reader() -> FetalReader:
    """The reader that the extension brings. Raises InputError where its file is missing or damaged."""
    return FetalReader(*load_reader("fetal-reader"))


@lru_cache(maxsize=_KEPT)
def _look(
    network: HeadNetwork,
    content: Content,
    pixel_mm: float,
    centre: tuple[float, ...],
    mirrors: _Mirrors = ((),),
) -> _Look:
    """A field and the probability of brain (FIELD, FIELD) in it.

    centre: of the field, patient RAS mm. The probability is the mean over mirror images (axes to flip), and
    kept, so that slices that did not change cost nothing.
    """
    field = Field.of(content.slice, pixel_mm, np.array(centre))
    images = [replace(field, image=np.flip(field.image, axes).copy()) for axes in mirrors]
    seen = [np.flip(i.seen_by(network)[0], axes) for i, axes in zip(images, mirrors, strict=True)]
    return field, np.mean(seen, 0)


def _places(looks: list[_Look]) -> list[tuple[np.ndarray, float]]:
    """Where a brain may be (patient RAS mm), and how many pixels of it are seen there, the largest first.

    Each is the mean of what lies within reach of it, begun at the piece with the most around it.
    """
    pieces = []
    points = [np.zeros((0, 3))]
    weights = [np.zeros(0)]
    for field, brain in looks:
        labels, count = label(brain > _SURE)
        pieces += [field.points[labels == n].mean(0) for n in range(1, count + 1) if (labels == n).sum() > 4]
        points.append(field.points[labels > 0])
        weights.append(brain[labels > 0])
    place, weight = np.concatenate(points), np.concatenate(weights)

    def around(centre: np.ndarray) -> np.ndarray:
        return weight * (((place - centre) ** 2).sum(1) < _REACH_MM**2)

    found: list[tuple[np.ndarray, float]] = []
    while len(found) < _MAX_PLACES and (pieces := [p for p in pieces if around(p).sum() > _MIN_SEEN]):
        centre = max(pieces, key=lambda piece: around(piece).sum())
        for _ in range(5):
            centre = np.average(place, axis=0, weights=around(centre))
        found.append((centre, float(around(centre).sum())))
        weight = np.where(((place - centre) ** 2).sum(1) < _REACH_MM**2, 0, weight)
    return found


def as_one(brains: np.ndarray, along_mm: np.ndarray) -> np.ndarray:
    """Probabilities (n, FIELD, FIELD) of parallel slices at places (n,) in order, as those of one body.

    Neighbours vote where a slice is not sure, and of all pieces only the largest is kept.

    Args:
        brains: of pixels of one size at one place in the plane; left as they are.
        along_mm: places along the normal.

    Returns:
        In the shape of `brains`, float32; 0 where nothing is sure to be brain.
    """
    weight = np.exp(-0.5 * ((along_mm[:, None] - along_mm) / _NEIGHBOUR_MM) ** 2)
    voted = np.einsum("ab,bji->aji", weight / weight.sum(1, keepdims=True), brains)
    brains = np.where(brains > _LIKELY, np.maximum(brains, voted), brains).astype(np.float32)
    return _largest(brains, np.stack([_without_arms(brain > _SURE) for brain in brains]))


def shaped(stacks: Sequence[Near]) -> list[np.ndarray]:
    """Probabilities (n, FIELD, FIELD) of brain in stacks of one fetus, as those of one shape and size.

    As `as_one` where a few slices do not tell the shape.
    """
    brains = [as_one(s.seen, s.away_mm) if s.numbers else s.seen for s in stacks]
    many = [n for n, first in enumerate(brains) if len(first) >= _MIN_SLICES and (first > _SURE).any()]
    seen = [SeenStack(stacks[n].seen, brains[n] > _SURE, stacks[n].away_mm, _NEAR_MM) for n in many]
    for n, brain in zip(many, with_shape(seen), strict=True):
        brains[n] = _largest(brain, brain > _SURE)
    return brains


def _largest(brains: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Probabilities (n, FIELD, FIELD) in the largest piece of a mask and in its rim, 0 elsewhere."""
    pieces, count = label(mask)
    if not count:
        return np.zeros_like(brains)
    largest = pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())
    rim = binary_dilation(largest) & (brains <= _SURE)
    return np.where(largest | rim, brains, 0)


def _without_arms(mask: np.ndarray) -> np.ndarray:
    """A mask (FIELD, FIELD) without what is thinner than any brain, unless all of it is."""
    core = distance_transform_edt(mask) > _THIN_MM / 2 / _NEAR_MM
    opened = distance_transform_edt(~core) <= _THIN_MM / 2 / _NEAR_MM
    return opened & mask if core.any() else mask
