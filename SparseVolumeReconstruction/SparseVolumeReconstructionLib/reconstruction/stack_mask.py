"""Brain masks of whole stacks, each on its stack's own grid, so that it can be looked at and corrected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..alignment.reader import Brain
from ..geometry import Grid, InputError, Volume
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


def mask_stacks(contexts: Sequence[SliceSpec], card: ModelCard) -> list[StackMask]:
    """The brain in the slices of files, each a stack; of several it is one brain, which may have moved.

    Args:
        contexts: name the files, and the series where one holds several.
        card: of the prior that knows the anatomy; anatomy and space decide which network reads the slices.

    Raises:
        InputError: a file is not one stack or given twice, no reader knows the anatomy, or no brain is found
            in the slices or nothing around it.
    """
    grids = [_grid_of(context) for context in contexts]
    if reader_for(card) is None:
        raise InputError(
            f"{card.id}: no masks can be found for it; brains of adults and fetuses can be masked."
        )
    read = [read_contexts([context]) for context in contexts]
    stacks = [split_slices(observations)[0] for observations, _ in read]
    sources = [stack[0].source for stack in stacks]
    for context, source in zip(contexts, sources, strict=True):
        if sources.count(source) > 1:
            raise InputError(f"{context.name}: given twice; give every stack once.")
    brain = find_brain([image for stack in stacks for image in stack], card)
    told = zip(contexts, sources, grids, [warnings for _, warnings in read], strict=True)
    return [_mask_of(brain, *each) for each in told]


def _grid_of(context: SliceSpec) -> Grid:
    """Of the one stack in a file. Raises InputError where there are several."""
    scan = read_scan(context.path, context.series)
    if len(scan.parts) != 1:
        raise InputError(f"{context.name}: {len(scan.parts)} stacks in one; give the files of one of them.")
    return scan.parts[0].volume.grid


def _mask_of(
    brain: Brain | None, context: SliceSpec, source: str, grid: Grid, warnings: list[str]
) -> StackMask:
    """What was found in one of the stacks. Raises InputError where it is nothing."""
    pairs = zip(brain.slices, brain.masks, strict=True) if brain else ()
    own = [(image.volume_index, mask) for image, mask in pairs if image.source == source]
    if brain is None or not own:
        raise InputError(
            f"{context.name}: shows nothing around the brain, or no brain: there is nothing to mask."
        )
    array = np.zeros(grid.shape_kji, np.uint8)
    for number, mask in own:
        array[number] = mask
    motion: dict[str, Any] = motion_of(brain).get(source, {"proposed": [], "slices": {}})
    twins = told_of_twins(replace(brain, seconds=[s for s in brain.seconds if s == source]))
    return StackMask(Volume(array, grid), [*warnings, *twins], motion["proposed"], motion["slices"])
