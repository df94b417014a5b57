"""One session, one visitor at a time, known by a cookie."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web

from . import notes
from .access import SOCKET, AccessPolicy, VisitorRouter, same

AWAY_S = 60.0  # how long the session is kept for a visitor whose page is closed or whose connection dropped
_IN_USE = "<p>One person at a time can work here, and somebody does. This page tries again by itself.</p>"
_LEFT = "Nobody has looked at it for {minutes} min. What was loaded, chosen and computed there will be lost."


class Guard(VisitorRouter):
    """Lets one visitor in.

    Args:
        policy: what every request has to pass.
        on_new_visitor: called before another visitor than the last is let in.
    """

    def __init__(self, policy: AccessPolicy, on_new_visitor: Callable[[], None]):
        super().__init__(policy)
        self._on_new_visitor = on_new_visitor
        self._owner: str | None = None
        self._sockets, self._seen = 0, 0.0

    @property
    def in_use(self) -> bool:
        """Whether a visitor is there, or may still come back."""
        return self._owner is not None and (self._sockets > 0 or time.monotonic() - self._seen < AWAY_S)

    @property
    def taken(self) -> bool:
        """Whether there is a visitor, or the work of one."""
        return self._owner is not None

    def known(self, secret: str) -> bool:
        """Whether this is the visitor's secret."""
        return self._owner is not None and same(secret, self._owner)

    def look(self, token: str) -> web.Response | None:
        """In use, or left by somebody whose work is still here, or free."""
        if self.in_use:
            return notes.page("The session is in use", _IN_USE, 409)
        if self._owner is not None:
            return notes.over(token, _LEFT.format(minutes=max(1, int((time.monotonic() - self._seen) / 60))))
        return None

    async def take(self, secret: str, token: str, over: bool) -> web.Response | None:
        """Become the visitor; the work of one who has left is ended where that is wanted."""
        if (said := self.look(token)) and (self.in_use or not over):
            return said
        if self._owner is not None:
            self._on_new_visitor()
        self._owner = secret
        self._seen = time.monotonic()
        return None

    def forget(self) -> None:
        """The visitor's session has ended; the next one finds an empty scene."""
        self._owner = None

    async def serve(self, request: web.Request, handler, _secret: str) -> web.StreamResponse:
        """Hand a request of the visitor on; while a websocket is open, the session is in use."""
        self._seen = time.monotonic()
        socket = request.path == SOCKET
        self._sockets += socket
        try:
            return await handler(request)
        finally:
            self._sockets -= socket
            self._seen = time.monotonic()
