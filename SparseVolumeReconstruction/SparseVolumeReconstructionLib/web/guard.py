"""Who may use the server: one visitor at a time, known by a cookie; the token where there is one; no other site's pages."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from html import escape
from ipaddress import ip_address

from aiohttp import web

_COOKIE = "svr-session"
_AWAY_S = 60.0  # how long the session is kept for a visitor whose page is closed or whose connection dropped
_SOCKET = "/ws"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;background:#101418;color:#e6e9ed;display:grid;place-items:center;min-height:100vh;margin:0}}
main{{max-width:30rem;padding:2rem}}h1{{font-size:1.3rem}}a{{color:#8cc2ff}}input,button{{font:inherit;padding:.4rem .7rem}}</style>
</head><body><main><h1>{title}</h1>{text}</main></body></html>"""
_IN_USE = "<p>One person at a time can work here, and somebody does. Try again later, or start a server of your own.</p>"
_ASK = """<p>{why}</p><form action="./" method="get">
<label>Token <input name="token" type="password" autofocus></label> <button>Go</button></form>"""


class Guard:
    """An aiohttp middleware, `check`, that lets one visitor in.

    token: asked for at the first request of a visitor; None where everyone who reaches the server may come in. hosts: names by
    which a browser may call the server, None for any. on_new_visitor: called before another visitor than the last is let in.
    """

    def __init__(self, token: str | None, hosts: set[str] | None, on_new_visitor: Callable[[], None]):
        self._token, self._hosts, self._on_new_visitor = token, hosts, on_new_visitor
        self._owner: str | None = None
        self._sockets, self._seen = 0, 0.0

    @property
    def in_use(self) -> bool:
        """Whether a visitor is there, or may still come back."""
        return self._owner is not None and (self._sockets > 0 or time.monotonic() - self._seen < _AWAY_S)

    def middleware(self):
        """The middleware for the application of the server."""

        @web.middleware
        async def check(request: web.Request, handler):
            answer = await self._answer(request, handler)
            if not answer.prepared:
                answer.headers.update(_HEADERS)
            return answer

        return check

    async def _answer(self, request: web.Request, handler) -> web.StreamResponse:
        if not self._is_addressed(request):
            return _page("Not here", "<p>This server does not answer to that name, or to other sites.</p>", 403)
        if self._is_owner(request):
            return await self._serve(request, handler)
        if request.path not in ("/", "/index.html"):
            return web.Response(status=403, text="open the page first")
        if not self._knows_token(request.query.get("token", "")):
            asked = "token" in request.query
            why = "That is not the token." if asked else "The address with the token was printed where the server was started."
            return _page("A token is needed", _ASK.format(why=escape(why)), 403)
        if self.in_use:
            return _page("The session is in use", _IN_USE, 409)
        return self._let_in(request)

    def _let_in(self, request: web.Request) -> web.Response:
        if self._owner is not None:
            self._on_new_visitor()
        self._owner, self._seen = secrets.token_urlsafe(32), time.monotonic()
        answer = web.Response(status=303, headers={"Location": "./index.html"})
        answer.set_cookie(_COOKIE, self._owner, httponly=True, samesite="Strict", secure=request.secure, max_age=7 * 24 * 3600)
        return answer

    async def _serve(self, request: web.Request, handler) -> web.StreamResponse:
        """Hand a request of the visitor on; while a websocket is open, the session is in use."""
        self._seen = time.monotonic()
        if request.path == "/" or "token" in request.query:
            return web.Response(status=303, headers={"Location": "./index.html"})
        socket = request.path == _SOCKET
        self._sockets += socket
        try:
            return await handler(request)
        finally:
            self._sockets -= socket
            self._seen = time.monotonic()

    def _is_owner(self, request: web.Request) -> bool:
        return self._owner is not None and _same(request.cookies.get(_COOKIE, ""), self._owner)

    def _knows_token(self, given: str) -> bool:
        return self._token is None or _same(given, self._token)

    def _is_addressed(self, request: web.Request) -> bool:
        """Called by one of our names (else it may be a site that lets its own name lead here), and not by a page of another site."""
        host = request.host.rsplit(":", 1)[0].strip("[]")
        origin = request.headers.get("Origin")
        return (self._hosts is None or host in self._hosts) and (origin is None or origin.split("://", 1)[-1] == request.host)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _page(title: str, text: str, status: int) -> web.Response:
    return web.Response(status=status, content_type="text/html", text=_PAGE.format(title=escape(title), text=text))


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
