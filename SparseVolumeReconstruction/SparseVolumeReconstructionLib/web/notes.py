"""The small pages before the page: who may come in, what is in use, what ended.

They load nothing and say one thing.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

from aiohttp import web

# a link to a lesson keeps its lesson
_SCRIPT = "document.forms[0].action+=location.hash;document.forms[0].submit()"
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;background:#101418;color:#e6e9ed;
display:grid;place-items:center;min-height:100vh;margin:0}
main{max-width:30rem;padding:2rem}h1{font-size:1.3rem}a{color:#8cc2ff}input,button{font:inherit;padding:.4rem .7rem}"""  # noqa: E501
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width,initial-scale=1">{again}<style>{style}</style></head>
<body><main><h1>{title}</h1>{text}</main></body></html>"""
_ASK = """<p>{why}</p><form action="./" method="get">
<label>Token <input name="token" type="password" autofocus></label> <button>Go</button></form>"""
_ENTER = """<p>{why}</p><form action="./enter" method="post"><input type="hidden" name="token" value="{token}">{over}
<button>{word}</button></form>{script}"""  # noqa: E501


def digest(text: str) -> str:
    """How a Content-Security-Policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_POLICY = (
    f"default-src 'none'; script-src {digest(_SCRIPT)}; style-src {digest(_STYLE)}; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def page(title: str, text: str, status: int) -> web.Response:
    """A small page that says something; `text` is HTML.

    Args:
        title: plain text.
        text: HTML, which the caller has made safe.
        status: of HTTP; with 409 and 503 (there is no place) the page tries again by itself.
    """
    again = '<meta http-equiv="refresh" content="20">' if status in (409, 503) else ""
    body = _PAGE.format(title=escape(title), text=text, again=again, style=_STYLE)
    return web.Response(
        status=status, content_type="text/html", text=body, headers={"Content-Security-Policy": _POLICY}
    )


def question(wrong: bool) -> web.Response:
    """Asks for the token.

    Args:
        wrong: one was given.
    """
    why = "That is not the token." if wrong else "The address was printed where the server was started."
    return page("A token is needed", _ASK.format(why=why), 403)


def welcome(token: str) -> web.Response:
    """Goes in by itself."""
    return page(
        "Sparse Volume Reconstruction",
        _form("The page is being opened.", token, "Open it", f"<script>{_SCRIPT}</script>"),
        200,
    )


def over(token: str, why: str) -> web.Response:
    """Asks whether the work of somebody who has left is to be ended.

    Args:
        token: the visitor's, which the form sends again.
        why: plain text.
    """
    return page("Somebody's work is still here", _form(why, token, "End it and begin anew", over=True), 200)


def _form(why: str, token: str, word: str, script: str = "", over: bool = False) -> str:
    hidden = '<input type="hidden" name="over" value="1">' if over else ""
    return _ENTER.format(why=escape(why), token=escape(token), word=escape(word), script=script, over=hidden)
