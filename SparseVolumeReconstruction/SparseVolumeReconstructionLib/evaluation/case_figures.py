"""Pictures of one reconstruction, drawn without a display, as PNG files."""

from __future__ import annotations

import io
import math

import numpy as np
from matplotlib.figure import Figure

from ..geometry import Grid
from ..observation import Slice

_BLACK, _WHITE, _DIM, _CONTEXT, _EMPTY = "#0b0d10", "#f2f4f7", "#9aa4b2", "#4cc9f0", "#171c23"
_CELL, _SIDE, _HEAD = 2.4, 0.3, 0.36  # inches: width of a view, margins for the names of rows and columns
_VIEWS = ("Axial", "Coronal", "Sagittal")
_COLOURS = ("#1d4ed8", "#e07a1f", "#8a93a0", "#0b7a53", "#8b3fae")


def anatomical(array: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """A volume (k, j, i) with axes to superior, anterior and right, and its spacing (3,) in mm in that order.

    Axes are exchanged and reversed, nothing is interpolated: an oblique grid stays oblique.

    Args:
        array: (k, j, i) on `grid`.
        grid: RAS mm.
    """
    axes = (grid.ijk_to_ras[:3, :3] / grid.spacing_ijk)[::-1, ::-1]  # rows S, A, R; columns k, j, i
    order = [-1, -1, -1]
    left = [(row, column) for row in range(3) for column in range(3)]
    for row, column in sorted(left, key=lambda place: -abs(axes[place])):
        if order[row] < 0 and column not in order:
            order[row] = column
    steps = tuple(slice(None, None, -1 if axes[row, column] < 0 else 1) for row, column in enumerate(order))
    return array.transpose(order)[steps], grid.spacing_ijk[::-1][order]


def centre_of(array: np.ndarray, mask: np.ndarray) -> tuple[int, int, int]:
    """Index (3,) of a place worth showing.

    It is the middle of what is bright, as far from the voxels of `mask` as the first axis allows: up to a
    sixth of its length away.

    Args:
        array: in any units, background about 0.
        mask: bool of the same shape, what was observed; may be empty.
    """
    bright = np.argwhere(array > 0.25 * np.percentile(array, 99.5))
    middle = (
        [int(n) for n in np.rint((bright.min(0) + bright.max(0)) / 2)]
        if len(bright)
        else [n // 2 for n in array.shape]
    )
    seen = np.flatnonzero(mask.any((1, 2)))
    if len(seen):
        near = np.arange(
            max(0, middle[0] - array.shape[0] // 6), min(array.shape[0], middle[0] + array.shape[0] // 6 + 1)
        )
        middle[0] = int(
            near[np.argmax(np.abs(near[:, None] - seen).min(1) - 1e-3 * np.abs(near - middle[0]))]
        )
    return middle[0], middle[1], middle[2]


def _view(array: np.ndarray, axis: int, index: int) -> np.ndarray:
    """One view as radiologists see it.

    Superior or anterior up, the patient's right (or front) on the left.
    """
    return np.take(array, index, axis=axis)[::-1, ::-1]


def _png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, facecolor=figure.get_facecolor())
    return buffer.getvalue()


def panels(
    columns: dict[str, np.ndarray], grid: Grid, where: tuple[int, int, int], top: float, sd_top: float
) -> bytes:
    """Three orthogonal views (rows) of named volumes (k, j, i) on one grid (columns), on black.

    Args:
        columns: {title: volume}; NaN voxels (not observed) stay dark.
        where: index of the views in anatomical order (superior, anterior, right).
        top: value shown white, in image units.
        sd_top: end of the colour scale of columns whose name begins with "Uncertainty", in image units.

    Returns:
        A PNG file.
    """
    turned = {name: anatomical(array, grid)[0] for name, array in columns.items()}
    spacing = anatomical(next(iter(columns.values())), grid)[1]
    superior, anterior, right = spacing * next(iter(turned.values())).shape
    rows = [
        _CELL * height / width
        for height, width in ((anterior, right), (superior, right), (superior, anterior))
    ]
    width, height = _CELL * len(columns) + _SIDE, sum(rows) + _HEAD
    figure = Figure((width, height), facecolor=_BLACK)
    box = {
        "left": _SIDE / width,
        "right": 0.998,
        "bottom": 0.003,
        "top": 1 - _HEAD / height,
        "wspace": 0.02,
        "hspace": 0.02,
    }
    cells = figure.add_gridspec(3, len(columns), height_ratios=rows, **box)
    for column, (name, array) in enumerate(turned.items()):
        for row in range(3):
            axes = figure.add_subplot(cells[row, column])
            pixel_mm = [spacing[n] for n in range(3) if n != row]
            _draw(
                axes,
                array,
                (row, where[row]),
                pixel_mm,
                float(spacing[row]),
                sd_top if name.startswith("Uncertainty") else top,
                name,
            )
            if row == 0:
                axes.set_title(name, color=_WHITE, fontsize=10, fontweight="bold", pad=6)
            if column == 0:
                axes.set_ylabel(_VIEWS[row], color=_DIM, fontsize=9)
    return _png(figure)


def _draw(
    axes, array, view: tuple[int, int], pixel_mm: list[float], step_mm: float, top: float, name: str
) -> None:
    """One view; where nothing was observed on it, the nearest that was, with its distance."""
    pixels = _view(array, *view)
    away = 0
    while np.isnan(pixels).all() and away < array.shape[view[0]]:
        away += 1
        near = [n for n in (view[1] - away, view[1] + away) if 0 <= n < array.shape[view[0]]]
        pixels = next((p for p in (_view(array, view[0], n) for n in near) if not np.isnan(p).all()), pixels)
    holes = bool(np.isnan(pixels).any())
    sd = name.startswith("Uncertainty")
    style = {
        "cmap": "inferno" if sd else "gray",
        "interpolation": "nearest" if holes else "bilinear",
        "aspect": pixel_mm[0] / pixel_mm[1],
    }
    image = axes.imshow(np.ma.masked_invalid(pixels), vmin=0, vmax=top, **style)
    axes.set(xticks=[], yticks=[], facecolor=_EMPTY)
    axes.spines[:].set_visible(False)
    if away:
        axes.text(
            0.5,
            0.02,
            f"nearest slice, {away * step_mm:.0f} mm away",
            color=_CONTEXT,
            fontsize=8,
            ha="center",
            transform=axes.transAxes,
        )
    if sd and view[0] == 2:
        scale = axes.inset_axes([0.1, 0.045, 0.8, 0.028])
        axes.figure.colorbar(image, cax=scale, orientation="horizontal", ticks=[0, top])
        scale.set_xticks([0, top], ["0", f"{top:.3g}"], color=_WHITE, fontsize=7)
        scale.tick_params(length=0, pad=2, top=True, bottom=False, labeltop=True, labelbottom=False)
        scale.spines[:].set_visible(False)


def strip(slices: list[Slice], top: float) -> bytes:
    """The observed slices side by side on black, with their names. top: value shown white, in image units.

    Args:
        slices: at least one; 0 is black.

    Returns:
        A PNG file.
    """
    shown = []
    for image in slices:
        volume, spacing = anatomical(
            image.pixels[None], Grid((1, *image.plane.shape_ji), image.plane.ij_to_ras)
        )
        across = volume.shape.index(1)
        height, width = (float(spacing[n]) for n in range(3) if n != across)
        shown.append((image.name, _view(volume, across, 0), height / width))
    tallest = max(pixels.shape[0] * aspect / pixels.shape[1] for _, pixels, aspect in shown)
    each = min(1.2 * _CELL, 4 * _CELL / len(shown))
    figure = Figure((each * len(shown), each * tallest + _HEAD), facecolor=_BLACK)
    box = {
        "left": 0.002,
        "right": 0.998,
        "bottom": 0.003,
        "top": 1 - _HEAD / figure.get_figheight(),
        "wspace": 0.02,
    }
    grid = figure.add_gridspec(1, len(shown), **box)
    for number, (name, pixels, aspect) in enumerate(shown):
        axes = figure.add_subplot(grid[number])
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=top, aspect=aspect, interpolation="bilinear")
        axes.set_title(name, color=_CONTEXT, fontsize=9, pad=6)
        axes.axis("off")
    return _png(figure)


def curve(curves: dict[str, np.ndarray], contexts: list[int], spacing_mm: float) -> bytes:
    """SSIM by slice (K,) of several estimates.

    Args:
        curves: {name: SSIM}, at most five; the first is drawn strong.
        contexts: numbers of the observed slices.
        spacing_mm: between slices.

    Returns:
        A PNG file.
    """
    figure = Figure((9.7, 3.5), facecolor="white")
    axes = figure.subplots()
    for n in contexts:
        axes.axvline(
            n * spacing_mm,
            color=_CONTEXT,
            lw=1.1,
            zorder=1,
            label="observed slice" if n == contexts[0] else None,
        )
    for (name, values), colour in zip(curves.items(), _COLOURS, strict=False):
        strong = name == next(iter(curves))
        place = np.arange(len(values)) * spacing_mm
        axes.plot(
            place, values, color=colour, lw=2.2 if strong else 1.4, label=name, zorder=3 if strong else 2
        )
    low = min(float(np.nanmin(values)) for values in curves.values())
    axes.set(
        xlim=(0, (len(next(iter(curves.values()))) - 1) * spacing_mm), ylim=(math.floor(low * 10) / 10, 1.005)
    )
    axes.set(xlabel="position along the slice direction (mm, inferior to superior)", ylabel="SSIM")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e9ed")
    axes.set_axisbelow(True)
    axes.legend(
        frameon=False, ncols=len(curves) + 1, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9
    )
    figure.tight_layout()
    return _png(figure)
