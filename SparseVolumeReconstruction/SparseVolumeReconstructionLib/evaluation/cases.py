"""The test cases of the two protocols.

`registered` is the prior's frame, `patient` the subject's own grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..alignment.head import HeadReader
from ..data.bids import contrast_of, without_contrast
from ..data.cohort import Cohort, brain_mask
from ..data.likeness import FOREGROUND
from ..data.registration import on_grid
from ..geometry import Grid, InputError, Volume
from ..observation import Slice
from ..observation.slices import slice_of
from ..priors.base import Prior
from ..priors.card import ModelCard
from ..reconstruction.whole_head import find_brain, reads_for
from .baselines import Library

FRAMES = ("registered", "patient")
FIT_SUBJECTS = "fit subjects"
_WHOLE = "shows a whole head; scores need the brain alone, or label maps of it beside the heads (--strip)"
_LOOKED_AT = (0.5, 0.6, 0.7)  # slices by which a whole head is told, of those that show something


def as_array(values) -> np.ndarray:
    """A float32 array of a tensor on any device, or of an array."""
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values, np.float32)


def context_positions(count: int, length: int) -> list[int]:
    """Positions of `count` contexts spread evenly over `length` slices.

    length * (i + 1) / (count + 1), but length * (2 i + 1) / 8 for four: 1: 60; 3: 30, 60, 90; 4: 15, 45, 75,
    105; 9: 12, 24 .. 108 of 120 slices.

    Args:
        count: 0 to half of `length`.

    Returns:
        Slice numbers from 0, ascending.

    Raises:
        InputError: when they do not fit.
    """
    if not 0 <= count <= length // 2:
        raise InputError(f"{count} contexts of {length} slices; expected 0 to {length // 2}.")
    if count == 4:
        return [round(length * (2 * i + 1) / 8) for i in range(4)]
    return [round(length * (i + 1) / (count + 1)) for i in range(count)]


@dataclass(frozen=True, eq=False)
class Case:
    """One test subject: the true volume with axial slices on its first axis, in [0, 1].

    Attributes:
        brain: (K, J, I) bool.
        extent: first slice and number of slices over which contexts are spread.
        contrast: as `data.bids.contrast_of` calls it; None where nothing tells it.
        scan: the whole head in the same space and units, from which contexts are taken; None where they are
            taken from the truth.
    """

    name: str
    truth: Volume
    brain: np.ndarray
    extent: tuple[int, int]
    contrast: str | None = None
    scan: Volume | None = None

    def positions(self, count: int) -> list[int]:
        """Slice numbers of `count` contexts."""
        return [self.extent[0] + p for p in context_positions(count, self.extent[1])]

    def slices(self, positions: list[int]) -> list[Slice]:
        """Contexts with the spacing of slices as thickness.

        Raises:
            InputError: where a slice is empty.
        """
        shown = self.scan or self.truth
        thickness = float(self.truth.grid.spacing_ijk[2])
        return [slice_of(shown, k, thickness, self.name) for k in positions]


def axial(volume: Volume) -> Volume:
    """The same voxels with axes permuted and flipped: i, j, k run along R, A, S as far as they can."""
    matrix = volume.grid.ijk_to_ras
    unit = np.abs(matrix[:3, :3] / volume.grid.spacing_ijk)
    order = list(
        max(
            itertools.permutations(range(3)), key=lambda p: sum(unit[row, axis] for row, axis in enumerate(p))
        )
    )
    array, matrix = volume.array.transpose([2 - axis for axis in order[::-1]]), matrix[:, [*order, 3]].copy()
    for axis in range(3):
        if matrix[axis, axis] < 0:
            array = np.flip(array, 2 - axis)
            matrix[:3, 3] += matrix[:3, axis] * (array.shape[2 - axis] - 1)
            matrix[:3, axis] *= -1
    return Volume(np.ascontiguousarray(array), Grid(array.shape, matrix))


def fitted_on(model: Prior | HeadReader) -> set[str]:
    """Names of the subjects that the card's split lists under anything but 'test'."""
    split = model.card.split
    lists = [names for key, names in split.items() if not key.startswith("test") and isinstance(names, list)]
    return {str(name) for names in lists for name in names}


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything an evaluation runs on.

    library_kind says whose volumes the library of the baselines holds.
    """

    frame: str
    test: list[str]
    library: Library
    library_kind: str
    load: Callable[[str], Case]


def prepare(cohort: Cohort, priors: list[Prior], frame: str, on_step: Callable[[str, float], None]) -> Bench:
    """Register all subjects, and choose those of the test and of the library.

    What does not belong to the cohort is left out, whole heads without a label map included: they cannot be
    registered to a brain, nor scored. Those with one are stripped by it; in their own frame the slices that
    are given show the whole head.

    Test subjects are those no prior was fitted on, in any contrast. The library of the baselines holds the
    fitted subjects of the folder where there are three or more, else all test subjects (each is left out of
    its own); all subjects of a contrast that is not that of the priors, to which no prior was fitted.

    Args:
        cohort: what is left out is added to its `skipped`.
        priors: at least one; all are registered to the reference of the first.
        frame: "registered" or "patient".
        on_step: called with a text and the fraction done; may raise to cancel.

    Raises:
        InputError: another frame, no subject to test, or in the registered frame priors on different grids.
    """
    if frame not in FRAMES:
        raise InputError(f"frame '{frame}'; expected one of {', '.join(FRAMES)}.")
    seen = set().union(*(fitted_on(prior) for prior in priors))
    seen |= {without_contrast(name) for name in seen} if cohort.other else set()
    fit = [n for n in cohort.files if n in seen or (cohort.other and without_contrast(n) in seen)]
    test = [name for name in cohort.files if name not in fit]
    if not test:
        raise InputError(
            "every subject of the folder was used to fit the prior; expected subjects it has not seen."
        )
    whole = [n for n in test if n not in cohort.labels and _is_whole_head(cohort, n, priors[0].card)]
    cohort.skipped.update({cohort.files[name].name: _WHOLE for name in whole})
    if len(whole) == len(test):
        raise InputError(f"{cohort.files[test[0]].name}: {_WHOLE}.")
    test = [name for name in test if name not in whole]
    grid = priors[0].evaluation_grid if frame == "registered" else priors[0].grid
    if frame == "registered" and any(not grid.same_as(prior.evaluation_grid) for prior in priors):
        raise InputError("the priors live on different grids; evaluate them one at a time.")
    reference = priors[0].reference
    sources = [*fit, *test] if cohort.other else fit if len(fit) >= 3 else test
    matrices = cohort.registered(reference, list(dict.fromkeys(sources + test)), on_step)
    library = Library.of(
        grid, {n: on_grid(cohort.volume(n), grid, matrices[n]) for n in sources if n in matrices}
    )

    def load(name: str) -> Case:
        volume = cohort.volume(name)
        contrast = cohort.contrast or contrast_of(name)
        if frame == "registered":
            truth = Volume(on_grid(volume, grid, matrices[name]), grid)
            return Case(name, truth, brain_mask(truth.array), (0, grid.shape_kji[0]), contrast)
        truth = axial(volume)
        brain = brain_mask(truth.array)
        filled = np.flatnonzero(brain.any((1, 2)))
        extent = int(filled[0]), int(filled[-1] - filled[0] + 1)
        scan = axial(cohort.as_scanned(name)) if name in cohort.labels else None
        return Case(name, truth, brain, extent, contrast, scan)

    usable = [name for name in test if name in matrices]
    return Bench(frame, usable, library, FIT_SUBJECTS if sources is fit else "leave one out", load)


def _is_whole_head(cohort: Cohort, name: str, card: ModelCard) -> bool:
    """Whether a volume shows more than the brain that a prior of adults expects."""
    if not reads_for(card):
        return False
    try:
        volume = axial(cohort.volume(name))
    except InputError:
        return False  # why it cannot be used is said when it is registered
    shown = np.flatnonzero((volume.array > FOREGROUND).any((1, 2)))
    slices = [slice_of(volume, int(k), None, name) for k in np.quantile(shown, _LOOKED_AT)]
    return find_brain(slices, card) is not None
