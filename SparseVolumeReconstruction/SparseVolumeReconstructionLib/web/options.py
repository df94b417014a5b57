"""How to serve, and what one desk and several have in common: the address that is printed, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    """How to serve. port 0: any that is free. token: what visitors have to know; needed where host is not this machine alone.

    sessions: people who can work at the same time, each with a server process of their own.
    """

    host: str = LOOPBACK
    port: int = 0
    token: str | None = None
    input: Path | None = None
    browser: bool = False
    sessions: int = 1


def announce(port: int, options: Options) -> None:
    """Print the address, and open it where that was asked for."""
    address = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{port}/"
    if options.token:
        address += f"?token={quote(options.token)}"
    print(f"Open {address}   (Ctrl-C ends it)", flush=True)
    if options.browser:
        webbrowser.open(address)


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
