"""Step 1 of the panel, by clicks and keys: slices are taken from views and volumes."""

import numpy as np
import pytest

from host.desk import OFFSET, REMOVE, THICKNESS, VIEW
from host.planes import box, plane

SLICES = 4


@pytest.mark.parametrize(
    ("view", "orientation"), [("Red", "axial"), ("Green", "coronal"), ("Yellow", "sagittal")]
)
def test_buttons_take_what_a_view_shows(desk, dense, view, orientation):
    desk.host.scroll(view, 2)
    offset = desk.host.views[view].logic.GetSliceOffset()
    desk.host.click(getattr(desk.ui, f"add{view}Button"))
    (context,) = desk.contexts
    assert context.volume is dense and context.view == view and context.orientation == orientation
    assert desk.row(0)[VIEW:THICKNESS] == [view, orientation, f"{context.offset_mm:.2f}"]
    np.testing.assert_allclose(context.plane[:3, 2] @ plane(desk, view)[:3, 3], context.offset_mm, atol=1e-4)
    assert abs(context.offset_mm) == pytest.approx(abs(offset), abs=1e-4)
    assert desk.row(0)[THICKNESS] == "4.00 (assumed)"
    assert context.node.GetDisplayNode().GetColor() == pytest.approx(
        desk.host.views[view].node.GetLayoutColor(), abs=1e-6
    )


@pytest.mark.parametrize("kind", ["vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode"])
def test_a_mask_is_applied_to_the_shown_scan_and_never_taken_for_one(desk, kind):
    from SparseVolumeReconstructionLib.geometry import Volume
    from SparseVolumeReconstructionLib.mrml.nodes import add_volume, volume_of

    scan = desk.sample()
    whole = volume_of(scan)
    inside = np.zeros(whole.array.shape, np.uint8)
    inside[:, 20:60, 30:70] = 1
    mask = add_volume(Volume(inside, whole.grid), "brain mask", kind)
    desk.add_all(mask)
    made = desk.panel.presenter.parameters.allVolume
    assert (
        desk.status.error == "" and made.GetName() == f"{scan.GetName()} masked" and len(desk.contexts) == 0
    )
    np.testing.assert_array_equal(volume_of(made).array, np.where(inside, whole.array, 0))
    assert (
        desk.host.views["Red"].composite.GetBackgroundVolumeID() == made.GetID()
        and desk.ui.useAllButton.text == "Use all slices"
    )
    desk.host.click(desk.ui.useAllButton)
    assert len(desk.contexts) == SLICES and all(context.thickness_mm == 1.0 for context in desk.contexts)
    if kind == "vtkMRMLLabelMapVolumeNode":
        return  # it cannot be a view's background
    desk.show(mask)
    desk.host.choose(desk.ui.allSelector, "brain mask")
    assert desk.ui.useAllButton.text == "Use as mask"
    desk.host.click(desk.ui.useAllButton)
    assert "show the scan to which brain mask belongs" in desk.status.error and len(desk.contexts) == SLICES
    desk.host.click(desk.ui.addRedButton)
    assert "brain mask is a mask, not a scan" in desk.status.error and len(desk.contexts) == SLICES


def test_the_shortcut_takes_the_view_under_the_mouse(desk, dense):
    for view in ("Yellow", "Red"):
        desk.host.point(view)
        desk.host.key(desk.host.views[view], "Ctrl+Shift+C")
    assert [context.view for context in desk.contexts] == ["Yellow", "Red"]
    desk.host.point("3D")
    desk.host.key(desk.host.views["Red"], "Ctrl+Shift+C")
    assert len(desk.contexts) == 2 and "no slice view is under the mouse" in desk.status.error


def test_a_view_that_is_not_shown_gives_no_slice(desk, dense):
    import slicer

    layout, node = slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode
    layout.setLayout(node.SlicerLayoutOneUpRedSliceView)
    desk.host.process(0.05)
    assert desk.ui.addRedButton.enabled and "Take the slice" in desk.ui.addRedButton.toolTip
    assert (
        not desk.ui.addYellowButton.enabled and "Yellow view is not shown" in desk.ui.addYellowButton.toolTip
    )
    layout.setLayout(node.SlicerLayoutFourUpView)
    desk.host.process(0.05)
    desk.host.click(desk.ui.addYellowButton)
    assert [context.view for context in desk.contexts] == [
        "Yellow"
    ] and "Take the slice" in desk.ui.addYellowButton.toolTip


