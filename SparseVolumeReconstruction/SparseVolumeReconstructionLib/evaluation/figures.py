"""Pictures of a report as PNG files (matplotlib without a display)."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .pictures import SAMPLES, Picture
from .scores import COVERAGE

_COLOURS = {
    "mean-atlas": "#8a8f98",
    "nearest-slice": "#e69f00",
    "linear-interpolation": "#56b4e9",
    "nearest-volume": "#f4a6c0",
    "pca": "#a3c585",
}
_SYSTEM_COLOURS = ("#b3001b", "#0b6e4f", "#5b2a86", "#0b3c8c", "#d1495b", "#7a8b00", "#8b5e34", "#00798c")
_LEVEL_COLOURS = ("#9ecae1", "#6baed6", "#2171b5", "#08306b")


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor=figure.get_facecolor())
    return buffer.getvalue()


def _axes(width: float, height: float):
    figure = Figure((width, height))
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e9ed")
    axes.set_axisbelow(True)
    return figure, axes


def curve(curves: dict[str, list[float]], names: list[str], contexts: Sequence[float] = ()) -> bytes | None:
    """SSIM along the slices of the named systems.

    Args:
        curves: {system: SSIM from the lowest slice to the highest}.
        names: whose are drawn, in this order; those without a curve are passed over.
        contexts: where slices were observed, 0 (inferior) to 1.

    Returns:
        A PNG file; None where none has a curve.
    """
    shown = [name for name in names if name in curves]
    if not shown:
        return None
    figure, axes = _axes(9.5, 3.6)
    for place in contexts:
        axes.axvline(100 * place, color="#4cc9f0", lw=1, zorder=1)
    for name, style in _styled(shown):
        axes.plot(np.linspace(0, 100, len(curves[name])), curves[name], label=name, **style)
    axes.set(xlabel="position, % from inferior to superior (peaks: contexts)", ylabel="SSIM", xlim=(0, 100))
    axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return png(figure)


def by_count(values: dict[str, dict[int, float]], label: str) -> bytes:
    """A number of each system against the number of contexts. values: {system: {count: number}}.

    Args:
        values: systems with "printed" in their name are black squares.
        label: of the axis.

    Returns:
        A PNG file.
    """
    figure, axes = _axes(8, max(3.8, 0.3 * len(values)))
    for name, style in _styled(list(values)):
        marked = {"color": "black", "marker": "s", "ls": ":"} if "printed" in name else {"marker": "o"}
        axes.plot(list(values[name]), list(values[name].values()), ms=4, label=name, **style | marked)
    axes.set(
        xlabel="observed slices",
        ylabel=label,
        xticks=sorted({n for counts in values.values() for n in counts}),
    )
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return png(figure)


def _styled(names: list[str]) -> list[tuple[str, dict]]:
    """Each name with its line: thin for baselines, dashed for the systems after the eighth."""
    thin, strong = {"lw": 1.1, "zorder": 2}, {"lw": 1.8, "zorder": 3}
    systems = itertools.cycle(
        {"ls": dash, "color": colour, **strong} for dash in ("-", "--") for colour in _SYSTEM_COLOURS
    )
    return [
        (name, {"color": _COLOURS[name], **thin} if name in _COLOURS else next(systems)) for name in names
    ]


def calibration(table: dict[str, dict]) -> bytes:
    """Coverage of each level by distance to the nearest context, one panel per number of contexts."""
    rows = -(-len(table) // 4)
    columns = min(4, len(table))
    figure = Figure((2.6 * columns + 0.6, 2.9 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel, (count, bins) in zip(panels, table.items(), strict=False):
        for (key, level), colour in zip(COVERAGE.items(), _LEVEL_COLOURS, strict=True):
            panel.plot(
                range(len(bins)),
                [b[key] for b in bins.values()],
                "o-",
                color=colour,
                ms=4,
                label=f"{level:.0%}",
            )
            panel.axhline(level, color=colour, ls=":", lw=1)
        panel.set(title=f"{count} contexts", ylim=(0.3, 1.01), xticks=range(len(bins)))
        panel.set_xticklabels([name.removesuffix(" mm") for name in bins], rotation=40, fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(table) :]:
        panel.axis("off")
    panels[0].set_ylabel("voxels inside the interval")
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        frameon=False,
        ncols=4,
        loc="outside upper center",
        title="dotted: promised",
    )
    figure.supxlabel("distance to the nearest context, mm", fontsize=10)
    return png(figure)


def mosaic(picture: Picture, names: list[str]) -> bytes:
    """Three views (rows) of the named volumes (columns); observed slices are marked on the truth.

    Args:
        picture: of one case.
        names: those it does not have are passed over; those that end with " sd" are coloured, on one scale.

    Returns:
        A PNG file.
    """
    names = [name for name in names if name in picture.views]
    heights = [
        view.shape[0] / view.shape[1] * aspect
        for view, aspect in zip(picture.views["truth"], picture.aspect, strict=True)
    ]
    figure = Figure((1.6 * len(names), 1.6 * sum(heights) + 0.3), facecolor="black")
    panels = figure.subplots(3, len(names), squeeze=False, height_ratios=heights)
    spread = _spread([view for name in names if name.endswith(" sd") for view in picture.views[name]])
    for column, name in enumerate(names):
        for row in range(3):
            panel = panels[row, column]
            top = spread if name.endswith(" sd") else 1.0
            colours = "inferno" if name.endswith(" sd") else "gray"
            view = picture.views[name][row].astype(np.float32)
            panel.imshow(
                view, cmap=colours, vmin=0, vmax=top, aspect=picture.aspect[row], interpolation="bilinear"
            )
            panel.axis("off")
            if row and name == "truth":
                for line in picture.context_rows:
                    panel.axhline(line, color="#4cc9f0", lw=0.7)
        panels[0, column].set_title(
            f"{name} (0 to {spread:.2f})" if name.endswith(" sd") else name, color="white", fontsize=8
        )
    figure.subplots_adjust(0, 0, 1, 0.95, 0.02, 0.02)
    return png(figure)


def samples(picture: Picture, names: list[str], view: int) -> bytes:
    """Truth, mean, samples and standard deviation (columns) of priors (rows) in one view.

    Args:
        picture: of one case.
        names: of priors, all of which it has.
        view: 0: axial, 1: coronal, 2: sagittal.

    Returns:
        A PNG file.
    """
    columns = ["", *(f" sample {n}" for n in range(1, SAMPLES + 1)), " sd"]
    spread = _spread([picture.views[f"{name} sd"][view] for name in names])
    rows: list[tuple[str, list[tuple[np.ndarray | None, float]]]] = []
    for name in names:
        cells: list[tuple[np.ndarray | None, float]] = [(picture.views["truth"][view], 1.0)]
        cells += [
            (
                picture.views[name + c][view] if name + c in picture.views else None,
                spread if c == " sd" else 1.0,
            )
            for c in columns
        ]
        rows.append((name, cells))
    titles = ["truth", "mean", *columns[1:-1], f"sd (0 to {spread:.2f})"]
    return _sheet(rows, titles, picture.aspect[view], picture.context_rows if view else [])


def sweep(picture: Picture, names: list[str]) -> bytes:
    """Axial slices through the stack (columns) of the named volumes (rows).

    Args:
        picture: of one case.
        names: those it does not have are passed over.

    Returns:
        A PNG file.
    """
    rows: list[tuple[str, list[tuple[np.ndarray | None, float]]]] = [
        (name, [(image, 1.0) for image in picture.sweep[name]]) for name in names if name in picture.sweep
    ]
    titles = [f"{k}{' (seen)' if k in picture.positions else ''}" for k in picture.swept]
    return _sheet(rows, titles, picture.aspect[0], [])


def _spread(views: list[np.ndarray]) -> float:
    """End of the colour scale of standard deviations."""
    return max((float(np.percentile(view, 99.5)) for view in views), default=1.0) or 1.0


def _sheet(
    rows: list[tuple[str, list[tuple[np.ndarray | None, float]]]],
    titles: list[str],
    aspect: float,
    lines: list[int],
) -> bytes:
    """Named rows of (image, white), on black.

    Images of another white than 1 are coloured. lines: rows of pixels to mark in column 0.
    """
    image = rows[0][1][0][0]
    assert image is not None
    height = 1.3 * image.shape[0] / image.shape[1] * aspect
    figure = Figure((1.3 * len(titles) + 0.3, height * len(rows) + 0.3), facecolor="black")
    panels = figure.subplots(len(rows), len(titles), squeeze=False)
    for line, (name, cells) in zip(panels, rows, strict=True):
        for panel, (view, white) in zip(line, cells, strict=True):
            panel.set(xticks=[], yticks=[], facecolor="black")
            panel.spines[:].set_visible(False)
            if view is not None:
                colours = "gray" if white == 1.0 else "inferno"
                panel.imshow(
                    view.astype(np.float32),
                    cmap=colours,
                    vmin=0,
                    vmax=white,
                    aspect=aspect,
                    interpolation="bilinear",
                )
        for row in lines:
            line[0].axhline(row, color="#4cc9f0", lw=0.7)
        line[0].set_ylabel(name, color="white", fontsize=8, rotation=0, ha="right", va="center")
    for panel, title in zip(panels[0], titles, strict=True):
        panel.set_title(title, color="white", fontsize=8)
    figure.subplots_adjust(0.03, 0, 1, 0.95, 0.02, 0.02)
    return png(figure)
