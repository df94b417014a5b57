"""Whether the page's processes stay as they were, however many reconstructions their visitors ask for.

The visitors are no browsers: they come in, and speak over the websocket, as the page does.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import msgpack
from wslink.chunking import UnChunker, generate_chunks

from ..geometry import InputError
from ..progress import Progress
from ..worker import WorkerClient
from ..worker.measured import family, mean_as_scan, open_files, resident_mib
from ..worker.soak import SPACING_MM, Soak, require, temporary_files
from .access import ENTER, SOCKET
from .benchmark import served

_READY_S, _STEP_S, _SAMPLES = 300.0, 0.05, 2
_VIEWS = ("Red", "Green", "Yellow")
_SIZE = {"w": 400, "h": 300, "p": 1}


class Visitor:
    """One visitor of a page.

    Args:
        socket: to the server, by somebody who is in.

    Attributes:
        state: what the page would know.
        pictures: how many of the views have come.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self.state: dict[str, Any] = {}
        self.pictures = 0
        self._socket = socket
        self._number = 0
        self._answers: dict[str, asyncio.Future] = {}
        self._listening = asyncio.ensure_future(self._listen())

    async def ask(self, method: str, *arguments: Any) -> Any:
        """What one of the server's methods answers."""
        self._number += 1
        name = f"{'system' if method == 'wslink.hello' else 'rpc'}:{self._number}"
        message = {"wslink": "1.0", "id": name, "method": method, "args": list(arguments), "kwargs": {}}
        answer = self._answers[name] = asyncio.get_running_loop().create_future()
        for chunk in generate_chunks(msgpack.packb(message), 0):
            await self._socket.send_bytes(chunk)
        return await asyncio.wait_for(answer, _READY_S)

    async def start(self, prior: str) -> None:
        """Say hello, wait for the scan, take all its slices, and choose what is computed."""
        await self.ask("wslink.hello", {"secret": "wslink-secret"})
        self.state.update((await self.ask("trame.state.get"))["state"])
        await self.until("a scan", lambda state: state["scan"]["scans"] and not state["run"]["running"])
        for view in _VIEWS:
            await self.ask("trame.rca.size", view, "soak", _SIZE)
        choices = {"prior": prior, "frameMode": "registered", "spacing": SPACING_MM, "samples": _SAMPLES}
        await self._choose(allVolume=self.state["scan"]["scans"][0]["id"], **choices)
        await self.act("contexts_all")
        await self.until("slices", lambda state: len(state["contexts"]["rows"]) > 1)

    async def reconstruct(self, number: int) -> None:
        """Do one reconstruction from other slices than the last; of older results one is kept.

        Raises:
            InputError: it failed, or nothing came of it.
        """
        rows = self.state["contexts"]["rows"]
        row = rows[number % len(rows)]
        await self.act("contexts_enable", row["id"], not row["enabled"])
        await self._choose(seed=number)
        known = {each["id"] for each in self.state["scan"]["results"]}
        await self.act("run_apply")
        await self.until(
            "a result",
            lambda state: (
                {each["id"] for each in state["scan"]["results"]} - known and not state["run"]["running"]
            ),
        )
        for old in [each["id"] for each in self.state["scan"]["results"]][:-2]:
            await self.act("scan_remove", old)

    async def act(self, trigger: str, *arguments: Any) -> None:
        """What a button does."""
        await self.ask("trame.trigger", trigger, list(arguments), {})

    async def until(self, what: str, there: Any) -> None:
        """Wait until `there(state)`; raises InputError for an error of the page, or after _READY_S."""
        end = time.monotonic() + _READY_S
        while not there(self.state):
            error = self.state.get("run", {}).get("error", "")
            if not error and self._listening.done():
                error = "its connection was closed"
            if error or time.monotonic() > end:
                raise InputError(f"a visitor waited for {what} in vain: {error or 'the page gave none'}")
            await asyncio.sleep(_STEP_S)

    def close(self) -> None:
        """Listen no more."""
        self._listening.cancel()

    async def _choose(self, **choices: Any) -> None:
        changes = [{"key": f"p_{name}", "value": value} for name, value in choices.items()]
        await self.ask("trame.state.update", changes)

    async def _listen(self) -> None:
        parts = UnChunker()
        parts.set_max_message_size(1 << 32)
        async for chunk in self._socket:
            message = parts.process_chunk(chunk.data) if chunk.type == aiohttp.WSMsgType.BINARY else None
            name = (message or {}).get("id", "")
            if name.startswith("publish:trame.state.topic"):
                self.state.update(message["result"])
            elif name.startswith("publish:trame.rca"):
                self.pictures += 1
            elif name in self._answers:
                self._answers.pop(name).set_result(message.get("result"))


