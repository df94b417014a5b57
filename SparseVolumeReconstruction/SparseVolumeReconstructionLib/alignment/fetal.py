"""Fetal scans as they come, with mother, placenta and fluid.

The brain is found in every slice of a stack, and everything around it removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.ndimage import binary_dilation, binary_fill_holes, distance_transform_edt, label

from ..geometry import InputError
from ..observation import Slice
from ..priors.card import ModelCard
from .brain_shape import with_shape
from .head_network import HeadNetwork
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
_Joined = Callable[[np.ndarray, np.ndarray], np.ndarray]  # as `as_one`


@dataclass(frozen=True, eq=False)
class _View:
    """Looks at slices, by their number, at one place.

    clear: Dice's coefficient that is expected of their mask if the probabilities are right.
    """

    looks: dict[int, _Look]
    clear: float


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
        """One reading for every slice (patient mm, any units); parallel slices of a file are read as one."""
        return self._read(slices)[0]

    def _read(self, slices: list[Slice]) -> tuple[list[Reading], list[str]]:
        """The readings, and the sources that show a second brain."""
        keys = [(s.source, *np.abs(s.plane.normal).round(2)) for s in slices]
        found: dict[int, Reading] = {}
        seconds = []
        for key in dict.fromkeys(keys):
            own = [n for n, k in enumerate(keys) if k == key]
            readings, second = self._read_stack([slices[n] for n in own])
            found.update(zip(own, readings, strict=True))
            seconds += [slices[own[0]].source] if second else []
        return [found[n] for n in range(len(slices))], list(dict.fromkeys(seconds))

    def _read_stack(self, stack: list[Slice]) -> tuple[list[Reading], bool]:
        """What the slices show of the brain, in three looks.

        A wide one at every slice by itself, a near one at each place where a brain may be, and one around the
        brain that is seen most clearly. Also whether a second brain is seen elsewhere.
        """
        contents = [Content.of(s) for s in stack]
        wide = [_look(self.network, c, _WIDE_MM, tuple(c.slice.plane.centre)) for c in contents]
        views = [(self._view(contents, place, _MIRRORS[:1], as_one), much) for place, much in _places(wide)]
        view, most = max(views, key=lambda v: v[0].clear * np.sqrt(v[1]), default=(_View({}, 0.0), 0.0))
        second = any(v is not view and v.clear > _CLEAR and much > _AS_MUCH * most for v, much in views)
        around = _places(list(view.looks.values()))
        if around:
            view = self._view(contents, around[0][0], _MIRRORS, shaped)
        readings = [
            Reading(view.looks[n][0].on_slice(view.looks[n][1]))
            if n in view.looks
            else Reading(np.zeros(s.pixels.shape, np.float32))
            for n, s in enumerate(stack)
        ]
        return readings, second

    def _view(self, contents: list[Content], place: np.ndarray, mirrors: _Mirrors, joined: _Joined) -> _View:
        """The near look at the slices that pass near a place (patient RAS mm), read as one body."""
        planes = [c.slice.plane for c in contents]
        away = np.array([(p.centre - place) @ p.normal for p in planes])
        near = [int(n) for n in np.argsort(away) if abs(away[n]) < _REACH_MM]
        at = [tuple(place + away[n] * planes[n].normal) for n in near]
        looks = [
            _look(self.network, contents[n], _NEAR_MM, c, mirrors) for n, c in zip(near, at, strict=True)
        ]
        seen = np.stack([brain for _, brain in looks])
        brains = joined(seen, away[near])
        inside = brains > _SURE
        clear = 2 * float(seen[inside].sum()) / max(float(inside.sum() + seen.sum()), 1.0)
        fields = [field for field, _ in looks]
        return _View(dict(zip(near, zip(fields, brains, strict=True), strict=True)), clear)


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


def shaped(brains: np.ndarray, along_mm: np.ndarray) -> np.ndarray:
    """As `as_one`, with the shape of a fetal brain; of a few slices, which do not tell it, as `as_one`.

    Args:
        brains: probabilities (n, FIELD, FIELD) of parallel slices.
        along_mm: places (n,) along the normal, in order.
    """
    first = as_one(brains, along_mm)
    if len(brains) < _MIN_SLICES or not (first > _SURE).any():
        return first
    brains = with_shape(brains, first > _SURE, along_mm, _NEAR_MM)
    return _largest(brains, brains > _SURE)


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
