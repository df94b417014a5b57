"""One student goes through a lesson.

The patient is prepared, slices are given and asked for, answers are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import slicer

from ..geometry import InputError
from ..mrml import views
from ..mrml.i18n import _
from ..mrml.logic import Context, ReconstructionInputs
from ..mrml.nodes import volume_of, world_grid
from ..mrml.planes import PlanScore
from ..mrml.results import ATTRIBUTE, ResultNodes, remove_result
from ..mrml.sample_data import load_sparse_brain
from .class_scores import MIDDLE, Answer, Plan, Results, judge
from .distance import Miss, miss
from .landmarks import knows
from .lesson import AskSlice, Lesson, LessonPlane, PlanSlices, plane_through
from .plan_run import PlanRun
from .presenter import Presenter
from .slice_quiz import SliceQuiz, Verdict, acquired_planes
from .stage import BEST_COLOUR, Stage
from .steps import SPACING_MM, Step, Steps

_DRAWN_MM = 1.0
_OWN_UNITS = {"patient": [0.0, 1.0], "canonical": [0.0, 1.0]}  # a made-up person is in those of the model
_NEARLY_PARALLEL = 0.7  # cosine
_SAME_MM = 4.0  # within which a slice of a sparse scan is the one of the lesson: the frame is found anew
_NAME = "Lesson"
_VIEWS = {"Red": ("Axial", 2), "Green": ("Coronal", 1), "Yellow": ("Sagittal", 0)}


class LessonRun:
    """From `start` to `close` the views belong to the lesson.

    Args:
        presenter: whose views, contexts and choices it takes.

    Attributes:
        position: number of the step, -1 before the first.
        patient: the volume node of whom the slices are.
        frame: 4x4 from the model's space to where he lies (RAS mm).
        on_ready: called once the lesson can begin.
    """

    def __init__(self, presenter: Presenter, lesson: Lesson):
        self._presenter, self.lesson = presenter, lesson
        self.stage, self.quiz = Stage(presenter), SliceQuiz()
        self.position = -1
        self.ready = False
        self.frame = np.eye(4)
        self.patient = None
        self.answers: dict[int, tuple[Answer, Verdict | None, Miss | None]] = {}
        self._own: list[Callable[[], None]] = []  # what takes the patient out of the scene again
        self._steps: Steps | None = None
        self._given: list[tuple[LessonPlane, Context]] = []
        self._found: dict = {}
        self.planning: PlanRun | None = None
        self.plans: dict[int, Plan] = {}
        self._asked_at, self._closed = 0.0, False
        self.on_ready: Callable[[], None] = lambda: None

    @property
    def steps(self) -> list[Step]:
        """What is known after every slice that was given, from none on."""
        return list(self._steps or ())

    @property
    def step(self):
        """The step of the lesson that is shown; None before the first and after the last."""
        return self.lesson.steps[self.position] if 0 <= self.position < len(self.lesson.steps) else None

    @property
    def named(self) -> bool:
        """Whether structures of the model's anatomy have names here."""
        return knows(self._presenter.models.entry(self.lesson.prior).card)

    @property
    def anatomy(self):
        """The volume node of the anatomy without any slice."""
        return self._steps[0].result.mean

    def start(self) -> None:
        """Prepare patient and anatomy.

        Raises:
            InputError: where the scan is missing, or while something runs.
        """
        if self._presenter.runner.running:
            raise InputError(_("something runs already; cancel it first, or wait until it is done."))
        self._presenter.models.path(self.lesson.prior)
        self.stage.open()  # first: the sample shows itself when it is loaded
        try:
            if self.lesson.patient == "drawn":
                self._draw_patient()
            else:
                self._find_patient(self._scan())
        except BaseException:
            self.close()
            raise

    def next(self) -> None:
        """Go on to the next step. Raises InputError while a question waits or something runs."""
        if not self.ready or self._presenter.runner.running:
            raise InputError(_("wait until the lesson is ready."))
        if self.quiz.question is not None:
            raise InputError(_("answer first, or give up."))
        step = next(iter(self.lesson.steps[self.position + 1 :]), None)
        self.planning = PlanRun(self, step) if isinstance(step, PlanSlices) else None
        self.position = min(self.position + 1, len(self.lesson.steps))
        if isinstance(step, AskSlice):
            self._ask(step)
        elif self.planning is not None:
            self.show_known()
        elif step is not None:
            self._give(list(step.planes))

    def answer(self) -> None:
        """Judge where the view stands, and show the slice where it lies.

        Raises:
            InputError: where nothing was asked.
        """
        if self.quiz.question is not None:
            self.canonical(
                views.plane_of(views.slice_node(self.quiz.question.view))
            )  # refused while one can still go back
        self._judge(self.quiz.answer())

    def give_up(self) -> None:
        """Show the slice where it lies; no guess is kept."""
        self._judge(self.quiz.give_up())

    def canonical(self, plane: np.ndarray) -> LessonPlane:
        """A plane of a view (4x4 SliceToRAS, mm) in the model's space.

        Raises InputError far from the head.
        """
        matrix = np.linalg.inv(self.frame)
        point = matrix[:3, :3] @ plane[:3, 3] + matrix[:3, 3]
        return LessonPlane.of(plane_through(point, self.frame[:3, :3].T @ plane[:3, 2]))

    def placed(self, plane: LessonPlane) -> np.ndarray:
        """A plane of the lesson where the patient lies.

        4x4 SliceToRAS (mm), in a sparse scan the acquired slice that is meant.

        Raises:
            InputError: where a sparse scan has none there.
        """
        there = plane.matrix(MIDDLE)
        point = self.frame[:3, :3] @ there[:3, 3] + self.frame[:3, 3]
        wanted = self.there(point, there[:3, 2])
        found = self._acquired(wanted)
        if miss(found[:3, 3][None], found[:3, 2], wanted).distance_mm > _SAME_MM:
            raise InputError(
                _("{name} has no slice where the lesson asks for one.").format(name=self.patient.GetName())
            )
        return found

    def nearest(self, plane: np.ndarray) -> LessonPlane:
        """The slice of the patient that a view means, in the model's space.

        plane: of the view, 4x4 SliceToRAS, mm.
        """
        return self.canonical(self._acquired(plane))

    def matrix(self, plane: LessonPlane) -> np.ndarray:
        """A plane of the lesson in the model's space: 4x4 SliceToRAS (mm)."""
        return plane.matrix(MIDDLE)

    def _acquired(self, plane: np.ndarray) -> np.ndarray:
        """Of a sparse patient the acquired slice nearest to a plane, else the plane."""
        acquired = [each for _view, each in acquired_planes(self.patient)]
        if acquired and abs(float(acquired[0][:3, 2] @ plane[:3, 2])) < _NEARLY_PARALLEL:
            raise InputError(
                _("{name}: its slices run across this view; choose another one.").format(
                    name=self.patient.GetName()
                )
            )
        return min(
            acquired, key=lambda each: miss(each[:3, 3][None], each[:3, 2], plane).distance_mm, default=plane
        )

    def results(self, name: str) -> Results:
        """What the student hands in. Raises InputError without a name."""
        if not name.strip() or not name.isprintable():
            raise InputError(_("type your name or a nickname first."))
        answers = [answer for answer, *_rest in self.answers.values()]
        return Results(
            lesson=self.lesson.digest,
            title=self.lesson.title,
            name=name.strip()[:40],
            answers=answers,
            plans=list(self.plans.values()),
        )

    def close(self) -> None:
        """End the lesson: its nodes go, and everything is as it was before."""
        self._closed, self.ready = True, False
        if self._presenter.runner.running:
            self._presenter.runner.cancel()
        self.stage.close()  # first: what is shown must not go
        if self._steps is not None:
            self._steps.clear()
        for remove in reversed(self._own):
            remove()
        self._own = []

    # The patient
    def _draw_patient(self) -> None:
        """A person whom the model makes up; he lies in the model's space."""
        inputs = self._inputs(
            frame="registered", spacing_mm=_DRAWN_MM, outputs=(), samples=1, seed=self.lesson.seed
        )

        def drawn(result: ResultNodes) -> None:
            self._own.append(lambda: remove_result(result))
            self.patient = result.current
            self._prepare({"frame": "registered", "intensity": _OWN_UNITS})

        self._presenter.runner.run(inputs, self._unless_closed(drawn), _("drawing a person"))

    def _find_patient(self, scan) -> None:
        """Find where the head of a scan lies, from the slices of a sparse one or three of a dense one."""
        inputs = self._inputs(contexts=_slices_for_frame(scan), spacing_mm=SPACING_MM, outputs=("mean",))

        def placed(result: ResultNodes) -> None:
            self.patient = scan
            self.frame = np.linalg.inv(result.found["frame"])
            remove_result(result)
            self._prepare(result.found)

        self._presenter.runner.run(inputs, self._unless_closed(placed), _("finding where the head lies"))

    def _scan(self):
        if self.lesson.patient == "sample":
            node = load_sparse_brain()
            self.keep(node)
            return node
        identity = views.composite_node("Red").GetBackgroundVolumeID() or ""
        node = slicer.mrmlScene.GetNodeByID(identity)
        if node is None or node.GetAttribute(f"{ATTRIBUTE}Role"):
            raise InputError(
                _("this lesson is about a scan: load the scan that your teacher gave you first, then begin.")
            )
        return node

    def _prepare(self, found: dict) -> None:
        """Make the anatomy without slices; then the lesson can begin."""
        self._found = found
        self._steps = Steps(
            self._presenter.runner, self.lesson.prior, self._presenter.parameters.device.value, found, _NAME
        )

        def made(_step: Step) -> None:
            self.ready = True
            self._turn_views()
            self.stage.show(self.anatomy)
            views.fit(self.anatomy)
            self.on_ready()

        self._steps.make((), made)

    def _turn_views(self) -> None:
        """The views face the planes of the model's space, wherever somebody has turned them before."""
        middle = world_grid(self.anatomy).corners_ras().mean(0)
        for view, (orientation, axis) in _VIEWS.items():
            if (node := views.slice_node(view)) is not None:
                node.SetOrientation(orientation)
                views.face(node, self.there(middle, np.eye(3)[axis]), middle)

    def there(self, point: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """The plane through a point (3,) in RAS mm whose normal (3,) is given in the model's space: 4x4."""
        return plane_through(point, np.linalg.inv(self.frame[:3, :3]).T @ normal)

    def _inputs(self, **words) -> ReconstructionInputs:
        device = self._presenter.parameters.device.value
        return ReconstructionInputs(self.lesson.prior, device=device, fast=True, name=_NAME, **words)

    def _unless_closed(self, then: Callable[[ResultNodes], None]) -> Callable[[ResultNodes], None]:
        return lambda result: remove_result(result) if self._closed else then(result)

    # The steps
    def _give(self, planes: list[LessonPlane]) -> None:
        """One slice after the other, so that every one shows what it tells."""
        if not planes:
            self.show_known()
            return
        plane = planes.pop(0)
        self.add(plane, Context(self.patient, plane=self.placed(plane)), lambda: self._give(planes))

    def add(self, plane: LessonPlane, context: Context, then: Callable[[], None]) -> None:
        """Give one slice more; `then` is called once it is known what it tells.

        Raises:
            InputError: while something runs, or where the slice cannot be used.
        """
        given = self._known
        contexts = [*(each for _plane, each in given), context]
        self._steps.make(tuple(contexts), lambda _step: then())
        self._given = [*given, (plane, context)]

    @property
    def _known(self) -> list[tuple[LessonPlane, Context]]:
        """What was given, without a slice whose job has failed or was cancelled."""
        return self._given[: len(self._steps) - 1]

    def show_known(self) -> None:
        """Show the mean of what is known, and in blue where its slices lie."""
        self.stage.show(self._steps[-1].result.mean)
        self.stage.mark_slices(self.patient, [self.placed(plane) for plane, _context in self._known])

    def judge(self, planes: list[LessonPlane], then: Callable[[PlanScore], None]) -> None:
        """Ask how much planes take, the last that were given, and how much the best ones would have taken.

        Raises:
            InputError: while something runs.
        """
        before = tuple(context for _plane, context in self._known[: -len(planes)])
        inputs = self._inputs(contexts=before, **self._found)
        self._presenter.runner.judge(inputs, [self.placed(plane) for plane in planes], then)

    def take_plan(self, plan: Plan, best: list[np.ndarray]) -> None:
        """Keep a plan that was judged, and frame the planes (4x4 SliceToRAS, mm) of the best one in green."""
        self.plans[plan.step] = plan
        self.stage.mark_slices(self.patient, best, BEST_COLOUR, more=True)

    def keep(self, node) -> None:
        """Take a volume node out of the scene when the lesson ends."""
        self._own.append(lambda: slicer.mrmlScene.IsNodePresent(node) and slicer.mrmlScene.RemoveNode(node))

    def _ask(self, step: AskSlice) -> None:
        plane = self.placed(step.plane)
        view = views.nearest_view(plane[:3, 2])
        self.stage.show(self.anatomy)
        self.quiz.pose(self.patient, plane, view)
        views.jump(
            plane, world_grid(self.anatomy).corners_ras().mean(0), view
        )  # the student begins in the middle
        self._asked_at = time.monotonic()

    def _judge(self, verdict: Verdict) -> None:
        seconds = round(min(time.monotonic() - self._asked_at, 86_400.0), 1)
        guess = None if verdict.gave_up else self.canonical(verdict.guess)
        missed = judge(self.step, guess) if guess else None
        self.answers[self.position] = (
            Answer(step=self.position, guess=guess, seconds=seconds),
            verdict,
            missed,
        )
        self.stage.reveal(verdict)


def _slices_for_frame(scan) -> tuple[Context, ...]:
    """All slices of a sparse volume; three through the middle of what a dense one shows."""
    if acquired_planes(scan):
        return (Context(scan),)
    volume = volume_of(scan)
    part = volume.array[::4, ::4, ::4]
    kji = (
        np.argwhere(part > 0.1 * part.max()).mean(0) * 4
        if part.max() > 0
        else np.array(volume.array.shape) / 2
    )
    middle = (volume.grid.ijk_to_ras @ [*kji[::-1], 1.0])[:3]
    return tuple(Context(scan, plane=plane_through(middle, np.eye(3)[axis])) for axis in (2, 1, 0))
