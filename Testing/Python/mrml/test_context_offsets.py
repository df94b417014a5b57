"""The offset of a slice is the number that its view's slider shows: whatever the axes of the volume, however
the view was turned.
"""

import numpy as np
import pytest
import slicer
import slicer.util
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.mrml import views
from SparseVolumeReconstructionLib.mrml.nodes import add_volume, world_grid
from SparseVolumeReconstructionLib.workflow.context_list import ContextList

PRESETS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
turns = st.tuples(
    st.floats(-180, 180), st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 2, 3)])
)
# Which axis of the patient each index axis runs along, and in which sense.
axes = st.tuples(st.permutations(range(3)), st.tuples(*[st.sampled_from((-1.0, 1.0))] * 3))


def turn_view(node, matrix):
    """Let a view show the plane of a 4x4 SliceToRAS."""
    node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    node.UpdateMatrices()


def stack(order, senses, tilt, thick):
    """A volume of different values, 12 slices apart by 4 mm (thick) or 1 mm, with any axes; its middle is off
    the origin.
    """
    shape, spacing = (12, 40, 44), (1.0, 1.0, 4.0 if thick else 1.0)
    matrix = np.eye(4)
    matrix[:3, :3] = tilt @ np.eye(3)[:, order] * senses * spacing
    matrix[:3, 3] = np.array([11.0, -17.0, 23.0]) - matrix[:3, :3] @ (np.array(shape[::-1]) - 1) / 2
    return add_volume(
        Volume(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), Grid(shape, matrix)), "Stack"
    )


def agrees(contexts, context):
    """The row says what the slider says, and typing the slider's number moves nothing; so too after the views
    jumped to it.
    """
    node = views.slice_node(context.view)
    for _ in range(2):
        assert context.offset_mm == pytest.approx(node.GetSliceOffset(), abs=1e-6)
        before = context.plane
        contexts.edit(context, lambda each: each.set_offset(round(node.GetSliceOffset(), 2)))
        np.testing.assert_array_equal(context.plane, before)
        assert f"{context.offset_mm:.1f} mm" in context.name
        contexts.show(context)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    view=st.sampled_from(list(PRESETS)),
    how=axes,
    turn=turns,
    tilt=turns,
    thick=st.booleans(),
    shift=st.floats(-3, 3),
)
def test_the_offset_is_that_of_the_slider(slice_views, rotation, view, how, turn, tilt, thick, shift):
    contexts, node = ContextList(lambda: None), slice_views[view]
    node.SetOrientation(PRESETS[view])
    try:
        volume = stack(*how, rotation(tilt[1], tilt[0] / 12), thick)
        views.set_background(volume)
        plane = np.eye(
            4
        )  # seen in the direction in which it was acquired, from either side, or as the view's user turned it
        plane[:3, :3] = rotation(*turn[::-1]) @ views.plane_of(node)[:3, :3]
        if thick:
            plane[:3, 2] = world_grid(volume).ijk_to_ras[:3, 2] / 4.0 * (1 if shift > 0 else -1)
            plane[:3, 0] = np.cross(plane[:3, 2], [0.3, 0.5, 0.81])
            plane[:3, 0] /= np.linalg.norm(plane[:3, 0])
            plane[:3, 1] = np.cross(plane[:3, 2], plane[:3, 0])
        plane[:3, 3] = np.array([11.0, -17.0, 23.0]) + shift * plane[:3, 2]
        turn_view(node, plane)
        context = contexts.add_from_view(view)
        agrees(contexts, context)
        turn_view(
            node, views.plane_of(node) @ np.diag([-1.0, 1.0, -1.0, 1.0])
        )  # seen from behind: the slider runs the other way
        agrees(contexts, context)
        node.SetOrientation(PRESETS[view])
        contexts.show(context)
        agrees(contexts, context)
        offset = node.GetSliceOffset()
        contexts.edit(context, lambda each: each.set_offset(offset + 4.0))
        contexts.show(context)
        assert (
            node.GetSliceOffset() == pytest.approx(context.offset_mm)
            and abs(context.offset_mm - offset - 4.0) < 2.01 * thick + 1e-6
        )
    finally:
        slicer.mrmlScene.RemoveNode(volume)
        contexts.close()


@pytest.mark.parametrize("run", range(1, 7))
def test_offsets_of_real_stacks(slice_views, shared_data, run):
    contexts = ContextList(lambda: None)
    volume = add_volume(
        read_volume(shared_data / "fetal_stacks" / f"sub-01_run-{run}_T2w.nii.gz"), f"Stack {run}"
    )
    matrix = world_grid(volume).ijk_to_ras
    view = views.nearest_view(matrix[:3, 2] / np.linalg.norm(matrix[:3, 2]))
    views.set_background(volume)
    node = slice_views[view]
    node.JumpSliceByOffsetting(*(matrix @ [*(np.array(volume.GetImageData().GetDimensions()) // 2), 1])[:3])
    shown = node.GetSliceOffset()
    context = contexts.add_from_view(view)
    assert abs(context.offset_mm - shown) < volume.GetSpacing()[2] + abs(shown) * 0.1, "the sign of the view"
    agrees(contexts, context)
    contexts.close()
