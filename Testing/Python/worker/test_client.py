"""The client and real processes: order, cancel, death, restart, and nothing left behind."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from SparseVolumeReconstructionLib.progress import ProgressEvent
from SparseVolumeReconstructionLib.worker import JobInSteps, WorkerClient, WorkerError
from SparseVolumeReconstructionLib.worker.measured import resident_mib


def wait_until(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def poll_until(client, condition, seconds: float = 10.0) -> float:
    """Poll as a timer would until `condition()`; returns the seconds it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        client.poll()
        time.sleep(0.02)
    return time.monotonic() - start


def begin(client, request):
    """Submit and wait until it runs; returns the job."""
    job = client.submit(request)
    poll_until(client, lambda: job.progress.step or job.done())
    return job


def test_run_returns_the_result_and_the_process_stays(client):
    first = client.run({"do": "say", "say": "ä€"})
    assert first["said"] == "ä€"
    assert client.run({"do": "say"})["pid"] == first["pid"] == client.pid


def test_progress_arrives_while_the_job_runs(client):
    events = []
    client.run({"do": "count", "steps": 5, "each_s": 0.01}, events.append)
    assert [event.step for event in events] == ["starting", *(f"step {n}" for n in range(5))]


def test_submit_does_not_block_and_keeps_the_order(client):
    done = []
    start = time.monotonic()
    for name in "abc":
        job = client.submit({"do": "count", "steps": 3, "each_s": 0.02, "say": name})
        job.when_ended(lambda job: done.append(job.result()["said"]))
    assert time.monotonic() - start < 0.2 and client.busy
    poll_until(client, lambda: not client.busy)
    assert done == list("abc")
    job.when_ended(done.append)
    assert done.pop() is job  # at once, where it has ended


@pytest.mark.skipif(resident_mib(os.getpid()) is None, reason="the system does not tell what a process holds")
def test_what_a_job_freed_is_given_back_before_its_answer(client):
    """Or measurements would see it, or not, by chance."""
    client.run({"do": "say"})
    before = resident_mib(client.pid)
    client.run({"do": "free", "mb": 200})
    assert resident_mib(client.pid) - before < 50


@pytest.mark.parametrize(("do", "kind"), [("input", "input"), ("bug", "internal"), ("memory", "memory")])
def test_an_error_keeps_its_kind_and_the_process_goes_on(client, do, kind):
    with pytest.raises(WorkerError) as caught:
        client.run({"do": do})
    pid = client.pid
    assert caught.value.kind == kind and "Traceback" in caught.value.log
    assert client.run({"do": "say"})["pid"] == pid


@pytest.mark.parametrize(
    "request_", [{"do": "count", "steps": 1000, "each_s": 0.02}, {"do": "deaf"}], ids=["listening", "deaf"]
)
def test_cancel_takes_less_than_a_second_and_the_next_request_works(client, alive, request_):
    job = begin(client, request_)
    pid, heard = client.pid, job.progress
    job.cancel()
    assert poll_until(client, job.done) < 1.0
    assert job.error.kind == "cancelled" and job.cancelled and job.progress is heard
    with pytest.raises(WorkerError, match="cancelled"):
        job.result()
    assert alive(pid) == (request_["do"] == "count")
    assert client.run({"do": "say", "say": "again"})["said"] == "again"


def test_cancel_of_a_deaf_job_does_not_lose_the_ones_behind_it(client):
    job = begin(client, {"do": "deaf"})
    behind = [client.submit({"do": "say", "say": name}) for name in "ab"]
    job.cancel()
    assert [other.result()["said"] for other in behind] == ["a", "b"]
    assert job.error.kind == "cancelled"


def test_cancel_of_a_waiting_request_leaves_the_running_one(client):
    running = begin(client, {"do": "count", "steps": 20, "each_s": 0.02, "say": "kept"})
    waiting = client.submit({"do": "say"})
    waiting.cancel()
    assert running.result()["said"] == "kept" and waiting.error.kind == "cancelled"


def test_death_during_a_run_is_explained_and_the_next_request_works(client):
    job = begin(client, {"do": "deaf"})
    later = client.submit({"do": "say", "say": "kept"})
    os.kill(client.pid, signal.SIGKILL)
    assert later.result()["said"] == "kept"
    assert job.error.kind == "internal" and "exit code -9" in str(job.error) and "memory" in str(job.error)
    assert client.run({"do": "say", "say": "again"})["said"] == "again"


def test_the_exit_code_and_the_last_words_are_reported(client):
    with pytest.raises(WorkerError) as caught:
        client.run({"do": "die"})
    assert "exit code 7" in str(caught.value) and "the device is gone" in str(caught.value)
    assert "the device is gone" in caught.value.log


def test_death_between_requests_is_not_the_next_ones_fault(client, alive):
    client.run({"do": "say"})
    pid = client.pid
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(pid), 5.0)
    assert client.run({"do": "say", "say": "again"})["said"] == "again"


