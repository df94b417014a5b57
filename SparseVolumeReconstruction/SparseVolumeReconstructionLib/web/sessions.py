"""Several people at one address: each visitor gets a server process of their own, and is led to it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from ..geometry import file_errors
from . import notes
from .access import SOCKET, AccessPolicy, VisitorRouter, middleware, protect
from .guard import AWAY_S
from .options import Options, announce, on_interrupt, private_folder
from .place import Place

_TAKEN = "<p>All places are taken. This page tries again by itself.</p>"
_LEFT = (
    "All places are taken. One of them was left {minutes} min ago; what was loaded, chosen and computed "
    "there will be lost."
)
_FAILED = (
    "<p>Your session could not be started; where the server was started, its output says why. This "
    "page tries again by itself.</p>"
)
_ENDED = '<p>Your session has ended. <a href="./">Begin anew</a></p>'
_NOT_PASSED_ON = {
    "host",
    "origin",
    "cookie",
    "set-cookie",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "upgrade",
    "content-length",
}
_OURS = {*_NOT_PASSED_ON, "content-security-policy"}


class Sessions(VisitorRouter):
    """Starts, finds and ends the places.

    Args:
        options: of the server, for every place.
        policy: what every request has to pass.
        folder: for what they write.
    """

    def __init__(self, options: Options, policy: AccessPolicy, folder: Path):
        super().__init__(policy)
        self._options, self._folder = options, folder
        self._places: dict[str, Place] = {}
        self._starting: dict[str, asyncio.Future] = {}
        self._ending: set[asyncio.Future] = set()
        self._number = 0
        self._client: aiohttp.ClientSession | None = None

    def known(self, secret: str) -> bool:
        """Whether this is the secret of a visitor whose process runs."""
        return secret in self._places and self._places[secret].running

    def look(self, token: str) -> web.Response | None:
        """All places taken, or one of them left by somebody, or free."""
        running = sum(place.running for place in self._places.values()) + len(self._starting)
        if running < self._options.sessions:
            return None
        if (left := self._left()) is None:
            return notes.page("All places are taken", _TAKEN, 503)
        return notes.over(token, _LEFT.format(minutes=int((time.monotonic() - self._places[left].seen) / 60)))

    async def take(self, secret: str, token: str, over: bool) -> web.Response | None:
        """Start a process for a visitor; he may ask again while it starts."""
        if secret not in self._starting:
            said, left = self.look(token), self._left()
            if said is not None and (left is None or not over):
                return said
            for each in [
                name
                for name, place in self._places.items()
                if not place.running or (said is not None and name == left)
            ]:
                self._end(each)
            self._starting[secret] = asyncio.ensure_future(self._start(secret))
        started = await asyncio.shield(self._starting[secret])
        return None if started else notes.page("No session", _FAILED, 503)

    async def serve(self, request: web.Request, _handler, secret: str) -> web.StreamResponse:
        """Lead a request to the process of its visitor."""
        place = self._places[secret]
        place.seen = time.monotonic()
        try:
            return await (self._pass_socket if request.path == SOCKET else self._pass_on)(request, place)
        except aiohttp.ClientError:
            return notes.page("Ended", _ENDED, 502)
        finally:
            place.seen = time.monotonic()

    async def close(self) -> None:
        """End all processes, and wait until they have tidied up."""
        for secret in list(self._places):
            self._end(secret)
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        await asyncio.gather(
            *self._ending, *(place.end() for place in self._places.values()), return_exceptions=True
        )
        if self._client is not None:
            await self._client.close()

    async def _start(self, secret: str) -> bool:
        self._client = self._client or aiohttp.ClientSession(
            auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        self._number += 1
        place = Place(self._options, self._folder / f"place-{self._number}")
        ready = False
        try:
            if ready := await place.ready(self._client):
                self._places[secret] = place
        finally:
            del self._starting[secret]
            if not ready:
                await place.end()
        return ready

    def _left(self) -> str | None:
        """Whose place has been without a visitor for the longest time.

        And for longer than a lost connection lasts.
        """
        now = time.monotonic()
        gone = {
            name: place.seen
            for name, place in self._places.items()
            if not place.sockets and now - place.seen > AWAY_S
        }
        return min(gone, key=gone.get, default=None)

    def _end(self, secret: str) -> None:
        """Free a place; its process ends meanwhile."""
        ending = asyncio.ensure_future(self._places.pop(secret).end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _pass_on(self, request: web.Request, place: Place) -> web.StreamResponse:
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON
        } | {"Cookie": place.cookie}
        body = request.content if request.can_read_body else None
        if request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        url = f"{place.address}{request.raw_path}"
        async with self._client.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status)
            response.headers.update({k: v for k, v in answer.headers.items() if k.lower() not in _OURS})
            protect(request, response)
            await response.prepare(request)
            async for chunk in answer.content.iter_chunked(1 << 16):
                await response.write(chunk)
        await response.write_eof()
        return response

    async def _pass_socket(self, request: web.Request, place: Place) -> web.WebSocketResponse:
        """Carry the messages of a websocket both ways until one side ends it."""
        here = web.WebSocketResponse(max_msg_size=0)
        await here.prepare(request)
        place.sockets += 1
        try:
            async with self._client.ws_connect(
                f"{place.address}{SOCKET}", headers={"Cookie": place.cookie}, max_msg_size=0
            ) as there:
                ways = [asyncio.ensure_future(_carry(*way)) for way in ((here, there), (there, here))]
                _, rest = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in rest:
                    way.cancel()
        except aiohttp.ClientError:
            pass  # the process has ended: the page notices that its socket is closed
        finally:
            place.sockets -= 1
            await here.close()
        return here


async def _carry(source, target) -> None:
    with contextlib.suppress(ConnectionResetError):
        async for message in source:
            if message.type == aiohttp.WSMsgType.BINARY:
                await target.send_bytes(message.data)
            elif message.type == aiohttp.WSMsgType.TEXT:
                await target.send_str(message.data)


async def serve_sessions(options: Options) -> None:
    """Serve until interrupted; then all processes have ended.

    Raises:
        InputError: where the port cannot be listened on.
    """
    stopped = asyncio.Event()
    on_interrupt(stopped.set)
    with private_folder() as folder:
        sessions = Sessions(
            options, AccessPolicy.of(options.host, options.token, options.allow_hosts), folder
        )
        application = web.Application(middlewares=[middleware(sessions.answer)], client_max_size=0)
        runner = web.AppRunner(application, handle_signals=False, access_log=None)
        await runner.setup()
        try:
            with file_errors(f"--port {options.port}: cannot be listened on", "; choose another"):
                await web.TCPSite(runner, options.host, options.port).start()
            announce(runner.addresses[0][1], options)
            await stopped.wait()
        finally:
            await sessions.close()
            await runner.cleanup()
