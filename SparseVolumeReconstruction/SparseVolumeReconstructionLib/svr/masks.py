"""What is to be used of every slice: masks that were given, or those of brains that were found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, binary_fill_holes, map_coordinates

from ..alignment.fetal import fetal_reader
from ..alignment.head import head_reader
from ..alignment.reader import Reading, area_mm2, surrounded
from ..geometry import InputError, Volume
from ..observation import Slice
from ..reconstruction.whole_head import read_mask
from .request import AUTO, SvrRequest

FETAL = "fetal-t2"  # the model of the anatomy that is looked for
_RIM_MM = 3.0  # around what a stripped slice shows: there it says that nothing is there
_SURE = 0.5
_SIZES_ML = (10.0, 600.0)  # of fetal brains from 20 weeks to birth, and what a network says of others
_SIZES_ALIKE = 2.5  # of the largest over the smallest that stacks show of one brain
_APART_MM = 40.0  # the middles of one brain in two stacks
_SAME = 0.6  # Dice's coefficient of a brain that was found with what is used

Masks = list[list[np.ndarray]]  # of each slice of each stack, (rows, columns) bool


@dataclass(frozen=True, eq=False)
class Inside:
    """What is to be used of stacks, and the id of the model of the anatomy that was seen in all of them."""

    masks: Masks
    anatomy: str | None


def inside_of(
    request: SvrRequest, images: list[list[Slice]], names: list[str], warn: Callable[[str], None]
) -> Inside:
    """Masks of a request, or those of fetal brains with other tissue around; else what slices show.

    Brains are looked for where the request leaves the model open, or asks for the fetal one.

    Args:
        request: masks and model.
        images: the slices of each stack, in order of place.
        names: of the stacks.
        warn: told what was found and left out.

    Raises:
        InputError: a mask that cannot be read, or lies elsewhere.
    """
    used = _given(request, images, warn)
    if used is None:
        used = [[shown(image) for image in stack] for stack in images]
    if request.prior not in (AUTO, FETAL):
        return Inside(used, None)
    together = iter(fetal_reader().read([image for stack in images for image in stack]))
    readings = [[next(together) for _ in stack] for stack in images]
    brains = [[_brain_of(reading) for reading in stack] for stack in readings]
    if not request.masks and _is_one_fetus(brains, readings, images):
        sizes = [_millilitres(b, stack) for b, stack in zip(brains, images, strict=True)]
        told = ", ".join(f"{name} {size:.0f} ml" for name, size in zip(names, sizes, strict=True))
        warn(
            f"The stacks show mother and fetus: the fetal brain was found and the rest left out ({told}). "
            "./run mask writes such a mask to correct and give with --mask."
        )
        return Inside(brains, FETAL)
    alike = all(
        _is_brain(b, stack) and _dice(b, _bright(u, stack)) > _SAME
        for b, u, stack in zip(brains, used, images, strict=True)
    )
    return Inside(used, FETAL if alike else None)


def shown(image: Slice) -> np.ndarray:
    """What is to be used of a slice (rows, columns) where there is no mask, bool.

    All of it; of a slice that is 0 around the anatomy, this and a rim.
    """
    there = image.pixels != 0
    if there.mean() > 0.95:
        return np.ones_like(there)
    rim = int(np.ceil(_RIM_MM / image.plane.spacing_ij.max()))
    return binary_dilation(there, iterations=max(rim, 1))


def _given(request: SvrRequest, images: list[list[Slice]], warn: Callable[[str], None]) -> Masks | None:
    """The masks of the request; None where it has none."""
    if not request.masks:
        return None
    volumes = [read_mask(path, warn) for path in request.masks]
    if len(volumes) == 1:
        volumes *= len(images)
    masks = []
    for stack, mask, spec in zip(images, volumes, request.stacks, strict=True):
        inside = [_inside(image, mask) for image in stack]
        if not any(m.any() for m in inside):
            raise InputError(
                f"{spec.name}: its mask is empty there, or lies elsewhere; expected one above 0 in what the "
                "stack shows, in the same patient space."
            )
        masks.append(inside)
    return masks


def _inside(image: Slice, mask: Volume) -> np.ndarray:
    """Pixels (rows, columns) of a slice inside a mask on any grid."""
    points = image.plane.points_ras() @ mask.grid.ras_to_ijk[:3, :3].T + mask.grid.ras_to_ijk[:3, 3]
    array = (mask.array > 0).astype(np.uint8)
    return map_coordinates(array, points.T[::-1], order=0, cval=0).reshape(image.pixels.shape) > 0


def _brain_of(reading: Reading) -> np.ndarray:
    return np.asarray(binary_fill_holes(reading.brain > _SURE))


def _is_one_fetus(brains: Masks, readings: list[list[Reading]], images: list[list[Slice]]) -> bool:
    """Whether all stacks show one brain with something around it, and rather a fetal one than an adult's."""
    pairs = list(zip(brains, images, strict=True))
    if not all(_is_brain(b, stack) and surrounded(stack, b) for b, stack in pairs):
        return False
    sizes = [_millilitres(b, stack) for b, stack in pairs]
    middles = np.array([_middle(b, stack) for b, stack in pairs])
    apart = np.linalg.norm(middles - middles.mean(0), axis=1).max()
    if max(sizes) > _SIZES_ALIKE * min(sizes) or apart > _APART_MM / 2:
        return False
    adult = [_clearness(head_reader().read(stack)) for stack in images]
    return float(np.mean([_clearness(stack) for stack in readings])) > float(np.mean(adult))


def _clearness(readings: list[Reading]) -> float:
    """Dice's coefficient that is expected of what was read, if its probabilities are right."""
    seen = np.concatenate([reading.brain.ravel() for reading in readings])
    inside = seen > _SURE
    return 2 * float(seen[inside].sum()) / max(float(inside.sum() + seen.sum()), 1.0)


def _middle(brain: list[np.ndarray], stack: list[Slice]) -> np.ndarray:
    """Of masks, patient RAS mm."""
    points = [s.plane.points_ras()[mask.ravel()] for s, mask in zip(stack, brain, strict=True)]
    return np.asarray(np.concatenate(points).mean(0))


def _is_brain(brain: list[np.ndarray], stack: list[Slice]) -> bool:
    """Whether it has the size of one."""
    return _SIZES_ML[0] < _millilitres(brain, stack) < _SIZES_ML[1]


def _millilitres(brain: list[np.ndarray], stack: list[Slice]) -> float:
    along = np.sort([image.plane.centre @ stack[0].plane.normal for image in stack])
    apart = float(np.median(np.diff(along)))
    return sum(area_mm2(image, mask) for image, mask in zip(stack, brain, strict=True)) * apart / 1000


def _bright(used: list[np.ndarray], stack: list[Slice]) -> list[np.ndarray]:
    """What is used without a rim of 0."""
    return [mask & (image.pixels != 0) for mask, image in zip(used, stack, strict=True)]


def _dice(brain: list[np.ndarray], used: list[np.ndarray]) -> float:
    both = sum(int((b & u).sum()) for b, u in zip(brain, used, strict=True))
    return 2.0 * both / max(sum(int(b.sum() + u.sum()) for b, u in zip(brain, used, strict=True)), 1)
