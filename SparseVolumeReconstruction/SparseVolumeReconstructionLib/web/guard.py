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
AWAY_S = 60.0  # how long the session is kept for a visitor whose page is closed or whose connection dropped
SOCKET = "/ws"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width,initial-scale=1">{again}
<style>body{{font:16px/1.5 system-ui,sans-serif;background:#101418;color:#e6e9ed;display:grid;place-items:center;min-height:100vh;margin:0}}
main{{max-width:30rem;padding:2rem}}h1{{font-size:1.3rem}}a{{color:#8cc2ff}}input,button{{font:inherit;padding:.4rem .7rem}}</style>
</head><body><main><h1>{title}</h1>{text}</main></body></html>"""
_IN_USE = "<p>One person at a time can work here, and somebody does. This page tries again by itself.</p>"
_ASK = """<p>{why}</p><form action="./" method="get">
<label>Token <input name="token" type="password" autofocus></label> <button>Go</button></form>"""


class Door:
    """What every request has to pass. token: asked for at the first request of a visitor; None where everyone who reaches the
    server may come in. hosts: names by which a browser may call the server, None for any.
    """

    def __init__(self, token: str | None, hosts: set[str] | None):
        self._token, self._hosts = token, hosts

    @classmethod
    def of(cls, host: str, token: str | None) -> Door:
        """The door of a server that listens on `host`: on this machine alone it answers to this machine's names only."""
        return cls(token, {"localhost", "127.0.0.1", "::1", host} if is_loopback(host) else None)

    def refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request by a name that is not ours (a site may let its own name lead here) or from another site's page."""
        host = request.host.rsplit(":", 1)[0].strip("[]")
        origin = request.headers.get("Origin")
        if (self._hosts is None or host in self._hosts) and (origin is None or origin.split("://", 1)[-1] == request.host):
            return None
        return page("Not here", "<p>This server does not answer to that name, or to other sites.</p>", 403)

    def question(self, request: web.Request) -> web.Response | None:
        """The answer to somebody without a cookie who does not open the page, or does not know the token."""
        if request.path not in ("/", "/index.html"):
            return web.Response(status=403, text="open the page first")
        if self._token is None or _same(request.query.get("token", ""), self._token):
            return None
        why = "That is not the token." if "token" in request.query else "The address was printed where the server was started."
        return page("A token is needed", _ASK.format(why=escape(why)), 403)


def welcome(request: web.Request) -> tuple[str, web.Response]:
    """A new secret for a visitor, and the answer that carries it as cookie to the page, without the token in the address."""
    secret = secrets.token_urlsafe(32)
    answer = web.Response(status=303, headers={"Location": "./index.html"})
    answer.set_cookie(_COOKIE, secret, httponly=True, samesite="Strict", secure=request.secure, max_age=7 * 24 * 3600)
    return secret, answer


def secret_of(request: web.Request) -> str:
    """The secret that a request's cookie carries; "" without one."""
    return request.cookies.get(_COOKIE, "")


def middleware(answer: Callable):
    """The aiohttp middleware that lets answer(request, handler) decide, and sends the headers that protect the page."""

    @web.middleware
    async def check(request: web.Request, handler):
        response = await answer(request, handler)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    return check


class Guard:
    """Lets one visitor in. on_new_visitor: called before another visitor than the last is let in."""

    def __init__(self, door: Door, on_new_visitor: Callable[[], None]):
        self._door, self._on_new_visitor = door, on_new_visitor
        self._owner: str | None = None
        self._sockets, self._seen = 0, 0.0

    @property
    def in_use(self) -> bool:
        """Whether a visitor is there, or may still come back."""
        return self._owner is not None and (self._sockets > 0 or time.monotonic() - self._seen < AWAY_S)

    async def answer(self, request: web.Request, handler) -> web.StreamResponse:
        """What a request gets; see `middleware`."""
        if refusal := self._door.refusal(request):
            return refusal
        if self._owner is not None and _same(secret_of(request), self._owner):
            return await self._serve(request, handler)
        if question := self._door.question(request):
            return question
        if self.in_use:
            return page("The session is in use", _IN_USE, 409)
        if self._owner is not None:
            self._on_new_visitor()
        self._seen = time.monotonic()
        self._owner, response = welcome(request)
        return response

    async def _serve(self, request: web.Request, handler) -> web.StreamResponse:
        """Hand a request of the visitor on; while a websocket is open, the session is in use."""
        self._seen = time.monotonic()
        if request.path == "/" or "token" in request.query:
            return web.Response(status=303, headers={"Location": "./index.html"})
        socket = request.path == SOCKET
        self._sockets += socket
        try:
            return await handler(request)
        finally:
            self._sockets -= socket
            self._seen = time.monotonic()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def page(title: str, text: str, status: int) -> web.Response:
    """A small page that says something; `text` is HTML. One that says that there is no place tries again by itself."""
    again = '<meta http-equiv="refresh" content="20">' if status in (409, 503) else ""
    return web.Response(status=status, content_type="text/html", text=_PAGE.format(title=escape(title), text=text, again=again))


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
