"""The side of the protocol that asks.

Standard library only: it runs in any application's Python, with or without torch.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..progress import ProgressEvent
from .job import Job, WorkerError
from .process import Process

CANCEL_PATIENCE_S = 0.8
_LIBRARY = Path(__file__).resolve().parents[2]

Answer = dict[str, Any]


@dataclass
class _Asked:
    """A request without an answer yet."""

    operation: str
    request: dict[str, Any]
    job: Job[Answer]
    cancel_by: float | None = None


class WorkerClient:
    """Starts the process when needed, keeps it, and hands its answers to jobs.

    Use it from one thread.

    Nothing blocks but `run` and `Job.result`: `submit`, then call `poll` regularly (a timer of at most
    0.1 s); jobs go on and end there.

    Args:
        command: what to start, by default this Python with the worker module.
        python: the Python for that.
    """

    def __init__(self, command: list[str] | None = None, *, python: str | None = None):
        self._command = command or [python or sys.executable, "-m", "SparseVolumeReconstructionLib.worker"]
        self._process: Process | None = None
        self._asked: dict[str, _Asked] = {}
        self._numbers = itertools.count(1)

    @property
    def busy(self) -> bool:
        """True while a request has no answer."""
        return bool(self._asked)

    @property
    def pid(self) -> int | None:
        """Process id of the running process, None without one."""
        return self._process.popen.pid if self._process else None

    def start(self) -> None:
        """Start the process if none runs, so that the first request finds it warm; returns at once."""
        self._running()

    def _running(self) -> Process:
        """The process, started if none runs."""
        if self._process is None:
            path = os.pathsep.join(filter(None, [str(_LIBRARY), os.environ.get("PYTHONPATH")]))
            # Threads that spin while they wait starve each other on a machine that is busy with other work.
            quiet = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
            self._process = Process(self._command, {**quiet, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"})
        return self._process

    def submit(
        self,
        request: dict[str, Any],
        report: Callable[[ProgressEvent], None] = lambda event: None,
        operation: str = "reconstruct",
    ) -> Job[Answer]:
        """Queue a request.

        Args:
            request: plain data of a ReconstructionRequest, or of what the operation takes.
            report: called with every ProgressEvent.
            operation: one of the process's operations.

        Returns:
            The job; its result is {"files": {name: path}, "result": {...}}, its error a WorkerError.
        """
        if self._process is not None and not self._asked and self._process.popen.poll() is not None:
            self._process = None  # it ended while idle
        process = self._running()
        job_id = f"job-{next(self._numbers)}"
        job: Job[Answer] = Job(self.poll, lambda: self._cancel(job_id))
        job.report = report
        self._asked[job_id] = _Asked(operation, request, job)
        process.send(op=operation, id=job_id, request=request)
        return job

    def run(
        self, request: dict[str, Any], report: Callable[[ProgressEvent], None] = lambda event: None
    ) -> Answer:
        """Do one reconstruction and wait for its result. Raises WorkerError.

        Args:
            request: plain data of a ReconstructionRequest.
            report: called with every ProgressEvent, on this thread.

        Returns:
            {"files": {name: path}, "result": {...}}.
        """
        return self.submit(request, report).result()

    def poll(self, timeout_s: float = 0.0) -> None:
        """Hand over the answers that have come, waiting up to `timeout_s` for the first."""
        with contextlib.suppress(queue.Empty):
            while self._process is not None:
                answers = self._process.answers
                self._handle(answers.get(timeout=timeout_s) if timeout_s else answers.get_nowait())
                timeout_s = 0.0
        now = time.monotonic()
        late = [key for key, asked in self._asked.items() if asked.cancel_by and now > asked.cancel_by]
        if late and self._process is not None:
            self._process.kill()
            why = "cancelled by the user; the computing process was ended and starts again"
            self._give_up(late[0], WorkerError("cancelled", why))

    def close(self) -> None:
        """End the process; jobs that have not ended get a "cancelled" error."""
        process, self._process = self._process, None
        unanswered, self._asked = self._asked, {}
        if process is not None:
            process.kill()
        for asked in unanswered.values():
            asked.job.fail(WorkerError("cancelled", "cancelled: the computing process was closed"))

    def _cancel(self, job_id: str) -> None:
        """Ask the process to stop a request; `poll` ends the process where that takes too long."""
        self._asked[job_id].cancel_by = time.monotonic() + CANCEL_PATIENCE_S
        self._running().send(op="cancel", id=job_id)

    def _handle(self, answer: dict[str, Any] | None) -> None:
        if answer is None:
            return self._give_up(next(iter(self._asked), None), self._running().why())
        asked = self._asked.get(answer.get("id", ""))
        if asked is None:
            return None
        if answer["event"] == "progress":
            return asked.job.tell(ProgressEvent(answer["step"], answer["fraction"], answer["remaining_s"]))
        del self._asked[answer["id"]]
        if answer["event"] == "done":
            return asked.job.finish(answer["result"])
        return asked.job.fail(WorkerError(answer["kind"], answer["message"], answer.get("log", "")))

    def _give_up(self, job_id: str | None, error: WorkerError) -> None:
        """Forget the ended process and answer one request with `error`.

        The others are sent to a new process.
        """
        self._process = None
        ended = self._asked.pop(job_id, None) if job_id else None
        for other, asked in self._asked.items():
            self._running().send(op=asked.operation, id=other, request=asked.request)
        if ended is not None:
            ended.job.fail(error)
