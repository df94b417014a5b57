"""Steps, remaining time, warnings and cancellation of long work."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


class Cancelled(Exception):
    """The user asked to stop."""


@dataclass(frozen=True)
class ProgressEvent:
    """What is being done, and how far it is.

    Attributes:
        step: what is being done.
        fraction: 0..1 of the whole work.
        remaining_s: estimate in seconds, None at first.
    """

    step: str
    fraction: float
    remaining_s: float | None


class Progress:
    """Reports events and warnings, and raises Cancelled when asked to.

    Args:
        report: called with each ProgressEvent.
        cancelled: asked at every update.
        warned: called with each warning, one line; what it raises ends the work.
    """

    def __init__(
        self,
        report: Callable[[ProgressEvent], None] = lambda event: None,
        cancelled: Callable[[], bool] = lambda: False,
        warned: Callable[[str], None] = lambda text: None,
    ):
        self._report, self._cancelled, self._warned = report, cancelled, warned
        self._start = time.monotonic()

    def update(self, step: str, fraction: float) -> None:
        """Say where the work is.

        Args:
            step: what is being done, for people.
            fraction: 0..1 of the whole work; of the part, for a part.

        Raises:
            Cancelled: if the user asked to stop.
        """
        self.check()
        elapsed = time.monotonic() - self._start
        remaining = elapsed * (1 - fraction) / fraction if fraction > 0.05 else None
        self._report(ProgressEvent(step, round(fraction, 4), remaining))

    def warn(self, text: str) -> None:
        """Say what the user should know of the result, in one line, before anything is written."""
        self._warned(text)

    def quiet(self) -> Progress:
        """Cancelled by the same, but without reports: for side steps whose fractions would go back."""
        return Progress(cancelled=self._cancelled)

    def part(self, low: float, high: float) -> Progress:
        """A step of this work: its fractions 0..1 are `low` to `high` of the whole.

        Args:
            low: where the step begins, 0..1 of this work.
            high: where it ends, 0..1.

        Returns:
            To be handed to the step. Warnings and cancellation go through to this one.
        """
        return _Part(self, low, high)

    def finish(self) -> None:
        """Say that all is done; too late to cancel."""
        self._report(ProgressEvent("done", 1.0, 0.0))

    def check(self) -> None:
        """Raise Cancelled if the user asked to stop; cheap, for inner loops."""
        if self._cancelled():
            raise Cancelled("cancelled by the user")


class _Part(Progress):
    """Progress from `low` to `high` of a whole."""

    def __init__(self, whole: Progress, low: float, high: float):
        self._whole, self._low, self._high = whole, low, high

    def update(self, step: str, fraction: float) -> None:
        self._whole.update(step, self._low + (self._high - self._low) * fraction)

    def warn(self, text: str) -> None:
        self._whole.warn(text)

    def quiet(self) -> Progress:
        return self._whole.quiet()

    def finish(self) -> None:
        self.update("done", 1.0)

    def check(self) -> None:
        self._whole.check()
