"""A student goes through a lesson, with a real worker and a tiny model."""

import time
from contextlib import closing

import numpy as np
import pytest
import slicer
import slicer.util
from mrml.jobs import finish

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.mrml import views
from SparseVolumeReconstructionLib.mrml.answers import Answer
from SparseVolumeReconstructionLib.mrml.nodes import add_volume, volume_of
from SparseVolumeReconstructionLib.mrml.reslice import read_plane
from SparseVolumeReconstructionLib.workflow.choices import Choices, FrameMode
from SparseVolumeReconstructionLib.workflow.class_scores import scores
from SparseVolumeReconstructionLib.workflow.lesson import (
    AskSlice,
    GiveSlices,
    Lesson,
    LessonPlane,
    PlanSlices,
)
from SparseVolumeReconstructionLib.workflow.lesson_draft import Draft
from SparseVolumeReconstructionLib.workflow.lesson_run import LessonRun
from SparseVolumeReconstructionLib.workflow.plan_run import PlaneInHand, PlanRun
from SparseVolumeReconstructionLib.workflow.presenter import Presenter
from SparseVolumeReconstructionLib.workflow.slice_quiz import acquired_planes

HIGH = LessonPlane(normal=(0, 0, 1), offset_mm=12.0)
SIDE = LessonPlane(normal=(1, 0, 0), offset_mm=-10.0)
LESSON = Lesson(
    title="Three",
    prior="tiny",
    seed=3,
    steps=[AskSlice(plane=HIGH), GiveSlices(planes=[HIGH, SIDE]), AskSlice(plane=SIDE), GiveSlices()],
)
TURNED = np.array([[0, 0.6, -0.8, 1], [-1, 0, 0, 2], [0, 0.8, 0.6, 3], [0, 0, 0, 1]], float)
SHEARED = np.array([[0.95, 0.1, 0.05, 5], [-0.1, 1.02, -0.2, -7], [-0.05, 0.2, 0.9, 14], [0, 0, 0, 1]], float)


@pytest.fixture
def presenter(slice_views, tiny_logic):
    """With three views, the first somewhere, and a dense scan in them."""
    grid = Grid.centred((12, 14, 13), 12.0)
    scan = add_volume(Volume(np.full(grid.shape_kji, 50, np.float32), grid), "Scan")
    views.set_background(scan)
    slice_views["Red"].SetSliceOffset(33.0)
    slice_views["Yellow"].GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(TURNED))
    slice_views["Yellow"].UpdateMatrices()
    with closing(Presenter(Choices(prior="tiny"), tiny_logic, lambda: None)) as made:
        yield made


def names() -> list[str]:
    """All that is in the scene and could be seen."""
    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLDisplayableNode"))


def test_a_lesson_from_the_beginning_to_the_end(presenter):
    before, shown = names(), views.backgrounds()
    run = LessonRun(presenter, LESSON)
    run.start()
    with pytest.raises(InputError, match="wait until the lesson is ready"):
        run.next()
    finish(presenter)
    assert run.ready and len(run.steps) == 1
    assert [
        abs(views.plane_of(views.slice_node(name))[axis, 2])
        for name, axis in (("Red", 2), ("Green", 1), ("Yellow", 0))
    ] == [1, 1, 1]
    run.next()
    question = run.quiz.question
    assert question.view == "Red" and question.picture.max() > 0
    red = views.plane_of(views.slice_node("Red"))
    assert abs(run.canonical(red).offset_mm - HIGH.offset_mm) > 1, "the view does not begin at the answer"
    with pytest.raises(InputError, match="answer first"):
        run.next()
    views.slice_node("Red").SetSliceOffset(500.0)
    with pytest.raises(InputError, match="scroll back"):
        run.answer()
    views.slice_node("Red").SetSliceOffset(HIGH.offset_mm - 9.0)
    run.answer()
    answer, _verdict, missed = run.answers[0]
    assert missed.words == "9 mm too far down (inferior)" and answer.guess.offset_mm == pytest.approx(3.0)
    run.next()
    finish(presenter)
    certain = [step.uncertainty for step in run.steps]
    assert len(certain) == 3 and certain == sorted(certain, reverse=True) and certain[-1] < 0.95 * certain[0]
    run.next()
    assert run.quiz.question.view == "Yellow"
    run.give_up()
    run.next()
    run.next()
    assert run.step is None and scores(LESSON, run.results(" Ada ")) == {0: pytest.approx(9.0), 2: None}
    with pytest.raises(InputError, match="nickname"):
        run.results("  ")
    run.close()
    assert names() == before and views.backgrounds() == shown
    assert views.slice_node("Red").GetSliceOffset() == pytest.approx(33.0)
    assert np.allclose(views.plane_of(views.slice_node("Yellow")), TURNED)


