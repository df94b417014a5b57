"""The full window for teaching: going through a lesson, making one, and the scores of a class."""

from __future__ import annotations

import base64
from pathlib import Path

from ...geometry import InputError
from ...mrml import views
from ...workflow.class_scores import Results, class_csv, class_table
from ...workflow.landmarks import near_words
from ...workflow.lesson import Lesson, from_link, read, read_file, write
from ...workflow.lesson_draft import Draft
from ...workflow.lesson_run import LessonRun
from ...workflow.plan_run import PlanRun
from ..views import LABELS
from .lesson_pictures import LessonPictures
from .section import Action, Section

_LESSONS = Path(__file__).resolve().parents[3] / "Resources" / "Lessons"
EXAMPLES = {"first": _LESSONS / "first-look.json", "plan": _LESSONS / "plan-a-scan.json"}
_MAX_STUDENTS = 200
_PATIENTS = {
    "drawn": "A person whom the model made up: nobody real.",
    "sample": "Four slices of the sample that comes with the program.",
    "scan": "The scan that is loaded here.",
}


class TeachSection(Section):
    """Lessons, taken and made.

    Phases: "" (the workbench), home, title, wait, slices, plan, question, answer, end, edit, class.
    """

    NAME = "teach"

    def __init__(self, app):
        super().__init__(app)
        self._phase, self._lesson, self._run, self._name = "", None, None, ""
        self._draft: Draft | None = None
        self._offered: Lesson | None = None
        self._class: dict[str, Results] = {}
        self._pictures = LessonPictures(app.server.state)
        app.server.state.teach_near = {}
        for name in LABELS:
            app.views.slice_view(name).modified.connect(
                lambda *_: self._phase and app.schedule_section(self.NAME)
            )

    def actions(self) -> dict[str, Action]:
        """Into the window and out of it; through a lesson; the teacher's tools."""
        return {
            "home": lambda: self._go("home"),
            "leave": self._leave,
            "example": self._example,
            "open": self._open,
            "link": lambda text: self._take(from_link(str(text))),
            "begin": self._begin,
            "next": self._next,
            "answer": lambda: self._run and self._run.answer(),
            "give_up": lambda: self._run and self._run.give_up(),
            "edit": self._edit,
            "draft": self._change_draft,
            "class": lambda: self._go("class"),
            "hand_in": self._hand_in,
        }

    def state(self) -> dict:
        """What the window shows; pictures, and what lies near the views, have variables of their own."""
        phase = self._now()
        run = self._run
        state = self.app.server.state
        layout = {
            "": "",
            "question": "placing",
            "answer": "placing",
            "slices": "guided",
            "plan": "guided planning",
            "edit": "guided",
        }.get(phase, "plain")
        asked = self._asked(phase)
        state.lesson = f"{layout} {asked}".strip()
        self._pictures.update(run if phase in ("slices", "question", "answer", "plan") else None, phase)
        state.teach_near = self._near() if phase in ("question", "answer", "edit", "slices") else {}
        lesson = self._lesson
        shown = {
            "phase": phase,
            "title": lesson.title if lesson else "",
            "text": lesson.text if lesson else "",
            "name": self._name,
        }
        shown |= {
            "patient": _PATIENTS[lesson.patient] if lesson else "",
            "asked": LABELS.get(asked, ""),
            "view": asked,
        }
        shown["made_up"] = run is not None and run.lesson.patient == "drawn"
        shown |= self._progress() if run is not None and phase not in ("edit", "home") else {}
        if phase == "end":
            shown["results"] = _address(write(run.results(self._name or "nobody")), "application/json")
        if phase == "edit":
            shown |= self._draft.state()
        if phase in ("title", "class"):
            shown["questions"] = len(lesson.questions) if lesson else 0
            shown["plans"] = len(lesson.plans) if lesson else 0
        if phase == "class":
            shown |= self._class_state()
        return shown

    @property
    def planning(self) -> PlanRun | None:
        """The plan that a student makes now."""
        return self._run.planning if self._run is not None and self._now() == "plan" else None

    def offer(self, path: Path) -> None:
        """Open the window with the lesson of a file, now and for whoever starts over. Raises InputError."""
        self._offered = read_file(path)
        self._take(self._offered)

    def close(self) -> None:
        """Forget all; the scene is about to be emptied.

        The lesson that the server offers is offered again.
        """
        self._leave()
        self._lesson = None
        self._draft = None
        self._class = {}
        self._name = ""
        if self._offered is not None:
            self._take(self._offered)

    def _now(self) -> str:
        """The phase, which within a lesson follows from where the student is."""
        run = self._run
        if self._phase not in ("run", "edit"):
            return self._phase
        planning = run.planning is not None  # who plans goes on seeing the scouts while something runs
        if not run.ready or (self.presenter.runner.running and not planning):
            return "wait"
        if self._phase == "edit":
            return "edit"
        if run.step is None:
            return "end"
        if run.step.kind != "question":
            return run.step.kind
        return "question" if run.quiz.question is not None else "answer"

    def _asked(self, phase: str) -> str:
        """The view in which a slice is placed."""
        if phase == "question":
            return self._run.quiz.question.view
        return self._run.quiz.verdicts[-1].question.view if phase == "answer" else ""

    def _go(self, phase: str) -> None:
        self._end_run()
        self._phase = phase

    def _leave(self) -> None:
        self._end_run()
        self._phase = ""

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            for name in LABELS:
                self.app.views.slice_view(name).set_visible_in_3d(
                    False
                )  # while volumes go, planes have nothing to show
            run.close()
            self.app.views.show_planes()
            self.app.views.fit_3d()

    def _take(self, lesson: Lesson) -> None:
        self._go("class" if self._phase == "class" else "title")
        if self._lesson is None or lesson.digest != self._lesson.digest:
            self._class = {}
        self._lesson = lesson

    def _example(self, name: str = "first") -> None:
        """A lesson that comes with the program."""
        if name not in EXAMPLES:
            raise InputError("that lesson is not there.")
        self._take(read_file(EXAMPLES[name]))

    def _open(self, texts) -> None:
        """A lesson from the text of a file."""
        self._take(read(Lesson, _texts(texts)[0], "the lesson"))

    def _begin(self, name: str = "") -> None:
        if self._lesson is None:
            raise InputError("open a lesson first.")
        self._end_run()
        self._name = str(name).strip()[:40]
        self._start(LessonRun(self.presenter, self._lesson), "run")
        self._run.on_ready = self._next

    def _start(self, run: LessonRun, phase: str) -> None:
        self.app.sections["learn"].close()
        run.start()
        self._run, self._phase = run, phase

    def _next(self) -> None:
        if self._run is None or self._phase != "run":
            raise InputError("begin the lesson first.")
        self._run.next()
        self.app.views.fit_3d()

    def _edit(self, kind: str = "", fresh: bool = False) -> None:
        """Make a lesson, or change the one that is open.

        Args:
            kind: of whom its slices are, "" as before.
        """
        if fresh or self._draft is None:
            self._draft = Draft(None if fresh else self._lesson)
        if kind:
            self._draft.set_patient(str(kind))
        self._end_run()
        self._start(LessonRun(self.presenter, self._draft.empty()), "edit")
        self._run.on_ready = self._show_patient

    def _show_patient(self) -> None:
        self._run.stage.show(self._run.patient)
        views.fit(self._run.patient)
        self.app.views.fit_3d()

    def _change_draft(self, what: str, *arguments) -> None:
        """One change of the draft, by the name of a method of Draft."""
        if self._phase != "edit" or self._run is None or what not in Draft.CHANGES:
            raise InputError("start making a lesson first.")
        if what == "add":
            kind, view = (str(each) for each in arguments)
            node = views.slice_node(view)
            if node is None:
                raise InputError("that view is not there.")
            shows = kind in ("question", "slices")
            self._draft.add(kind, self._run.nearest(views.plane_of(node)) if shows else None)
        elif what == "open":
            self._take(self._draft.lesson())
        else:
            getattr(self._draft, what)(*arguments)

    def _hand_in(self, texts) -> None:
        """Results of students, from the texts of their files; who hands in twice counts once."""
        if self._lesson is None:
            raise InputError("open the lesson first; then the results of the class.")
        for text in _texts(texts):
            results = read(Results, text, "the results")
            class_table(self._lesson, [results])
            if len(self._class) >= _MAX_STUDENTS and results.name not in self._class:
                raise InputError(f"more than {_MAX_STUDENTS} students; download the table and start over.")
            self._class[results.name] = results

    def _near(self) -> dict[str, str]:
        """What the planes of the views pass near, where names are known."""
        if not self._run.named:
            return {}
        found = {}
        for name in LABELS:
            try:
                plane = self._run.canonical(views.plane_of(views.slice_node(name)))
            except InputError:
                continue  # scrolled beside the head
            found[name] = near_words(self._run.matrix(plane))
        return found

    def _progress(self) -> dict:
        """Where the student is, what was answered, and how the uncertainty shrank."""
        run = self._run
        steps = run.steps
        answers = [(n, run.answers.get(step)) for n, step in enumerate(run.lesson.questions, 1)]
        plans = enumerate(run.lesson.plans, 1)
        shown = {
            "step": run.position + 1,
            "of": len(run.lesson.steps),
            "step_text": run.step.text if run.step else "",
            "chart": [
                {
                    "count": each.count,
                    "share": round(100 * each.uncertainty / max(steps[0].uncertainty, 1e-9)),
                }
                for each in steps
            ],
            "given": steps[-1].count if steps else 0,
            "answers": [{"n": n, "words": _words(each)} for n, each in answers if each],
            "planned": [
                {"n": n, "percent": run.plans[step].percent} for n, step in plans if step in run.plans
            ],
        }
        if run.position in run.answers:
            shown["verdict"] = _words(run.answers[run.position])
            shown["gave_up"] = run.answers[run.position][2] is None
        return shown

    def _class_state(self) -> dict:
        if self._lesson is None:
            return {"rows": [], "csv": ""}
        handed_in = list(self._class.values())
        rows = class_table(self._lesson, handed_in)
        shown = [
            {
                **row,
                "mm": [_mm(mm) for mm in row["mm"]],
                "mean": _mm(row["mean"]),
                "percent": ["–" if each is None else str(each) for each in row["percent"]],
            }
            for row in rows
        ]
        return {"rows": shown, "csv": _address(class_csv(self._lesson, handed_in), "text/csv")}


def _mm(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _words(answer) -> str:
    """How an answer of LessonRun missed."""
    _answer, _verdict, missed = answer
    return missed.words if missed is not None else "not placed"


def _texts(texts) -> list[str]:
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise InputError("choose a file that was saved by this program.")
    return texts[:_MAX_STUDENTS]


def _address(text: str, kind: str) -> str:
    """A text as the address of a file that carries its data."""
    return f"data:{kind};base64,{base64.b64encode(text.encode()).decode()}"
