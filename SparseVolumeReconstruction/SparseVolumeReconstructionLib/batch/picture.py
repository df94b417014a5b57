"""Small pictures of a cohort: a mosaic of each case, distributions of all."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from ..evaluation.case_figures import anatomical
from ..evaluation.figures import png
from ..geometry import Volume

_SIDE = 96  # pixels of one view


def mosaic(volumes: dict[str, Volume]) -> bytes:
    """Axial, coronal and sagittal view through the middle of each volume, side by side, as PNG.

    Args:
        volumes: each on its own grid; standard deviations are brighter than the others.
    """
    from matplotlib.image import imsave

    rows = []
    for name, volume in volumes.items():
        array, _ = anatomical(volume.array, volume.grid)
        top = float(np.percentile(array, 99.5)) or 1.0
        k, j, i = (n // 2 for n in array.shape)
        views = [view[::-1, ::-1] for view in (array[k], array[:, j], array[:, :, i])]
        rows.append(np.hstack([_fitted(np.clip(view / top, 0, 1)) for view in views]))
        if name == "std":
            rows[-1] = np.sqrt(rows[-1])
    target = io.BytesIO()
    imsave(target, np.hstack(rows), cmap="gray", vmin=0, vmax=1)
    return target.getvalue()


def _fitted(view: np.ndarray) -> np.ndarray:
    """A view (rows, columns) in a square of _SIDE pixels, nearest neighbour."""
    side = max(view.shape)
    padded = np.zeros((side, side), np.float32)
    top, left = ((side - n) // 2 for n in view.shape)
    padded[top : top + view.shape[0], left : left + view.shape[1]] = view
    chosen = np.arange(_SIDE) * side // _SIDE
    return padded[np.ix_(chosen, chosen)]


def distribution(values: Sequence[float], label: str) -> bytes:
    """Histogram of one value of all cases, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure((4.2, 2.2), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(values, bins=min(30, max(5, len(values) // 4)))
    axes.set_xlabel(label)
    axes.set_ylabel("cases")
    return png(figure)
