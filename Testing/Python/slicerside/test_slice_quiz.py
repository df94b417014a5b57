""" "Where is this slice?": what is asked, how the answer is judged."""

import numpy as np
import pytest
import slicer

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.slicerside import views
from SparseVolumeReconstructionLib.slicerside.nodes import add_volume
from SparseVolumeReconstructionLib.slicerside.workflow.slice_quiz import SliceQuiz, distance_mm


@pytest.fixture
def slice_views(scene):
    """The three slice views, without windows."""
    made = []
    for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        logic.SetMRMLScene(scene)
        logic.AddSliceNode(name).SetOrientation(orientation)
        made.append(logic)
    return made


@pytest.fixture
def ball(slice_views):
    """A ball of 40 mm radius, brighter to the right and to the front, in a dense volume of 2 mm."""
    grid = Grid.centred((60, 60, 60), 2.0, (10.0, -20.0, 5.0))
    offset = grid.points_ras() - [10.0, -20.0, 5.0]
    array = (np.linalg.norm(offset, axis=1) < 40) * (200 + offset[:, 0] + 2 * offset[:, 1])
    return add_volume(Volume(array.reshape(grid.shape_kji).astype(np.float32), grid), "Ball")


def test_slices_with_content_of_all_views_are_asked_for(ball):
    quiz, asked = SliceQuiz(seed=3), set()
    for _ in range(30):
        question = quiz.ask(ball)
        asked.add(question.view)
        assert question.picture.shape == (160, 160) and question.picture.dtype == np.uint8 and question.picture.max() > 0
        assert abs(question.plane[:3, 2] @ (question.plane[:3, 3] - [10.0, -20.0, 5.0])) < 40
    assert asked == {"Red", "Green", "Yellow"}


def test_the_picture_stands_as_in_the_view(ball):
    quiz = SliceQuiz(seed=1)
    question = quiz.ask(ball)
    while question.view != "Red":
        question = quiz.ask(ball)
    picture = question.picture.astype(float)
    assert picture[:, :80].sum() > picture[:, 80:].sum(), "the patient's right is on the left"
    assert picture[:80].sum() > picture[80:].sum(), "the front is up"


@pytest.mark.parametrize("off", [0.0, 7.5, -12.0])
def test_the_distance_is_that_from_the_view_to_the_slice(ball, off):
    quiz = SliceQuiz(seed=2)
    question = quiz.ask(ball)
    node = views.slice_node(question.view)
    node.SetSliceOffset(float(question.plane[:3, 2] @ question.plane[:3, 3]) + off)
    assert quiz.answer().distance_mm == pytest.approx(abs(off), abs=1e-3)
    assert quiz.mean_mm == pytest.approx(abs(off), abs=1e-3)
    shown = views.plane_of(node)
    assert abs(shown[:3, 2] @ (shown[:3, 3] - question.plane[:3, 3])) < 1e-3, "the view shows the answer"


def test_a_tilted_guess_is_further_off_than_its_middle(ball):
    corners = SliceQuiz(seed=2).ask(ball).corners
    tilted = np.eye(4)
    tilted[:3, 2] = (0, np.sin(0.3), np.cos(0.3))
    tilted[:3, 3] = corners.mean(0)
    assert distance_mm(corners, tilted) > 5


def test_a_sparse_volume_is_asked_for_its_acquired_slices(slice_views):
    array = np.random.default_rng(0).uniform(1, 99, (5, 30, 30)).astype(np.float32)
    grid = Grid.centred((5, 30, 30), (2.0, 2.0, 20.0))
    question = SliceQuiz(seed=0).ask(add_volume(Volume(array, grid), "Stack"))
    height = (question.plane[2, 3] - grid.ijk_to_ras[2, 3]) / 20.0
    assert question.view == "Red" and height == pytest.approx(round(height), abs=1e-6)


def test_no_answer_without_a_question_and_none_from_nothing(slice_views):
    with pytest.raises(InputError, match="ask for a slice"):
        SliceQuiz().answer()
    empty = add_volume(Volume(np.zeros((9, 9, 9), np.float32), Grid.centred((9, 9, 9), 1.0)), "Empty")
    with pytest.raises(InputError, match="no slice of it shows anything"):
        SliceQuiz().ask(empty)
