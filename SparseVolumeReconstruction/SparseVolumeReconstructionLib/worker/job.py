"""Work that is under way, as who asked for it sees it.

Standard library only: it runs in any application's Python, with or without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from ..progress import ProgressEvent

_POLL_S = 0.05

Result = TypeVar("Result")


class WorkerError(RuntimeError):
    """A request that gave no result.

    Args:
        kind: "input", "cancelled", "memory" or "internal".
        message: one line for people.
        log: text for a bug report.
    """

    def __init__(self, kind: str, message: str, log: str = ""):
        super().__init__(message)
        self.kind, self.log = kind, log
        if kind == "internal" and log:  # so that a traceback shows both sides
            self.__cause__ = RuntimeError(f"in the computing process:\n{log}")


class Job(Generic[Result]):
    """One request: how far it is, a way to stop it, and how it ended. A future that is polled.

    Use it from one thread. It goes on while `result` waits for it, or while a timer polls whoever does the
    work.

    Attributes:
        progress: the last that was heard of it.
        report: called with every ProgressEvent.
        cancelled: whether it was asked to stop.
    """

    def __init__(self, poll: Callable[[float], None], stop: Callable[[], None] = lambda: None):
        """Made by who does the work.

        Args:
            poll: goes on with the work, waiting up to so many seconds.
            stop: makes it end soon.
        """
        self.progress = ProgressEvent("", 0.0, None)
        self.report: Callable[[ProgressEvent], None] = lambda event: None
        self.cancelled = False
        self._poll, self._stop = poll, stop
        self._ended = False
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._when_ended: Callable[[Job[Result]], None] = lambda job: None

    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended

    @property
    def error(self) -> BaseException | None:
        """Why it ended without a result; None before its end, and with a result."""
        return self._error

    def result(self) -> Result:
        """Wait for the end and return the result, or raise the error; an interrupt (Ctrl+C) cancels first."""
        try:
            while not self._ended:
                self._poll(_POLL_S)
        except BaseException:
            self.cancel()
            while not self._ended:
                self._poll(_POLL_S)
            raise
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None only where that is the result

    def cancel(self) -> None:
        """Ask it to stop.

        Within a second it ends with a WorkerError of kind "cancelled", or with its result where that was on
        its way. It reports no progress any more.
        """
        if not (self._ended or self.cancelled):
            self.cancelled = True
            self._stop()

    def when_ended(self, call: Callable[[Job[Result]], None]) -> None:
        """Call this with the job when it ends, or at once where it has ended."""
        self._when_ended = call
        if self._ended:
            call(self)

    def tell(self, event: ProgressEvent) -> None:
        """For who does the work: how far it is."""
        if not self.cancelled:
            self.progress = event
            self.report(event)

    def finish(self, result: Result) -> None:
        """For who does the work: this came out."""
        self._result = result
        self._end()

    def fail(self, error: BaseException) -> None:
        """For who does the work: this went wrong."""
        self._error = error
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._when_ended(self)


Awaited = Job[Any] | Future[Any]
Steps = Generator[Awaited | ProgressEvent, Any, Result]
_NOTHING: Future[None] = Future()
_NOTHING.set_result(None)


class JobInSteps(Job[Result]):
    """A job whose steps wait for other jobs and for threads, written as one generator.

    It yields what it waits for and is given the result, or the error is raised there; a ProgressEvent that it
    yields is told. What it returns is the result.

    Args:
        steps: the generator; its first step is taken at once.
        poll: goes on with the work, waiting up to so many seconds.
    """

    def __init__(self, steps: Steps[Result], poll: Callable[[float], None]):
        super().__init__(poll)
        self._steps = steps
        self.awaited: Awaited = _NOTHING
        self.advance()

    def cancel(self) -> None:
        """Ask it to stop, and what it waits for."""
        if not (self.done() or self.cancelled):
            super().cancel()
            self.awaited.cancel()

    def advance(self) -> None:
        """Go on as far as what is waited for has come; that is let go then, it may be large."""
        while not self.done() and self.awaited.done():
            awaited, self.awaited = self.awaited, _NOTHING
            try:
                step = self._resume(awaited)
            except StopIteration as end:
                return self.finish(end.value)
            except BaseException as error:
                self.fail(error)
                if isinstance(error, Exception):
                    return None
                raise
            if isinstance(step, ProgressEvent):
                self.tell(step)
            else:
                self.awaited = step
            if isinstance(step, Job):
                step.report = self.tell
        return None

    def _resume(self, awaited: Awaited) -> Awaited | ProgressEvent:
        """Give the generator what it waited for; a thread cannot be stopped, but what it read is dropped."""
        if isinstance(awaited, Job):
            error = awaited.error
        elif self.cancelled and awaited is not _NOTHING:
            error = WorkerError("cancelled", "cancelled by the user")
        else:
            error = awaited.exception()
        return self._steps.throw(error) if error is not None else self._steps.send(awaited.result())
