"""Slices as scanned, for a prior of brains: what is around the brain is removed, told, and kept as a mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from scipy.ndimage import binary_fill_holes, map_coordinates

from ..alignment.anatomy import anatomy_level
from ..alignment.fetal import FetalReader, fetal_reader
from ..alignment.head import HeadReader, head_reader
from ..alignment.motion import proposed, stillness
from ..alignment.reader import Brain, Reading, area_mm2
from ..geometry import InputError, Volume
from ..geometry.io import read_volume
from ..observation import Slice, observed_voxels
from ..priors.card import ModelCard

_MAX_LABELS = 20  # in a mask; a scan has more different values
_MIN_SLICES = 6  # slices of a stack that can be compared
_ANY_SPACE = "any"  # of readers that do not tell where in the head a pixel lies


def reader_for(card: ModelCard) -> HeadReader | FetalReader | None:
    """The reader of slices of the anatomy that a prior (its card) knows, if there is one."""
    for reader in (head_reader(), fetal_reader()):
        known = reader.card.anatomy, reader.card.canonical_space
        if known in ((card.anatomy, card.canonical_space), (card.anatomy, _ANY_SPACE)):
            return reader
    return None


def find_brain(slices: list[Slice], card: ModelCard, mask: Volume | None = None) -> Brain | None:
    """The slices without what is around the brain; None where there is nothing, or no reader for the prior.

    Args:
        slices: as scanned, patient mm.
        card: of the prior.
        mask: above 0 in the brain, on any grid of the slices' space, where the user gives one.

    Raises:
        InputError: no brain is found in a fetal scan, or no slice passes through the mask.
    """
    if mask is not None:
        return _in_mask(slices, mask)
    reader = reader_for(card) if slices else None
    return reader.brain_of(slices) if reader else None


def read_mask(path: str, warn: Callable[[str], None]) -> Volume:
    """A mask from a file.

    Args:
        path: the file.
        warn: told of what is odd about it, and where it looks like a scan.

    Raises:
        InputError: as read_volume.
    """
    mask = read_volume(path, warn=warn)
    values = len(np.unique(mask.array[mask.array > 0]))
    if values > _MAX_LABELS:
        warn(
            f"{path}: {values} different values above 0, all of which count as brain; expected a mask, 0 "
            "outside the brain and 1 inside. Is it a scan?"
        )
    return mask


def reads_for(card: ModelCard) -> bool:
    """Whether tissues and places can be read for a prior.

    It is one of adult brains, in the space of the reader.
    """
    reads = head_reader().card
    return (card.anatomy, card.canonical_space) == (reads.anatomy, reads.canonical_space)


def _in_mask(slices: list[Slice], mask: Volume) -> Brain:
    """Slices in a mask of any grid that shares their space. Raises InputError where none meets it."""
    masks = []
    for image in slices:
        points = image.plane.points_ras() @ mask.grid.ras_to_ijk[:3, :3].T + mask.grid.ras_to_ijk[:3, 3]
        inside = map_coordinates((mask.array > 0).astype(np.uint8), points.T[::-1], order=0, cval=0)
        masks.append(inside.reshape(image.pixels.shape) > 0)
    brain = Brain.of(slices, masks, [Reading(m.astype(np.float32)) for m in masks], 0.0)
    if not brain.slices:
        raise InputError("The mask is empty in all slices; expected one above 0 in the brain that they show.")
    return brain


def told_of(brain: Brain | None, card: ModelCard, given: bool = False) -> list[str]:
    """Warnings about what was removed. card: of the prior; given: the mask is the user's.

    Args:
        brain: what was found; None where nothing was removed.
    """
    told = []
    if brain is not None and not given:
        shown = "mother and fetus" if card.anatomy.startswith("fetal") else "a whole head"
        told.append(
            f"The slices show {shown}: what is around the brain was found and set to 0 in "
            f"{len(brain.slices)} slices. Look at the brain mask before using the result."
        )
    told += told_of_twins(brain) if brain else []
    if brain is not None and brain.left_out:
        told.append(f"Slices without any brain were left out: {', '.join(brain.left_out)}.")
    return told


def told_of_twins(brain: Brain) -> list[str]:
    """Warnings about stacks that show two brains."""
    return [
        f"{source}: a second brain seems to be in view (twins?); the clearer one was taken. "
        "Give a mask of the one that is meant."
        for source in brain.seconds
    ]


def motion_of(brain: Brain) -> dict[str, Any]:
    """What `result.json` says of motion between the slices of stacks.

    The slices of each that are proposed, and one entry for every slice, by its number.
    """
    told = {}
    for source in dict.fromkeys(s.source for s in brain.slices):
        own = [n for n, s in enumerate(brain.slices) if s.source == source]
        stack = [brain.slices[n] for n in own]
        turned = min(abs(float(s.plane.normal @ stack[0].plane.normal)) for s in stack)
        numbered = len({s.volume_index for s in stack}) == len(stack)  # else each has a file of its own
        if len(stack) < _MIN_SLICES or turned < 0.999 or not numbered:
            continue
        found = stillness(stack)
        areas = [area_mm2(brain.slices[n], brain.masks[n]) for n in own]
        told[source] = {
            "proposed": [stack[n].volume_index for n in proposed(found, areas)],
            "slices": {
                str(s.volume_index): {**asdict(f), "area_mm2": round(a)}
                for s, f, a in zip(stack, found, areas, strict=True)
            },
        }
    return told


def brain_mask(brain: Brain, mean: Volume) -> Volume:
    """The brain on the grid of a posterior mean (any units), uint8.

    As observed where a slice passes, else where the mean shows anatomy, without holes.

    Args:
        brain: its slices and masks, patient mm.
        mean: in patient space.
    """
    inferred = binary_fill_holes(mean.array > anatomy_level(mean.array))
    pairs = zip(brain.slices, brain.masks, strict=True)
    masks = [replace(s, pixels=m.astype(np.float32)) for s, m in pairs if not m.all()]
    observed, values = observed_voxels(masks, mean.grid)
    return Volume(np.where(observed, values >= 0.5, inferred).astype(np.uint8), mean.grid)
