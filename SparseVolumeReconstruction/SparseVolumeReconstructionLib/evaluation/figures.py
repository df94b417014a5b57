"""Pictures of a report as inline PNG images (matplotlib without a display)."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib.figure import Figure

from .pictures import Picture
from .scores import COVERAGE

_COLOURS = {"mean-atlas": "#8a8f98", "nearest-slice": "#e69f00", "linear-interpolation": "#56b4e9"}
_SYSTEM_COLOURS = ("#b3001b", "#0b6e4f", "#5b2a86", "#0b3c8c")
_LEVEL_COLOURS = ("#9ecae1", "#6baed6", "#2171b5", "#08306b")


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor=figure.get_facecolor())
    return buffer.getvalue()


def inline(picture: bytes, text: str) -> str:
    """An <img> element that carries a PNG file. text: what it shows."""
    return f"<img alt='{text}' src='data:image/png;base64,{base64.b64encode(picture).decode()}'>"


def _axes(width: float, height: float):
    figure = Figure((width, height))
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e9ed")
    axes.set_axisbelow(True)
    return figure, axes


def curve(curves: dict[str, list[float]], names: list[str]) -> str:
    """SSIM along the slices of the named systems; '' where none has a curve."""
    shown = [name for name in names if name in curves]
    if not shown:
        return ""
    figure, axes = _axes(9.5, 3.2)
    systems = iter(_SYSTEM_COLOURS * len(shown))
    for name in shown:
        values = curves[name]
        colour = _COLOURS.get(name) or next(systems)
        strong = name not in _COLOURS
        axes.plot(np.linspace(0, 100, len(values)), values, color=colour, label=name, lw=2 if strong else 1.2, zorder=3 if strong else 2)
    axes.set(xlabel="position, % from inferior to superior (peaks: contexts)", ylabel="SSIM", xlim=(0, 100))
    axes.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.18))
    return inline(png(figure), "SSIM by slice")


def calibration(table: dict[str, dict]) -> str:
    """Coverage of each level by distance to the nearest context, one panel per number of contexts."""
    rows, columns = -(-len(table) // 4), min(4, len(table))
    figure = Figure((2.6 * columns + 0.6, 2.9 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel, (count, bins) in zip(panels, table.items(), strict=False):
        for (key, level), colour in zip(COVERAGE.items(), _LEVEL_COLOURS, strict=True):
            panel.plot(range(len(bins)), [b[key] for b in bins.values()], "o-", color=colour, ms=4, label=f"{level:.0%}")
            panel.axhline(level, color=colour, ls=":", lw=1)
        panel.set(title=f"{count} contexts", ylim=(0.3, 1.01), xticks=range(len(bins)))
        panel.set_xticklabels([name.removesuffix(" mm") for name in bins], rotation=40, fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(table) :]:
        panel.axis("off")
    panels[0].set_ylabel("voxels inside the interval")
    figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, ncols=4, loc="outside upper center", title="dotted: promised")
    figure.supxlabel("distance to the nearest context, mm", fontsize=10)
    return inline(png(figure), "coverage by distance")


def mosaic(picture: Picture, names: list[str]) -> str:
    """Three views (rows) of the named volumes (columns); observed slices are marked on the truth."""
    names = [name for name in names if name in picture.views]
    heights = [view.shape[0] / view.shape[1] * aspect for view, aspect in zip(picture.views["truth"], picture.aspect, strict=True)]
    figure = Figure((1.6 * len(names), 1.6 * sum(heights) + 0.3), facecolor="black")
    panels = figure.subplots(3, len(names), squeeze=False, height_ratios=heights)
    spread = max((float(np.percentile(view, 99.5)) for view in picture.views.get("sd", ())), default=1.0) or 1.0
    for column, name in enumerate(names):
        for row in range(3):
            panel, top = panels[row, column], spread if name == "sd" else 1.0
            colours = "inferno" if name == "sd" else "gray"
            view = picture.views[name][row].astype(np.float32)
            panel.imshow(view, cmap=colours, vmin=0, vmax=top, aspect=picture.aspect[row], interpolation="bilinear")
            panel.axis("off")
            if row and name == "truth":
                for line in picture.context_rows:
                    panel.axhline(line, color="#4cc9f0", lw=0.7)
        panels[0, column].set_title(name if name != "sd" else f"sd (0 to {spread:.2f})", color="white", fontsize=8)
    figure.subplots_adjust(0, 0, 1, 0.95, 0.02, 0.02)
    return inline(png(figure), "mosaic of three orthogonal views")
