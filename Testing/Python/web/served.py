"""The browser edition as a process of its own, and what it leaves behind."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from SparseVolumeReconstructionLib.web.watchdog import SAID, VARIABLE

START_S = 120.0
BOUND_MS, _QUIET_S = 400.0, 0.10


class Served:
    """`./run web` with words, in a temporary folder of its own.

    Ends with Ctrl-C; then it must have left nothing.
    """

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        *words: str,
        token: str = "",
        temporary: Path | None = None,
    ):
        self.temporary = temporary or folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self._log = folder / "server.log"
        command = [sys.executable, "-m", "SparseVolumeReconstructionLib.cli", "web", "--port", "0", *words]
        with open(self._log, "wb") as log:
            environment = {
                **environment,
                "TMPDIR": str(self.temporary),
                "PYTHONUNBUFFERED": "1",
                "SVR_TOKEN": token,
                VARIABLE: f"{bound_ms()}",
            }
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )
        self.address = self._wait_for_address()
        self.port = int(re.search(r":(\d+)/", self.address)[1])
        self.cookie = ""

    def _wait_for_address(self) -> str:
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            if found := re.search(r"Open (http://\S+)", self.log()):
                return found[1]
            time.sleep(0.1)
        raise AssertionError(f"no address within {START_S:.0f} s:\n{self.log()}")

    def log(self) -> str:
        """All that the server said."""
        return self._log.read_text(errors="replace")

    def complaints(self) -> list[str]:
        """What the server said besides its address."""
        return [
            line
            for line in self.log().splitlines()
            if line.strip() and not line.startswith("Open http") and SAID not in line
        ]

    def blocked(self) -> list[str]:
        """What computed on the event loop for longer than it may (see `bound_ms`), and where."""
        return [line for line in self.log().splitlines() if SAID in line]

    def workers(self) -> list[int]:
        """Process ids of the computing processes that descend from the server."""
        return [pid for pid in self.family() if b"Lib.worker" in command_line(pid)]

    def family(self) -> set[int]:
        """Process ids of the server and of all that descend from it."""
        children, known = {}, {self.process.pid}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = status.read_text().rpartition(")")[2].split()
                children[int(status.parent.name)] = int(words[1])
            except OSError:
                continue  # it has just ended
        for _ in range(4):
            known |= {pid for pid, parent in children.items() if parent in known}
        return known

    def command_lines(self) -> str:
        """What everybody on the machine can read of the server's processes."""
        return " ".join(command_line(pid).decode(errors="replace") for pid in self.family())

    def interrupt(self, seconds: float = 30.0) -> int:
        """Ctrl-C; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ask(
        self, method: str = "GET", path: str = "/", body=None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """One HTTP request with the cookie of the visitor, if there is one: status, body and headers of the
        answer.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie and "Cookie" not in given:
            given["Cookie"] = self.cookie
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def enter(self, token: str = "", over: bool = False) -> int:
        """Become the visitor, as the page before the page does it; returns the status."""
        form = urlencode({"token": token} | ({"over": "1"} if over else {}))
        kind = "application/x-www-form-urlencoded"
        status, _, headers = self.ask("POST", "/enter", form, Content_Type=kind, Cookie="")
        if "Set-Cookie" in headers:
            self.cookie = headers["Set-Cookie"].split(";")[0]
        return status

    def upload(self, *files: tuple[str, bytes]) -> tuple[int, str]:
        """Upload files (name, content) as the page does: status and text of the answer."""
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
            f"filename={json.dumps(name)}\r\n\r\n".encode()
            + data
            + b"\r\n"
            for name, data in files
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        status, answer, _ = self.ask("POST", "/upload", body, Content_Type=kind, X_SVR="1")
        return status, answer.decode()

    def left_behind(self, pattern: str = "*") -> list[str]:
        """What is in its temporary folder; folders may go while they are looked at."""
        found = (
            Path(folder, name)
            for folder, folders, files in os.walk(self.temporary)
            for name in folders + files
        )
        return sorted(str(path.relative_to(self.temporary)) for path in found if path.match(pattern))


@cache
def bound_ms() -> float:
    """How long a callback may compute on the event loop: 400 ms, and more on a machine that computes more
    slowly than a usual one. On a quiet one all stay below 100; `./run benchmark` prints the longest.
    """
    start, total = time.thread_time(), 0
    for number in range(2_000_000):
        total += number * number
    return BOUND_MS * max(1.0, (time.thread_time() - start) / _QUIET_S)


def command_line(pid: int) -> bytes:
    """The words of a process, b"" where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