def test_slices_are_planned_scanned_and_judged(presenter):
    before = names()
    plan = PlanSlices(count=2, thickness_mm=8.0, noise=0.1)
    lesson = Lesson(title="Plan", prior="tiny", seed=3, steps=[GiveSlices(planes=[SIDE]), plan])
    run = LessonRun(presenter, lesson)
    run.start()
    finish(presenter)
    for _step in lesson.steps:
        run.next()
        finish(presenter)
    planning = run.planning
    with pytest.raises(InputError, match="scan a slice first"):
        planning.judge()
    with pytest.raises(InputError, match="sagittal, coronal or axial"):
        planning.put("upside down")
    far = planning._middle + np.array([0, 300.0, 0])  # by many turns
    planning.plane = PlaneInHand(far, planning.plane.normal)
    planning.tilt(0, 90.0)
    assert planning.words(), "a plane through a head"
    planning.put("axial")
    planning.nudge(0, 0.0, -20.0)  # up on the sagittal scout
    assert planning.words().startswith("Axial at ")
    assert run.canonical(planning.plane.matrix).offset_mm == pytest.approx(
        run.canonical(run.there(planning._middle, np.array([0, 0, 1.0]))).offset_mm + 20, abs=0.1
    )
    planning.scan()
    finish(presenter)
    node = planning.scanned[0][1]
    assert len(run.steps) == 3 and node.GetSpacing()[2] == pytest.approx(8.0)
    assert read_plane(volume_of(node), volume_of(node).grid).max() > 0  # of a single slice, too
    planning.tilt(0, 30.0)
    assert "oblique" in planning.words().lower()
    planning.scan()
    presenter.runner.cancel()
    finish(presenter)
    judged = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presenter.runner, "judge", lambda inputs, *_words: judged.append(inputs))
        planning.judge()
    assert planning.left == 1 and len(judged[0].contexts) == 1, "a scan that was cancelled is none"
    planning.scan()
    finish(presenter)
    with pytest.raises(InputError, match="all slices of this plan are scanned"):
        planning.scan()
    planning.judge()
    finish(presenter)
    assert 0 < planning.score.taken < 1 and len(planning.score.best) == 2
    kept = run.results("Ada").plans[0]
    assert kept.step == 1 and [each.offset_mm for each in kept.planes] == [
        plane.offset_mm for plane, _node in planning.scanned
    ]
    certain = [step.uncertainty for step in run.steps]
    assert certain == sorted(certain, reverse=True)
    run.close()
    assert names() == before


def test_what_was_asked_before_lies_over_no_lesson(presenter):
    """Neither outlines nor what is doubtful about the answer."""
    before, asked = names(), presenter.questions
    presenter.parameters.frameMode = FrameMode.REGISTERED
    asked.ask("suggest")
    finish(presenter)
    assert asked.listed and names() != before and asked.note() == "" and not asked.doubtful
    asked._take(Answer(asked.listed, ["Slices may be of another head."]))
    assert asked.note() == "Slices may be of another head." and asked.doubtful
    run = LessonRun(presenter, LESSON)
    run.start()
    assert not asked.listed and asked.note() == ""
    run.close()
    finish(presenter)
    assert names() == before


@pytest.mark.parametrize("scout", [0, 1, 2])
def test_a_line_follows_the_pointer(presenter, scout):
    """Wherever it is held; what is seen is the plane's own cut."""
    run = LessonRun(presenter, LESSON.model_copy(update={"steps": [PlanSlices()]}))
    run.start()
    finish(presenter)
    run.frame = SHEARED  # where a patient might lie, and how large he might be
    run.next()
    planning, seen = run.planning, run.planning.scouts[scout]
    planning.put(["axial", "axial", "coronal"][scout])
    assert planning.words().startswith(["Axial", "Axial", "Coronal"][scout]), "in the patient's own axes"
    for turn, start, end in ((False, (0.5, 0.5), (0.56, 0.41)), (True, (0.9, 0.5), (0.8, 0.3))):
        before = seen.line(planning.plane)
        planning.drag(scout, turn, start, end)
        x, y, to_x, to_y, *middle = seen.line(planning.plane)
        for share in (0.0, 0.3, 1.0):  # every point of the line lies on the plane
            point = seen.point(x + share * (to_x - x), y + share * (to_y - y))
            assert abs((point - planning.plane.point) @ planning.plane.normal) < 0.1
        if turn:
            angles = [np.arctan2(p[1] - before[5], p[0] - before[4]) for p in (start, end)]
            lines = [
                np.arctan2(line[3] - line[1], line[2] - line[0]) for line in (before, [x, y, to_x, to_y])
            ]
            assert np.tan(lines[1] - lines[0]) == pytest.approx(np.tan(angles[1] - angles[0]), abs=0.01)
            assert middle == pytest.approx(before[4:], abs=0.01)
        else:
            moved = (end[1] - start[1], end[0] - start[0])
            assert any(
                abs(middle[n] - before[4 + n]) == pytest.approx(abs(moved[1 - n]), abs=0.01) for n in (0, 1)
            )
    run.close()


