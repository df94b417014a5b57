"""Context slices in a real scene: what the nodes say, what is refused, and what happens when the scene
changes.
"""

from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util
from mrml.blobs import blob

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.mrml import views
from SparseVolumeReconstructionLib.mrml.contexts import add_context, context_slices
from SparseVolumeReconstructionLib.mrml.nodes import THICKNESS, add_transform
from SparseVolumeReconstructionLib.reconstruction.result import inferred_by

ORIENTATIONS = [
    (view, name) for view, name in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal"))
]


@pytest.mark.parametrize(("view", "orientation"), ORIENTATIONS)
def test_a_view_gives_its_plane(contexts, slice_views, scan, view, orientation):
    slice_views[view].SetSliceOffset(7.0)
    context = contexts.add_from_view(view)
    assert context.volume is scan
    assert context.offset_mm == pytest.approx(7.0)
    assert context.orientation == orientation.lower()
    assert context.view == view
    assert context.node.GetDisplayNode().GetColor() == pytest.approx(slice_views[view].GetLayoutColor())
    assert context.stated_thickness_mm is None
    assert context.thickness_mm == pytest.approx(2.0)
    assert contexts.selected == context


def test_adding_moves_no_other_view_and_does_not_pan(contexts, slice_views):
    for view, offset in (("Red", 5.0), ("Green", -4.0), ("Yellow", 3.0)):
        slice_views[view].SetSliceOffset(offset)
    matrix = views.plane_of(slice_views["Red"])
    matrix[:3, 3] = (10.0, -6.0, 5.0)
    slice_views["Red"].GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    slice_views["Red"].UpdateMatrices()
    before = {view: views.plane_of(node) for view, node in slice_views.items()}
    contexts.add_from_view("Red")
    for view, node in slice_views.items():
        assert np.allclose(views.plane_of(node), before[view]), view


def test_the_drawing_is_the_box_of_the_slice(contexts):
    context = contexts.add_from_view("Red")
    bounds = np.zeros(6)
    context.node.GetRASBounds(bounds)
    assert bounds == pytest.approx([-28, 28, -24, 24, -1, 1], abs=1e-4)
    contexts.edit(context, lambda c: c.set_thickness(6.0))
    context.node.GetRASBounds(bounds)
    assert bounds[4:] == pytest.approx([-3, 3], abs=1e-4)
    contexts.show_images(True)
    texture = context.node.GetDisplayNode().GetTextureImageDataConnection()
    assert texture is not None
    contexts.show_images(False)
    assert context.node.GetDisplayNode().GetTextureImageDataConnection() is None


def test_an_oblique_view_gives_an_oblique_slice(contexts, slice_views):
    matrix = views.plane_of(slice_views["Red"])
    turn = np.radians(25)
    matrix[:3, :3] = (
        np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
        @ matrix[:3, :3]
    )
    slice_views["Red"].GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(matrix))
    slice_views["Red"].UpdateMatrices()
    context = contexts.add_from_view("Red")
    assert context.orientation == "oblique (axial 25°)"
    assert np.allclose(context.plane[:3, 2], matrix[:3, 2])


def test_contexts_follow_the_transform_of_their_volume(contexts, scan):
    context = contexts.add_from_view("Red")
    before = context.grid().corners_ras()
    move = np.eye(4)
    move[:3, 3] = (5, -3, 11)
    transform = add_transform(move, "move")
    scan.SetAndObserveTransformNodeID(transform.GetID())
    assert context.grid().corners_ras() == pytest.approx(before + np.array([5, -3, 11]))
    bounds = np.zeros(6)
    context.node.GetRASBounds(bounds)
    assert bounds[4:] == pytest.approx([10, 12])
    assert contexts.changes[-1] == 1
    bend = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    scan.SetAndObserveTransformNodeID(bend.GetID())
    assert context.problem() is None or "not linear" in context.problem()


def test_what_cannot_be_a_context_is_refused(contexts, slice_views, scan):
    slice_views["Red"].SetSliceOffset(500)
    with pytest.raises(InputError, match="does not meet the volume"):
        contexts.add_from_view("Red")
    scan.SetAttribute("SparseVolumeReconstruction.Role", "mean")
    with pytest.raises(InputError, match="reconstructed, not observed"):
        contexts.add_from_view("Green")
    slicer.mrmlScene.RemoveNode(scan)
    with pytest.raises(InputError, match="no volume is shown"):
        contexts.add_from_view("Green")
    with pytest.raises(InputError, match="no slice view"):
        contexts.add_from_view("Blue")
    assert len(contexts) == 0


def test_a_result_that_slicer_saved_is_known_by_its_header(contexts, scan, tmp_path):
    file = str(tmp_path / "head.nrrd")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLNRRDStorageNode")
    storage.SetFileName(file)
    for role, how in (("", None), ("mean", "its header")):
        scan.SetAttribute("SparseVolumeReconstruction.Role", role or None)
        assert storage.WriteData(scan) and inferred_by(Path(file)) == how
    read = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Head")
    assert storage.ReadData(read)
    with pytest.raises(InputError, match="reconstructed, not observed"):
        contexts.add_all(read)


