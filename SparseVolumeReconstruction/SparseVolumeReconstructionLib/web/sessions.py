"""Several people at one address: each visitor gets a server process of their own, started by trame's launcher, and is led to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from wslink.launcher import ProcessManager, ProxyMappingManager, SessionManager

from ..geometry import InputError
from .guard import AWAY_S, SOCKET, Door, middleware, page, secret_of, welcome
from .options import LOOPBACK, Options, announce, on_interrupt

_START_S, _END_S, _STEP_S = 120.0, 20.0, 0.2
_TAKEN = "<p>All places are taken. This page tries again by itself.</p>"
_NOT_PASSED_ON = {"host", "origin", "cookie", "set-cookie", "connection", "keep-alive", "transfer-encoding", "upgrade", "content-length"}


log = logging.getLogger(__name__)


@dataclass
class _Place:
    """One visitor's process. cookie: what the process wants to see of us. sockets, seen: as in Guard."""

    session: dict
    cookie: str = ""
    sockets: int = 0
    seen: float = field(default_factory=time.monotonic)

    @property
    def address(self) -> str:
        """Where the process listens."""
        return f"http://{self.session['host']}:{self.session['port']}"

    @property
    def left(self) -> bool:
        """Whether the visitor has gone for good."""
        return not self.sockets and time.monotonic() - self.seen > AWAY_S


class Sessions:
    """Starts, finds and ends the processes. folder: for their logs."""

    def __init__(self, options: Options, door: Door, folder: str):
        config = _launcher_config(options, folder)
        self._door, self._logs = door, Path(folder)
        self._launched, self._processes = SessionManager(config, _NoMapping()), ProcessManager(config)
        self._places: dict[str, _Place] = {}
        self._client: aiohttp.ClientSession | None = None

    async def answer(self, request: web.Request, _handler=None) -> web.StreamResponse:
        """Lead a request to the process of its visitor; a new visitor gets one while there are any left."""
        if refusal := self._door.refusal(request):
            return refusal
        place = self._places.get(secret_of(request))
        if place is not None and self._processes.isRunning(place.session["id"]):
            return await self._pass_on(request, place)
        if question := self._door.question(request):
            return question
        self._end_left()
        if (place := await self._start()) is None:
            return page("All places are taken", _TAKEN, 503)
        secret, response = welcome(request)
        self._places[secret] = place
        return response

    async def close(self) -> None:
        """End all processes, and wait until they have tidied up."""
        running = list(self._processes.processes.values())
        for place in list(self._places):
            self._end(place)
        for process in running:
            with contextlib.suppress(Exception):
                await asyncio.to_thread(process.wait, _END_S)
        if self._client is not None:
            await self._client.close()

    async def _start(self) -> _Place | None:
        """A new process that is ready; None where there are as many as there may be."""
        self._client = self._client or aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        session = self._launched.createSession({"application": "desk", "secret": secrets.token_hex(24)})
        if session is None or self._processes.startProcess(session) is None:
            return None
        until, place = time.monotonic() + _START_S, _Place(session)
        while not self._processes.isReady(session) or not self._processes.isRunning(session["id"]):
            if time.monotonic() > until or not self._processes.isRunning(session["id"]):
                log.error("a session did not start: %s", (self._logs / f"{session['id']}.txt").read_text(errors="replace")[-500:].strip())
                self._forget(session)
                return None
            await asyncio.sleep(_STEP_S)
        async with self._client.get(f"{place.address}/", params={"token": session["secret"]}, allow_redirects=False) as answer:
            place.cookie = answer.headers.get("Set-Cookie", "").split(";")[0]
        return place

    def _end_left(self) -> None:
        """Free the places of visitors who have gone, and of processes that have ended."""
        for secret, place in list(self._places.items()):
            if place.left or not self._processes.isRunning(place.session["id"]):
                self._end(secret)

    def _end(self, secret: str) -> None:
        self._forget(self._places.pop(secret).session)

    def _forget(self, session: dict) -> None:
        self._processes.stopProcess(session["id"])
        self._launched.deleteSession(session["id"])

    async def _pass_on(self, request: web.Request, place: _Place) -> web.StreamResponse:
        place.seen = time.monotonic()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON} | {"Cookie": place.cookie}
        if request.path == SOCKET:
            return await self._pass_socket(request, place)
        body = request.content if request.can_read_body else None
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        url = f"{place.address}{request.raw_path}"
        async with self._client.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
            response = web.StreamResponse(status=answer.status)
            response.headers.update({k: v for k, v in answer.headers.items() if k.lower() not in _NOT_PASSED_ON})
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(1 << 16):
                await response.write(chunk)
        await response.write_eof()
        return response

    async def _pass_socket(self, request: web.Request, place: _Place) -> web.WebSocketResponse:
        """Carry the messages of a websocket both ways until one side ends it."""
        here = web.WebSocketResponse(max_msg_size=0)
        await here.prepare(request)
        place.sockets += 1
        try:
            async with self._client.ws_connect(f"{place.address}{SOCKET}", headers={"Cookie": place.cookie}, max_msg_size=0) as there:
                ways = [asyncio.ensure_future(_carry(*way)) for way in ((here, there), (there, here))]
                _, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in rest:
                    way.cancel()
        except aiohttp.ClientError:
            pass  # the process has ended: the page notices that its socket is closed
        finally:
            place.sockets, place.seen = place.sockets - 1, time.monotonic()
            await here.close()
        return here


async def _carry(source, target) -> None:
    with contextlib.suppress(ConnectionResetError):
        async for message in source:
            if message.type == aiohttp.WSMsgType.BINARY:
                await target.send_bytes(message.data)
            elif message.type == aiohttp.WSMsgType.TEXT:
                await target.send_str(message.data)


class _NoMapping(ProxyMappingManager):
    """The launcher would write a table for another proxy."""

    def update(self, _sessions) -> None:
        """Nothing: the visitors are led here."""


def _launcher_config(options: Options, folder: str) -> dict:
    """What trame's launcher wants to know: which command, on which ports of this machine."""
    command = [
        sys.executable,
        "-m",
        "SparseVolumeReconstructionLib.cli",
        "web",
        "--host",
        LOOPBACK,
        "--port",
        "$port",
        "--token",
        "$secret",
    ]
    if options.input is not None:
        command += ["--input", str(options.input)]
    return {
        "configuration": {"log_dir": folder, "sanitize": {}, "sessionURL": f"ws://USE_HOST{SOCKET}"},
        "resources": [{"host": LOOPBACK, "port_range": [port, port]} for port in _free_ports(options.sessions)],
        "properties": {},
        "apps": {"desk": {"cmd": command, "ready_line": "Open http"}},
    }


def _free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


async def serve_sessions(options: Options) -> None:
    """Serve until interrupted; then all processes have ended. Raises InputError where the port cannot be listened on."""
    stopped = asyncio.Event()
    on_interrupt(stopped.set)
    with tempfile.TemporaryDirectory(prefix="svr-sessions-") as folder:
        sessions = Sessions(options, Door.of(options.host, options.token), folder)
        application = web.Application(middlewares=[middleware(sessions.answer)], client_max_size=0)
        runner = web.AppRunner(application, handle_signals=False, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, options.host, options.port).start()
        except OSError as error:
            await runner.cleanup()
            raise InputError(f"--port {options.port}: cannot be listened on ({error.strerror or error}); choose another.") from error
        announce(runner.addresses[0][1], options)
        try:
            await stopped.wait()
        finally:
            await sessions.close()
            await runner.cleanup()
