"""Lessons as files and links, and what a class answered."""

import json
import zlib
from base64 import urlsafe_b64encode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.workflow.class_scores import (
    MIDDLE,
    Answer,
    Plan,
    Results,
    class_csv,
    class_table,
    judge,
    scores,
)
from SparseVolumeReconstructionLib.workflow.landmarks import knows, landmarks, near_words
from SparseVolumeReconstructionLib.workflow.lesson import (
    AskSlice,
    GiveSlices,
    Lesson,
    LessonPlane,
    PlanSlices,
    from_link,
    read,
    to_link,
    write,
)
from SparseVolumeReconstructionLib.zoo import ModelStore

directions = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda d: np.linalg.norm(d) > 0.1)
planes = st.builds(
    lambda d, mm: LessonPlane(normal=tuple(float(x) for x in np.array(d) / np.linalg.norm(d)), offset_mm=mm),
    directions,
    st.floats(-90, 90),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
steps = st.one_of(
    st.builds(GiveSlices, text=texts, planes=st.lists(planes, max_size=3)),
    st.builds(AskSlice, text=texts, plane=planes),
    st.builds(PlanSlices, text=texts, count=st.integers(1, 5), thickness_mm=st.floats(1, 10)),
)
lessons = st.builds(
    Lesson,
    title=texts.filter(bool),
    text=texts,
    patient=st.sampled_from(["drawn", "scan"]),
    seed=st.integers(0, 999_999),
    steps=st.lists(steps, max_size=5),
)
GOOD = {"title": "A", "steps": [{"kind": "question", "plane": {"normal": [0, 0, 1], "offset_mm": 8}}]}


@settings(max_examples=60, deadline=None)
@given(lessons)
def test_a_lesson_survives_file_and_link(lesson):
    assert read(Lesson, write(lesson), "f") == lesson
    link = to_link(lesson)
    assert from_link(link) == lesson and from_link(link).digest == lesson.digest
    assert all(character.isalnum() or character in "-_" for character in link)


@settings(max_examples=60, deadline=None)
@given(planes)
def test_a_plane_survives_being_shown(plane):
    shown = LessonPlane.of(plane.matrix(MIDDLE))
    assert np.allclose(shown.normal, plane.normal, atol=1e-4) and shown.offset_mm == pytest.approx(
        plane.offset_mm, abs=0.01
    )
    matrix = plane.matrix(MIDDLE)
    assert (
        np.allclose(matrix[:3, :3].T @ matrix[:3, :3], np.eye(3), atol=1e-9)
        and np.linalg.det(matrix[:3, :3]) > 0
    )


def changed(**words) -> str:
    return json.dumps(GOOD | words)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("no json", "no JSON"),
        ("[]", "Input should be an object"),
        (changed(version=2), "version: Input should be 1"),
        (changed(format="other"), "format"),
        (changed(title=""), "title"),
        (changed(surprise=1), "surprise: Extra inputs are not permitted"),
        (changed(seed=-1), "seed"),
        (changed(prior="../../secret"), "prior"),
        (changed(patient="passwords"), "patient"),
        (changed(steps=[{"kind": "question"}]), "steps.0.question.plane: Field required"),
        (changed(steps=[{"kind": "dance"}]), "steps.0"),
        (changed(steps=[{"kind": "plan", "count": 6}]), "steps.0.plan.count"),
        (changed(steps=[{"kind": "plan"}], patient="sample"), "plan those of a made-up person"),
        (changed(steps=[{"kind": "slices", "planes": [{"normal": [0, 0, 2], "offset_mm": 0}]}]), "length 1"),
        (
            changed(steps=[{"kind": "slices", "planes": [{"normal": [0, 0, 1], "offset_mm": 1e9}]}]),
            "offset_mm",
        ),
        (changed(steps=GOOD["steps"] * 41), "at most 40"),
        (changed(text="x" * 4001), "text"),
        (
            '{"title": "A", "steps": [{"kind": "question", "plane": {"normal": [0, 0, NaN], "offset_mm": '
            "8}}]}",
            "",
        ),
        (" " * 70_000, "larger than 64 kB"),
    ],
)
def test_a_malformed_lesson_is_refused_with_one_line(data, message):
    with pytest.raises(InputError) as caught:
        read(Lesson, data, "lesson.json")
    assert (
        message in str(caught.value)
        and str(caught.value).startswith("lesson.json: ")
        and "\n" not in str(caught.value)
    )
    assert read(Lesson, json.dumps(GOOD), "f").questions == [0]


@pytest.mark.parametrize("text", ["", "ä", "a", "!!!!", "x" * 7000, to_link(Lesson(title="A"))[:-6]])
def test_a_damaged_link_is_refused(text):
    with pytest.raises(InputError, match=r"damaged|larger than"):
        from_link(text)


def test_a_link_does_not_unpack_without_end():
    bomb = urlsafe_b64encode(zlib.compress(b" " * 3_000_000, 9)).decode().rstrip("=")
    assert len(bomb) < 6000
    with pytest.raises(InputError, match="larger than 64 kB"):
        from_link(bomb)


