"""While a slice is placed the views belong to the lesson; then the answer is seen, and then all is as
it was.
"""

import numpy as np
import pytest
import slicer
import slicer.util

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.mrml import views
from SparseVolumeReconstructionLib.mrml.contexts import add_context, context_slices
from SparseVolumeReconstructionLib.mrml.logic import SparseVolumeReconstructionLogic
from SparseVolumeReconstructionLib.mrml.nodes import add_volume
from SparseVolumeReconstructionLib.workflow.choices import Choices, Layer
from SparseVolumeReconstructionLib.workflow.presenter import Presenter
from SparseVolumeReconstructionLib.workflow.slice_quiz import SliceQuiz
from SparseVolumeReconstructionLib.workflow.stage import Stage


@pytest.fixture
def table(slice_views):
    """A presenter, a scan, an overlay and an anatomy; three slices, the second unticked; views that somebody
    has arranged.
    """
    grid = Grid.centred((40, 40, 40), 4.0)
    radius = np.linalg.norm(grid.points_ras(), axis=1)
    array = np.where(radius < 70, 100 + radius, 0).reshape(grid.shape_kji).astype(np.float32)
    scan, overlay, anatomy = (
        add_volume(Volume(array + n, grid), name) for n, name in enumerate(("Scan", "Overlay", "Anatomy"))
    )
    for height in (-24.0, 0.0, 24.0):
        plane = np.eye(4)
        plane[2, 3] = height
        add_context(scan, plane, "Red", (1, 0, 0)).draw()
    context_slices()[1].set_enabled(False)
    for n, (name, node) in enumerate(slice_views.items()):
        node.SetSliceOffset(5.0 * n + 1)
        node.SetFieldOfView(123.0 + n, 150.0, 1.0)
        composite = views.composite_node(name)
        composite.SetBackgroundVolumeID(scan.GetID())
        composite.SetForegroundVolumeID(overlay.GetID())
        composite.SetForegroundOpacity(0.3)
    presenter = Presenter(
        Choices(layer=Layer.STD, opacity=0.4), SparseVolumeReconstructionLogic(), lambda: None
    )
    yield presenter, scan, anatomy
    presenter.close()


def everything(presenter) -> dict:
    """What has to be as before."""
    shown = {
        name: (
            *(
                getattr(views.composite_node(name), f"Get{layer}VolumeID")()
                for layer in ("Background", "Foreground", "Label")
            ),
            views.composite_node(name).GetForegroundOpacity(),
            views.plane_of(views.slice_node(name)).tolist(),
            views.slice_node(name).GetFieldOfView(),
        )
        for name in ("Red", "Green", "Yellow")
    }
    slices = [
        (context.enabled, bool(context.node.GetDisplayNode().GetVisibility())) for context in context_slices()
    ]
    models = sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLModelNode"))
    return {"views": shown, "slices": slices, "models": models, "choices": dict(vars(presenter.parameters))}


@pytest.mark.parametrize("gave_up", [False, True])
def test_the_answer_is_shown_in_its_place_and_then_all_is_as_before(table, gave_up):
    presenter, scan, anatomy = table
    before, stage, quiz = everything(presenter), Stage(presenter), SliceQuiz(seed=1)
    stage.open()
    stage.show(anatomy)
    question = quiz.ask(scan)
    assert {views.composite_node(name).GetBackgroundVolumeID() for name in before["views"]} == {
        anatomy.GetID()
    }
    assert not any(context.node.GetDisplayNode().GetVisibility() for context in context_slices()), (
        "they would give the answer away"
    )
    node = views.slice_node(question.view)
    node.SetSliceOffset(float(question.plane[:3, 2] @ question.plane[:3, 3]) + 12.0)
    stage.reveal(quiz.give_up() if gave_up else quiz.answer())
    shown = views.plane_of(node)
    assert abs(shown[:3, 2] @ (shown[:3, 3] - question.plane[:3, 3])) < 1e-3, "the view is where the slice is"
    assert views.composite_node(question.view).GetBackgroundVolumeID() == scan.GetID(), "and shows it"
    others = {name for name in before["views"] if name != question.view}
    assert all(views.composite_node(name).GetBackgroundVolumeID() == anatomy.GetID() for name in others), (
        "amid the anatomy"
    )
    marks = {
        node.GetName(): node
        for node in slicer.util.getNodesByClass("vtkMRMLModelNode")
        if node.GetName() not in before["models"]
    }
    assert set(marks) == ({"The slice"} if gave_up else {"The slice", "The guess"})
    normal = question.plane[:3, 2]
    for name, offset in (("The slice", 0.0), *(() if gave_up else (("The guess", 12.0),))):
        points = slicer.util.arrayFromModelPoints(marks[name])
        assert (
            np.allclose((points - question.plane[:3, 3]).mean(0) @ normal, offset, atol=1e-3)
            and marks[name].GetDisplayNode().GetVisibility()
        )
    stage.close()
    assert everything(presenter) == before


def test_a_second_question_and_nodes_that_went_meanwhile(table):
    presenter, scan, anatomy = table
    before, stage, quiz = everything(presenter), Stage(presenter), SliceQuiz(seed=2)
    for _ in range(2):
        stage.open()
        stage.show(anatomy)
        quiz.ask(scan)
        stage.reveal(quiz.answer())
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("Overlay"))
    stage.close()
    after = everything(presenter)
    assert after["slices"] == before["slices"] and after["models"] == before["models"]
    assert all(shown[1] is None and shown[0] == scan.GetID() for shown in after["views"].values())
