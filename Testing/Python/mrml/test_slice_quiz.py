""" "Where is this slice?": what is asked, how the answer is judged."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.mrml import views
from SparseVolumeReconstructionLib.mrml.nodes import add_volume
from SparseVolumeReconstructionLib.workflow.distance import miss
from SparseVolumeReconstructionLib.workflow.slice_quiz import SliceQuiz


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
        assert (
            question.picture.shape == (240, 240)
            and question.picture.dtype == np.uint8
            and question.picture.max() > 0
        )
        assert abs(question.plane[:3, 2] @ (question.plane[:3, 3] - [10.0, -20.0, 5.0])) < 40
    assert asked == {"Red", "Green", "Yellow"}


def test_the_picture_stands_as_in_the_view(ball):
    quiz = SliceQuiz(seed=1)
    question = quiz.ask(ball)
    while question.view != "Red":
        question = quiz.ask(ball)
    picture = question.picture.astype(float)
    assert picture[:, :120].sum() > picture[:, 120:].sum(), "the patient's right is on the left"
    assert picture[:120].sum() > picture[120:].sum(), "the front is up"


@pytest.mark.parametrize("off", [0.0, 7.5, -12.0])
def test_the_distance_is_that_from_the_view_to_the_slice(ball, off):
    quiz = SliceQuiz(seed=2)
    question = quiz.ask(ball)
    node = views.slice_node(question.view)
    node.SetSliceOffset(float(question.plane[:3, 2] @ question.plane[:3, 3]) + off)
    assert quiz.answer().miss.distance_mm == pytest.approx(abs(off), abs=1e-3)
    assert quiz.mean_mm == pytest.approx(abs(off), abs=1e-3)


def test_a_tilted_guess_is_further_off_than_its_middle(ball):
    question = SliceQuiz(seed=2).ask(ball)
    tilted = np.eye(4)
    tilted[:3, 2] = (0, np.sin(0.3), np.cos(0.3))
    tilted[:3, 3] = question.corners.mean(0)
    found = miss(question.corners, tilted[:3, 2], tilted)
    assert found.distance_mm > 5 and "its middle is right" in found.words


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


def test_who_gives_up_is_not_judged(ball):
    quiz = SliceQuiz(seed=4)
    quiz.ask(ball)
    assert quiz.give_up().gave_up and quiz.mean_mm is None and quiz.question is None


def test_asking_takes_no_time_however_large_the_volume_is(slice_views):
    array = np.random.default_rng(0).uniform(1, 99, (256, 256, 256)).astype(np.float32)
    volume = add_volume(Volume(array, Grid.centred((256,) * 3, 1.0)), "Large")
    quiz, times = SliceQuiz(seed=1), []
    for _ in range(5):
        begun = time.thread_time()  # other processes do not count
        quiz.ask(volume)
        times.append(time.thread_time() - begun)
    assert min(times) < 0.1, times


@settings(max_examples=60, deadline=None)
@given(
    axis=st.integers(0, 2),
    off=st.floats(-80, 80),
    tilt=st.floats(0, 0.5),
    turn=st.floats(0, 6.28),
    flip=st.booleans(),
)
def test_words_tell_what_geometry_is(axis, off, tilt, turn, flip):
    """A guess is put where it is known to be; the words are read and must say so."""
    normal = np.eye(3)[axis]
    others = np.roll(np.eye(3), -axis - 1, axis=0)[:2]
    corners = np.array([a * 90 * others[0] + b * 90 * others[1] for a in (-1, 1) for b in (-1, 1)])
    corners += [3.0, -7.0, 11.0]
    leaning = np.cos(tilt) * normal + np.sin(tilt) * (np.cos(turn) * others[0] + np.sin(turn) * others[1])
    guess = np.eye(4)
    guess[:3, 2] = leaning * (-1 if flip else 1)
    guess[:3, 3] = corners.mean(0) + off * leaning
    found = miss(corners, normal, guess)
    exact = np.mean(np.abs([(corner - guess[:3, 3]) @ leaning for corner in corners]))
    assert found.distance_mm == pytest.approx(exact, abs=1e-6) and found.tilt_deg == pytest.approx(
        np.degrees(tilt), abs=1e-3
    )
    where = [
        ("to the patient's right", "to the patient's left"),
        ("to the front", "to the back"),
        ("up (", "down ("),
    ][axis]
    if found.distance_mm < 1:
        assert "right there" in found.words
        return
    assert f"{found.distance_mm:.0f} mm" in found.words
    if abs(off) > found.distance_mm / 2 and abs(off * np.cos(tilt)) > abs(off * np.sin(tilt)):
        assert f"too far {where[0 if off > 0 else 1]}" in found.words
    if tilt > 0.06:
        assert f"tilted by {np.degrees(tilt):.0f}" in found.words
