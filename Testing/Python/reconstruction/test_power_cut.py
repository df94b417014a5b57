"""What a process that is killed at a system call leaves; power_cut.py tries every one of them."""

import shutil
import subprocess
from pathlib import Path

import pytest

POINTS = 2
COMMAND = Path(__file__).parents[1] / "power_cut.py"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_a_killed_run_leaves_nothing_or_all_and_the_next_one_is_whole(python, library_environment):
    done = subprocess.run(
        [python, COMMAND, "--points", str(POINTS)],
        capture_output=True,
        text=True,
        env=library_environment,
        timeout=300,
    )
    said = [line for line in done.stdout.splitlines() if f": killed at {POINTS} of " in line]
    assert done.returncode == 0 and len(said) == 8, done.stderr[-2000:]
    assert all(line.endswith("run again: all whole") for line in said)
    new = [line for line in said if "older" not in line and "reconstruct" in line]
    assert len(new) == 3 and all("unfinished" not in line for line in new), new
