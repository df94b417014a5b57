"""A real process that serves small jobs over the real protocol, so that timing and endings can be forced."""

import os
import subprocess
import sys
import textwrap

import pytest

from SparseVolumeReconstructionLib.worker import WorkerClient

JOBS = """
    import os, sys, time
    from SparseVolumeReconstructionLib.geometry import InputError
    from SparseVolumeReconstructionLib.worker.server import Server, take_stdin, take_stdout

    kept = []

    def job(request, progress):
        kind = request["do"]
        print("noise on stdout")
        os.system("echo noise of a child")
        progress.update("starting", 0.0)
        if kind == "count":
            for n in range(request["steps"]):
                progress.update(f"step {n}", n / request["steps"])
                time.sleep(request["each_s"])
        elif kind == "deaf":
            time.sleep(60)
        elif kind == "input":
            raise InputError("context: no such file.")
        elif kind == "bug":
            raise KeyError("pose")
        elif kind == "memory":
            raise MemoryError("12 GB")
        elif kind == "free":
            held = [b"x" * 100_000 for _ in range(request["mb"] * 10)]
            kept.append(b"x" * 1000)  # lies above them
        elif kind == "die":
            print("the device is gone", file=sys.stderr)
            sys.stderr.flush()
            os._exit(7)
        return {"said": request.get("say"), "pid": os.getpid()}

    raise SystemExit(Server(take_stdin(), take_stdout(), {"reconstruct": job}).serve())
"""


@pytest.fixture(scope="session")
def job_command(tmp_path_factory) -> list[str]:
    """Command of a process that serves the small jobs."""
    script = tmp_path_factory.mktemp("jobs") / "jobs.py"
    script.write_text(textwrap.dedent(JOBS))
    return [sys.executable, str(script)]


@pytest.fixture
def client(job_command):
    """A client of the small jobs."""
    client = WorkerClient(job_command)
    yield client
    client.close()


@pytest.fixture(scope="session")
def alive():
    """Function: True while the process of an id runs (a zombie does not)."""

    def check(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return state.returncode == 0 and not state.stdout.strip().startswith("Z")

    return check
