"""Step 3 of the panel, by clicks and keys: the patient's frame, and the atlas over the slices."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

VIEWS = ("Red", "Green", "Yellow")


def bounds(node):
    """Box of a node in RAS, (3, 2) mm."""
    box = [0.0] * 6
    node.GetRASBounds(box)
    return np.reshape(box, (3, 2))


def affine(node):
    """4x4 that a transform node applies to world RAS."""
    import slicer.util
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def move(node, shift_mm):
    """Drag a transform: what the handles in the views do to the node."""
    import slicer.util

    matrix = affine(node)
    matrix[:3, 3] += shift_mm
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))


def likeness(volume, other):
    """Correlation of a volume node with another one, at the voxels of the former."""
    from SparseVolumeReconstructionLib.geometry.resample import resample
    from SparseVolumeReconstructionLib.mrml.nodes import volume_of

    own = volume_of(volume)
    return np.corrcoef(own.array.ravel(), resample(volume_of(other), own.grid).array.ravel())[0, 1]


@pytest.fixture
def atlas(desk, sample):
    """The atlas, placed by the four slices and shown over them."""
    desk.add_all(sample)
    desk.host.click(desk.ui.atlasButton)
    desk.wait()
    return desk.parameters.atlas


def test_the_atlas_is_laid_over_the_slices_and_taken_away(desk, sample, atlas):
    import slicer

    assert [desk.shown(view) for view in VIEWS] == [atlas] * 3 and desk.ui.atlasButton.checked
    assert (
        atlas.GetParentTransformNode()
        is desk.parameters.frameTransform
        is desk.ui.frameTransformSelector.currentNode()
    )
    assert likeness(sample, atlas) > 0.9 and atlas.GetName() == "brain-t1 atlas"
    composites = [desk.host.views[view].composite for view in VIEWS]
    assert [each.GetForegroundOpacity() for each in composites] == [0.5] * 3  # the slices can be seen below
    outlines = [slicer.mrmlScene.GetNodeByID(each.GetLabelVolumeID()) for each in composites]
    assert [node.GetName() for node in outlines] == ["brain-t1 atlas outline"] * 3
    assert outlines[0].GetParentTransformNode() is atlas.GetParentTransformNode()
    assert all(desk.host.views[view].node.GetUseLabelOutline() for view in VIEWS)
    desk.host.click(desk.ui.atlasButton)
    assert [desk.shown(view) for view in VIEWS] == [None] * 3 and not desk.ui.atlasButton.checked
    assert (
        not any(each.GetLabelVolumeID() for each in composites)
        and not desk.host.views["Red"].node.GetUseLabelOutline()
    )


def test_a_new_atlas_replaces_the_old_one(desk, sample, atlas):
    import slicer

    count = slicer.mrmlScene.GetNumberOfNodes()
    desk.host.click(desk.ui.atlasButton)
    desk.tick_cell(0)
    desk.host.click(desk.ui.atlasButton)
    desk.wait()
    assert desk.parameters.atlas is not atlas and not slicer.mrmlScene.IsNodePresent(atlas)
    assert desk.shown() is desk.parameters.atlas and slicer.mrmlScene.GetNumberOfNodes() == count


def test_the_frame_is_edited_by_hand(desk, sample, atlas):
    transform = desk.parameters.frameTransform
    desk.host.click(desk.ui.editButton)
    display = transform.GetDisplayNode()
    assert (
        desk.ui.frameModeBox.currentText == "Transform node" and desk.parameters.frameTransform is transform
    )
    assert display.GetEditorVisibility() and display.GetEditorSliceIntersectionVisibility()
    assert (
        display.GetEditorTranslationEnabled()
        and display.GetEditorRotationEnabled()
        and not display.GetEditorScalingEnabled()
    )
    before = bounds(atlas)
    move(transform, [12, 0, -6])
    np.testing.assert_allclose(bounds(atlas), before + np.array([12, 0, -6])[:, None], atol=1e-3)
    assert likeness(sample, atlas) < 0.9
    desk.host.click(desk.ui.editButton)
    assert not display.GetEditorVisibility() and not display.GetEditorSliceIntersectionVisibility()
    desk.quick(mean_alone=True)
    desk.apply()
    np.testing.assert_allclose(affine(desk.result.frame), affine(transform), atol=1e-4)
    assert not desk.result.provenance["frame"]["found_from_slices"] and desk.shown() is desk.result.mean


def test_a_hand_made_frame_starts_at_the_slices(desk, sample):
    desk.add_all(sample)
    desk.host.click(desk.ui.editButton)
    slices = np.mean([context.grid().corners_ras().mean(0) for context in desk.contexts], 0)
    np.testing.assert_allclose(affine(desk.parameters.frameTransform)[:3, 3], slices, atol=1e-3)


def test_the_result_moves_with_the_frame(desk):
    desk.quick(mean_alone=True)
    desk.host.click(desk.ui.editButton)
    desk.apply()
    first = bounds(desk.result.mean)
    move(desk.parameters.frameTransform, [20, 30, -8])
    desk.apply()
    np.testing.assert_allclose(bounds(desk.result.mean), first + np.array([20, 30, -8])[:, None], atol=2.0)


def test_live_results_follow_the_frame(desk, sample):
    import slicer.util

    desk.add_all(sample)
    desk.host.click(desk.ui.editButton)
    desk.host.click(desk.ui.liveCheckBox)
    desk.wait()
    mean, frame = desk.result.mean, desk.parameters.frameTransform
    before = slicer.util.arrayFromVolume(mean).copy()
    move(frame, [0, 10, 0])
    desk.wait()
    after = slicer.util.arrayFromVolume(desk.result.mean)
    assert desk.result.mean is mean and (before.shape != after.shape or not np.array_equal(before, after))
    desk.host.click(desk.ui.liveCheckBox)


def test_already_registered_needs_no_frame(desk, sample):
    desk.add_all(sample)
    desk.host.choose(desk.ui.frameModeBox, "Already registered")
    assert not desk.ui.editButton.enabled and not desk.ui.frameTransformSelector.enabled
    desk.quick(mean_alone=True)
    desk.apply()
    np.testing.assert_allclose(affine(desk.result.frame), np.eye(4), atol=1e-9)
