"""A visitor's own server process, as the process that started it sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import aiohttp

from .access import ENTER
from .options import LOOPBACK, Options

_START_S, _END_S, _STEP_S = 120.0, 25.0, 0.1
log = logging.getLogger(__name__)


class Place:
    """One process with a folder of its own.

    It is told its options on stdin, and ends when that closes: with the process that holds it.

    Args:
        options: of the server that starts it; its place listens on this machine alone, with its own token.
        folder: not there yet; for its temporary files and its log.

    Attributes:
        sockets: open websockets of the visitor.
        seen: when he last asked for something (monotonic seconds).
    """

    def __init__(self, options: Options, folder: Path):
        self._folder = folder
        self._token = secrets.token_urlsafe(24)
        self.sockets = 0
        self.seen = time.monotonic()
        self.address, self.cookie = "", ""
        folder.mkdir()
        library = os.pathsep.join(
            filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")])
        )
        environment = {**_few_threads(options.sessions), **os.environ}
        environment |= {"TMPDIR": str(folder), "PYTHONPATH": library, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "SparseVolumeReconstructionLib.web"]
        with open(folder / "log.txt", "wb") as output:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output
            )
        own = replace(
            options, host=LOOPBACK, port=0, token=self._token, allow_hosts=(), browser=False, sessions=1
        )
        self._process.stdin.write(json.dumps(asdict(own), default=str).encode() + b"\n")
        self._process.stdin.flush()

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    async def ready(self, client: aiohttp.ClientSession) -> bool:
        """Wait until the process answers, and become its visitor.

        False where it has not started (the log says why).
        """
        until = time.monotonic() + _START_S
        while not (found := re.search(r"Open (http://[\d.:]+)", self._log())):
            if time.monotonic() > until or not self.running:
                log.error("a session did not start: %s", self._log()[-500:].strip())
                return False
            await asyncio.sleep(_STEP_S)
        self.address = found[1]
        async with client.post(
            f"{self.address}{ENTER}", data={"token": self._token}, allow_redirects=False
        ) as answer:
            self.cookie = answer.headers.get("Set-Cookie", "").split(";")[0]
        return True

    def _log(self) -> str:
        try:
            return (self._folder / "log.txt").read_text(errors="replace")
        except OSError:
            return ""

    async def end(self) -> None:
        """End the process, wait until it has tidied up, and remove what it left."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            await asyncio.to_thread(self._process.wait, _END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def _few_threads(sessions: int) -> dict[str, str]:
    """Variables by which the processes of all sessions together have a thread for each processor.

    Threads of one step wait for the slowest: with more than there are processors, for turns of the scheduler.
    """
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // sessions))}
