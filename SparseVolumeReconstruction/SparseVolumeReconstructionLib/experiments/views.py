"""Sheets of whole volumes: three views of each, with structures in colour where they are known."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from ..evaluation.figures import png

Shown = tuple[np.ndarray, np.ndarray | None]
"""A volume (K, J, I), [0, 1], and its classes (K, J, I) or None."""
_COLOURS = np.concatenate([np.zeros((1, 4)), colormaps["tab20"](np.arange(20))])


def sheet(rows: list[tuple[str, list[Shown]]], spacing_ijk: np.ndarray) -> bytes:
    """A PNG file: for each name a row with the axial, coronal and sagittal middle of each of its volumes.

    Args:
        spacing_ijk: mm.
    """
    i, j, k = (float(mm) for mm in spacing_ijk)
    most = max(len(volumes) for _, volumes in rows)
    planes, heights, widths = rows[0][1][0][0].shape
    sizes = [(heights * j, widths * i), (planes * k, widths * i), (planes * k, heights * j)]
    tall = max(height for height, _ in sizes)
    inches = 1.5 / tall
    figure = Figure(
        (inches * most * sum(width for _, width in sizes) + 1.2, 1.55 * len(rows)), facecolor="black"
    )
    panels = figure.subplots(
        len(rows), 3 * most, squeeze=False, width_ratios=[width for _, width in sizes] * most
    )
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[], facecolor="black")
        panel.spines[:].set_visible(False)
    for line, (name, volumes) in zip(panels, rows, strict=True):
        line[0].set_ylabel(
            name.replace(", ", ",\n").replace(" (", "\n("),
            color="white",
            fontsize=8,
            rotation=0,
            ha="right",
            va="center",
        )
        for place, (array, classes) in enumerate(volumes):
            for view, aspect in enumerate((j / i, k / i, k / j)):
                panel = line[3 * place + view]
                panel.imshow(_middle(array, view), cmap="gray", vmin=0, vmax=1, origin="lower", aspect=aspect)
                if classes is not None:
                    colours = _COLOURS[_middle(classes, view)]
                    colours[..., 3] *= 0.6
                    panel.imshow(colours, origin="lower", aspect=aspect, interpolation="nearest")
    figure.subplots_adjust(1.2 / figure.get_size_inches()[0], 0, 1, 1, 0.02, 0.02)
    return png(figure)


def _middle(array: np.ndarray, view: int) -> np.ndarray:
    """The middle slice of (K, J, I) across axis `view`."""
    return np.take(array, array.shape[view] // 2, view)


def strips(rows: list[tuple[str, list[np.ndarray]]], titles: list[str]) -> bytes:
    """A PNG file: for each name a row of slices (H, W) in [0, 1], below their titles.

    Args:
        rows: names and slices; a shorter row leaves places empty.
        titles: of the columns.
    """
    figure = Figure((1.15 * len(titles) + 1.3, 1.15 * len(rows) + 0.3), facecolor="black")
    panels = figure.subplots(len(rows), len(titles), squeeze=False)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[], facecolor="black")
        panel.spines[:].set_visible(False)
    for line, (name, slices) in zip(panels, rows, strict=True):
        line[0].set_ylabel(name, color="white", fontsize=8, rotation=0, ha="right", va="center")
        for panel, image in zip(line, slices, strict=False):
            panel.imshow(image, cmap="gray", vmin=0, vmax=1, origin="lower")
    for panel, title in zip(panels[0], titles, strict=True):
        panel.set_title(title, color="white", fontsize=8)
    figure.subplots_adjust(1.3 / figure.get_size_inches()[0], 0, 1, 0.93, 0.02, 0.02)
    return png(figure)
