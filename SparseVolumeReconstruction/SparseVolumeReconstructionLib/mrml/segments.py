"""Masks of the brain as segmentations, so that they can be corrected, with what is known of their slices."""

from __future__ import annotations

import json

import numpy as np
import slicer
import slicer.util

from ..geometry import Grid, InputError, Volume
from .i18n import _
from .masks import is_mask
from .nodes import add_volume, volume_of, world_grid

_STACK = "SparseVolumeReconstruction.Stack"
_FOUND = "SparseVolumeReconstruction.Found"
_COLOUR, _OPACITY = (0.0, 0.85, 1.0), 0.25
_NEAR, _PARALLEL = 0.1, 0.999  # of a slice's number, and of directions


def add_mask(mask: Volume, stack, found: dict):
    """A new segmentation node, "<stack> brain", of one segment, to be corrected in the Segment Editor.

    Args:
        mask: above 0 in the brain.
        stack: the volume node in which it was found, or a mask volume that it was.
        found: "proposed" and "slices" as the process answers; empty where nobody looked.
    """
    name = slicer.mrmlScene.GenerateUniqueName(_("{name} brain").format(name=stack.GetName()))
    labels = Volume((mask.array > 0).astype(np.uint8), mask.grid)
    label_map = add_volume(labels, name, "vtkMRMLLabelMapVolumeNode")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(label_map, node)
    node.SetReferenceImageGeometryParameterFromVolumeNode(label_map)
    slicer.mrmlScene.RemoveNode(label_map)
    segment = node.GetSegmentation().GetNthSegment(0)
    segment.SetName(_("Brain"))
    segment.SetColor(*_COLOUR)
    node.SetNodeReferenceID(_STACK, stack.GetID())
    if found:
        node.SetAttribute(_FOUND, json.dumps(found))
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetOpacity2DFill(_OPACITY)
    return node


def stack_of(mask):
    """The volume node in which a mask was found; None for another mask, and where it is gone."""
    return mask.GetNodeReference(_STACK) if mask is not None else None


def found_in(mask) -> dict:
    """What was found with a mask.

    "proposed", numbers of the slices that belong together, and "slices", how still each was; both empty where
    nobody knows.
    """
    text = mask.GetAttribute(_FOUND) if mask is not None else None
    return json.loads(text) if text else {"proposed": [], "slices": {}}


def number_in(stack, plane: np.ndarray) -> int | None:
    """Which slice of a volume node a plane (4x4 SliceToRAS in world RAS, mm) is; None where it is none."""
    grid = world_grid(stack)
    axis = grid.ijk_to_ras[:3, 2] / np.linalg.norm(grid.ijk_to_ras[:3, 2])
    number = float((grid.ras_to_ijk @ plane[:, 3])[2])
    parallel = abs(float(plane[:3, 2] @ axis)) > _PARALLEL
    return round(number) if parallel and abs(number - round(number)) < _NEAR else None


def mask_of(node) -> Volume:
    """Where a segmentation node, any segment of it, or a mask volume is: uint8, world RAS.

    Raises:
        InputError: for an empty one, and for a volume that is no mask.
    """
    if not node.IsA("vtkMRMLSegmentationNode"):
        if not is_mask(node):
            raise InputError(
                _("{name} is no mask: expected 0 outside and one other value inside.").format(
                    name=node.GetName()
                )
            )
        volume = volume_of(node)
        return Volume((volume.array != 0).astype(np.uint8), volume.grid)
    label_map = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    try:
        whole = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
        logic.ExportAllSegmentsToLabelmapNode(node, label_map, whole)
        volume = volume_of(label_map)
        array = (volume.array != 0).astype(np.uint8)
    finally:
        slicer.mrmlScene.RemoveNode(label_map)
    if not array.any():
        raise InputError(
            _("{name} is empty: paint the brain in it, or choose no mask.").format(name=node.GetName())
        )
    return Volume(array, Grid(array.shape, volume.grid.ijk_to_ras))
