"""What keeps the event loop is told with its place; what only waits, or is quick, is not. No download of a
large result keeps it.
"""

import json
import subprocess
import sys

import pytest
from web.served import bound_ms

from SparseVolumeReconstructionLib.web.watchdog import SAID, VARIABLE

COMPUTES = """
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
# A result of a head at 1 mm with eight samples, and the routes that give it away; prints {name: bytes}.
DOWNLOADS = """
import asyncio, json, logging, sys, types, urllib.request
from pathlib import Path
import numpy as np
from aiohttp import web
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.mrml.result_files import ResultFiles
from SparseVolumeReconstructionLib.mrml.results import add_result
from SparseVolumeReconstructionLib.mrml.scene import headless_scene
from SparseVolumeReconstructionLib.web.transfer import Transfer
from SparseVolumeReconstructionLib.web.watchdog import watch_loop
from SparseVolumeReconstructionLib.workflow.export import files_of
grid = Grid.centred((189, 233, 197), 1.0)
values, mask = np.full(grid.shape_kji, 7, np.float32), np.ones(grid.shape_kji, np.uint8)
volumes = {role: Volume(values, grid) for role in ("mean", "std", "template", "atlas")}
volumes |= {role: Volume(mask, grid) for role in ("observed", "template_mask", "outline")}
headless_scene()
provenance = {"frame": {"found_from_slices": True}, "contexts": [], "seconds": {}, "request": {}}
result = add_result(ResultFiles(provenance, volumes, np.eye(4), [values] * 8, dict.fromkeys(volumes, (1.0, 0.0))))
presenter = types.SimpleNamespace(explorer=types.SimpleNamespace(result=result), contexts=[])
async def main():
    application = web.Application()
    application.add_routes(Transfer(types.SimpleNamespace(folder=Path(sys.argv[1]), presenter=presenter)).routes(lambda: None))
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address, sizes = f"http://127.0.0.1:{runner.addresses[0][1]}/download/", {}
    watch_loop()
    for name in {*files_of(result)} & {*sys.argv[2:]}:
        sizes[name] = len(await asyncio.to_thread(lambda: urllib.request.urlopen(address + name).read()))
    print(json.dumps(sizes))
logging.basicConfig()
asyncio.run(main())
"""  # noqa: E501


def run(code: str, environment: dict[str, str], bound: float, *words: str) -> subprocess.CompletedProcess:
    """A process whose event loop is watched: who keeps it longer than `bound` ms is told on stderr."""
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**environment, VARIABLE: f"{bound}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


def test_only_what_computes_for_long_on_the_loop_is_told(library_environment):
    (line,) = run(COMPUTES, library_environment, 200).stderr.splitlines()
    assert SAID in line and 390 < float(line.split(SAID)[1].split()[0]) < 600


@pytest.mark.slow
def test_no_download_of_a_large_result_keeps_the_loop(library_environment, tmp_path):
    names = ("mean.nrrd", "samples.seq.nrrd", "report.html", "svr-template.zip", "scene.mrb")
    done = run(DOWNLOADS, library_environment, bound_ms(), str(tmp_path), *names)
    assert {*json.loads(done.stdout)} == {*names} and not list(tmp_path.iterdir())
    assert not done.stderr, done.stderr
