"""What a user is told of a job: the remaining time runs down between the process's own words."""

import pytest

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.progress import ProgressEvent
from SparseVolumeReconstructionLib.worker import Job
from SparseVolumeReconstructionLib.workflow import runner as module
from SparseVolumeReconstructionLib.workflow.runner import Runner


class Clock:
    """The monotonic clock, put forward by hand."""

    now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


class Logic:
    """Takes a job and says nothing more by itself."""

    def start(self, inputs, into=None) -> Job:
        """A job that the test goes on with."""
        self.job = Job(self.poll)
        return self.job

    def progress(self, *event) -> None:
        """The job says how far it is."""
        self.job.tell(ProgressEvent(*event))

    def poll(self, timeout_s: float = 0.0) -> None:
        """Nothing was computed."""


@pytest.fixture
def told(monkeypatch):
    """A runner with a job, its logic and clock, and the texts that front ends were told to show."""
    clock, logic, texts = Clock(), Logic(), []
    monkeypatch.setattr(module, "time", clock)
    runner = Runner(logic, lambda: texts.append(runner.status.text))
    runner.run(None, lambda result: None)
    return runner, logic, clock, texts


def test_the_remaining_time_runs_down(told):
    runner, logic, clock, texts = told
    logic.progress("finding the frame", 0.2, 40.0)
    assert texts[-1] == "finding the frame, about 40 s left"
    for _tick in range(100):  # as often as a front end polls
        clock.now += 0.1
        runner.poll()
    assert texts[-1] == runner.status.text == "finding the frame, about 30 s left"
    assert len(texts) == 2 + 10  # told once for every second, not for every poll
    logic.progress("finding the frame", 0.5, 60.0)
    assert texts[-1].endswith("about 60 s left")
    clock.now += 59.0
    runner.poll()
    assert texts[-1].endswith("about 1 s left")
    clock.now += 500.0
    runner.poll()
    assert texts[-1] == "finding the frame" and runner.status.fraction == 0.5


def test_minutes_become_seconds(told):
    runner, logic, clock, texts = told
    logic.progress("drawing samples", 0.1, 300.0)
    assert texts[-1].endswith("about 5 min left")
    clock.now += 220.0
    runner.poll()
    assert texts[-1].endswith("about 80 s left")


def test_nothing_is_told_once_the_job_is_done(told):
    runner, logic, clock, texts = told
    logic.progress("drawing samples", 0.1, 300.0)
    logic.job.finish(None)
    assert texts[-1] == "done" and runner.status.finished
    count = len(texts)
    clock.now += 100.0
    runner.poll()
    assert len(texts) == count
    runner.report(InputError("wrong."))
    assert not runner.status.finished
