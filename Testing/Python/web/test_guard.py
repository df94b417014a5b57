"""Who is let in: the token, one visitor at a time, and nobody by way of another site."""

import asyncio
import http.client
import subprocess
import sys

import pytest

TOKEN = "correct horse battery"


@pytest.fixture(scope="module")
def server(served):
    """A server with a token."""
    return served("--token", TOKEN)


def test_without_token_nothing_is_served(server):
    for path in ("/", "/index.html", "/alive", "/svr/svr.js", "/download/mean.nrrd", "/vue.global.js"):
        status, body, headers = server.ask(path=path)
        assert status == 403 and "Set-Cookie" not in headers and b"<div id=" not in body
    assert server.ask("POST", "/upload", b"x", X_SVR="1")[0] == 403
    assert server.enter("/?token=wrong") == 403
    assert server.enter("/?token=") == 403


def test_no_websocket_without_the_visitors_cookie(server):
    aiohttp = pytest.importorskip("aiohttp")

    async def connect() -> int:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(f"http://127.0.0.1:{server.port}/ws"):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    assert asyncio.run(connect()) == 403


def test_the_token_lets_one_visitor_in_and_no_second(server):
    assert server.enter(f"/?token={TOKEN.replace(' ', '%20')}") == 303
    status, _, _ = server.ask(path="/alive")
    assert status == 200
    assert "Not Found" not in server.ask(path="/index.html")[1].decode()
    status, body, headers = server.ask(path=f"/?token={TOKEN.replace(' ', '%20')}", Cookie="svr-session=somebody-else")
    assert status == 409 and b"in use" in body and "Set-Cookie" not in headers


def test_cookie_and_headers_protect_the_page(server):
    _, _, headers = server.ask(path="/index.html")
    assert headers["X-Frame-Options"] == "DENY" and headers["X-Content-Type-Options"] == "nosniff"


def test_other_names_and_other_sites_are_not_answered(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/", headers={"Host": "rebound.example", "Cookie": server._cookie})
    assert connection.getresponse().status == 403
    connection.close()
    assert server.ask(path="/alive", Origin="http://elsewhere.example")[0] == 403
    assert server.ask(path="/alive", Origin=f"http://127.0.0.1:{server.port}")[0] == 200


def test_files_outside_are_not_served(server):
    for path in (
        "/svr/../../../etc/passwd",
        "/svr/..%2f..%2f..%2fetc%2fpasswd",
        "/download/..%2f..%2fetc%2fpasswd",
        "/download/%2fetc%2fpasswd",
    ):
        status, body, _ = server.ask(path=path)
        assert status in (403, 404) and b"root:" not in body


def test_the_log_says_nothing(server):
    assert server.complaints() == []


def test_when_a_visitor_has_gone_the_next_begins_anew(monkeypatch):
    test_utils = pytest.importorskip("aiohttp.test_utils")
    from aiohttp import DummyCookieJar, web

    from SparseVolumeReconstructionLib.web import guard as module

    async def alive(_request):
        return web.Response(text="yes")

    async def visit() -> list:
        cleared, said = [], []
        guard = module.Guard(module.Door(None, None), lambda: cleared.append(True))
        application = web.Application(middlewares=[module.middleware(guard.answer)])
        application.router.add_get("/alive", alive)
        async with test_utils.TestClient(test_utils.TestServer(application), cookie_jar=DummyCookieJar()) as client:
            first = (await client.get("/", allow_redirects=False)).cookies["svr-session"].value
            said.append((await client.get("/", allow_redirects=False)).status)
            monkeypatch.setattr(module, "AWAY_S", 0.0)
            second = (await client.get("/", allow_redirects=False)).cookies["svr-session"].value
            for cookie in (first, second):
                said.append((await client.get("/alive", headers={"Cookie": f"svr-session={cookie}"})).status)
        return [*said, len(cleared), first != second]

    assert asyncio.run(visit()) == [409, 403, 200, 1, True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "0.0.0.0"), "--token"),
        (("--input", "no-such-file.nii"), "no such file"),
        (("--port", "70000"), "--port"),
        (("--host", "203.0.113.9", "--token", "t"), "cannot be listened on"),
    ],
)
def test_wrong_words_are_one_clear_line(library_environment, words, said):
    command = [sys.executable, "-m", "SparseVolumeReconstructionLib.cli", "web", *words]
    done = subprocess.run(command, env=library_environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and said in done.stderr
