"""Volumes and transforms between MRML nodes and arrays with world geometry (RAS, mm)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from ..geometry import Grid, InputError, Volume
from ..geometry.io import stated_thickness
from ..geometry.text_headers import positive

# attribute of a volume node whose file is gone: mm along its third axis
THICKNESS = "SparseVolumeReconstruction.sliceThickness"
# attribute of a volume node: what was not as usual in its files, a line each
NOTICE = "SparseVolumeReconstruction.notice"
# attribute of a volume node whose file is gone: what said in it that this program has made it
INFERRED = "SparseVolumeReconstruction.inferred"
# attribute of the volume nodes that are parts of one scan: the same text for all of them
SCAN = "SparseVolumeReconstruction.scan"
_PARALLEL = 0.999


def world_matrix(node) -> np.ndarray:
    """4x4 from the node's own RAS to world RAS (mm).

    The product of its parent transforms, identity without any.

    Raises:
        InputError: where one of them is not linear.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    return _to_world(parent, f"{node.GetName()}: its parent transform {parent.GetName()}")


def affine_of(transform) -> np.ndarray:
    """4x4 that a transform node, its parents included, applies to world RAS (mm).

    Raises:
        InputError: unless linear.
    """
    return _to_world(transform, transform.GetName())


def _to_world(transform, what: str) -> np.ndarray:
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            f"{what} is not linear; harden it on the volume (Data module), or choose a linear transform."
        )
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def world_grid(node) -> Grid:
    """Grid of a volume node in world RAS, parent transforms included.

    Raises:
        InputError: for an empty or sheared one.
    """
    image = node.GetImageData()
    if image is None or not image.GetNumberOfPoints():
        raise InputError(f"{node.GetName()}: the volume node holds no image; choose one with data.")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    to_world = world_matrix(node)
    try:
        return Grid(image.GetDimensions()[::-1], to_world @ slicer.util.arrayFromVTKMatrix(matrix))
    except InputError as error:
        raise InputError(f"{node.GetName()}: {error}") from error


def volume_of(node) -> Volume:
    """Array (k, j, i) and world grid of a scalar volume node.

    The array is the node's own, do not write to it.

    Raises:
        InputError: for an empty, RGB or vector volume and for geometry that is not rectangular.
    """
    grid = world_grid(node)
    values = node.GetImageData().GetNumberOfScalarComponents()
    if values != 1:
        raise InputError(
            f"{node.GetName()}: {values} values per voxel (RGB or vectors); expected grey values."
        )
    return Volume(slicer.util.arrayFromVolume(node), grid)


def parts_of(node) -> list:
    """The volume nodes that are parts of the same scan as a volume node and show anything, in order.

    The node alone where it is whole.
    """
    scan = node.GetAttribute(SCAN)
    parts = [
        each
        for each in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if scan and each.GetAttribute(SCAN) == scan
    ]
    return [each for each in parts if np.ptp(volume_of(each).array) > 0] or [node]


def stated_thickness_of(node, normal: np.ndarray) -> float | None:
    """Thickness in mm of the slices of a volume node, where something states it.

    What is asked, in this order: the attribute THICKNESS, the file of the node's storage node, Slicer's DICOM
    database.

    Args:
        node: the volume node.
        normal: (3,) of a plane, world RAS, of any length.

    Returns:
        None where none of them knows, and for a plane that is no slice of the volume: more than about 2.5
        degrees off its third axis.

    Raises:
        InputError: as `world_grid`.
    """
    axis = world_grid(node).ijk_to_ras[:3, 2]
    length = float(np.linalg.norm(axis))
    if abs(np.dot(normal, axis)) <= _PARALLEL * length * np.linalg.norm(normal):
        return None
    stated = (
        positive(node.GetAttribute(THICKNESS) or "")
        or _thickness_of_file(node)
        or _thickness_in_database(node)
    )
    return stated and stated * length / node.GetSpacing()[2]  # a parent transform may scale


def _thickness_of_file(node) -> float | None:
    storage = node.GetStorageNode()
    path = Path((storage and storage.GetFullNameFromFileName()) or "")
    try:
        return stated_thickness(path) if path.is_file() else None
    except InputError:
        return None  # the file was changed after the node was loaded


def _thickness_in_database(node) -> float | None:
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    return positive(database.instanceValue(uids[0], "0018,0050")) if uids and database is not None else None


def file_stem(name: str) -> str:
    """A node's name as the name of a file without suffix: letters, digits, "_" and "-" of ASCII."""
    return re.sub(r"[^\w-]+", "_", name, flags=re.ASCII)


def add_volume(
    volume: Volume,
    name: str,
    kind: str = "vtkMRMLScalarVolumeNode",
    attributes: dict[str, str] | None = None,
    *,
    window: tuple[float, float] | None = None,
    shared: bool = False,
):
    """A new volume node (class `kind`) in the scene, with a display node.

    It lies in world RAS, without a parent transform.

    Args:
        attributes: of the node.
        window: window and level where they are known; to find them all voxels are looked at.
        shared: as in `set_volume`.
    """
    node = slicer.mrmlScene.CreateNodeByClass(kind)
    node.UnRegister(None)
    node.SetName(name)
    for key, value in (attributes or {}).items():
        node.SetAttribute(key, value)
    slicer.mrmlScene.AddNode(node)
    if window is not None:
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAutoWindowLevel(False)
        node.GetDisplayNode().SetWindowLevel(*window)
    set_volume(node, volume, shared)
    node.CreateDefaultDisplayNodes()
    return node


def set_volume(node, volume: Volume, shared: bool = False) -> None:
    """Give a volume node other voxels and geometry (world RAS), as one modification.

    Args:
        shared: the node takes the array itself, without a copy; for arrays that nobody else keeps.
    """
    modifying = node.StartModify()
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(volume.grid.ijk_to_ras))
    if shared:
        node.SetAndObserveImageData(_image(volume.array))
    else:
        slicer.util.updateVolumeFromArray(node, volume.array)
    node.EndModify(modifying)


def _image(array: np.ndarray):
    """The voxels (K, J, I) as VTK's image, in the memory of the array."""
    image = vtk.vtkImageData()
    scalars = numpy_to_vtk(np.ascontiguousarray(array).reshape(-1))
    scalars.SetName("ImageScalars")
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(scalars)
    return image


def add_transform(matrix: np.ndarray, name: str):
    """A new linear transform node with a 4x4 matrix (RAS to RAS, mm)."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node
