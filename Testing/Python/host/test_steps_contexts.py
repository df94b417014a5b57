"""Step 1 of the panel, by clicks and keys: context slices."""

import numpy as np
import pytest
import SimpleITK as sitk

from host.desk import OFFSET, REMOVE, THICKNESS, VIEW

SLICES = 4


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


@pytest.fixture
def dense(desk, head):
    """A dense head, shown in all views."""
    import slicer.util

    array, lps = sitk.GetArrayFromImage(head), np.eye(4)
    lps[:3, :3] = np.reshape(head.GetDirection(), (3, 3)) * head.GetSpacing()
    lps[:3, 3] = head.GetOrigin()
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, name="Head")
    node.CreateDefaultDisplayNodes()
    return desk.show(node)


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
    desk.show(dense)
    desk.host.click(desk.ui.addGreenButton)
    desk.host.click(desk.ui.addGreenButton)
    assert len(desk.contexts) == SLICES + 1 and "in the list already (row 5" in desk.status.error


def test_ticking_chooses_nothing_and_moves_nothing(desk, dense):
    for view in ("Red", "Green"):
        desk.host.click(getattr(desk.ui, f"add{view}Button"))
    contexts, planes = (
        desk.panel.presenter.contexts,
        [plane(desk, view) for view in ("Red", "Green", "Yellow")],
    )
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.click(desk.ui.moveButton)
    before, chosen = [context.observed() for context in desk.contexts], contexts.selected
    assert chosen == contexts.moving == desk.contexts[1]
    for row in (0, 1, 0):
        desk.tick_cell(row)
        assert (
            contexts.selected == contexts.moving == chosen and desk.ui.contextTable.item(1, VIEW).isSelected()
        )
    assert not desk.ui.contextTable.item(0, VIEW).isSelected()
    assert [context.observed() for context in desk.contexts] == before
    np.testing.assert_allclose([plane(desk, view) for view in ("Red", "Green", "Yellow")], planes, atol=1e-6)
    desk.host.click(desk.ui.liveCheckBox)
    desk.wait()


def test_a_slice_is_moved_and_put_back(desk, dense):
    for view in ("Red", "Green", "Red"):
        desk.host.scroll(view, 4)
        desk.host.click(getattr(desk.ui, f"add{view}Button"))
    desk.host.click_cell(desk.ui.contextTable, 1, VIEW)
    assert not desk.ui.moveButton.checked and desk.ui.moveButton.enabled
    before = [context.offset_mm for context in desk.contexts]
    desk.host.scroll("Green", 2)
    assert [context.offset_mm for context in desk.contexts] == before
    desk.host.click(desk.ui.moveButton)
    assert desk.ui.contextTable.palette.highlight().color().getRgb()[:3] == (255, 51, 229)
    assert (
        desk.ui.moveButton.checked
        and desk.row(1)[VIEW] == "Green ⇕"
        and "Slice 2 moves with the Green view" in desk.ui.countLabel.text
    )
    desk.host.scroll("Green", 2)
    desk.host.scroll("Red", 2)
    moved = [context.offset_mm for context in desk.contexts]
    assert (
        moved[::2] == before[::2]
        and moved[1] == pytest.approx(desk.host.views["Green"].logic.GetSliceOffset()) != before[1]
    )
    desk.host.click_cell(desk.ui.contextTable, 0, VIEW)
    assert not desk.ui.moveButton.checked and desk.row(1)[VIEW] == "Green"
    desk.host.scroll("Green", 2)
    assert [context.offset_mm for context in desk.contexts] == moved
    assert "slice moved" in desk.ui.undoButton.toolTip
    desk.host.key(desk.ui.contextTable, "Ctrl+Z")
    assert [context.offset_mm for context in desk.contexts] == before
    desk.host.click(desk.ui.undoButton)
    assert len(desk.contexts) == 2


def test_outside_the_module_nothing_happens(desk, dense):
    desk.host.choose(desk.ui.frameModeBox, "Already registered")
    desk.host.click(desk.ui.addRedButton)
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.click(desk.ui.moveButton)
    desk.wait()
    before, mean = desk.contexts[0].observed(), desk.result.mean.GetMTime()
    desk.host.select("")
    desk.host.scroll("Red", 3)
    desk.host.point("Red")
    desk.host.key(desk.host.views["Red"], "Ctrl+Shift+C")
    desk.contexts[0].set_enabled(False)  # as a script may do
    desk.wait()
    assert [context.observed() for context in desk.contexts] == [
        before
    ] and desk.result.mean.GetMTime() == mean
    desk.contexts[0].set_enabled(True)
    desk.host.select("SparseVolumeReconstruction")
    assert not desk.ui.moveButton.checked and desk.ui.liveCheckBox.checked
    desk.edit_cell(0, OFFSET, "4")
    desk.wait()
    assert desk.result.mean.GetMTime() > mean
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.point("Green")
    desk.host.key(desk.host.views["Green"], "Ctrl+Shift+C")
    assert len(desk.contexts) == 2


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


