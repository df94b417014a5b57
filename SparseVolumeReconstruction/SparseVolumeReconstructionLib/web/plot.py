"""A chart node as a picture."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from functools import partial

from vtk.util.numpy_support import vtk_to_numpy

_INK, _GROUND = "#e6e9ed", "#171b20"
_TITLE_WIDTH = 60  # letters in a line


def chart_drawing(chart) -> Callable[[], str]:
    """Take from a plot chart node what it shows; what is returned draws it as SVG text, in any thread.

    Lines for series with lines, markers for those without, titled as in the node.
    """
    curves = []
    for number in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(number)
        table = series.GetTableNode().GetTable()
        x, y = (
            vtk_to_numpy(table.GetColumnByName(name))
            for name in (series.GetXColumnName(), series.GetYColumnName())
        )
        lines = series.GetLineStyle() != series.LineStyleNone
        style = {"linewidth": 1.8} if lines else {"linestyle": "", "marker": "D", "markersize": 5}
        curves.append((x, y, style | {"label": series.GetName(), "color": _visible(series.GetColor())}))
    return partial(_svg, chart.GetTitle() or "", chart.GetXAxisTitle(), chart.GetYAxisTitle(), curves)


def _svg(title: str, x_title: str, y_title: str, curves: list[tuple]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 2.9), layout="constrained", facecolor=_GROUND)
    axes = figure.add_subplot(facecolor=_GROUND)
    for x, y, style in curves:
        axes.plot(x, y, **style)
    axes.set_title(textwrap.fill(title, _TITLE_WIDTH), size=8, color=_INK)
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    axes.grid(color="#3a424b", linewidth=0.6)
    axes.tick_params(colors=_INK, labelsize=8)
    for part in (axes.xaxis.label, axes.yaxis.label):
        part.set(color=_INK, size=8)
    for spine in axes.spines.values():
        spine.set_color("#56606b")
    axes.legend(fontsize=8, facecolor=_GROUND, edgecolor="#56606b", labelcolor=_INK)
    text = io.StringIO()
    figure.savefig(text, format="svg")
    return text.getvalue()[text.getvalue().index("<svg") :]


def _visible(colour: tuple[float, float, float]) -> tuple[float, ...]:
    """The colour of a series (RGB, 0..1), lighter where it would be lost on the dark ground."""
    return colour if max(colour) > 0.3 else (0.9, 0.91, 0.93)
