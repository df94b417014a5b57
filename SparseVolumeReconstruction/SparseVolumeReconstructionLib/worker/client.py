"""The side of the protocol that asks.

Standard library only: it runs in any application's Python, with or without torch.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CANCEL_PATIENCE_S = 0.8
_LIBRARY = Path(__file__).resolve().parents[2]

ReportProgress = Callable[[str, float, "float | None"], None]


def _silent(*_) -> None:
    """The callback of those who do not ask."""


class WorkerError(RuntimeError):
    """A request that gave no result.

    Args:
        kind: "input", "cancelled", "memory" or "internal".
        log: text for a bug report.
    """

    def __init__(self, kind: str, message: str, log: str = ""):
        super().__init__(message)
        self.kind, self.log = kind, log
        if kind == "internal" and log:
            self.__cause__ = RuntimeError(
                f"in the computing process:\n{log}"
            )  # so that a traceback shows both sides


@dataclass
class _Job:
    request: dict
    on_progress: ReportProgress
    on_done: Callable[[dict], None]
    on_error: Callable[[WorkerError], None]
    operation: str = "reconstruct"
    cancel_by: float | None = None


class _Process:
    """One running process.

    Its answers in a queue (None when it has ended) and the last lines of its stderr.
    """

    def __init__(self, command: list[str], environment: dict[str, str]):
        own_group = (
            {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
            if os.name == "nt"
            else {}
        )
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        text = {"text": True, "encoding": "utf-8", "errors": "replace", "bufsize": 1}
        self.popen = subprocess.Popen(
            command, env=environment, start_new_session=os.name != "nt", **pipes, **text, **own_group
        )
        self.answers: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
        self.last_lines: collections.deque[str] = collections.deque(maxlen=40)
        self._errors = threading.Thread(target=self.last_lines.extend, args=(self.popen.stderr,), daemon=True)
        self._errors.start()
        threading.Thread(target=_read, args=(self.popen.stdout, self.answers), daemon=True).start()
        weakref.finalize(self, _kill, self.popen)

    def send(self, **message) -> None:
        """Write one line; an ended process is noticed by its answers."""
        with contextlib.suppress(OSError, ValueError):
            self.popen.stdin.write(json.dumps(message) + "\n")
            self.popen.stdin.flush()

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


def _read(stdout: IO[str], answers: queue.SimpleQueue) -> None:
    for line in stdout:
        with contextlib.suppress(ValueError):
            answers.put(json.loads(line))
    answers.put(None)


def _kill(popen: subprocess.Popen) -> None:
    if os.name == "nt":
        popen.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, signal.SIGKILL)
    popen.wait()


class WorkerClient:
    """Starts the process when needed, keeps it, and hands its answers to callbacks.

    Use it from one thread.

    Nothing blocks but `run`: `submit`, then call `poll` regularly (a timer of at most 0.1 s); the callbacks
    are called from there.

    Args:
        command: what to start, by default this Python with the worker module.
        python: the Python for that.
    """

    def __init__(self, command: list[str] | None = None, *, python: str | None = None):
        self._command = command or [python or sys.executable, "-m", "SparseVolumeReconstructionLib.worker"]
        self._process: _Process | None = None
        self._jobs: dict[str, _Job] = {}
        self._numbers = itertools.count(1)

    @property
    def busy(self) -> bool:
        """True while a request has no answer."""
        return bool(self._jobs)

    @property
    def pid(self) -> int | None:
        """Process id of the running process, None without one."""
        return self._process.popen.pid if self._process else None

    def start(self) -> None:
        """Start the process if none runs, so that the first request finds it warm; returns at once."""
        if self._process is None:
            path = os.pathsep.join(filter(None, [str(_LIBRARY), os.environ.get("PYTHONPATH")]))
            # Threads that spin while they wait starve each other on a machine that is busy with other work.
            quiet = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
            self._process = _Process(self._command, {**quiet, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"})

    def submit(
        self,
        request: dict,
        on_progress: ReportProgress = _silent,
        on_done: Callable[[dict], None] = _silent,
        on_error: Callable[[WorkerError], None] = _silent,
        operation: str = "reconstruct",
    ) -> str:
        """Queue a request (plain data of a ReconstructionRequest, or of what the operation takes) and return
        its id.

        on_done gets {"files": {name: path}, "result": {...}}; exactly one of on_done and on_error is called.
        """
        if self._process is not None and not self._jobs and self._process.popen.poll() is not None:
            self._process = None  # it ended while idle
        self.start()
        job_id = f"job-{next(self._numbers)}"
        self._jobs[job_id] = _Job(request, on_progress, on_done, on_error, operation)
        self._process.send(op=operation, id=job_id, request=request)
        return job_id

    def cancel(self, job_id: str) -> None:
        """Stop a request.

        Its on_error gets a "cancelled" error within a second, if need be by ending the process.

        It reports no progress any more; should it be done before the cancel reaches it, on_done is called.
        """
        job = self._jobs.get(job_id)
        if job is not None and job.cancel_by is None:
            job.on_progress = _silent
            job.cancel_by = time.monotonic() + CANCEL_PATIENCE_S
            self._process.send(op="cancel", id=job_id)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Hand over the answers that have come, waiting up to `timeout_s` for the first."""
        with contextlib.suppress(queue.Empty):
            while self._process is not None:
                self._handle(
                    self._process.answers.get(timeout=timeout_s)
                    if timeout_s
                    else self._process.answers.get_nowait()
                )
                timeout_s = 0.0
        late = [
            job_id
            for job_id, job in self._jobs.items()
            if job.cancel_by is not None and time.monotonic() > job.cancel_by
        ]
        if late:
            self._process.kill()
            self._give_up(
                late[0],
                WorkerError(
                    "cancelled", "cancelled by the user; the computing process was ended and starts again"
                ),
            )

    def run(self, request: dict, on_progress: ReportProgress = _silent) -> dict:
        """Do one request and return its result. Raises WorkerError."""
        outcome: list = []
        return self.wait(self.submit(request, on_progress, outcome.append, outcome.append), outcome)

    def wait(self, job_id: str, outcome: list, poll: Callable[[float], None] | None = None):
        """Poll until a callback of the request has put something into `outcome`.

        Return it, or raise it if it is an error.

        An interrupt (Ctrl+C) cancels the request first.

        Args:
            poll: to be called instead of the client's own.
        """
        poll = poll or self.poll
        try:
            while not outcome:
                poll(0.05)
        except BaseException:
            self.cancel(job_id)
            while not outcome:
                poll(0.05)
            raise
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def close(self) -> None:
        """End the process; requests without an answer get a "cancelled" error."""
        process, self._process = self._process, None
        jobs, self._jobs = self._jobs, {}
        if process is not None:
            process.kill()
        for job in jobs.values():
            job.on_error(WorkerError("cancelled", "cancelled: the computing process was closed"))

    def _handle(self, answer: dict | None) -> None:
        if answer is None:
            error = self._process.why()
            self._give_up(next(iter(self._jobs), None), error)
            return
        job = self._jobs.get(answer.get("id"))
        if job is None:
            return
        if answer["event"] == "progress":
            job.on_progress(answer["step"], answer["fraction"], answer["remaining_s"])
            return
        del self._jobs[answer["id"]]
        if answer["event"] == "done":
            job.on_done(answer["result"])
        else:
            job.on_error(WorkerError(answer["kind"], answer["message"], answer.get("log", "")))

    def _give_up(self, job_id: str | None, error: WorkerError) -> None:
        """Forget the ended process and answer one request with `error`.

        The others are sent to a new process.
        """
        self._process = None
        job = self._jobs.pop(job_id, None)
        if self._jobs:
            self.start()
            for other, waiting in self._jobs.items():
                self._process.send(op=waiting.operation, id=other, request=waiting.request)
        if job is not None:
            job.on_error(error)
