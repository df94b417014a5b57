"""Who may come in, by which names and with which token, and the two steps of it.

To look at the first page changes nothing; entering is a POST.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from . import notes

SOCKET, ENTER = "/ws", "/enter"
_PAGES = ("/", "/index.html")
_SECRET = re.compile(r"[\w-]{43}")
_KEPT_S = 7 * 24 * 3600
_MAX_FORM_BYTES = 4096
MAX_WRONG = 30  # tokens in WRONG_S seconds; after that nobody new is let in for as long
WRONG_S = 60.0
# Trame's page compiles its templates in the browser and styles elements; it loads from nowhere else and is
# shown in no frame.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; "
    "connect-src 'self' {socket}; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all, a form would be sent with the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class AccessPolicy:
    """What every request has to pass.

    Args:
        token: asked for at the first request of a visitor; None where everyone who reaches the server may
            come in.
        hosts: names by which a browser may call the server, None for any.
    """

    def __init__(self, token: str | None, hosts: set[str] | None):
        self._token, self._hosts = token, hosts
        self._wrong: deque[float] = deque(maxlen=MAX_WRONG)

    @classmethod
    def of(cls, host: str, token: str | None, names: tuple[str, ...] = ()) -> AccessPolicy:
        """The policy of a server that listens on `host`.

        On this machine alone, or where names are given, it answers to no others.

        Args:
            host: name or address.
            token: asked of visitors; None: everyone may come in.
            names: further ones by which browsers call the server.
        """
        known = {"localhost", "127.0.0.1", "::1", host, *(name.lower() for name in names)}
        return cls(token, known if is_loopback(host) or names else None)

    def refusal(self, request: web.Request) -> web.Response | None:
        """The answer to a request by a name that is not ours, or from another site's page.

        A site may let its own name lead here.
        """
        origin = request.headers.get("Origin")
        if not request.raw_path.startswith("/"):
            return notes.page("Not here", "<p>This server is no proxy.</p>", 400)
        named = self._hosts is None or _host_name(request.host) in self._hosts
        if named and (origin is None or origin.split("://", 1)[-1] == request.host):
            return None
        return notes.page(
            "Not here", "<p>This server does not answer to that name, or to other sites.</p>", 403
        )

    def knows(self, token: str) -> bool:
        """Whether somebody who says this token may come in; nobody while tokens are guessed."""
        if self._token is None:
            return True
        if self.is_guessed:
            return False
        right = same(token, self._token)
        if token and not right:
            self._wrong.append(time.monotonic())
        return right

    @property
    def is_guessed(self) -> bool:
        """Whether too many wrong tokens were said of late. Visitors who are in notice nothing of it."""
        return len(self._wrong) == MAX_WRONG and time.monotonic() - self._wrong[0] < WRONG_S

    def question(self, wrong: bool) -> web.Response:
        """The page that asks for the token, or says that it is too early to ask.

        Args:
            wrong: one was given.
        """
        if self.is_guessed:
            return notes.page("Too many wrong tokens", "<p>Wait a minute, and try again.</p>", 429)
        return notes.question(wrong)


class VisitorRouter:
    """How visitors get in.

    A page that was asked for without the cookie of a visitor is answered by a form, which is sent at once.

    Nothing that a page of another site, a health check or a reload can ask for (GET) starts, takes or ends
    anything. Subclasses say who is known (`serve`), what a newcomer would find (`look`) and take him in
    (`take`).
    """

    def __init__(self, policy: AccessPolicy):
        self._policy = policy

    async def answer(self, request: web.Request, handler) -> web.StreamResponse:
        """What a request gets; see `middleware`.

        Args:
            handler: answers a visitor who is in, as aiohttp's middlewares are given it.
        """
        if refusal := self._policy.refusal(request):
            return refusal
        secret = _secret_of(request)
        if self.known(secret):
            if request.path in ("/", ENTER) or "token" in request.query:
                return to_the_page(request, secret)
            return await self.serve(request, handler, secret)
        if request.method == "POST" and request.path == ENTER:
            return await self._enter(request, secret or secrets.token_urlsafe(32))
        if request.path not in _PAGES or request.headers.get("Sec-Fetch-Dest", "document") != "document":
            return web.Response(status=403, text="open the page first")
        token = request.query.get("token", "")
        if not self._policy.knows(token):
            return self._policy.question("token" in request.query)
        answer = self.look(token) or notes.welcome(token)
        if not secret:
            _set_cookie(request, answer, secrets.token_urlsafe(32))
        return answer

    async def _enter(self, request: web.Request, secret: str) -> web.StreamResponse:
        if not (request.content_length or 0) < _MAX_FORM_BYTES or "chunked" in request.headers.get(
            "Transfer-Encoding", ""
        ):
            return web.Response(status=403, text="open the page first")
        form = {name: str(value) for name, value in (await request.post()).items()}
        if not self._policy.knows(form.get("token", "")):
            return self._policy.question(True)
        return await self.take(secret, form.get("token", ""), "over" in form) or to_the_page(request, secret)

    def known(self, secret: str) -> bool:
        """Whether a secret ("" without one) is that of a visitor who is in."""
        raise NotImplementedError

    async def serve(self, request: web.Request, handler, secret: str) -> web.StreamResponse:
        """Hand a request of a visitor on.

        Args:
            handler: the next of aiohttp's handlers.
            secret: of a visitor who is in.
        """
        raise NotImplementedError

    def look(self, token: str) -> web.Response | None:
        """What a newcomer is told; None where he may come in at once.

        Changes nothing.

        Args:
            token: for a form that he may send.
        """
        raise NotImplementedError

    async def take(self, secret: str, token: str, over: bool) -> web.Response | None:
        """Let a visitor in, or say why not.

        Args:
            secret: by which he is known from then on, from his cookie or new.
            token: he knows it; for a form that he may send again.
            over: he wants the place of somebody who has left it.

        Returns:
            The page that says why not; None where he is in.
        """
        raise NotImplementedError


def to_the_page(request: web.Request, secret: str) -> web.Response:
    """The answer that leads a visitor to the page, without the token in the address, with his cookie.

    Args:
        request: tells whether the cookie is for secure connections alone.
        secret: what the cookie holds.
    """
    answer = web.Response(status=303, headers={"Location": "./index.html"})
    _set_cookie(request, answer, secret)
    return answer


def _set_cookie(request: web.Request, answer: web.Response, secret: str) -> None:
    """Lax: a link on another site leads here with it; requests from that site's pages come without."""
    answer.set_cookie(
        _cookie_name(request),
        secret,
        httponly=True,
        samesite="Lax",
        secure=is_secure(request),
        max_age=_KEPT_S,
    )