def test_a_result_over_the_scan_does_not_hide_it(contexts, scan):
    result = blob(name="Mean")
    result.SetAttribute("SparseVolumeReconstruction.Role", "mean")
    views.set_foreground(result, 1.0)
    assert contexts.add_from_view("Red").volume is scan


def test_all_slices_of_a_sparse_acquisition(contexts):
    matrix = np.diag([1.0, 1.0, 20.0, 1.0])
    matrix[:3, 3] = (-10, -12, -30)
    sparse = blob((4, 24, 20), name="Sparse", matrix=matrix)
    slicer.util.arrayFromVolume(sparse)[2] = 0
    contexts.add_all(sparse)
    assert [c.offset_mm for c in contexts] == pytest.approx([-30, -10, 30])
    assert {c.view for c in contexts} == {"Red"}
    assert contexts.enabled()[0].thickness_mm == pytest.approx(5.0), "a gap is not a thickness"
    dense = blob((120, 8, 8), name="Dense")
    with pytest.raises(InputError, match="not sparse"):
        contexts.add_all(dense)
    slicer.util.arrayFromVolume(sparse)[:] = 3
    with pytest.raises(InputError, match="no slice of it shows anything"):
        contexts.add_all(sparse)


def test_between_slices_with_gaps_nothing_was_observed(contexts, slice_views):
    matrix = np.diag([1.0, 1.0, 20.0, 1.0])
    matrix[:3, 3] = (-10, -12, -30)
    sparse = blob((4, 24, 20), name="Sparse", matrix=matrix)
    views.set_background(sparse)
    slice_views["Red"].SetSliceOffset(-14.0)
    context = contexts.add_from_view("Red")
    assert context.offset_mm == pytest.approx(-10.0)
    contexts.edit(context, lambda c: c.set_offset(8.0))
    assert context.offset_mm == pytest.approx(10.0)
    with pytest.raises(InputError, match="across them"):
        contexts.add_from_view("Green")


@pytest.mark.parametrize("thickness", [0.0, -1.0, float("nan"), float("inf")])
def test_wrong_thickness_changes_nothing(contexts, thickness):
    context = contexts.add_from_view("Red")
    with pytest.raises(InputError, match="expected 0.01 to 100 mm|slice is wide"):
        contexts.edit(context, lambda c: c.set_thickness(thickness))
    assert context.stated_thickness_mm is None


def test_deleting_leaves_no_orphans(contexts, scan, scene):
    before = scene.GetNumberOfNodes()
    first, second = contexts.add_from_view("Red"), contexts.add_from_view("Green")
    contexts.remove(first)
    assert [c.node for c in contexts] == [second.node]
    scene.RemoveNode(second.node)
    assert len(contexts) == 0
    assert contexts.selected is None
    contexts.add_from_view("Yellow")
    scene.RemoveNode(scan)
    assert len(contexts) == 0
    models = {"vtkMRMLModelNode", "vtkMRMLModelDisplayNode", "vtkMRMLModelStorageNode"}
    left = [n.GetID() for n in slicer.util.getNodesByClass("vtkMRMLNode") if n.GetClassName() in models]
    assert len(left) <= 1, (
        left
    )  # at most the display node of the node that was deleted behind the list's back
    assert scene.GetNumberOfNodes() <= before + 1


def test_contexts_are_saved_and_loaded_with_the_scene(contexts, scene, slice_views, tmp_path):
    slice_views["Red"].SetSliceOffset(5.0)
    context = contexts.add_from_view("Red")
    contexts.edit(context, lambda c: c.set_thickness(3.5))
    contexts.edit(context, lambda c: c.set_enabled(False))
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"), None)
    contexts.close()
    scene.Clear(0)
    assert len(context_slices()) == 0
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"), False)
    (again,) = context_slices()
    assert again.volume.GetName() == "Scan"
    assert (again.offset_mm, again.stated_thickness_mm, again.enabled, again.view) == (
        pytest.approx(5.0),
        3.5,
        False,
        "Red",
    )
    assert again.problem() is None


def test_the_header_states_the_thickness(scan, slice_views):
    scan.SetAttribute(THICKNESS, "1.25")
    assert add_context(scan, np.eye(4), "Red", (1, 0, 0)).stated_thickness_mm == 1.25


def test_only_the_view_under_the_mouse_is_meant(contexts, slice_views, scene):
    crosshair = scene.AddNode(slicer.vtkMRMLCrosshairNode())
    with pytest.raises(InputError, match="no slice view is under the mouse"):
        contexts.add_hovered()
    crosshair.SetCursorPositionXYZ([1.0, 1.0, 0.0], slice_views["Green"])
    assert contexts.add_hovered().view == "Green"
    crosshair.SetCursorPositionInvalid()  # the mouse left for the panel
    with pytest.raises(InputError, match="no slice view is under the mouse"):
        contexts.add_hovered()
