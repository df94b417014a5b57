"""Readers: trained networks that find the brain in single slices.

Here is what those of adult and of fetal heads have in common.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256 as digest_of
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes, distance_transform_edt, gaussian_filter, label, map_coordinates

from ..geometry import InputError
from ..observation import Slice
from ..priors.card import ModelCard
from ..zoo.manifest import EMBEDDED, read_manifest
from ..zoo.weights import read_tensors, sha256, stored_card
from .anatomy import anatomy_level
from .head_network import FIELD, UNIT_MM, HeadNetwork

_AXES = (
    ((0, 1, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 0, 1)),
    ((1, 0, 0), (0, 1, 0)),
)  # of sagittal, coronal, axial
_RIM_MM, _RIM = 4.0, 0.9  # the outer layer of what is shown; this share of it is no brain in whole scans
_MIN_LAYER = 0.6  # of that layer; 4 slices of stripped heads have up to 0.53
_MIN_BESIDE = 0.6  # of the brain's area; these have up to 0.18


@dataclass(frozen=True, eq=False)
class Reading:
    """What the network reads in a slice.

    brain: probability that a pixel of the slice shows brain, (rows, columns) float32. points: positions of
    the field's pixels that show brain, (n, 3) patient RAS mm. places, spread: where these are in canonical
    space, and how sure that is, (n, 3) mm; none where the network does not tell. classes: probabilities of
    CLASSES in the field's pixels, (4, FIELD, FIELD) float16. field: None where a mask was given.
    """

    brain: np.ndarray
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    places: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    spread: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    classes: np.ndarray = field(default_factory=lambda: np.zeros((4, 0, 0), np.float16))
    field: Field | None = None


@dataclass(frozen=True, eq=False)
class Brain:
    """Slices without what is around the brain.

    slices: with 0 outside the brain, those without any brain left out. masks: of these slices, 1 in the
    brain. readings: of these slices. left_out: names of the others. seconds: sources
    that show a second brain.
    """

    slices: list[Slice]
    masks: list[np.ndarray]
    readings: list[Reading]
    left_out: list[str]
    seconds: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, slices: list[Slice], masks: list[np.ndarray], readings: list[Reading], least: float) -> Brain:
        """Slices in their masks, bool (rows, columns); those with less than `least` (mm2) are left out.

        Args:
            slices: patient mm.
            masks: where each shows brain.
            readings: of each.
            least: area in mm2; a slice with just so much is left out, too.
        """
        kept = [n for n, (s, m) in enumerate(zip(slices, masks, strict=True)) if area_mm2(s, m) > least]
        return cls(
            [replace(slices[n], pixels=np.where(masks[n], slices[n].pixels, 0)) for n in kept],
            [masks[n] for n in kept],
            [readings[n] for n in kept],
            [s.name for n, s in enumerate(slices) if n not in kept],
        )


def load_reader(name: str) -> tuple[HeadNetwork, ModelCard]:
    """A network that the extension brings, and the card that says what it was trained on.

    Raises:
        InputError: where its file is missing or damaged.
    """
    path, card = embedded_reader(name)
    return read_reader(path)[0], card


def embedded_reader(name: str) -> tuple[Path, ModelCard]:
    """The file that the extension brings under that name, and its card; raises as `load_reader`."""
    folder = EMBEDDED / "readers"
    entry = next((e for e in read_manifest(folder) if e.card.id == name), None)
    path = folder / entry.file if entry else folder / f"{name}.safetensors"
    if entry is None or not path.is_file() or sha256(path) != entry.sha256:
        raise InputError(
            f"{path}: missing or damaged (its SHA-256 is not that of the manifest); install again."
        )
    return path, entry.card


def read_reader(path: Path) -> tuple[HeadNetwork, ModelCard]:
    """The network and the card in a file of `./run train head-reader` or `fetal-reader`. Raises InputError.

    Args:
        path: of the .safetensors file.
    """
    network, card = HeadNetwork(), stored_card(path)
    try:
        network.load_state_dict({key: t.float() for key, t in read_tensors(path).items()})
    except RuntimeError as error:
        raise InputError(
            f"{path}: no network that reads slices; ./run train head-reader or fetal-reader makes one."
        ) from error
    return network.eval(), card


@dataclass(frozen=True)
class Content:
    """A slice that equals every other one of the same pixels on the same plane."""

    digest: str
    slice: Slice = field(compare=False)

    @classmethod
    def of(cls, image: Slice) -> Content:
        """The content of a slice."""
        pose = np.array([*image.plane.shape_ji, *image.plane.ij_to_ras.ravel()], np.float64)
        return cls(digest_of(pose.tobytes() + image.pixels.tobytes()).hexdigest(), image)


@dataclass(frozen=True, eq=False)
class Field:
    """The square around `centre` (patient RAS mm) in a slice's plane that the network sees.

    pixel_mm: size of its pixels. axes: unit vectors (2, 3) along its columns and rows, near to right and
    front, right and top, or front and top. image: (FIELD, FIELD). offsets: (3, FIELD / 2, FIELD / 2).
    """

    slice: Slice
    pixel_mm: float
    centre: np.ndarray
    axes: np.ndarray
    image: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, image: Slice, pixel_mm: float, centre: np.ndarray | None = None) -> Field:
        """The field around `centre`, or around the middle of what the slice shows.

        Args:
            image: patient mm.
            pixel_mm: size of the field's pixels.
            centre: RAS mm, (3,), in the plane of the slice.
        """
        axes = in_plane_axes(image.plane.normal)
        coarse = image.no_finer(pixel_mm)
        centre = _middle(coarse) if centre is None else centre
        picture = np.maximum(sampled(coarse, coarse.pixels, centre + steps(FIELD, pixel_mm) @ axes), 0)
        bright = picture[picture > anatomy_level(picture)]
        scale = max(float(np.quantile(bright, 0.98)), 1e-6) if len(bright) else 1.0
        offsets = np.moveaxis(steps(FIELD // 2, 2 * pixel_mm) @ axes, -1, 0) / UNIT_MM
        shown = np.clip(picture / scale, 0, 1.5).astype(np.float32)
        return cls(image, pixel_mm, centre, axes, shown, offsets.astype(np.float32))

    @property
    def points(self) -> np.ndarray:
        """Positions of its pixels, (FIELD, FIELD, 3) patient RAS mm."""
        return self.centre + steps(FIELD, self.pixel_mm) @ self.axes

    def recentred(self, brain: np.ndarray, least: float) -> Field:
        """The field around the brain (FIELD, FIELD) where there is enough of it (mm2).

        Args:
            brain: probabilities in the field's pixels.
            least: mm2; the same field where there is less.
        """
        if brain.sum() * self.pixel_mm**2 < least:
            return self
        return Field.of(self.slice, self.pixel_mm, (brain[..., None] * self.points).sum((0, 1)) / brain.sum())

    @torch.inference_mode()
    def seen_by(self, network: HeadNetwork) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Probability of brain (FIELD, FIELD).

        Places and log spread (3, FIELD / 2, FIELD / 2); that of all CLASSES (4, FIELD, FIELD).
        """
        images, offsets = torch.from_numpy(self.image), torch.from_numpy(self.offsets)
        logits, places, spread = network(images[None, None], offsets[None])
        classes = logits.softmax(1)[0].numpy()
        return 1 - classes[0], places[0].numpy(), spread[0].numpy(), classes

    def on_slice(self, picture: np.ndarray) -> np.ndarray:
        """What its pixels (FIELD, FIELD) show, brought to those of the slice, (rows, columns), 0 outside."""
        across = (self.slice.plane.points_ras() - self.centre) @ self.axes.T / self.pixel_mm + (FIELD - 1) / 2
        return map_coordinates(picture, across.T[::-1], order=1, cval=0.0).reshape(self.slice.plane.shape_ji)

    def reading(
        self, brain: np.ndarray, places: np.ndarray, spread: np.ndarray, classes: np.ndarray
    ) -> Reading:
        """What the network says, brought to the slice and to mm.

        Args:
            brain: probabilities in the field's pixels, (FIELD, FIELD).
            places: canonical R, A, S in units of UNIT_MM, (3, FIELD / 2, FIELD / 2).
            spread: logarithm of how unsure these are, in the same shape.
            classes: probabilities of all CLASSES, (4, FIELD, FIELD).
        """
        half = brain.reshape(FIELD // 2, 2, FIELD // 2, 2).mean((1, 3)) > 0.5
        points = self.points.reshape(FIELD // 2, 2, FIELD // 2, 2, 3).mean((1, 3))[half]
        placed = places[:, half].T * UNIT_MM, np.exp(spread)[:, half].T * UNIT_MM
        return Reading(self.on_slice(brain), points, *placed, classes.astype(np.float16), self)


def surrounded(slices: list[Slice], masks: list[np.ndarray]) -> bool:
    """Whether there is something around the brain that the masks say.

    The outer layer of what is shown is none of it; or most of that layer, and much besides is not 0, as where
    the scalp is so dark that the brain reaches the outer layer.

    Args:
        slices: not masked yet.
        masks: bool (rows, columns) each.
    """
    pairs = list(zip(slices, masks, strict=True))
    rims = [_rim(s) for s in slices]
    layer = sum(area_mm2(s, r) for s, r in zip(slices, rims, strict=True))
    around = sum(area_mm2(s, r & ~m) for r, (s, m) in zip(rims, pairs, strict=True))
    beside = sum(area_mm2(s, (s.pixels != 0) & ~m) for s, m in pairs)
    much = beside >= _MIN_BESIDE * sum(area_mm2(s, m) for s, m in pairs)
    return around >= _RIM * layer or (much and around >= _MIN_LAYER * layer)


def one_piece(mask: np.ndarray) -> np.ndarray:
    """A mask (rows, columns) without holes, and without pieces of less than a tenth of its largest one."""
    pieces, count = label(mask)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    return binary_fill_holes(np.isin(pieces, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max(initial=0))))


def area_mm2(image: Slice, mask: np.ndarray) -> float:
    """Area (mm2) of a mask, bool (rows, columns), of a slice.

    Args:
        image: says how large its pixels are.
        mask: of the slice's pixels.
    """
    return float(np.count_nonzero(mask) * np.prod(image.plane.spacing_ij))


def sampled(image: Slice, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels at points (..., 3) in the plane of a slice, linear, 0 outside.

    Args:
        image: says where its pixels lie.
        pixels: what to look up, (rows, columns) as the slice's own.
        points: RAS mm; those off the plane are projected onto it.

    Returns:
        In the shape of `points` without its last axis.
    """
    to_pixel = np.linalg.inv(image.plane.ij_to_ras)[:2]
    column, row = np.moveaxis(points @ to_pixel[:, :3].T + to_pixel[:, 3], -1, 0)
    return map_coordinates(pixels, [row, column], order=1, cval=0.0)


def in_plane_axes(normal: np.ndarray) -> np.ndarray:
    """Unit vectors (2, 3) in a plane, near to right and front, right and top, or front and top."""
    first, second = np.array(_AXES[int(np.abs(normal).argmax())], float)
    u = first - (first @ normal) * normal
    u /= np.linalg.norm(u)
    v = np.cross(normal, u)
    return np.stack([u, v * np.sign(v @ second)])


def steps(count: int, size_mm: float) -> np.ndarray:
    """Offsets (count, count, 2) of pixel centres along columns and rows from the middle, mm.

    Args:
        count: of pixels along each side.
        size_mm: of each.
    """
    along = (np.arange(count) - (count - 1) / 2) * size_mm
    return np.stack(np.meshgrid(along, along), -1)


def _middle(image: Slice) -> np.ndarray:
    """The middle (patient RAS mm) of what a slice shows."""
    smooth = gaussian_filter(image.pixels, 1.5 / image.plane.spacing_ij[0])
    shown = smooth > anatomy_level(image.pixels)
    return np.median(image.plane.points_ras()[shown.ravel()], 0) if shown.any() else image.plane.centre


def _rim(image: Slice) -> np.ndarray:
    """The outermost layer of what a slice shows, bool (rows, columns)."""
    shown = one_piece(image.pixels > anatomy_level(image.pixels[image.pixels > 0]))
    return shown & (distance_transform_edt(shown, image.plane.spacing_ij[::-1]) <= _RIM_MM)
