"""Where planes and slices lie, in mm and RAS."""

import numpy as np
import SimpleITK as sitk


def plane(desk, view):
    """SliceToRAS of a view, 4x4."""
    import slicer.util

    return slicer.util.arrayFromVTKMatrix(desk.host.views[view].node.GetSliceToRAS())


def distance(desk, view, point):
    """How far a view's plane is from a point in RAS, mm."""
    matrix = plane(desk, view)
    return abs(float(matrix[:3, 2] @ (np.asarray(point) - matrix[:3, 3])))


def box(k, thickness_mm=1.0):
    """The corners (8, 3) in RAS of slice k of the sample's file, as SimpleITK reads it."""
    from SparseVolumeReconstructionLib.mrml.sample_data import FILE

    image = sitk.ReadImage(str(FILE))
    columns, rows, _ = image.GetSize()
    half = thickness_mm / image.GetSpacing()[2] / 2
    index = [(i, j, k + z) for i in (-0.5, columns - 0.5) for j in (-0.5, rows - 0.5) for z in (-half, half)]
    return np.array([image.TransformContinuousIndexToPhysicalPoint(one) for one in index]) * [-1, -1, 1]
