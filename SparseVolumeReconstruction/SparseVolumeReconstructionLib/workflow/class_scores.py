"""What students answered: the file that each hands in, and the table that a teacher makes of them."""

from __future__ import annotations

import csv
import io
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from ..geometry import InputError
from ..mrml.i18n import _
from .distance import Miss, miss
from .lesson import AskSlice, Lesson, LessonPlane, Strict

MIDDLE = np.array([0.0, -18.0, 8.0])  # of a head in the model's space, mm
_HALF_MM = 80.0  # a slice counts as a square of twice this side


class Answer(Strict):
    """An answer of one student.

    Attributes:
        step: number of the lesson's step, from 0.
        guess: None where the student gave up.
        seconds: how long it took.
    """

    step: int = Field(ge=0, lt=40)
    guess: LessonPlane | None = None
    seconds: float = Field(default=0.0, ge=0, le=86_400)


class Plan(Strict):
    """The plan of one student.

    Attributes:
        step: number of the lesson's step, from 0.
        planes: that were scanned, in their order.
        taken: share of the variance that they are expected to take, 0..1.
        best: the same of the best sequence of as many planes, as the student's session has found it.
        seconds: how long it took.
    """

    step: int = Field(ge=0, lt=40)
    planes: list[LessonPlane] = Field(min_length=1, max_length=5)
    taken: float = Field(ge=0, le=1)
    best: float = Field(gt=0, le=1)
    seconds: float = Field(default=0.0, ge=0, le=86_400)

    @property
    def percent(self) -> int:
        """What was taken in per cent of what the best planes take."""
        return round(100 * self.taken / self.best)


class Results(Strict):
    """What one student answered.

    There are no distances in it: they follow from the guesses.

    Attributes:
        lesson: the digest of the lesson.
    """

    format: Literal["sparse-volume-lesson-results"] = "sparse-volume-lesson-results"
    version: Literal[1] = 1
    lesson: str = Field(pattern=r"^[0-9a-f]{64}$")
    title: str = Field(default="", max_length=120)
    name: str = Field(min_length=1, max_length=40)
    answers: list[Answer] = Field(default=[], max_length=40)
    plans: list[Plan] = Field(default=[], max_length=40)

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not (name.isprintable() and name.strip()):
            raise ValueError("expected a name or nickname")
        return name.strip()


def judge(asked: AskSlice, guess: LessonPlane) -> Miss:
    """How far a guess is from the slice of a question, in the model's mm.

    Args:
        asked: the question.
        guess: in the model's space, as its slice.

    Returns:
        The miss on a square of 160 mm around the middle of a head.
    """
    plane = asked.plane.matrix(MIDDLE)
    corners = np.array(
        [plane[:3, 3] + _HALF_MM * (a * plane[:3, 0] + b * plane[:3, 1]) for a in (-1, 1) for b in (-1, 1)]
    )
    return miss(corners, plane[:3, 2], guess.matrix(MIDDLE))


def scores(lesson: Lesson, results: Results) -> dict[int, float | None]:
    """{step: mm off, None where the student gave up} of the answered questions.

    Args:
        lesson: whose digest the results name.
        results: of one student; the first answer to a question counts.

    Raises:
        InputError: for another lesson's results.
    """
    if results.lesson != lesson.digest:
        raise InputError(
            _("the results of {name} belong to another lesson, or to another version of it.").format(
                name=results.name
            )
        )
    found: dict[int, float | None] = {}
    for answer in results.answers:
        if answer.step not in lesson.questions or answer.step in found:
            raise InputError(
                _("the results of {name} answer what the lesson does not ask.").format(name=results.name)
            )
        found[answer.step] = (
            judge(lesson.steps[answer.step], answer.guess).distance_mm if answer.guess else None
        )
    return found


def percents(lesson: Lesson, results: Results) -> dict[int, int]:
    """{step: what a plan takes in per cent of the best} of the plans that were made.

    Args:
        lesson: whose digest the results name.
        results: of one student.

    Raises:
        InputError: for another lesson's results.
    """
    found = {plan.step: plan.percent for plan in results.plans}
    if len(found) < len(results.plans) or any(
        plan.step not in lesson.plans or len(plan.planes) > lesson.steps[plan.step].count
        for plan in results.plans
    ):
        raise InputError(
            _("the results of {name} hold a plan that the lesson does not ask for.").format(name=results.name)
        )
    return found


def class_table(lesson: Lesson, handed_in: list[Results]) -> list[dict]:
    """One row a student, the best first.

    Args:
        lesson: the one that all of them answered.
        handed_in: one a student.

    Returns:
        Rows of "name", "mm" (one for every question, None without a guess), "placed" (how many have one),
        "mean" (mm, None without any), "percent" (one for every plan, None without one) and "planned" (how
        many there are).

    Raises:
        InputError: as `scores`.
    """
    rows = []
    for results in handed_in:
        found = scores(lesson, results)
        made = [mm for mm in found.values() if mm is not None]
        distances = [found.get(step) for step in lesson.questions]
        plans = percents(lesson, results)
        rows.append(
            {
                "name": results.name,
                "mm": distances,
                "placed": len(made),
                "mean": float(np.mean(made)) if made else None,
                "percent": [plans.get(step) for step in lesson.plans],
                "planned": len(plans),
            }
        )
    return sorted(rows, key=_rank)


def _rank(row: dict) -> tuple:
    """Who did more comes first; then who was nearer, then whose plans were better."""
    mean = np.inf if row["mean"] is None else row["mean"]
    return -row["placed"] - row["planned"], mean, -sum(each or 0 for each in row["percent"]), row["name"]


def class_csv(lesson: Lesson, handed_in: list[Results]) -> str:
    """The same as CSV. No name can be taken for a formula by a spreadsheet.

    Args:
        lesson: as in `class_table`.
        handed_in: one a student.

    Raises:
        InputError: as `scores`.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    plans = [f"plan {n + 1} (% of the best as handed in)" for n in range(len(lesson.plans))]
    questions = [f"question {n + 1} (mm)" for n in range(len(lesson.questions))]
    table.writerow(["name", *questions, "placed", "mean (mm)", *plans])
    for row in class_table(lesson, handed_in):
        name = f"'{row['name']}" if row["name"][0] in "=+-@\t\r" else row["name"]
        percent = ["" if each is None else each for each in row["percent"]]
        table.writerow([name, *(_mm(mm) for mm in row["mm"]), row["placed"], _mm(row["mean"]), *percent])
    return out.getvalue()


def _mm(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
