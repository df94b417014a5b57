"""The brain mask of a whole stack, on the stack's own grid, so that it can be looked at and corrected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry import InputError, Volume
from ..geometry.io import read_scan
from ..geometry.resample import resample
from ..observation import split_slices
from ..priors.card import ModelCard
from .contexts import read_contexts
from .request import SliceSpec
from .whole_head import find_brain, motion_of, reader_for, told_of_twins


@dataclass(frozen=True, eq=False)
class StackMask:
    """A mask, uint8 on the grid of its stack, and what was found with it.

    Warnings about how the stack was read and about twins, which slices (numbers from 0) belong together, and
    how still each was: a `Stillness` by the slice's number.
    """

    volume: Volume
    warnings: list[str]
    proposed: list[int]
    motion: dict[str, dict[str, Any]]

    @property
    def millilitres(self) -> float:
        """What it encloses."""
        return int(self.volume.array.sum()) * float(np.prod(self.volume.grid.spacing_ijk)) / 1000

    @property
    def slices(self) -> list[int]:
        """Those in which it has a part."""
        return np.flatnonzero(self.volume.array.any((1, 2))).tolist()

    def compared(self, manual: Volume) -> tuple[float, list[int]]:
        """Dice's coefficient with another mask (above 0, any grid), and the slices it alone has."""
        inside = Volume((manual.array > 0).astype(np.float32), manual.grid)
        other = resample(inside, self.volume.grid).array > 0.5
        own = self.volume.array > 0
        dice = 2.0 * int((own & other).sum()) / max(int(own.sum()) + int(other.sum()), 1)
        return float(dice), np.flatnonzero(other.any((1, 2)) & ~own.any((1, 2))).tolist()


def mask_stack(context: SliceSpec, card: ModelCard) -> StackMask:
    """The brain in the slices of a file. card: of the prior that knows the anatomy.

    Args:
        context: names the file, and the series where it holds several.
        card: its anatomy and space decide which network reads the slices.

    Raises:
        InputError: the file is not one stack, no reader knows the anatomy, or no brain is found in the slices
            or nothing around it.
    """
    scan = read_scan(context.path, context.series)
    if len(scan.parts) != 1:
        raise InputError(f"{context.name}: {len(scan.parts)} stacks in one; give the files of one of them.")
    if reader_for(card) is None:
        raise InputError(
            f"{card.id}: no masks can be found for it; brains of adults and fetuses can be masked."
        )
    observations, warnings = read_contexts([context])
    brain = find_brain(split_slices(observations)[0], card)
    if brain is None:
        raise InputError(
            f"{context.name}: shows nothing around the brain, or no brain: there is nothing to mask."
        )
    grid = scan.parts[0].volume.grid
    array = np.zeros(grid.shape_kji, np.uint8)
    for image, mask in zip(brain.slices, brain.masks, strict=True):
        array[image.volume_index] = mask
    motion: dict[str, Any] = next(iter(motion_of(brain).values()), {"proposed": [], "slices": {}})
    told = [*warnings, *told_of_twins(brain)]
    return StackMask(Volume(array, grid), told, motion["proposed"], motion["slices"])
