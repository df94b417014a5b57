"""The section for learning anatomy: the mental map step by step, and "where is this slice?"."""

from __future__ import annotations

import slicer

from ...geometry import InputError
from ...mrml import views
from ...mrml.results import ATTRIBUTE
from ...workflow.mental_map import MentalMap
from ...workflow.slice_quiz import SliceQuiz
from ...workflow.stage import Stage
from ...workflow.steps import Step
from ..views import LABELS
from .lesson_pictures import picture_address
from .section import Action, Section


class LearnSection(Section):
    """From no slices on, one slice after the other; and a game of placing slices in the normative anatomy."""

    NAME = "learn"

    def __init__(self, app):
        super().__init__(app)
        self.map, self.quiz, self._stage = MentalMap(self.presenter), SliceQuiz(), Stage(self.presenter)

    def actions(self) -> dict[str, Action]:
        """Step through the map; ask for a slice, answer, and go back to what was before."""
        return {
            "start": self._start,
            "forward": self._forward,
            "back": self._back,
            "stop": self._stop,
            "ask": self._ask,
            "answer": lambda: self._stage.reveal(self.quiz.answer()),
            "give_up": lambda: self._stage.reveal(self.quiz.give_up()),
            "done": self._done,
        }

    def state(self) -> dict:
        """The steps with their numbers; question, picture and score."""
        question = self.quiz.question
        verdicts = self.quiz.verdicts
        mean = self.quiz.mean_mm
        answered = self._stage.is_open and question is None and verdicts
        return {
            "running": self.map.running,
            "position": self.map.position,
            "steps": [_row(step, step.count == self.map.position) for step in self.map.steps],
            "asked": LABELS.get(question.view, "") if question else "",
            "picture": picture_address(question.picture) if question else "",
            "answered": bool(answered),
            "verdict": (
                ("It lies here" if verdicts[-1].gave_up else verdicts[-1].miss.words) if answered else ""
            ),
            "score": f"{sum(not each.gave_up for each in verdicts)} placed, {mean:.1f} mm off on average"
            if mean is not None
            else "",
        }

    def close(self) -> None:
        """Forget map and questions; the scene is about to be emptied."""
        self._stop()
        self.quiz = SliceQuiz()

    def _start(self) -> None:
        self._done()
        self.map.start()

    def _forward(self) -> None:
        self._done()
        self.map.forward()

    def _back(self) -> None:
        self._done()
        self.map.back()

    def _stop(self) -> None:
        self._done()
        self.map.stop()

    def _done(self) -> None:
        self.quiz.question = None
        self._stage.close()

    def _ask(self) -> None:
        """Show a slice of the scan, and in the views only the normative anatomy."""
        if not self.map.steps:
            raise InputError(
                "start the mental map first: the slice is to be placed in its anatomy without slices."
            )
        self._done()
        volume = slicer.mrmlScene.GetNodeByID(views.composite_node("Red").GetBackgroundVolumeID() or "")
        if volume is None or volume.GetAttribute(f"{ATTRIBUTE}Role"):
            raise InputError("show the scan of the patient in the views first.")
        self.quiz.ask(volume)
        self._stage.open()
        self._stage.show(self.map.steps[0].result.mean)


def _row(step: Step, shown: bool) -> dict:
    count = "no slice" if step.count == 0 else f"{step.count} slice{'s' if step.count > 1 else ''}"
    change = "" if step.change is None else f"{step.change:.3g}"
    return {"name": count, "uncertainty": f"{step.uncertainty:.3g}", "change": change, "shown": shown}
