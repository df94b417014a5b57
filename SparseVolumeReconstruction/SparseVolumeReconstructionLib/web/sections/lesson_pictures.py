"""The still pictures of a lesson, each made once.

The slice, the anatomy there and at the guess, the uncertainty after every slice.
"""

from __future__ import annotations

import base64
import io

import numpy as np

from ...mrml import views
from ...mrml.nodes import volume_of, world_grid
from ...workflow.lesson import plane_through
from ...workflow.lesson_run import LessonRun
from ...workflow.slice_quiz import picture_grid, picture_of

_BRIGHTEST = 99.5  # percentile of the standard deviation without slices that is white in all pictures


class LessonPictures:
    """Keeps the page's variable `teach_pictures`: addresses by name, "sd" a list."""

    def __init__(self, state):
        self._state = state
        self._made = {}
        state.teach_pictures = {"sd": []}

    def update(self, run: LessonRun | None, phase: str) -> None:
        """Bring the pictures up to date with a lesson; None: none are to be seen.

        Args:
            run: the lesson.
            phase: "question" shows the slice, "answer" where it lies and the guess, too; any other the
                uncertainties alone.
        """
        wanted = {"sd": []} if run is None else self._wanted(run, phase)
        if wanted != self._state.teach_pictures:
            self._state.teach_pictures = wanted

    def _wanted(self, run: LessonRun, phase: str) -> dict:
        pictures = {
            "sd": [
                self._once((id(run), "sd", step.count), lambda step=step: _deviation(run, step))
                for step in run.steps
            ]
        }
        if phase == "question":
            question = run.quiz.question
            pictures["slice"] = self._once((id(run), run.position), lambda: picture_address(question.picture))
        if phase == "answer":
            verdict = run.quiz.verdicts[-1]
            question = verdict.question
            pictures["slice"] = self._once((id(run), run.position), lambda: picture_address(question.picture))
            pictures["there"] = self._once(
                (id(run), run.position, "there"), lambda: _anatomy(run, question.view, question.plane)
            )
            if not verdict.gave_up:
                pictures["guess"] = self._once(
                    (id(run), run.position, "guess"), lambda: _anatomy(run, question.view, verdict.guess)
                )
        return pictures

    def _once(self, key: tuple, make) -> str:
        if key not in self._made:
            self._made = {
                known: each for known, each in self._made.items() if known[0] == key[0]
            }  # of this lesson only
            self._made[key] = make()
        return self._made[key]


def _anatomy(run: LessonRun, view: str, plane: np.ndarray) -> str:
    """The anatomy without slices on a plane, around the middle of the head."""
    middle = world_grid(run.anatomy).corners_ras().mean(0)
    centred = plane.copy()
    centred[:3, 3] = middle + plane[:3, 2] * (plane[:3, 2] @ (plane[:3, 3] - middle))
    return picture_address(
        picture_of(run.anatomy, picture_grid(views.plane_of(views.slice_node(view)), centred))
    )


def _deviation(run: LessonRun, step) -> str:
    """The standard deviation after a step in the colours of uncertainty.

    Across the slices that the lesson gives.
    """
    from matplotlib import colormaps

    normal = np.eye(3)[0]
    given = [plane.normal for each in run.lesson.steps if each.kind == "slices" for plane in each.planes]
    if given and abs(given[0][0]) > 0.7:
        normal = np.eye(3)[2]
    middle = world_grid(run.anatomy).corners_ras().mean(0)
    plane = plane_through(middle + 12.0 * normal, normal)  # beside the middle, where there is more to see
    axes = np.eye(4)
    axes[:3, :3] = np.array([[0, 0, 1], [-1, 0, 0], [0, 1, 0]]) if normal[0] else np.diag([-1.0, 1.0, 1.0])
    first = volume_of(run.steps[0].result.std).array
    most = float(np.percentile(first[first > 0], _BRIGHTEST))
    grey = picture_of(step.result.std, picture_grid(axes, plane), most)
    return picture_address((colormaps["inferno"](grey)[..., :3] * 255).astype(np.uint8))


def picture_address(picture: np.ndarray) -> str:
    """A picture (rows, columns[, 3]) uint8 as the address of a PNG that carries its data."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
