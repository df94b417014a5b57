"""How a context slice is drawn: the box of its voxels, or a sheet that carries its image."""

from __future__ import annotations

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..geometry import Grid
from . import views
from .nodes import volume_of
from .reslice import reslice_plane

# Corner n of a box lies at the upper end of axis a where bit a of n is set.
_BOX = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
_SHEET = ((0, 1, 3, 2),)


def dress(display, colour: tuple[float, float, float]) -> None:
    """Colour (RGB, 0..1) and light of a slice's display node."""
    display.SetColor(*colour)
    display.SetEdgeColor(*colour)
    display.SetLighting(False)
    display.SetBackfaceCulling(False)
    display.SetVisibility2D(True)


def outlines(role: str) -> list:
    """The model nodes that `new_outline` made for this role."""
    models = slicer.util.getNodesByClass("vtkMRMLModelNode")
    return [node for node in models if node.GetAttribute(views.ROLE) == role]


def new_outline(name: str, role: str, colour: tuple[float, float, float], width: int):
    """A model node for outlines in all views, which is not saved with the scene.

    Args:
        name: of the node.
        role: by which `outlines` finds it.
        colour: RGB, 0..1.
        width: of its lines, pixels.
    """
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLModelNode")
    node.UnRegister(None)
    node.SetName(slicer.mrmlScene.GenerateUniqueName(name))
    node.SetAttribute(views.ROLE, role)
    node.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    dress(display, colour)
    display.SetRepresentation(display.WireframeRepresentation)
    display.SetLineWidth(width)
    display.SetSliceIntersectionThickness(width)
    for each in (node, display):
        each.SetSaveWithScene(False)
    return node


def remove_outlines(role: str) -> None:
    """Take away all outlines of a role."""
    for node in outlines(role):
        for each in filter(None, (node.GetDisplayNode(), node)):
            slicer.mrmlScene.RemoveNode(each)


def draw_sheets(node, corners: np.ndarray) -> None:
    """Give a model node the shape of sheets, which slice views cut as lines.

    Args:
        node: of `new_outline`.
        corners: (n, 4, 3), the corners of each sheet in their order, world RAS mm.
    """
    points, cells = vtk.vtkPoints(), vtk.vtkCellArray()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(corners, float).reshape(-1, 3), deep=True))
    for first in range(0, 4 * len(corners), 4):
        cells.InsertNextCell(4, range(first, first + 4))
    shape = vtk.vtkPolyData()
    shape.SetPoints(points)
    shape.SetPolys(cells)
    node.SetAndObservePolyData(shape)


def box_faces(grid: Grid) -> np.ndarray:
    """Corners (6, 4, 3) of the faces of the box of a grid's voxels, RAS mm."""
    unit = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)], float)
    ijk = unit * grid.shape_kji[::-1] - 0.5
    corners: np.ndarray = ijk @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3]
    return corners[np.array(_BOX)]


def draw_slice(node, grid: Grid, to_local: np.ndarray, image_of=None) -> None:
    """Give a model node the shape of a slice.

    Args:
        grid: one slice in world RAS.
        to_local: 4x4 from world RAS to the node's own coordinates.
        image_of: volume node whose grey values on the slice are shown in 3D, in its window and level; None:
            the edges of the slice's box alone.
    """
    display = node.GetDisplayNode()
    if image_of is None:
        node.SetAndObservePolyData(_shape(grid, to_local, _BOX, flat=False))
        display.SetTextureImageDataConnection(None)
        display.SetRepresentation(display.WireframeRepresentation)
        return
    node.SetAndObservePolyData(_shape(grid, to_local, _SHEET, flat=True))
    producer = vtk.vtkTrivialProducer()
    producer.SetOutput(_picture(image_of, grid))
    display.SetTextureImageDataConnection(producer.GetOutputPort())
    display.SetRepresentation(display.SurfaceRepresentation)
    display.SetEdgeVisibility(True)


def _shape(grid: Grid, to_local: np.ndarray, faces: tuple, flat: bool) -> vtk.vtkPolyData:
    """Faces of the box of a slice's voxels; flat: at the middle of its thickness."""
    unit = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)], float)
    ijk = unit * grid.shape_kji[::-1] - 0.5
    if flat:
        ijk[:, 2] = 0.0
    matrix = to_local @ grid.ijk_to_ras
    points, cells, texture = vtk.vtkPoints(), vtk.vtkCellArray(), vtk.vtkFloatArray()
    texture.SetNumberOfComponents(2)
    texture.SetName("TCoords")
    for corner, share in zip(ijk @ matrix[:3, :3].T + matrix[:3, 3], unit, strict=True):
        points.InsertNextPoint(corner)
        texture.InsertNextTuple2(*share[:2])
    for face in faces:
        cells.InsertNextCell(4, face)
    shape = vtk.vtkPolyData()
    shape.SetPoints(points)
    shape.SetPolys(cells)
    shape.GetPointData().SetTCoords(texture)
    return shape


def _picture(volume, grid: Grid) -> vtk.vtkImageData:
    """The slice as an 8-bit RGB image, in the volume's window and level."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, :3] /= grid.spacing_ijk
    pixels = reslice_plane(volume_of(volume), matrix, float(grid.spacing_ijk[2]), volume.GetName()).array[0]
    display = volume.GetDisplayNode()
    low, high = (
        (display.GetWindowLevelMin(), display.GetWindowLevelMax())
        if display
        else (pixels.min(), pixels.max())
    )
    grey = np.clip((pixels - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    image = vtk.vtkImageData()
    image.SetDimensions(grey.shape[1], grey.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(np.repeat(grey.reshape(-1, 1), 3, 1), deep=True))
    return image
