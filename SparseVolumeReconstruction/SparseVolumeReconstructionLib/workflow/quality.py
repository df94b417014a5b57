"""How good a result is against a complete scan of the same patient.

Table, series and chart nodes, slice by slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import slicer.util
import vtk

from ..geometry import InputError, Volume
from ..geometry.resample import resample
from ..mrml.nodes import volume_of
from ..mrml.results import ATTRIBUTE, ResultNodes

ROLE = "quality"
_SSIM, _CC, _POSITION, _CONTEXT = "SSIM", "Correlation", "Position (mm)", "Context"
_AXES = ("R", "A", "S")


def compare(result: ResultNodes, reference):
    """The chart of `Comparison` of a result with a reference volume node.

    Args:
        reference: a complete scan of the same patient, on any grid.

    Returns:
        The chart's node, instead of that of an earlier comparison.

    Raises:
        InputError: where the two do not overlap, or the reference is no volume of grey values.
    """
    comparison = Comparison.of(result, reference)
    return comparison.show(comparison.columns())


@dataclass(frozen=True, eq=False)
class Comparison:
    """SSIM and Pearson correlation of every slice of a result's mean against a reference, called `name`.

    Slices run along the axis of the result's grid that is nearest to the normal of its contexts; both volumes
    are scaled by the reference's 99.9th percentile.
    """

    result: ResultNodes
    name: str
    mean: Volume
    reference: Volume

    @classmethod
    def of(cls, result: ResultNodes, reference) -> Comparison:
        """Of a result with a reference volume node.

        Raises:
            InputError: for a node that is no volume of grey values.
        """
        return cls(result, reference.GetName(), volume_of(result.mean), volume_of(reference))

    def columns(self) -> dict[str, np.ndarray]:
        """{title: (K,)} of the table: positions in mm, SSIM, correlation.

        Seconds of work that touch no scene, so a thread can do it.

        Raises:
            InputError: where the two do not overlap.
        """
        from ..evaluation import metrics

        axis, direction = _direction(self.mean.grid, self._contexts)
        truth = np.moveaxis(resample(self.reference, self.mean.grid).array, axis, 0)
        estimate = np.moveaxis(self.mean.array, axis, 0)
        top = float(np.percentile(truth[truth > 0], 99.9)) if (truth > 0).any() else 0.0
        shown = np.array([np.ptp(a) > 0 and np.ptp(b) > 0 for a, b in zip(truth, estimate, strict=True)])
        if top <= 0 or not shown.any():
            raise InputError(
                f"{self.name} and the reconstruction do not overlap; choose a scan of the same patient."
            )
        truth, estimate = truth / top, estimate / top
        return {
            _POSITION: _positions(self.mean.grid, axis, direction)[shown],
            _SSIM: metrics.slice_ssim(metrics.ssim_map(truth, estimate))[shown],
            _CC: metrics.slice_correlations(truth, estimate)[shown],
        }

    def show(self, columns: dict[str, np.ndarray]):
        """Add what shows the columns, (K,) each.

        Tables, plot series, a chart, instead of those of an earlier comparison; the chart.
        """
        _, direction = _direction(self.mean.grid, self._contexts)
        forget(self.result.mean)
        return _chart(
            self.result, self.name, columns, _context_positions(self._contexts, direction), direction
        )

    @property
    def _contexts(self) -> list[dict]:
        return self.result.provenance.get("contexts", [])


def _direction(grid, contexts: list[dict]) -> tuple[int, np.ndarray]:
    """Array axis of the grid that is nearest to the contexts' mean normal, and its unit vector in RAS.

    The third without any contexts.
    """
    axes = (grid.ijk_to_ras[:3, :3] / grid.spacing_ijk).T
    normals = [np.array(context["ij_to_ras"])[:3, 2] for context in contexts]
    along = [sum(abs(float(axis @ normal)) for normal in normals) for axis in axes]
    index = int(np.argmax(along)) if normals else 2
    unit = axes[index]
    return 2 - index, unit * (np.sign(unit[np.argmax(np.abs(unit))]) or 1.0)


def _positions(grid, axis: int, direction: np.ndarray) -> np.ndarray:
    """Position of every slice along `direction`, (K,) in mm."""
    index = np.zeros((grid.shape_kji[axis], 3))
    index[:, 2 - axis] = np.arange(grid.shape_kji[axis])
    return (index @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3]) @ direction


def _context_positions(contexts: list[dict], direction: np.ndarray) -> np.ndarray:
    """Positions (n,) in mm of the middles of the contexts that lie across `direction`."""
    positions = []
    for context in contexts:
        plane = np.array(context["ij_to_ras"])
        rows, columns = context["pixels_ji"]
        if abs(plane[:3, 2] @ direction) > 0.9:
            positions.append((plane @ [(columns - 1) / 2, (rows - 1) / 2, 0, 1])[:3] @ direction)
    return np.array(positions)


def _chart(result: ResultNodes, reference: str, columns: dict, contexts: np.ndarray, direction: np.ndarray):
    """All nodes of one comparison."""
    name = f"{result.main.GetName()} against {reference}"
    table = _table(result, name, columns)
    marks = {_POSITION: contexts, _CONTEXT: np.interp(contexts, columns[_POSITION], columns[_SSIM])}
    chart = _add(result, "vtkMRMLPlotChartNode", name)
    for colour, column in (((0.0, 0.45, 0.7), _SSIM), ((0.85, 0.37, 0.0), _CC)):
        _series(result, chart, table, column, colour)
    if len(contexts):
        _series(
            result, chart, _table(result, f"{name}, contexts", marks), _CONTEXT, (0.0, 0.0, 0.0), points=True
        )
    axis = _AXES[int(np.argmax(np.abs(direction)))]
    chart.SetTitle(name)
    chart.SetXAxisTitle(f"{axis} (mm)")
    chart.SetYAxisTitle("SSIM, correlation")
    return chart


def _table(result: ResultNodes, name: str, columns: dict):
    node = _add(result, "vtkMRMLTableNode", name)
    for title, values in columns.items():
        column = vtk.vtkDoubleArray()
        column.SetName(title)
        for value in values:
            column.InsertNextValue(float(value))
        node.AddColumn(column)
    return node


def _series(result: ResultNodes, chart, table, column: str, colour: tuple, points: bool = False) -> None:
    node = _add(result, "vtkMRMLPlotSeriesNode", column)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetXColumnName(_POSITION)
    node.SetYColumnName(column)
    node.SetPlotType(node.PlotTypeScatter)
    node.SetLineStyle(node.LineStyleNone if points else node.LineStyleSolid)
    node.SetMarkerStyle(node.MarkerStyleDiamond if points else node.MarkerStyleNone)
    node.SetMarkerSize(11)
    node.SetColor(*colour)
    chart.AddAndObservePlotSeriesNodeID(node.GetID())


def chart_of(result: ResultNodes | None):
    """The chart of the comparison of a result; None where it was not compared."""
    mark = result.main.GetAttribute(f"{ATTRIBUTE}Result") if result is not None else None
    return next(
        (
            chart
            for chart in slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
            if mark and _mark(chart) == mark
        ),
        None,
    )


def show_chart_of(result: ResultNodes | None) -> None:
    """Let plot views that show a comparison, or nothing, show that of a result; charts of others stay."""
    chart = chart_of(result)
    for view in slicer.util.getNodesByClass("vtkMRMLPlotViewNode"):
        shown = view.GetPlotChartNode()
        if shown is not chart and (shown is None or _mark(shown)):
            view.SetPlotChartNodeID(chart.GetID() if chart is not None else None)


def _mark(node) -> str | None:
    """The result to which a node of a comparison belongs; None for another node."""
    return node.GetAttribute(f"{ATTRIBUTE}Result") if node.GetAttribute(f"{ATTRIBUTE}Role") == ROLE else None


def _add(result: ResultNodes, kind: str, name: str):
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    node.SetAttribute(f"{ATTRIBUTE}Role", ROLE)
    node.SetAttribute(f"{ATTRIBUTE}Result", result.main.GetAttribute(f"{ATTRIBUTE}Result"))
    return node


def forget(mean) -> None:
    """Remove the nodes of earlier comparisons of a result, given its mean."""
    identity = mean.GetAttribute(f"{ATTRIBUTE}Result")
    for node in slicer.util.getNodesByClass("vtkMRMLNode"):
        if identity and _mark(node) == identity:
            slicer.mrmlScene.RemoveNode(node)