def test_offset_and_thickness_are_edited_by_keyboard(desk, dense):
    desk.host.click(desk.ui.addRedButton)
    desk.edit_cell(0, OFFSET, "12.5")
    assert desk.contexts[0].offset_mm == pytest.approx(12.5) and desk.row(0)[OFFSET] == "12.50"
    desk.edit_cell(0, THICKNESS, "3,5")
    assert desk.contexts[0].thickness_mm == pytest.approx(3.5) and desk.row(0)[THICKNESS] == "3.50"
    bounds = [0.0] * 6
    desk.contexts[0].node.GetRASBounds(bounds)
    assert bounds[4:] == pytest.approx([12.5 - 1.75, 12.5 + 1.75], abs=1e-3)
    desk.edit_cell(0, THICKNESS, "")
    assert desk.contexts[0].stated_thickness_mm is None and desk.row(0)[THICKNESS] == "4.00 (assumed)"


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        (OFFSET, "high up", "is no number"),
        (OFFSET, "500", "move it inside"),
        (OFFSET, "nan", "is no number"),
        (THICKNESS, "thick", "is no number"),
        (THICKNESS, "-1", "expected 0.01 to 100 mm"),
        (THICKNESS, "inf", "is no number"),
    ],
)
def test_wrong_text_puts_the_old_value_back(desk, dense, column, text, words):
    desk.host.click(desk.ui.addRedButton)
    desk.edit_cell(0, THICKNESS, "2")
    row, offset = desk.row(0), desk.contexts[0].offset_mm
    desk.edit_cell(0, column, text)
    assert desk.row(0) == row and desk.contexts[0].offset_mm == offset and desk.contexts[0].thickness_mm == 2
    assert (
        words in desk.ui.errorLabel.text
        and desk.ui.errorLabel.isVisible()
        and not desk.ui.logButton.isVisible()
    )
    desk.edit_cell(0, THICKNESS, "3")
    assert not desk.ui.errorLabel.isVisible()


def test_slices_are_left_out_and_taken_back(desk, sample):
    desk.add_all(sample)
    desk.tick_cell(1)
    assert [context.enabled for context in desk.contexts] == [True, False, True, True]
    assert (
        desk.ui.countLabel.text == "3 of 4 slices used"
        and desk.contexts[1].node.GetDisplayNode().GetOpacity() < 0.5
    )
    desk.tick_cell(1)
    assert (
        all(context.enabled for context in desk.contexts) and desk.ui.countLabel.text == "4 of 4 slices used"
    )


def test_slices_are_removed(desk, sample):
    import slicer.util

    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    desk.add_all(sample)
    first, _, third, fourth = desk.contexts
    desk.host.click_cell(desk.ui.contextTable, 1, REMOVE)
    assert desk.contexts == [first, third, fourth]
    desk.host.click_cell(desk.ui.contextTable, 0, VIEW)
    desk.host.key(desk.ui.contextTable, "Delete")
    assert desk.contexts == [third, fourth] and desk.ui.contextTable.rowCount == 2
    desk.host.click(desk.ui.removeAllButton)
    assert not desk.contexts and not desk.ui.removeAllButton.enabled
    after = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    assert after == before, "nodes stayed behind"


def test_a_click_on_a_row_lets_all_views_jump(desk, sample):
    desk.add_all(sample)
    for k in (2, 0):
        for view in ("Red", "Green", "Yellow"):
            desk.host.scroll(view, 5)
        desk.host.click_cell(desk.ui.contextTable, k, VIEW)
        centre, context = box(k).mean(0), desk.contexts[k]
        assert desk.panel.presenter.contexts.selected == context
        assert max(distance(desk, view, centre) for view in ("Red", "Green", "Yellow")) < 0.01
        matrix = plane(desk, context.view)
        assert np.abs(matrix[:3, 2] @ context.plane[:3, 2]) == pytest.approx(1, abs=1e-6)


def test_images_are_shown_on_the_frames(desk, sample):
    desk.add_all(sample)
    display = desk.contexts[0].node.GetDisplayNode()
    desk.host.click(desk.ui.texturedCheckBox)
    assert display.GetTextureImageDataConnection() is not None
    desk.host.click(desk.ui.texturedCheckBox)
    assert display.GetTextureImageDataConnection() is None


def test_live_results_follow_the_wheel(desk, dense):
    import slicer
    import slicer.util

    desk.host.choose(desk.ui.frameModeBox, "Already registered")
    for view in ("Green", "Red"):
        desk.host.click(getattr(desk.ui, f"add{view}Button"))
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.click(desk.ui.moveButton)
    desk.wait()
    mean = desk.result.mean
    count, ids, before = (
        slicer.mrmlScene.GetNumberOfNodes(),
        mean.GetID(),
        slicer.util.arrayFromVolume(mean).copy(),
    )
    offset, other = desk.contexts[1].offset_mm, desk.contexts[0].offset_mm
    for _ in range(3):
        desk.host.scroll("Red", 2)
    desk.wait()
    assert (
        desk.contexts[1].offset_mm == pytest.approx(desk.host.views["Red"].logic.GetSliceOffset()) != offset
    )
    assert desk.row(1)[OFFSET] == f"{desk.contexts[1].offset_mm:.2f}" and desk.contexts[0].offset_mm == other
    after = slicer.util.arrayFromVolume(mean)
    assert np.abs(after - before).max() > 0.02 * before.max()
    assert desk.result.mean is mean and mean.GetID() == ids and slicer.mrmlScene.GetNumberOfNodes() == count
    assert desk.shown("Red") is mean
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.scroll("Red", 2)
    desk.wait()
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(mean), after)


@pytest.mark.parametrize(("shape", "words"), [((3, 20, 20), "no slice"), ((120, 20, 20), "not sparse")])
def test_volumes_without_slices_to_take_are_refused(desk, shape, words):
    import slicer.util

    volume = desk.noise("Stack", shape)
    if words == "no slice":
        slicer.util.updateVolumeFromArray(volume, np.zeros(shape, np.float32))
    desk.add_all(volume)
    assert words in desk.ui.errorLabel.text and not desk.contexts
