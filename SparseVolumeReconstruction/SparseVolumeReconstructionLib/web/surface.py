"""The surface of a result's mean in the 3D view: as opaque as the model is sure of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import slicer
import vtk
from scipy.ndimage import map_coordinates
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from ..geometry import Volume
from ..mrml.nodes import volume_of
from .derived import Derived

_SPACING_MM = 2.5  # fine enough to be looked at, and made in a tenth of a second
_LEVEL = 0.45  # of what is typical within the body
_ROUNDS, _BAND = 15, 0.08  # of smoothing, and what it leaves
_SURE, _UNSURE = (236, 226, 208, 255), (255, 150, 40, 40)  # RGBA
_COLOURS = "Certainty"


class Surface(Derived):
    """The surface of a mean, as sure as its standard deviation is low."""

    def _take(self, mean, std) -> tuple:
        return _coarse(volume_of(mean)), _coarse(volume_of(std)) if std is not None else None

    def _compute(self, mean: tuple, std: tuple | None) -> vtk.vtkPolyData:
        return surface_of(mean, std)

    def _put(self, made: vtk.vtkPolyData) -> None:
        self.node = self.node or _model()
        self.node.SetAndObservePolyData(made)


def _coarse(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Every n-th voxel (k, j, i), and where they are: 4x4 from their indices (i, j, k) to RAS in mm."""
    step = np.maximum(np.round(_SPACING_MM / np.asarray(volume.grid.spacing_ijk)), 1).astype(int)
    matrix = volume.grid.ijk_to_ras.copy()
    matrix[:3, :3] *= step
    return np.ascontiguousarray(volume.array[:: step[2], :: step[1], :: step[0]], np.float32), matrix


def surface_of(
    mean: tuple[np.ndarray, np.ndarray], std: tuple[np.ndarray, np.ndarray] | None
) -> vtk.vtkPolyData:
    """The outer surface of a mean in RAS, the clearer the higher std is.

    Coloured (RGBA, array "Certainty") from opaque where std is 0 to nearly clear where it is high. Empty
    where the mean has no body.

    Args:
        mean, std: arrays (k, j, i) with their 4x4 from (i, j, k) to RAS; std None: equally half clear.
    """
    array, to_ras = mean
    body = array[array > 0.1 * array.max()] if array.max() > 0 else array[:0]
    if not body.size:
        return vtk.vtkPolyData()
    image = vtk.vtkImageData()
    image.SetDimensions(*(size + 2 for size in array.shape[::-1]))
    image.GetPointData().SetScalars(
        numpy_to_vtk(np.pad(array, 1).ravel(), deep=True)
    )  # closed, where the body is cut off
    edges, largest, smooth = (
        vtk.vtkFlyingEdges3D(),
        vtk.vtkPolyDataConnectivityFilter(),
        vtk.vtkWindowedSincPolyDataFilter(),
    )
    moved, normals = vtk.vtkTransformPolyDataFilter(), vtk.vtkPolyDataNormals()
    edges.SetInputData(image)
    edges.SetValue(0, _LEVEL * float(np.median(body)))
    largest.SetExtractionModeToLargestRegion()
    smooth.SetNumberOfIterations(_ROUNDS)
    smooth.SetPassBand(_BAND)
    moved.SetTransform(_from_padded(to_ras))
    normals.SplittingOff()
    normals.AutoOrientNormalsOn()
    for source, filtered in pairwise((edges, largest, smooth, moved, normals)):
        filtered.SetInputConnection(source.GetOutputPort())
    normals.Update()
    shape = normals.GetOutput()
    doubt = (
        _doubt(vtk_to_numpy(shape.GetPoints().GetData()), std)
        if std is not None
        else np.full(shape.GetNumberOfPoints(), 0.5)
    )
    rgba = np.asarray(_SURE) + doubt[:, None] * (np.asarray(_UNSURE) - np.asarray(_SURE))
    colours = numpy_to_vtk(rgba.round().astype(np.uint8), deep=True)
    colours.SetName(_COLOURS)
    shape.GetPointData().SetScalars(colours)
    return shape


def _from_padded(to_ras: np.ndarray) -> vtk.vtkTransform:
    """From indices of the padded image to RAS."""
    matrix = to_ras.copy()
    matrix[:3, 3] -= to_ras[:3, :3].sum(1)
    transform = vtk.vtkTransform()
    transform.SetMatrix(matrix.ravel())
    return transform


def _doubt(points: np.ndarray, std: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """How uncertain the mean is at points (n, 3) in RAS.

    0 where std is 0, 1 where it is as high as almost anywhere.
    """
    array, to_ras = std
    inverse = np.linalg.inv(to_ras)
    ijk = points @ inverse[:3, :3].T + inverse[:3, 3]
    found = map_coordinates(array, ijk.T[::-1], order=1, mode="nearest")
    top = float(np.percentile(found, 95)) if found.size else 0.0
    return np.clip(found / top, 0.0, 1.0) if top > 0 else np.zeros(len(points))


def _model():
    """A model node that is not part of what is saved."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "Surface of the mean (inferred)")
    node.SetSaveWithScene(False)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetVisibility2D(False)
    display.SetBackfaceCulling(True)
    display.SetActiveScalarName(_COLOURS)
    display.SetScalarRangeFlag(display.UseDirectMapping)
    display.SetScalarVisibility(True)
    return node
