"""Whole heads: the brain found in every slice, and everything around it removed, so that priors of brains can
be conditioned on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256 as digest_of

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, label, map_coordinates

from ..geometry import InputError
from ..observation import Slice
from ..priors.card import ModelCard
from ..zoo.manifest import EMBEDDED, read_manifest
from ..zoo.weights import read_tensors, sha256
from .head_network import FIELD, PIXEL_MM, UNIT_MM, HeadNetwork

_AXES = (
    ((0, 1, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 1, 0)),
)  # of sagittal, coronal, axial
_LITTLE_MM2 = 300.0  # less brain than this in a slice tells nothing
_FOREGROUND = 0.1  # of the bright pixels
_KEPT = 128  # readings, each of some hundred kB
_RIM_MM, _RIM = 4.0, 0.9  # the outer layer of what is shown; this share of it is no brain in whole heads


@dataclass(frozen=True, eq=False)
class Reading:
    """What the network reads in a slice.

    brain: probability that a pixel of the slice shows brain, (rows, columns) float32. points: positions of
    the field's pixels that show brain, (n, 3) patient RAS mm. places, spread: where these are in canonical
    space, and how sure that is, (n, 3) mm.
    """

    brain: np.ndarray
    points: np.ndarray
    places: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True, eq=False)
class Brain:
    """Slices of a head without what is around its brain.

    slices: with 0 outside the brain, those without any brain left out. masks: of these slices, 1 in the
    brain. readings: of these slices. left_out: names of the others.
    """

    slices: list[Slice]
    masks: list[np.ndarray]
    readings: list[Reading]
    left_out: list[str]


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
        return [_reading(self.network, _Content.of(s)) for s in slices]

    def brain_of(self, slices: list[Slice]) -> Brain | None:
        """The slices without what is around the brain; None where nothing was around it, or no brain is
        found: they are to be used as they are.
        """
        readings = self.read(slices)
        masks = [_one_piece(r.brain > 0.5) for r in readings]
        pixel = [float(np.prod(s.plane.spacing_ij)) for s in slices]
        seen = [m.sum() * p > _LITTLE_MM2 for m, p in zip(masks, pixel, strict=True)]
        rims = [_rim(s) for s in slices]
        around = sum((r & ~m).sum() * p for r, m, p in zip(rims, masks, pixel, strict=True))
        rim = sum(r.sum() * p for r, p in zip(rims, pixel, strict=True))
        if not any(seen) or around < _RIM * rim:
            return None
        kept = [n for n, shown in enumerate(seen) if shown]
        return Brain(
            [replace(slices[n], pixels=np.where(masks[n], slices[n].pixels, 0)) for n in kept],
            [masks[n] for n in kept],
            [readings[n] for n in kept],
            [s.name for s, shown in zip(slices, seen, strict=True) if not shown],
        )


@lru_cache(maxsize=1)
def head_reader() -> HeadReader:
    """The reader that the extension brings. Raises InputError where its file is missing or damaged."""
    folder = EMBEDDED / "readers"
    entry = read_manifest(folder)[0]
    path = folder / entry.file
    if not path.is_file() or sha256(path) != entry.sha256:
        raise InputError(
            f"{path}: missing or damaged (its SHA-256 is not that of the manifest); install again."
        )
    network = HeadNetwork()
    network.load_state_dict({name: t.float() for name, t in read_tensors(path).items()})
    return HeadReader(network.eval(), entry.card)


@dataclass(frozen=True)
class _Content:
    """A slice that equals every other one of the same pixels on the same plane."""

    digest: str
    slice: Slice = field(compare=False)

    @classmethod
    def of(cls, image: Slice) -> _Content:
        """The content of a slice."""
        pose = np.array([*image.plane.shape_ji, *image.plane.ij_to_ras.ravel()], np.float64)
        return cls(digest_of(pose.tobytes() + image.pixels.tobytes()).hexdigest(), image)


@lru_cache(maxsize=_KEPT)
def _reading(network: HeadNetwork, content: _Content) -> Reading:
    """What the network reads in a slice, in two passes: first the middle of what the slice shows lies in the
    middle of the field, then the brain's.
    """
    field = _Field.of(content.slice)
    field = field.recentred(_seen(network, field)[0])
    brain, places, spread = _seen(network, field)
    return field.reading(brain, places * UNIT_MM, np.exp(spread) * UNIT_MM)


@torch.inference_mode()
def _seen(network: HeadNetwork, field: _Field) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability of brain (FIELD, FIELD), places and log spread (3, FIELD / 2, FIELD / 2) of a field."""
    logits, places, spread = network(
        torch.from_numpy(field.image)[None, None], torch.from_numpy(field.offsets)[None]
    )
    return 1 - logits.softmax(1)[0, 0].numpy(), places[0].numpy(), spread[0].numpy()