def is_secure(request: web.Request) -> bool:
    """Whether the visitor came by https: to us, or to a proxy on this machine that says so."""
    peer = (request.transport.get_extra_info("peername") or ("",))[0] if request.transport else ""
    proxied = is_loopback(peer) and request.headers.get("X-Forwarded-Proto", "").lower() == "https"
    return request.secure or proxied or request.headers.get("Origin", "").startswith("https://")


def _cookie_name(request: web.Request) -> str:
    """With the port: cookies are shared by all servers of one host."""
    return f"svr-session-{request.transport.get_extra_info('sockname')[1]}"


def _secret_of(request: web.Request) -> str:
    """The secret that a request's cookie carries; "" without one."""
    given = request.cookies.get(_cookie_name(request), "")
    return given if _SECRET.fullmatch(given) else ""


def middleware(answer: Callable):
    """The aiohttp middleware that lets answer(request, handler) decide.

    It sends the headers that protect the page.
    """

    @web.middleware
    async def check(request: web.Request, handler):
        response = await answer(request, handler)
        if not response.prepared:
            protect(request, response)
        return response

    return check


def protect(request: web.Request, response: web.StreamResponse) -> None:
    """Headers against other sites, and against what is private being kept.

    No other site shows the page or reads from it, and nothing is loaded from elsewhere. Only the program's
    own files may be kept, and are asked for again.

    Args:
        request: whose host may be connected to.
        response: not sent yet; its own Content-Security-Policy and Cache-Control stay.
    """
    socket = f"{'wss' if is_secure(request) else 'ws'}://{request.host}"
    response.headers.update(_HEADERS)
    response.headers.setdefault(
        "Content-Security-Policy", _POLICY.format(socket=socket, scripts=_inline_scripts())
    )
    response.headers.setdefault(
        "Cache-Control", "no-cache" if isinstance(response, web.FileResponse) else "no-store"
    )


@cache
def _inline_scripts() -> str:
    """The scripts that stand in the page of trame's client itself, as a policy names them."""
    path = Path(find_spec("trame_client").origin).parent / "module" / "vue3-www" / "index.html"
    return " ".join(
        map(notes.digest, re.findall(r"<script>(.*?)</script>", path.read_text(encoding="utf-8"), re.DOTALL))
    )


def same(given: str, expected: str) -> bool:
    """Compare secrets without telling how much of them is right."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
