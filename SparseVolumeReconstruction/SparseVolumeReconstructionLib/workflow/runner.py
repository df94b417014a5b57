"""Jobs of a front end: one reconstruction at a time, and live updates of which only the newest counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..geometry import InputError
from ..mrml.answers import Answer
from ..mrml.i18n import _
from ..mrml.logic import LoadedScan, ReconstructionInputs, SparseVolumeReconstructionLogic
from ..mrml.making import Making
from ..mrml.planes import PlanScore
from ..mrml.results import ResultNodes
from ..progress import ProgressEvent
from ..worker import Job, WorkerError

Done = Callable[[ResultNodes], None]


@dataclass(frozen=True)
class Status:
    """What to tell the user.

    Attributes:
        step: what the job that runs does.
        fraction: 0..1 of it.
        remaining_s: until it is done.
        error: one line.
        log: all of the error.
        since: when it was said, in seconds of the monotonic clock; the remaining time runs down from then on.
    """

    step: str = ""
    fraction: float = 0.0
    remaining_s: float | None = None
    error: str = ""
    log: str = ""
    since: float = field(default_factory=lambda: time.monotonic(), compare=False)

    @property
    def text(self) -> str:
        """The step, and about how long it will still take, from now on, where that is known."""
        seconds = (self.remaining_s or 0.0) - (time.monotonic() - self.since)
        if round(seconds) < 1:
            return self.step
        if seconds < 90:
            return self.step + _(", about {n} s left").format(n=round(seconds))
        return self.step + _(", about {n} min left").format(n=round(seconds / 60))

    @property
    def finished(self) -> bool:
        """Whether this says that a job is done."""
        return self.fraction == 1.0 and not self.error


class Runner:
    """Runs jobs through the logic.

    Call `poll` from a timer while `busy`.

    Args:
        logic: starts the jobs.
        on_change: called when `status` or `running` changed.
    """

    def __init__(self, logic: SparseVolumeReconstructionLogic, on_change: Callable[[], None]):
        self._logic, self._on_change = logic, on_change
        self.status = Status()
        self._told = ""
        self._job: Job | None = None
        self._live: Job | None = None
        self._newest: Callable[[], None] | None = None

    @property
    def running(self) -> bool:
        """True while a job that the user started runs."""
        return self._job is not None

    @property
    def busy(self) -> bool:
        """True while `poll` has to be called."""
        return self.running or self._live is not None

    def run(self, inputs: ReconstructionInputs, on_done: Done, what: str = "starting") -> None:
        """Start a job; an error becomes the status.

        Args:
            on_done: gets the result's nodes; not called where the job failed or was cancelled.
            what: the status until the job says what it does.

        Raises:
            InputError: when one runs already or the inputs cannot be used.
        """
        self._begin(lambda: self._logic.start(inputs), on_done, what)

    def make(self, making: Making, on_done: Done, what: str) -> Job[ResultNodes]:
        """Start what another operation than a reconstruction makes, as a job like any other; as `run`."""
        return self._begin(lambda: self._logic.make(making), on_done, what)

    def read(
        self,
        files: dict[Path, str],
        name: str,
        on_done: Callable[[LoadedScan], None],
        on_error: Callable[[Exception], None],
        series: str | None = None,
    ) -> None:
        """Read uploaded files (with what each was called) of one scan into nodes, as a job like any other.

        Args:
            series: which DICOM series.
            on_error: gets what went wrong, also that it was cancelled.

        Raises:
            InputError: when a job runs already.
        """
        what = _("reading {name}").format(name=name)
        self._begin(lambda: self._logic.read(files, name, series), on_done, what, on_error)

    def find_masks(self, stacks: list, prior: str, on_done: Callable[[list], None]) -> None:
        """Look for one brain in volume nodes, as a job like any other.

        Args:
            stacks: the volume nodes, of one visit.
            prior: id of the model.
            on_done: gets a segmentation node for each; not called where the job failed or was cancelled.

        Raises:
            InputError: when a job runs already or a node cannot be used.
        """
        what = _("looking for the brain")
        self._begin(lambda: self._logic.find_masks(stacks, prior), on_done, what)

    def suggest(self, inputs: ReconstructionInputs, on_done: Callable[[Answer], None]) -> Job[Answer]:
        """Look for planes to scan next, as a job like any other.

        Args:
            on_done: gets them, the best first; not called where the job failed or was cancelled.

        Raises:
            InputError: when a job runs already or the inputs cannot be used.
        """
        return self._begin(lambda: self._logic.suggest(inputs), on_done, _("looking for planes"))

    def locate(self, inputs: ReconstructionInputs, on_done: Callable[[Answer], None]) -> Job[Answer]:
        """Look for the places where slices may lie, as a job like any other; see `suggest`."""
        return self._begin(lambda: self._logic.locate(inputs), on_done, _("looking for the place"))

    def surprise(self, inputs: ReconstructionInputs, on_done: Callable[[Answer], None]) -> Job[Answer]:
        """Look for what is improbable in slices, as a job like any other; see `suggest`."""
        return self._begin(lambda: self._logic.surprise(inputs), on_done, _("comparing the slices"))

    def judge(
        self, inputs: ReconstructionInputs, planes: list, on_done: Callable[[PlanScore], None]
    ) -> Job[PlanScore]:
        """Judge planes (4x4 SliceToRAS, mm) that were planned, as a job like any other; see `suggest`."""
        return self._begin(lambda: self._logic.judge(inputs, planes), on_done, _("looking for the best plan"))

    def _begin(
        self,
        start: Callable[[], Job],
        on_done: Callable,
        what: str,
        on_error: Callable[[Exception], None] | None = None,
    ) -> Job:
        """on_error: who is told of an error instead of the status."""
        if self.running:
            raise InputError(_("something runs already; cancel it first, or wait until it is done."))

        def report(event: ProgressEvent) -> None:
            self._tell(Status(event.step, event.fraction, event.remaining_s))

        def ended(job: Job) -> None:
            self._job = None
            if job.error is None:
                on_done(job.result())
                self._tell(Status(_("done"), 1.0))
            elif on_error is not None:
                on_error(job.error)
                self._tell(Status())
            else:
                self._tell(Status() if _cancelled(job.error) else _failure(job.error))
            self._next_live()

        job = self._job = start()
        job.report = report
        job.when_ended(ended)
        self._tell(Status(what))
        return job

    def cancel(self) -> None:
        """Stop the job; it ends within a second."""
        if self.running:
            self._job.cancel()
            self._tell(Status(_("cancelling"), self.status.fraction))

    def live(
        self, make_inputs: Callable[[], tuple[ReconstructionInputs, ResultNodes | None]], on_done: Done
    ) -> None:
        """Ask for a live update.

        While another is under way, only the newest request waits; older ones are dropped.

        Args:
            make_inputs: called when the update starts; gives the inputs and the result to write into.
        """

        def start() -> None:
            inputs, into = make_inputs()
            self._live = self._logic.start(inputs, into=into)
            self._live.when_ended(ended)

        def ended(job: Job) -> None:
            self._live = None
            if job.error is None:
                on_done(job.result())
                if self.status.error:
                    self.status = Status()
            elif not _cancelled(job.error):
                self._tell(_failure(job.error))
            self._next_live()
            self._on_change()

        self._newest = start
        self._next_live()

    def drop_live(self) -> None:
        """Forget the live update that waits, and stop the one under way."""
        self._newest = None
        if self._live is not None:
            self._live.cancel()

    def poll(self) -> None:
        """Hand over what has been computed, and let the remaining time run down."""
        self._logic.poll()
        if self.running and self.status.text != self._told:
            self._tell(self.status)

    def report(self, error: Exception) -> None:
        """Show wrong input, one line without a log, as the status."""
        self._tell(Status(error=str(error)))

    def dismiss(self) -> None:
        """Forget wrong input that was reported.

        The error of a job, with its log, stays until the next job.
        """
        if self.status.error and not self.status.log:
            self._tell(Status())

    def say(self, text: str) -> None:
        """Show a message as the status."""
        self._tell(Status(text))

    def _next_live(self) -> None:
        if self._newest is None or self.busy:
            return
        start, self._newest = self._newest, None
        try:
            start()
        except InputError as error:
            self._tell(_failure(error))
        else:
            self._on_change()

    def _tell(self, status: Status) -> None:
        self.status = status
        self._told = status.text
        self._on_change()


def _cancelled(error: BaseException) -> bool:
    return getattr(error, "kind", "") == "cancelled"


def _failure(error: BaseException) -> Status:
    source = error if isinstance(error, WorkerError) else error.__cause__
    log = source.log if isinstance(source, WorkerError) else ""
    return Status(error=str(error), log=log or f"{type(error).__name__}: {error}")