def test_a_process_that_cannot_start_says_why():
    client = WorkerClient([sys.executable, "-c", "raise SystemExit('no torch here')"])
    with pytest.raises(WorkerError, match=r"exit code 1.*no torch here"):
        client.run({})
    assert not client.busy


def test_close_and_disposal_end_the_process(job_command, alive):
    closed, dropped = WorkerClient(job_command), WorkerClient(job_command)
    pids = [client.run({"do": "say"})["pid"] for client in (closed, dropped)]
    closed.close()
    del dropped
    assert wait_until(lambda: not any(map(alive, pids)), 2.0)


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_when_the_parent_dies(job_command, library_environment, alive, busy, how):
    script = f"""
        import time
        from SparseVolumeReconstructionLib.worker import WorkerClient
        client = WorkerClient({job_command!r})
        print(client.run({{"do": "say"}})["pid"], flush=True)
        if {busy}:
            job = client.submit({{"do": "deaf"}})
            while not job.progress.step:
                client.poll(0.05)
        print("ready", flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=library_environment,
    )
    with parent:
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "ready\n" and alive(child)
        parent.send_signal(how)
    assert wait_until(lambda: not alive(child), 3.0)


@pytest.fixture
def in_steps(client):
    """Function: a job of these steps, and what it told of its progress."""
    jobs = []

    def poll(timeout_s: float = 0.0) -> None:
        client.poll(timeout_s)
        for job in jobs:
            job.advance()

    def begin(steps):
        jobs.append(JobInSteps(steps, poll))
        jobs[-1].report = lambda event: told.append(event.step)
        return jobs[-1], told

    told: list[str] = []
    return begin


def test_a_job_in_steps_waits_for_jobs_and_threads(client, in_steps):
    def steps():
        answer = yield client.submit({"do": "count", "steps": 2, "each_s": 0.01, "say": "kept"})
        yield ProgressEvent("loading", 1.0, None)
        with pytest.raises(WorkerError):
            yield client.submit({"do": "bug"})
        return answer["said"], (yield thread.submit(lambda: "read"))

    with ThreadPoolExecutor(1) as thread:
        job, told = in_steps(steps())
        assert not job.done() and job.error is None and job.result() == ("kept", "read")
    assert told == ["starting", "step 0", "step 1", "loading", "starting"] and job.error is None


def test_a_job_in_steps_lets_go_of_what_is_large_without_the_garbage_collector():
    """Results hold volumes; the collector may not come for minutes."""

    class Large:
        pass

    def steps():
        read.append(weakref.ref((yield thread.submit(Large))))
        result = Large()
        read.append(weakref.ref(result))
        return result

    read = []
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as thread:
            job = JobInSteps(steps(), time.sleep)
            while not job.done():
                job.advance()
        assert read[0]() is None and read[1]() is job.result()
        del job
        assert read[1]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("where", ["process", "thread"])
def test_a_job_in_steps_that_is_cancelled_cleans_up_and_drops_what_comes(client, in_steps, where):
    left = []

    def steps():
        try:
            if where == "process":
                yield client.submit({"do": "count", "steps": 1000, "each_s": 0.02})
            yield thread.submit(time.sleep, 0.2)
            left.append("went on")
        finally:
            left.append("cleaned")

    with ThreadPoolExecutor(1) as thread:
        job, _ = in_steps(steps())
        job.cancel()
        with pytest.raises(WorkerError, match="cancelled"):
            job.result()
    assert left == ["cleaned"] and job.error.kind == "cancelled"


def test_a_fault_in_a_step_is_the_jobs_error_and_an_interrupt_is_raised(client, in_steps):
    def fault():
        yield client.submit({"do": "say"})
        raise KeyError("pose")

    def interrupt():
        yield client.submit({"do": "say"})
        raise KeyboardInterrupt

    with pytest.raises(KeyError):
        in_steps(fault())[0].result()
    job, _ = in_steps(interrupt())
    with pytest.raises(KeyboardInterrupt):
        job.result()
    assert job.done() and isinstance(job.error, KeyboardInterrupt)


def test_an_interrupt_cancels_a_blocking_run(job_command):
    client = WorkerClient(job_command)

    def interrupt(event):
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client.run({"do": "count", "steps": 1000, "each_s": 0.02}, interrupt)
    assert time.monotonic() - start < 3.0 and not client.busy
    client.close()


def test_the_client_needs_only_the_standard_library(library_environment):
    script = """
        import sys, SparseVolumeReconstructionLib.worker
        print([name for name in ("numpy", "torch", "SimpleITK", "pydantic") if name in sys.modules])
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    assert (
        subprocess.run(command, capture_output=True, text=True, env=library_environment, check=True).stdout
        == "[]\n"
    )
