"""How to serve, and what one session and several have in common.

The address that is printed, the private folder, and the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

LOOPBACK = "127.0.0.1"
_FOLDER = "svr-web-"


@dataclass(frozen=True)
class Options:
    """How to serve.

    Attributes:
        port: 0: any that is free.
        token: what visitors have to know; needed where host is not this machine alone.
        lesson: file of a lesson that every visitor is offered.
        sessions: people who can work at the same time, each with a server process of their own.
        allow_hosts: further names by which browsers call the server, such as that of a proxy before it.
        idle_minutes: without use until a session ends, 0 for never.
        ends_idle: the process ends with its session.
        memory_gb: voxels that one session may hold.
    """

    host: str = LOOPBACK
    port: int = 0
    token: str | None = None
    input: Path | None = None
    lesson: Path | None = None
    browser: bool = False
    sessions: int = 1
    allow_hosts: tuple[str, ...] = ()
    idle_minutes: float = 120.0
    ends_idle: bool = False
    memory_gb: float = 1.5


def announce(port: int, options: Options) -> None:
    """Print the address, and open it where that was asked for.

    Args:
        port: on which the server listens; that of the options may be 0.
        options: their host and token are in the address.
    """
    address = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{port}/"
    if options.token:
        address += f"?token={quote(options.token)}"
    print(f"Open {address}   (Ctrl-C ends it)", flush=True)
    if options.browser:
        webbrowser.open(address)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """One folder for all temporary files of this process and of those that it starts.

    It goes when they have ended.

    Folders of earlier processes that were killed go, too.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        process = re.match(rf"{_FOLDER}(\d+)-", left.name)
        if (
            process
            and os.name == "posix"
            and not Path(f"/proc/{process[1]}").exists()
            and Path("/proc/self").exists()
        ):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        yield Path(folder)


def _report(loop, context: dict) -> None:
    """Faults go to the log; a visitor who leaves while something is sent is none."""
    if not isinstance(context.get("exception"), ConnectionResetError):
        loop.default_exception_handler(context)


def on_interrupt(call) -> None:
    """Call this on Ctrl-C, or when the process is asked to end."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report)
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # not on Windows, where Ctrl-C cancels the main task
            loop.add_signal_handler(number, call)
