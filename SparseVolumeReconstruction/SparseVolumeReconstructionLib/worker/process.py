"""One running process of the worker: what goes in, what comes out, and how it ended.

Standard library only.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import weakref
from typing import IO, Any

from .job import WorkerError

# On Windows: no console window, and an interrupt of the application is not one of the process.
_OWN_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)


class Process:
    """One running process.

    Its answers in a queue (None when it has ended) and the last lines of its stderr.

    Args:
        command: program and arguments.
        environment: all of its variables.
    """

    def __init__(self, command: list[str], environment: dict[str, str]):
        self.popen = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
            start_new_session=os.name != "nt",
            creationflags=_OWN_GROUP,
        )
        self.answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.last_lines: collections.deque[str] = collections.deque(maxlen=40)
        assert self.popen.stdin and self.popen.stdout and self.popen.stderr  # all are pipes
        self._requests = self.popen.stdin
        self._errors = threading.Thread(target=self.last_lines.extend, args=(self.popen.stderr,), daemon=True)
        self._errors.start()
        threading.Thread(target=_read, args=(self.popen.stdout, self.answers), daemon=True).start()
        weakref.finalize(self, _kill, self.popen)

    def send(self, **message: Any) -> None:
        """Write one line; an ended process is noticed by its answers."""
        with contextlib.suppress(OSError, ValueError):
            self._requests.write(json.dumps(message) + "\n")
            self._requests.flush()

    def kill(self) -> None:
        """End the process and its children at once."""
        _kill(self.popen)

    def why(self) -> WorkerError:
        """The error that tells how the process ended."""
        code = self.popen.wait()
        self._errors.join(1.0)
        log = "".join(self.last_lines).strip()
        how = f"exit code {code}" if code >= 0 else f"exit code {code}, {signal.Signals(-code).name}"
        if code == -9:
            how += "; the system does so when memory runs out"
        last = f" Its last words: {log.splitlines()[-1]}" if log else ""
        return WorkerError(
            "internal",
            f"The computing process ended ({how}). It starts again with the next request.{last}",
            log,
        )


def _read(stdout: IO[str], answers: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    for line in stdout:
        with contextlib.suppress(ValueError):
            answers.put(json.loads(line))
    answers.put(None)


def _kill(popen: subprocess.Popen[str]) -> None:
    if os.name == "nt":
        popen.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, signal.SIGKILL)
    popen.wait()
