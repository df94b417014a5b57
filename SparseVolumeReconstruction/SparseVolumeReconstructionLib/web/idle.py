"""A session that nobody uses ends after a time; the page says so before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

_WARNING = 0.2  # share of the time, at the end, in which the page says that it will end
_LONGEST_WARNING_S, _STEP_S = 300.0, 15.0


class Idle:
    """Counts the time without use.

    Args:
        minutes: after which `end` is awaited; 0 for never.
        busy: whether something runs, which counts as use.
        tell: gets what the page should say; "" for nothing.
    """

    def __init__(
        self,
        minutes: float,
        busy: Callable[[], bool],
        tell: Callable[[str], None],
        end: Callable[[], Awaitable[None]],
    ):
        self._after_s = 60.0 * minutes
        self._busy = busy
        self._tell = tell
        self._end = end
        self._used = time.monotonic()
        self._said = ""

    def use(self) -> None:
        """Somebody did something."""
        self._used = time.monotonic()
        self._say("")

    async def watch(self) -> None:
        """Look from time to time until cancelled."""
        step = min(_STEP_S, self._after_s / 10)
        while self._after_s:
            await asyncio.sleep(step)
            if self._busy():
                self.use()
            left = self._used + self._after_s - time.monotonic()
            if left <= 0:
                await self._end()
                self.use()
            elif left < min(_LONGEST_WARNING_S, _WARNING * self._after_s):
                span = f"{left / 60:.0f} min" if left > 90 else f"{left:.0f} s"
                self._say(
                    f"Nobody uses this session; in {span} it ends and what is in it is forgotten. Anything "
                    "you do here keeps it."
                )

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._tell(text)
