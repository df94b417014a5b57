"""Small pictures of one case, kept during an evaluation for its report."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .cases import Case, as_array
from .inference import Inferred
from .scores import with_observed

SAMPLES = 6
SWEEP = 8


@dataclass(frozen=True, eq=False)
class Picture:
    """What the truth and each system show of one case; a prior "x" also under "x sd" and "x sample 1" to 6.

    Attributes:
        views: {name: (axial, coronal, sagittal)} float16, as radiologists see them: superior or anterior up,
            the patient's right (or front) on the left.
        aspect: pixel height over width of each view.
        context_rows: rows of the coronal and sagittal views that were observed.
        swept: numbers of axial slices spread over the stack.
        sweep: {name: these slices, (n, J, I)} float16, seen alike.
        positions: numbers of the observed slices.
        at: voxel (k, j, i) that the views go through.
    """

    count: int
    views: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    aspect: tuple[float, float, float]
    context_rows: list[int]
    swept: list[int]
    sweep: dict[str, np.ndarray]
    positions: list[int]
    at: tuple[int, int, int]


def picture(
    case: Case, count: int, estimates: dict[str, np.ndarray], inferred: dict[str, Inferred]
) -> Picture:
    """Pictures of the estimates, (K, J, I) each, and of what was inferred.

    The axial view lies halfway between contexts, as near to the middle of the brain as that allows.

    Args:
        case: gives the truth, which is shown as well.
        count: number of contexts.
        estimates: {system: volume in [0, 1]}, with the observed slices in it.
        inferred: {prior: its posterior and samples}, from the same contexts.
    """
    positions = case.positions(count)
    brain = np.argwhere(case.brain)
    k, j, i = np.rint((brain.min(0) + brain.max(0)) / 2).astype(int)
    first, length = case.extent
    if positions:
        edges = [first, *positions, first + length - 1]
        k = min(((a + b) // 2 for a, b in itertools.pairwise(edges)), key=lambda middle: abs(middle - k))
    swept = [first + min(round(length * (n + 1) / SWEEP), length - 1) for n in range(SWEEP)]

    everything = {"truth": case.truth.array, **estimates}
    for name, one in inferred.items():
        everything[f"{name} sd"] = as_array(one.posterior.std())
        for number, sample in enumerate(one.samples[:SAMPLES], 1):
            everything[f"{name} sample {number}"] = with_observed(sample, case, positions)
    x, y, z = case.truth.grid.spacing_ijk
    rows = [case.truth.grid.shape_kji[0] - 1 - p for p in positions]
    return Picture(
        count,
        {name: orthogonal(array, (k, j, i)) for name, array in everything.items()},
        (y / x, z / x, z / y),
        rows,
        swept,
        {name: array[swept][:, ::-1, ::-1].astype(np.float16) for name, array in everything.items()},
        positions,
        (k, j, i),
    )


def orthogonal(array: np.ndarray, at: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axial, coronal and sagittal view of a volume (K, J, I) through a voxel, as in `Picture.views`.

    Args:
        array: k, j, i towards superior, anterior and right.
        at: (k, j, i) of the voxel.

    Returns:
        float16.
    """
    k, j, i = at
    axial, coronal, sagittal = array[k], array[:, j], array[:, :, i]
    axial, coronal, sagittal = (v[::-1, ::-1].astype(np.float16) for v in (axial, coronal, sagittal))
    return axial, coronal, sagittal