def test_a_lesson_too_long_for_a_link_says_so():
    noise = np.random.default_rng(0)
    text = "".join(chr(33 + n) for n in noise.integers(0, 90, 4000))
    with pytest.raises(InputError, match="too long for a link"):
        to_link(Lesson(title="A", text=text, steps=[GiveSlices(text=text[:2000][::-1])] * 2))


def answered(lesson: Lesson, name: str, *guesses: float | None) -> Results:
    """A student who guessed these axial heights."""
    answers = [
        Answer(step=step, guess=None if mm is None else LessonPlane(normal=(0, 0, 1), offset_mm=mm))
        for step, mm in zip(lesson.questions, guesses, strict=False)
    ]
    return Results(lesson=lesson.digest, name=name, answers=answers)


@pytest.fixture
def lesson():
    """Axial slices at 8 and 20 mm are asked for, one is given between."""
    first, second = (AskSlice(plane=LessonPlane(normal=(0, 0, 1), offset_mm=mm)) for mm in (8.0, 20.0))
    return Lesson(title="Two", steps=[first, GiveSlices(planes=[first.plane]), second])


def test_scores_follow_from_the_guesses(lesson):
    assert scores(lesson, answered(lesson, "Ada", 11.0, 20.0)) == {
        0: pytest.approx(3.0),
        2: pytest.approx(0.0),
    }
    assert (
        judge(lesson.steps[0], LessonPlane(normal=(0, 0, -1), offset_mm=-5.0)).words
        == "3 mm too far down (inferior)"
    )
    rows = class_table(
        lesson,
        [answered(lesson, "Bob", None, 30.0), answered(lesson, "Ada", 11.0, 20.0), answered(lesson, "Cy")],
    )
    assert [row["name"] for row in rows] == ["Ada", "Bob", "Cy"] and rows[1]["mm"] == [
        None,
        pytest.approx(10.0),
    ]
    assert class_csv(lesson, [answered(lesson, "=cmd()", 9.0)]).splitlines() == [
        "name,question 1 (mm),question 2 (mm),placed,mean (mm)",
        "'=cmd(),1.0,,1,1.0",
    ]


def test_plans_are_scored_in_per_cent_of_the_best():
    asked = AskSlice(plane=LessonPlane(normal=(0, 0, 1), offset_mm=8.0))
    lesson = Lesson(title="Plan", steps=[PlanSlices(count=2), asked, PlanSlices(count=1)])

    def planned(name: str, *plans: tuple[int, float]) -> Results:
        made = [Plan(step=step, planes=[asked.plane], taken=taken, best=0.2) for step, taken in plans]
        return answered(lesson, name, 8.0).model_copy(update={"plans": made})

    handed_in = [planned("Bob", (0, 0.1)), planned("Cy", (2, 0.05), (0, 0.19)), planned("Ada", (0, 0.18))]
    assert [(row["name"], row["percent"]) for row in class_table(lesson, handed_in)] == [
        ("Cy", [95, 25]),
        ("Ada", [90, None]),
        ("Bob", [50, None]),
    ]
    assert class_csv(lesson, handed_in).splitlines()[:3] == [
        "name,question 1 (mm),placed,mean (mm),"
        "plan 1 (% of the best as handed in),plan 2 (% of the best as handed in)",
        "Cy,0.0,1,0.0,95,25",
        "Ada,0.0,1,0.0,90,",
    ]
    long = Plan(step=2, planes=[asked.plane] * 2, taken=0.1, best=0.2)
    for wrong in (planned("Eve", (1, 0.1)), planned("Eve", (0, 0.1), (0, 0.1))):
        with pytest.raises(InputError, match="a plan that the lesson does not ask for"):
            class_table(lesson, [wrong])
    with pytest.raises(InputError, match="a plan that the lesson does not ask for"):
        class_csv(lesson, [planned("Eve").model_copy(update={"plans": [long]})])


def test_foreign_and_impossible_results_are_refused(lesson):
    other = lesson.model_copy(update={"title": "Other"})
    with pytest.raises(InputError, match="results of Ada belong to another lesson"):
        scores(lesson, answered(other, "Ada", 8.0))
    twice = Results(lesson=lesson.digest, name="Ada", answers=[Answer(step=0), Answer(step=0)])
    for wrong in (twice, Results(lesson=lesson.digest, name="Ada", answers=[Answer(step=1)])):
        with pytest.raises(InputError, match="answer what the lesson does not ask"):
            scores(lesson, wrong)
    for name in ("", "  ", "a\nb", "x" * 41):
        with pytest.raises(InputError, match=r"results.json: name"):
            read(Results, json.dumps({"lesson": lesson.digest, "name": name}), "results.json")


def test_names_are_told_where_they_hold():
    store = ModelStore()
    assert knows(store.entry("brain-t1").card) and not knows(store.entry("fetal-t2").card)
    plane = np.eye(4)
    plane[2, 3] = 8.0
    assert "thalamus (0 mm)" in near_words(plane) and "pons" not in near_words(plane)
    plane[2, 3] = 200.0
    assert near_words(plane) == ""
    points = np.concatenate([each.points for each in landmarks()])
    assert (np.abs(points) <= [75, 110, 80]).all() and len(landmarks()) >= 20