def disagreement_mm(readings: list[Reading], patient_to_canonical: np.ndarray) -> float:
    """How far (mm, root mean square) a frame puts the brain's pixels from where they look to be, what is
    uncertain weighted less.
    """
    points, places, spread = (
        np.concatenate([getattr(r, name) for r in readings]) for name in ("points", "places", "spread")
    )
    found = points @ patient_to_canonical[:3, :3].T + patient_to_canonical[:3, 3]
    weight = spread**-2.0
    return float(np.sqrt(3 * (weight * (found - places) ** 2).sum() / weight.sum()))


@dataclass(frozen=True, eq=False)
class _Field:
    """The square around `centre` (patient RAS mm) in a slice's plane that the network sees.

    axes: unit vectors (2, 3) along its columns and rows, near to right and front, right and top, or front and
    top. image: (FIELD, FIELD). offsets: (3, FIELD / 2, FIELD / 2).
    """

    slice: Slice
    centre: np.ndarray
    axes: np.ndarray
    image: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, image: Slice, centre: np.ndarray | None = None) -> _Field:
        """The field around `centre`, or around the middle of what the slice shows."""
        normal = image.plane.normal
        first, second = np.array(_AXES[int(np.abs(normal).argmax())], float)
        u = first - (first @ normal) * normal
        u /= np.linalg.norm(u)
        v = np.cross(normal, u)
        axes = np.stack([u, v * np.sign(v @ second)])
        coarse = image.no_finer(PIXEL_MM)
        if centre is None:
            smooth = gaussian_filter(coarse.pixels, 1.5 / coarse.plane.spacing_ij[0])
            shown = smooth > _FOREGROUND * np.quantile(coarse.pixels, 0.99)
            centre = (
                np.median(coarse.plane.points_ras()[shown.ravel()], 0) if shown.any() else image.plane.centre
            )
        steps = _steps(FIELD, PIXEL_MM)
        picture = np.maximum(_sampled(coarse, coarse.pixels, centre + steps @ axes), 0)
        top = np.quantile(picture, 0.99)
        bright = picture[picture > _FOREGROUND * top]
        scale = max(float(np.quantile(bright, 0.98)), 1e-6) if len(bright) else 1.0
        offsets = np.moveaxis(_steps(FIELD // 2, 2 * PIXEL_MM) @ axes, -1, 0) / UNIT_MM
        shown = np.clip(picture / scale, 0, 1.5).astype(np.float32)
        return cls(image, centre, axes, shown, offsets.astype(np.float32))

    def recentred(self, brain: np.ndarray) -> _Field:
        """The field around the brain (FIELD, FIELD) where there is enough of it."""
        if brain.sum() * PIXEL_MM**2 < _LITTLE_MM2:
            return self
        points = self.centre + _steps(FIELD, PIXEL_MM) @ self.axes
        return _Field.of(self.slice, (brain[..., None] * points).sum((0, 1)) / brain.sum())

    def reading(self, brain: np.ndarray, places: np.ndarray, spread: np.ndarray) -> Reading:
        """What the network says (FIELD, FIELD), (3, FIELD / 2, FIELD / 2) mm, brought to the slice."""
        across = (self.slice.plane.points_ras() - self.centre) @ self.axes.T / PIXEL_MM + (FIELD - 1) / 2
        pixels = map_coordinates(brain, across.T[::-1], order=1, cval=0.0).reshape(self.slice.plane.shape_ji)
        half = brain.reshape(FIELD // 2, 2, FIELD // 2, 2).mean((1, 3)) > 0.5
        points = self.centre + (_steps(FIELD // 2, 2 * PIXEL_MM) @ self.axes)[half]
        return Reading(pixels, points, places[:, half].T, spread[:, half].T)


def _steps(count: int, size_mm: float) -> np.ndarray:
    """Offsets (count, count, 2) of pixel centres along columns and rows from the middle, mm."""
    along = (np.arange(count) - (count - 1) / 2) * size_mm
    return np.stack(np.meshgrid(along, along), -1)


def _sampled(image: Slice, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels at points (..., 3) in the plane of a slice, linear, 0 outside."""
    to_pixel = np.linalg.inv(image.plane.ij_to_ras)[:2]
    column, row = np.moveaxis(points @ to_pixel[:, :3].T + to_pixel[:, 3], -1, 0)
    return map_coordinates(pixels, [row, column], order=1, cval=0.0)


def _rim(image: Slice) -> np.ndarray:
    """The outermost layer of what a slice shows, bool (rows, columns)."""
    positive = image.pixels[image.pixels > 0]
    bright = np.quantile(positive, 0.99) if len(positive) else 0.0
    shown = _one_piece(image.pixels > _FOREGROUND * bright)
    return shown & (distance_transform_edt(shown, image.plane.spacing_ij[::-1]) <= _RIM_MM)


def _one_piece(mask: np.ndarray) -> np.ndarray:
    """A mask without holes, and without pieces of less than a tenth of its largest one."""
    pieces, count = label(mask)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    return binary_fill_holes(np.isin(pieces, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max(initial=0))))
