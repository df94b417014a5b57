"""The section for learning anatomy: the mental map step by step, and "where is this slice?"."""

from __future__ import annotations

import base64
import io

import numpy as np
import slicer

from ...geometry import InputError
from ...slicerside import views
from ...slicerside.results import ATTRIBUTE
from ...slicerside.workflow.mental_map import MentalMap, Step
from ...slicerside.workflow.slice_quiz import SliceQuiz
from ..views import LABELS
from .section import Action, Section


class LearnSection(Section):
    """From no slices on, one slice after the other; and a game of placing slices in the normative anatomy."""

    NAME = "learn"

    def __init__(self, desk):
        super().__init__(desk)
        self.map, self.quiz = MentalMap(self.presenter), SliceQuiz()
        self._hidden: str | None = None  # the scan that is out of sight while a slice is asked for
        self._picture = ""

    def actions(self) -> dict[str, Action]:
        """Step through the map; ask for a slice, and answer."""
        return {
            "start": self.map.start,
            "forward": self.map.forward,
            "back": self.map.back,
            "stop": self.map.stop,
            "ask": self._ask,
            "answer": self._answer,
            "give_up": self._give_up,
        }

    def state(self) -> dict:
        """The steps with their numbers; question, picture and score."""
        question, verdicts = self.quiz.question, self.quiz.verdicts
        return {
            "running": self.map.running,
            "position": self.map.position,
            "steps": [_row(step, step.count == self.map.position) for step in self.map.steps],
            "asked": LABELS.get(question.view, "") if question else "",
            "picture": self._picture if question else "",
            "verdict": f"{verdicts[-1].distance_mm:.1f} mm off" if verdicts and not question else "",
            "score": f"{len(verdicts)} placed, {self.quiz.mean_mm:.1f} mm off on average" if verdicts else "",
        }

    def close(self) -> None:
        """Forget map and questions; the scene is about to be emptied."""
        self._give_up()
        self.map.stop()
        self.quiz = SliceQuiz()

    def _ask(self) -> None:
        """Show a slice of the scan, and in the views only the normative anatomy."""
        if not self.map.steps:
            raise InputError("start the mental map first: the slice is to be placed in its anatomy without slices.")
        volume = slicer.mrmlScene.GetNodeByID(self._hidden or views.composite_node("Red").GetBackgroundVolumeID() or "")
        if volume is None or volume.GetAttribute(f"{ATTRIBUTE}Role"):
            raise InputError("show the scan of the patient in the views first.")
        question = self.quiz.ask(volume)
        self._hidden = volume.GetID()
        self._picture = picture_address(question.picture)
        self.map.show(0)
        self.presenter.contexts.hide(True)  # they would give the answer away
        views.set_background(self.map.steps[0].result.mean)

    def _answer(self) -> None:
        self.quiz.answer()
        self._show_scan()

    def _give_up(self) -> None:
        self.quiz.give_up()
        self._show_scan()

    def _show_scan(self) -> None:
        volume = slicer.mrmlScene.GetNodeByID(self._hidden) if self._hidden else None
        self._hidden, self._picture = None, ""
        self.presenter.contexts.hide(False)
        if volume is not None:
            views.set_background(volume)


def _row(step: Step, shown: bool) -> dict:
    count = "no slice" if step.count == 0 else f"{step.count} slice{'s' if step.count > 1 else ''}"
    change = "" if step.change is None else f"{step.change:.3g}"
    return {"name": count, "uncertainty": f"{step.uncertainty:.3g}", "change": change, "shown": shown}


def picture_address(picture: np.ndarray) -> str:
    """A grey picture (rows, columns) uint8 as the address of a PNG that carries its data."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