def test_nothing_is_taken_twice(desk, dense, sample):
    desk.add_all(sample)
    desk.host.click(desk.ui.useAllButton)
    assert len(desk.contexts) == SLICES and "all 4 slices" in desk.status.error
    desk.host.click_cell(desk.ui.contextTable, 0, REMOVE)
    desk.host.click(desk.ui.useAllButton)
    assert len(desk.contexts) == SLICES and "3 slices were in the list already" in desk.status.step
    assert "3 slices were in the list already" in desk.ui.contextsNote.text
    desk.show(dense)
    desk.host.click(desk.ui.addGreenButton)
    desk.host.click(desk.ui.addGreenButton)
    assert len(desk.contexts) == SLICES + 1 and "in the list already (row 5" in desk.status.error


def test_an_oblique_view_gives_an_oblique_slice(desk, dense):
    import slicer.util

    node, turned = desk.host.views["Green"].node, plane(desk, "Green")
    angle = np.radians(20)
    turned[:3, :3] = [
        [1, 0, 0],
        [0, np.cos(angle), -np.sin(angle)],
        [0, np.sin(angle), np.cos(angle)],
    ] @ turned[:3, :3]
    node.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(turned))
    node.UpdateMatrices()
    desk.host.click(desk.ui.addGreenButton)
    assert desk.contexts[0].orientation == "oblique (coronal 20°)"
    np.testing.assert_allclose(desk.contexts[0].plane[:3, 2], plane(desk, "Green")[:3, 2], atol=1e-6)


def test_nothing_to_take_is_said(desk):
    desk.host.click(desk.ui.addRedButton)
    assert (
        desk.ui.errorLabel.isVisible()
        and "no volume is shown" in desk.ui.errorLabel.text
        and not desk.contexts
    )
    assert not desk.ui.useAllButton.enabled and "Choose a volume" in desk.ui.useAllButton.toolTip
    assert (
        "prior's own" in desk.ui.countLabel.text and "press Red, Green or Yellow" in desk.ui.countLabel.text
    )


def test_all_slices_lie_where_the_file_says(desk, sample):
    desk.add_all(sample)
    assert len(desk.contexts) == desk.ui.contextTable.rowCount == SLICES
    assert desk.ui.countLabel.text == "4 of 4 slices used"
    for k, context in enumerate(desk.contexts):
        bounds, corners = [0.0] * 6, box(k)
        context.node.GetRASBounds(bounds)
        np.testing.assert_allclose(
            np.reshape(bounds, (3, 2)), np.stack([corners.min(0), corners.max(0)], 1), atol=1e-3
        )
        assert desk.row(k)[THICKNESS] == "1.00"  # the header states it


def test_frames_follow_a_transform_of_the_volume(desk, sample):
    import slicer
    import vtk

    desk.add_all(sample)
    move = vtk.vtkTransform()
    move.Translate(7, -5, 20)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(move.GetMatrix())
    sample.SetAndObserveTransformNodeID(node.GetID())
    desk.host.process(0.05)
    bounds, corners = [0.0] * 6, box(0) + np.array([7, -5, 20])
    desk.contexts[0].node.GetRASBounds(bounds)
    np.testing.assert_allclose(
        np.reshape(bounds, (3, 2)), np.stack([corners.min(0), corners.max(0)], 1), atol=1e-3
    )
    assert desk.row(0)[OFFSET] == f"{desk.contexts[0].offset_mm:.2f}"


@pytest.mark.parametrize(("shape", "words"), [((3, 20, 20), "no slice"), ((120, 20, 20), "not sparse")])
def test_volumes_without_slices_to_take_are_refused(desk, shape, words):
    import slicer.util

    volume = desk.noise("Stack", shape)
    if words == "no slice":
        slicer.util.updateVolumeFromArray(volume, np.zeros(shape, np.float32))
    desk.add_all(volume)
    assert words in desk.ui.errorLabel.text and not desk.contexts
