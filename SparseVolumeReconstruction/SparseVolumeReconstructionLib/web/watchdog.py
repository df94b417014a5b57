"""Says what kept the event loop from everything else.

For tests and for measuring, switched on by SVR_WATCH_LOOP_MS.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback

VARIABLE = "SVR_WATCH_LOOP_MS"
SAID = "event loop blocked"
_STEP_S = 0.02
log = logging.getLogger(__name__)


def watch_loop() -> None:
    """Watch the event loop of this thread from now on.

    The variable says from how many milliseconds on to tell. What is measured is the time that one callback
    computes on the loop's thread, not what other processes take from it meanwhile.
    """
    if (bound := float(os.environ.get(VARIABLE, 0)) / 1e3) and hasattr(time, "pthread_getcpuclockid"):
        _Watchdog(bound).start()


class _Watchdog(threading.Thread):
    """Notes where the loop is while a callback takes long, and tells it when that has ended."""

    def __init__(self, bound_s: float):
        super().__init__(daemon=True)
        self._bound = bound_s
        self._loop_thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._loop_thread)
        self._began: float | None = None
        self._where = ""
        original = asyncio.events.Handle._run
        own = self

        def run(handle) -> None:
            own._began = time.thread_time()
            own._where = ""
            try:
                original(handle)
            finally:
                took, own._began = time.thread_time() - own._began, None
                if took > own._bound:
                    log.warning("%s %d ms in %s", SAID, 1e3 * took, own._where or repr(handle)[:200])

        asyncio.events.Handle._run = run

    def run(self) -> None:
        """Look at the loop's stack when a callback has used half of its time."""
        while True:
            time.sleep(_STEP_S)
            began = self._began
            if began is not None and time.clock_gettime(self._clock) - began > self._bound / 2:
                stack = traceback.extract_stack(sys._current_frames()[self._loop_thread])
                own = [
                    f"{os.path.basename(f.filename)}:{f.lineno} {f.name}"
                    for f in stack
                    if "VolumeReconstruction" in f.filename
                ]
                self._where = self._where or " < ".join(reversed(own[-4:]))
