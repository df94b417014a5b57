"""What keeps the event loop is told with its place; what only waits, or is quick, is not."""

import subprocess
import sys

from SparseVolumeReconstructionLib.web.watchdog import SAID, VARIABLE

CODE = """
import asyncio, logging, time
from SparseVolumeReconstructionLib.web.watchdog import watch_loop
def compute(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
async def main():
    watch_loop()
    for number in range(20):
        compute(0.02)
        await asyncio.sleep(0)
    time.sleep(0.4)
    await asyncio.sleep(0)
    await asyncio.to_thread(compute, 0.4)
    asyncio.get_running_loop().call_soon(compute, 0.4)
    await asyncio.sleep(0.6)
logging.basicConfig()
asyncio.run(main())
"""


def test_only_what_computes_for_long_on_the_loop_is_told(library_environment):
    environment = {**library_environment, VARIABLE: "200"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    (line,) = done.stderr.splitlines()
    assert SAID in line and 390 < float(line.split(SAID)[1].split()[0]) < 600
