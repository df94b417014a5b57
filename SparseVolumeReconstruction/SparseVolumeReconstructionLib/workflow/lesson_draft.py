"""A lesson in the making."""

from __future__ import annotations

import base64

from pydantic import ValidationError

from ..geometry import InputError, first_problem
from ..mrml.i18n import _
from .lesson import AskSlice, GiveSlices, Lesson, LessonPlane, PlanSlices, to_link, write

_AXES = (_("sagittal"), _("coronal"), _("axial"))


class Draft:
    """What a teacher has put together so far.

    Arguments of CHANGES come from a page, so they are not trusted.
    """

    CHANGES = ("add", "set", "set_step", "set_plan", "drop", "up", "open")

    def __init__(self, lesson: Lesson | None = None):
        self._fields = {
            "title": _("My lesson"),
            "text": "",
            "prior": "brain-t1",
            "patient": "drawn",
            "seed": 1,
        }
        if lesson is not None:
            self._fields = {name: getattr(lesson, name) for name in self._fields}
        self._steps = list(lesson.steps) if lesson is not None else []

    def lesson(self) -> Lesson:
        """The lesson as it is. Raises InputError."""
        return self._checked(self._fields, self._steps)

    def empty(self) -> Lesson:
        """The same without steps: enough to see its patient."""
        return self._checked(self._fields, [])

    def set_patient(self, kind: str) -> None:
        """Of whom the slices are; "another" is another person whom the model makes up.

        Slices of one are none of the other.
        """
        if kind == "another":
            self._set(patient="drawn", seed=(self._fields["seed"] + 1) % 1_000_000)
        else:
            self._set(patient=kind)

    def set(self, name: str, value: str) -> None:
        """Change title or text.

        Args:
            name: "title" or "text".

        Raises:
            InputError: for another name, or a value that is empty (title) or too long, with nothing changed.
        """
        if name not in ("title", "text"):
            raise InputError(_("only title and text can be typed."))
        self._set(**{name: str(value)})

    def add(self, kind: str, plane: LessonPlane | None) -> None:
        """Ask for a slice ("question"), give it ("slices"), let slices be planned ("plan"), or say something.

        Args:
            kind: of the step.
            plane: of the slice; None for a plan and for a text alone.

        Raises:
            InputError: where a lesson holds no more steps.
        """
        made = {"question": lambda: AskSlice(plane=plane), "plan": PlanSlices}
        step = made.get(kind, lambda: GiveSlices(planes=[plane] if plane else []))()
        self._replace([*self._steps, step])

    def set_step(self, number: int, text: str) -> None:
        """What the student reads at a step.

        Args:
            number: of the step, from 0.

        Raises:
            InputError: for a step that is not there, or a text that is too long.
        """
        self._change(number, text=str(text))

    def set_plan(self, number: int, name: str, value: float) -> None:
        """Change how a plan is scanned.

        Args:
            number: of the step, from 0.
            name: "count", "thickness_mm" or "noise".
            value: see PlanSlices.

        Raises:
            InputError: for a step that is no plan, another name, or a value out of its range.
        """
        if self._steps[self._number(number)].kind != "plan" or name not in ("count", "thickness_mm", "noise"):
            raise InputError(_("that step has no such number."))
        self._change(number, **{name: value})

    def _change(self, number: int, **changed) -> None:
        steps = list(self._steps)
        steps[number] = steps[self._number(number)].model_dump() | changed
        self._steps = list(self._checked(self._fields, steps).steps)

    def drop(self, number: int) -> None:
        """Take a step out."""
        number = self._number(number)
        self._replace(self._steps[:number] + self._steps[number + 1 :])

    def up(self, number: int) -> None:
        """Let a step come one earlier."""
        number, steps = self._number(number), list(self._steps)
        if number:
            steps[number - 1], steps[number] = steps[number], steps[number - 1]
            self._replace(steps)

    def state(self) -> dict:
        """Plain data for a page: the fields, steps, the file to save, and the link (or why there is none)."""
        lesson = self.lesson()
        try:
            link = to_link(lesson)
            no_link = ""
        except InputError as error:
            link = ""
            no_link = str(error)
        file = f"data:application/json;base64,{base64.b64encode(write(lesson).encode()).decode()}"
        steps = [step.model_dump() | {"what": _what(step)} for step in self._steps]
        return {"draft": {**self._fields, "steps": steps, "link": link, "no_link": no_link, "file": file}}

    def _set(self, **changes) -> None:
        self._checked(self._fields | changes, self._steps)
        self._fields |= changes

    def _replace(self, steps: list) -> None:
        self._checked(self._fields, steps)
        self._steps = steps

    def _number(self, number) -> int:
        if not isinstance(number, int) or not 0 <= number < len(self._steps):
            raise InputError(_("that step is not there any more."))
        return number

    @staticmethod
    def _checked(fields: dict, steps: list) -> Lesson:
        try:
            return Lesson.model_validate({**fields, "steps": steps})
        except ValidationError as error:
            raise InputError(f"{first_problem(error, _('the lesson'))}.") from None


def _what(step) -> str:
    """A step in a few words."""
    if step.kind == "question":
        return _("Where is this {plane} slice?").format(plane=_plane_words(step.plane))
    if step.kind == "plan":
        return _("Plan up to {n} slices, and scan them").format(n=step.count)
    if not step.planes:
        return _("Text and the anatomy as it is known by then")
    return _("Give slices: {planes}").format(planes=", ".join(map(_plane_words, step.planes)))


def _plane_words(plane: LessonPlane) -> str:
    largest = max(range(3), key=lambda axis: abs(plane.normal[axis]))
    sign = 1 if plane.normal[largest] > 0 else -1
    return f"{_AXES[largest]} {sign * plane.offset_mm:.0f} mm"