def web_soak(prior: str, count: int, visitors: int, progress: Progress) -> Soak:
    """Serve visitors at the same time, who share `count` reconstructions with 2 samples among them.

    Memory and open files are those of the server and of all its processes together.

    Args:
        prior: id of the model; its own mean is the scan, with a known frame.
        count: how many, at least WARM + 2 * WINDOW of `worker.soak`.
        visitors: how many; each has a session of about 1 GB.
        progress: told of every reconstruction.

    Raises:
        InputError: as `worker.soak.soak`, and where the page cannot be served.
    """
    require(count)
    with TemporaryDirectory() as name, temporary_files(Path(name) / "temporary") as temporary:
        scan, log = Path(name) / "scan.nrrd", Path(name) / "log.txt"
        with closing(WorkerClient()) as client:
            mean_as_scan(client, prior, SPACING_MM, scan)
        with served(log, "--input", str(scan), "--sessions", str(visitors)) as (address, process):
            start = time.monotonic()
            memory, files = asyncio.run(_visit(address, process, prior, count, visitors, progress))
            seconds = time.monotonic() - start
        left = [str(path.relative_to(temporary)) for path in temporary.rglob("*")]
    progress.finish()
    who = "one session of the page" if visitors == 1 else f"{visitors} sessions of the page"
    return Soak(memory, files, left, seconds, who)


async def _visit(
    address: str, process: int, prior: str, count: int, visitors: int, progress: Progress
) -> tuple[list[float], list[int]]:
    """Memory (MiB) and open files of all processes after every reconstruction."""
    memory: list[float] = []
    files: list[int] = []
    numbers = iter(range(count))

    async def work(visitor: Visitor) -> None:
        for number in numbers:
            await visitor.reconstruct(number)
            together = family(process)
            memory.append(sum(resident_mib(pid) or 0.0 for pid in together))
            files.append(sum(map(open_files, together)))
            progress.update(f"{len(memory)} of {count} reconstructions", len(memory) / count)

    async with AsyncExitStack() as stack:
        there = [await _enter(stack, address, prior) for _ in range(visitors)]
        await asyncio.gather(*map(work, there))
        if not all(each.pictures for each in there):
            raise InputError("a visitor saw no picture of the views.")
    return memory, files


async def _enter(stack: AsyncExitStack, address: str, prior: str) -> Visitor:
    """A new visitor, ready to reconstruct; leaves with the stack."""
    jar, timeout = aiohttp.CookieJar(unsafe=True), aiohttp.ClientTimeout(total=_READY_S)
    session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar, timeout=timeout))
    place, _, token = address.partition("?token=")
    base = place.rstrip("/")
    async with session.post(f"{base}{ENTER}", data={"token": token}, allow_redirects=False) as answer:
        if answer.status != 303:
            said = re.sub(r"<[^>]+>|\s+", " ", await answer.text())[:200]
            raise InputError(f"a visitor was not let in ({answer.status}): {said.strip()}")
    socket = await stack.enter_async_context(session.ws_connect(f"{base}{SOCKET}", max_msg_size=0))
    visitor = Visitor(socket)
    stack.callback(visitor.close)
    await visitor.start(prior)
    return visitor