def test_a_lesson_that_is_left_while_it_is_prepared_leaves_nothing(presenter):
    before = names()
    run = LessonRun(presenter, LESSON)
    run.start()
    run.close()
    finish(presenter)
    assert names() == before and not run.ready


def test_the_same_seed_is_the_same_person(presenter):
    pictures = []
    for seed in (3, 3, 4):
        run = LessonRun(presenter, LESSON.model_copy(update={"seed": seed}))
        run.start()
        finish(presenter)
        run.next()
        pictures.append(run.quiz.question.picture)
        run.close()
    assert np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])


def test_a_lesson_about_a_scan_needs_one(presenter):
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        composite.SetBackgroundVolumeID(None)
    with pytest.raises(InputError, match="load the scan that your teacher gave you"):
        LessonRun(presenter, LESSON.model_copy(update={"patient": "scan"})).start()
    with pytest.raises(InputError, match='no model "unknown"'):
        LessonRun(presenter, LESSON.model_copy(update={"prior": "unknown"})).start()


def test_a_sparse_patient_is_asked_for_what_was_acquired_and_goes_without_a_trace(presenter, capfd):
    before, shown = names(), views.backgrounds()
    run = LessonRun(presenter, LESSON.model_copy(update={"patient": "sample"}))
    run.start()
    run.patient = slicer.util.getNode("Sparse brain, 4 slices")
    axial, coronal = views.plane_of(views.slice_node("Red")), views.plane_of(views.slice_node("Green"))
    asked = run.nearest(axial)
    assert run.placed(asked)[:3, 2] @ acquired_planes(run.patient)[0][1][:3, 2] == pytest.approx(1.0)
    with pytest.raises(InputError, match="run across this view"):
        run.nearest(coronal)
    with pytest.raises(InputError, match="no slice where the lesson asks"):
        run.placed(LessonPlane(normal=asked.normal, offset_mm=asked.offset_mm + 15.0))
    with pytest.raises(InputError, match="has only some slices"):
        PlanRun(run, PlanSlices())
    run.close()
    until = time.monotonic() + 60
    while presenter.runner.busy and time.monotonic() < until:
        presenter.runner.poll()
        time.sleep(0.01)
    assert names() == before and views.backgrounds() == shown
    assert "ERROR" not in capfd.readouterr().err


def test_planes_go_to_the_patient_and_back(presenter):
    run = LessonRun(presenter, LESSON)
    run.patient = slicer.util.getNode("Scan")
    run.frame = SHEARED
    for plane in (HIGH, SIDE, LessonPlane(normal=(0.6, 0, 0.8), offset_mm=-20.0)):
        there = run.placed(plane)
        points = there[:3, 3] + np.array([[0, 0], [50, 0], [0, 50]]) @ there[:3, :2].T
        back = (points - run.frame[:3, 3]) @ np.linalg.inv(run.frame[:3, :3]).T
        assert np.allclose(back @ plane.normal, plane.offset_mm, atol=1e-6), (
            "every point of the plane, not only its middle"
        )
        again = run.canonical(there)
        assert np.allclose(again.normal, plane.normal, atol=1e-4) and again.offset_mm == pytest.approx(
            plane.offset_mm, abs=0.01
        )


def test_a_draft_grows_step_by_step_and_refuses_nonsense():
    draft = Draft()
    draft.set("title", "Nuclei")
    draft.add("question", HIGH)
    draft.add("slices", SIDE)
    draft.add("text", None)
    draft.set_step(2, "The end.")
    draft.up(2)
    assert [step.kind for step in draft.lesson().steps] == [
        "question",
        "slices",
        "slices",
    ] and draft.lesson().steps[1].text == "The end."
    draft.add("plan", None)
    draft.set_plan(3, "count", "5")  # numbers come from a page as text
    assert draft.lesson().plans == [3] and draft.lesson().steps[3].count == 5
    for name, value in (("count", 6), ("thickness_mm", "thick"), ("text", "x")):
        with pytest.raises(InputError):
            draft.set_plan(3, name, value)
    with pytest.raises(InputError, match="plan those of a made-up person"):
        draft.set_patient("sample")
    draft.drop(3)
    draft.drop(1)
    state = draft.state()["draft"]
    assert [step["what"] for step in state["steps"]] == [
        "Where is this axial 12 mm slice?",
        "Give slices: sagittal -10 mm",
    ] and state["link"]
    for wrong in (
        lambda: draft.set("prior", "x"),
        lambda: draft.drop(7),
        lambda: draft.set("title", ""),
        lambda: draft.set_patient("god"),
    ):
        with pytest.raises(InputError):
            wrong()
    assert draft.lesson().title == "Nuclei" and draft.empty().steps == []
    seed = draft.lesson().seed
    draft.set_patient("another")
    assert draft.lesson().seed == seed + 1
