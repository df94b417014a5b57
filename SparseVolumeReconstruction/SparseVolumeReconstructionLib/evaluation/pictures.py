"""Small pictures of one case, kept during an evaluation for its report."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .cases import Case, as_array
from .scores import pasted


@dataclass(frozen=True, eq=False)
class Picture:
    """Three orthogonal views of the truth and of each system.

    views: {name: (axial, coronal, sagittal)} float16, as radiologists see them: superior or anterior up,
    the patient's right (or front) on the left. aspect: pixel height over
    width of each view. context_rows: rows of the coronal and sagittal views that were observed. curves: {name: SSIM by slice}.
    """

    count: int
    views: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    aspect: tuple[float, float, float]
    context_rows: list[int]


def picture(case: Case, count: int, estimates: dict[str, np.ndarray], posterior) -> Picture:
    """Views of the estimates, (K, J, I) each, and of the posterior's sd and first sample; the axial one lies halfway between contexts."""
    positions = case.positions(count)
    brain = np.argwhere(case.brain)
    k, j, i = np.rint((brain.min(0) + brain.max(0)) / 2).astype(int)
    if positions:
        edges = [case.extent[0], *positions, sum(case.extent) - 1]
        k = min(((a + b) // 2 for a, b in itertools.pairwise(edges)), key=lambda middle: abs(middle - k))

    def views(array: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return tuple(v[::-1, ::-1].astype(np.float16) for v in (array[k], array[:, j], array[:, :, i]))

    x, y, z = case.truth.grid.spacing_ijk
    rows = [case.truth.grid.shape_kji[0] - 1 - p for p in positions]
    sample = pasted(posterior.sample([0])[0], case, positions)
    everything = {"truth": case.truth.array, **estimates, "sd": as_array(posterior.std()), "sample": sample}
    return Picture(count, {name: views(array) for name, array in everything.items()}, (y / x, z / x, z / y), rows)
