"""Volumes and transforms between MRML nodes and arrays with world geometry (RAS, mm)."""

from __future__ import annotations

import numpy as np
import slicer
import slicer.util
import vtk

from ..geometry import Grid, InputError, Volume


def world_matrix(node) -> np.ndarray:
    """4x4 from the node's own RAS to world RAS (mm): the product of its parent transforms, identity without any.

    Raises InputError where one of them is not linear.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    return _to_world(parent, f"{node.GetName()}: its parent transform {parent.GetName()}")


def affine_of(transform) -> np.ndarray:
    """4x4 that a transform node, its parents included, applies to world RAS (mm). Raises InputError unless linear."""
    return _to_world(transform, transform.GetName())


def _to_world(transform, what: str) -> np.ndarray:
    if not transform.IsTransformToWorldLinear():
        raise InputError(f"{what} is not linear; harden it on the volume (Data module), or choose a linear transform.")
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def world_grid(node) -> Grid:
    """Grid of a volume node in world RAS, parent transforms included. Raises InputError for an empty or sheared one."""
    image = node.GetImageData()
    if image is None or not image.GetNumberOfPoints():
        raise InputError(f"{node.GetName()}: the volume node holds no image; choose one with data.")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    try:
        return Grid(image.GetDimensions()[::-1], world_matrix(node) @ slicer.util.arrayFromVTKMatrix(matrix))
    except InputError as error:
        raise InputError(f"{node.GetName()}: {error}") from error


def volume_of(node) -> Volume:
    """Array (k, j, i) and world grid of a scalar volume node; the array is the node's own, do not write to it.

    Raises InputError for an empty, RGB or vector volume and for geometry that is not rectangular.
    """
    grid = world_grid(node)
    values = node.GetImageData().GetNumberOfScalarComponents()
    if values != 1:
        raise InputError(f"{node.GetName()}: {values} values per voxel (RGB or vectors); expected grey values.")
    return Volume(slicer.util.arrayFromVolume(node), grid)


def add_volume(volume: Volume, name: str, kind: str = "vtkMRMLScalarVolumeNode"):
    """A new volume node (class `kind`) in the scene, in world RAS without a parent transform, with a display node."""
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(volume.grid.ijk_to_ras))
    slicer.util.updateVolumeFromArray(node, volume.array)
    node.CreateDefaultDisplayNodes()
    return node


def add_transform(matrix: np.ndarray, name: str):
    """A new linear transform node with a 4x4 matrix (RAS to RAS, mm)."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node
