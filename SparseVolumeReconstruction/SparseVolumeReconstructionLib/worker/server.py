"""The side of the protocol that computes: a queue of requests, one running, answers as JSON lines."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import IO, Any

from ..geometry.errors import InputError
from ..progress import Cancelled, Progress, ProgressEvent

Runs = Callable[[dict[str, Any], Progress], dict[str, Any]]


def main() -> int:
    """Serve reconstruction requests on stdin and stdout until stdin closes and all are done.

    Returns:
        The exit code.
    """
    from .operations import operations

    answers = take_stdout()
    return Server(take_stdin(), answers, operations()).serve()


def take_stdout() -> IO[str]:
    """The real stdout as a text stream for answers.

    Whatever else writes to stdout from now on goes to stderr.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def take_stdin() -> IO[str]:
    """The requests: stdin as UTF-8, in which bytes that are none do not end the reading."""
    sys.stdin.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    return sys.stdin


class Server:
    """Runs `operation(request, progress)` for each request on the calling thread; stdin has its own thread.

    The reading thread lets a cancel reach the running operation, through its Progress.

    Args:
        requests: JSON lines that come in.
        answers: JSON lines that go out; of a real file, whose reader is watched.
        operations: by name; each returns a JSON-ready result, and its `warm()`, where it has one, is called
            once before the first request.
    """

    def __init__(self, requests: IO[str], answers: IO[str], operations: Mapping[str, Runs]):
        self._requests, self._answers = requests, answers
        self._operations = operations
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._waiting: dict[str, tuple[str, dict[str, Any]]] = {}
        self._running: str | None = None
        self._cancelled = False
        self._closed = False

    def serve(self) -> int:
        """Work until the requests end; returns 0.

        The process ends at once where nobody reads the answers any more.
        """
        threading.Thread(target=self._read, daemon=True).start()
        for operation in self._operations.values():
            getattr(operation, "warm", lambda: None)()
        while (entry := self._next()) is not None:
            self._work(*entry)
        return 0

    def _next(self) -> tuple[str, str, dict[str, Any]] | None:
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            self._running = next(iter(self._waiting))
            self._cancelled = False
            return self._running, *self._waiting.pop(self._running)

    def _work(self, job_id: str, operation: str, request: dict[str, Any]) -> None:
        def report(event: ProgressEvent) -> None:
            self._answer(
                job_id, "progress", step=event.step, fraction=event.fraction, remaining_s=event.remaining_s
            )

        answer: dict[str, Any]
        try:
            result = self._operations[operation](request, Progress(report, lambda: self._cancelled))
        except Exception as error:
            answer = {"event": "error", "kind": _kind(error), "message": _message(error)}
            answer["log"] = traceback.format_exc()
        else:
            answer = {"event": "done", "result": result}
        _return_memory()  # before the answer: whoever looks at this process then sees what it keeps
        self._answer(job_id, **answer)

    def _read(self) -> None:
        for line in self._requests:
            if line.strip():
                self._take(line)
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._end_with_reader()

    def _take(self, line: str) -> None:
        try:
            message = json.loads(line)
            operation = str(message["op"])
            job_id = str(message.get("id", ""))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return self._refuse(None, f'not a JSON object with "op": {line.strip()[:80]}')
        if operation in self._operations:
            self._queue(job_id, operation, message.get("request"))
        elif operation == "cancel":
            self._cancel(job_id)
        elif operation == "ping":
            self._answer(job_id, "pong", pid=os.getpid())
        elif operation == "shutdown":
            os._exit(0)
        else:
            known = ", ".join([*self._operations, "cancel", "ping", "shutdown"])
            self._refuse(job_id, f'unknown operation "{operation[:80]}"; known: {known}')

    def _queue(self, job_id: str, operation: str, request: Any) -> None:
        problem = None
        with self._changed:
            if not isinstance(request, dict):
                problem = 'the "request" must be a JSON object'
            elif not job_id or job_id in self._waiting or job_id == self._running:
                problem = f'the id "{job_id}" is empty or in use; give each request its own'
            else:
                self._waiting[job_id] = operation, request
                self._changed.notify()
        if problem:
            self._refuse(job_id, problem)

    def _cancel(self, job_id: str) -> None:
        with self._changed:
            self._cancelled |= job_id == self._running
            waited = self._waiting.pop(job_id, None) is not None
        if waited:
            self._answer(job_id, "error", kind="cancelled", message="cancelled before it began", log="")

    def _refuse(self, job_id: str | None, why: str) -> None:
        """Say in one line why a request is none, whatever it holds."""
        self._answer(job_id, "error", kind="input", message=" ".join(why.split()), log="")

    def _answer(self, job_id: str | None, event: str, **fields: Any) -> None:
        line = json.dumps({"id": job_id, "event": event, **fields})
        try:
            with self._writing:
                self._answers.write(line + "\n")
                self._answers.flush()
        except OSError:
            os._exit(1)

    def _end_with_reader(self) -> None:
        """After the last request.

        End at once where the reader of the answers is gone (the parent died), else let the work go on.
        """
        if hasattr(select, "poll"):
            watch = select.poll()
            watch.register(self._answers.fileno(), 0)
            watch.poll()
            os._exit(1)


def _return_memory() -> None:
    """What is freed goes back to the system; glibc would keep more and more of it, in pieces (1 ms)."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).malloc_trim(0)


def _kind(error: Exception) -> str:
    if isinstance(error, InputError):
        return "input"
    if isinstance(error, Cancelled):
        return "cancelled"
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    ):
        return "memory"
    return "internal"


def _message(error: Exception) -> str:
    """One line for people; wrong input explains itself, of anything else the type helps too."""
    text = " ".join(str(error).split()) or type(error).__name__
    if _kind(error) == "memory":
        return f"out of memory ({text[:200]}); ask for a coarser output, fewer samples or fewer slices"
    return f"{type(error).__name__}: {text}" if _kind(error) == "internal" else text
