"""Who is let in: the token, one visitor at a time, and nobody by way of another site."""

import asyncio
import http.client
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SparseVolumeReconstructionLib.web import access

TOKEN = "correct horse battery"


@pytest.fixture(scope="module")
def server(served):
    """A server with a token."""
    return served("--memory", "0.02", token=TOKEN)


def test_without_token_nothing_is_served(server):
    for path in ("/", "/index.html", "/alive", "/svr/svr.js", "/download/mean.nrrd", "/vue.global.js"):
        status, body, headers = server.ask(path=path)
        assert status == 403 and "Set-Cookie" not in headers and b"<div id=" not in body
    assert server.ask("POST", "/upload", b"x", X_SVR="1")[0] == 403
    assert server.enter("wrong") == 403 and server.enter() == 403
    assert TOKEN not in server.command_lines()


def test_looking_at_the_first_page_takes_nothing(server):
    """A health check, a picture on another site's page, a reload, all with the token: nobody has come in,
    nobody is kept out.
    """
    for headers in (
        {},
        {"Sec_Fetch_Dest": "image", "Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Dest": "document"},
        {},
    ):
        status, body, given = server.ask(path=f"/?token={TOKEN.replace(' ', '+')}", **headers)
        pictured = headers.get("Sec_Fetch_Dest") == "image"
        assert status == (403 if pictured else 200) and ("Set-Cookie" in given) is not pictured
        assert pictured or (
            b'action="./enter"' in body and "default-src 'none'" in given["Content-Security-Policy"]
        )
    assert server.ask("HEAD", f"/?token={TOKEN.replace(' ', '+')}")[0] == 200
    assert server.ask("POST", "/enter", "token=x", Origin="http://elsewhere.example")[0] == 403


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
    assert server.enter(TOKEN) == 303
    assert server.cookie.startswith(f"svr-session-{server.port}=")
    status, _, _ = server.ask(path="/alive")
    assert status == 200
    assert "Not Found" not in server.ask(path="/index.html")[1].decode()
    status, body, headers = server.ask(
        path=f"/?token={TOKEN.replace(' ', '%20')}", Cookie=f"svr-session-{server.port}={'x' * 43}"
    )
    assert status == 409 and b"in use" in body and "Set-Cookie" not in headers
    mine, server.cookie = server.cookie, ""
    assert server.enter(TOKEN) == 409
    server.cookie = mine


def test_the_link_leads_the_visitor_back_to_his_session(server):
    status, _, headers = server.ask(path=f"/?token={TOKEN.replace(' ', '+')}", Sec_Fetch_Site="cross-site")
    assert (
        status == 303
        and headers["Location"] == "./index.html"
        and headers["Set-Cookie"].startswith(server.cookie + ";")
    )


def test_cookie_and_headers_protect_the_page(server):
    _, _, headers = server.ask(path="/index.html")
    assert headers["X-Frame-Options"] == "DENY" and headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert (
        "default-src 'none'" in policy
        and "frame-ancestors 'none'" in policy
        and f"connect-src 'self' ws://127.0.0.1:{server.port}" in policy
    )
    scripts = policy.split("script-src", 1)[1].split(";")[0]
    assert "unsafe-inline" not in scripts and "*" not in scripts
    assert server.ask(path="/alive")[2]["Cache-Control"] == "no-store"
    _, _, headers = server.ask("POST", "/enter", "")
    assert (
        "HttpOnly" in headers["Set-Cookie"]
        and "SameSite=Lax" in headers["Set-Cookie"]
        and "Secure" not in headers["Set-Cookie"]
    )
    _, _, headers = server.ask("POST", "/enter", "", X_Forwarded_Proto="https")
    assert "; Secure" in headers["Set-Cookie"]


def test_requests_that_are_meant_for_a_proxy_get_one_line(server):
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(
            f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
        )
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")


def test_other_names_and_other_sites_are_not_answered(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/", headers={"Host": "rebound.example", "Cookie": server.cookie})
    assert connection.getresponse().status == 403
    connection.close()
    assert server.ask(path="/alive", Origin="http://elsewhere.example")[0] == 403
    assert server.ask(path="/alive", Origin=f"http://127.0.0.1:{server.port}")[0] == 200


def test_tokens_cannot_be_guessed_by_trying(monkeypatch):
    """Nobody new comes in for a minute, with the right token neither; empty ones are no guesses."""
    now = [1000.0]
    monkeypatch.setattr(access.time, "monotonic", lambda: now[0])
    policy = access.AccessPolicy("right", None)
    for n in range(access.MAX_WRONG):
        now[0] += 1
        assert policy.knows("right") and policy.question(True).status == 403
        assert not policy.knows(f"guess {n}") and not policy.knows("")
    assert not policy.knows("right") and policy.question(True).status == 429
    now[0] += access.WRONG_S - access.MAX_WRONG + 1.5
    assert policy.knows("right") and policy.question(False).status == 403


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


@pytest.fixture(scope="module")
def fresh(browse):
    """A browser that has seen nothing yet."""
    return browse()


def test_a_link_on_another_site_opens_the_page_each_time(server, fresh, tmp_path):
    """By a browser's own rules about cookies: localhost is another site than 127.0.0.1."""
    import functools
    import http.server
    import threading

    (tmp_path / "index.html").write_text(
        f'<img src="{server.address}" alt=""><a id="link" href="{server.address}">to the lesson</a>'
    )
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        fresh.driver.get(server.address)
        assert "in use" in fresh.driver.page_source  # by the requests of the tests above
        fresh.driver.delete_all_cookies()
        name, value = server.cookie.split("=")
        fresh.driver.add_cookie({"name": name, "value": value, "sameSite": "Lax"})
        for _ in range(2):
            fresh.driver.get(f"http://localhost:{other.server_port}/")
            fresh.click("link")
            fresh.wait(lambda: fresh.there("sample-button"), "the page")
            assert "token" not in fresh.driver.current_url
        other.shutdown()
    assert not [line for line in fresh.complaints() if "Security Policy" in line]


CRAFTED = (
    "[['scan', null], ['contexts', 5], ['run', {}], ['offset_Red', 'x'], ['offset_Red', NaN], ['offset_Red', "
    "null], ['offset_Red', true], "
    "['p_samples', {a: 1}], ['p_result', [1]], ['p_live', null], ['p_name', 'x'.repeat(20000)], "
    "['trame__scripts', ['x.js']], "
    "['ending', '<b>'], ['own', 1], ['p_svrFolder', '/etc']].map(([key, value]) => ['trame.state.update', "
    "[[{key, value}]]]).concat("
    "[['trame.trigger', ['explore_sample', ['x'], {}]], ['trame.trigger', ['contexts_offset', [], {}]], "
    "['trame.trigger', ['scan_over', [], {action: 1}]], ['trame.trigger', ['scan_remove', [{}], {}]], "
    "['trame.state.update', [5]], "
    "['trame.lifecycle.update', ['server_bind']], ['application.exit', []], ['trame.rca.event', ['Red', 0, "
    "{t: {}}]]])"
)


def test_what_a_page_sends_cannot_break_it(server, fresh):
    """State of a wrong kind, variables that are the server's, calls with wrong words: all of it comes to
    nothing.
    """
    call = (
        "const call = (name, words) => window.trame.client.getConnection().getSession().call(name, "
        "words).catch((e) => e)"
    )
    script = (
        f"{call}; const [done] = arguments; Promise.all({CRAFTED}.map((each) => "
        "call(...each))).then((all) => done(JSON.stringify(all)))"
    )
    answers = fresh.driver.execute_async_script(script)
    assert "Traceback" not in answers and ".py" not in answers
    fresh.driver.refresh()
    fresh.wait(lambda: fresh.there("sample-button"), "the page")
    shown = fresh.driver.execute_script("return window.trame.state.state")
    assert isinstance(shown["scan"], dict) and isinstance(shown["contexts"], dict) and "own" not in shown
    assert (
        shown["trame__scripts"] != ["x.js"]
        and shown["ending"] == ""
        and isinstance(shown["offset_Red"], int | float)
    )
    assert isinstance(shown["p_samples"], int) and shown["p_result"] == "" and len(shown["p_name"]) <= 200
    fresh.click("sample-button")
    fresh.wait(lambda: fresh.driver.find_elements("css selector", ".scans li"), "the sample")


def test_a_session_holds_no_more_than_its_budget(server, fresh):
    fresh.wait(lambda: fresh.text("memory") == "0 of 0.02 GB in use", "line about memory")
    image = sitk.GetImageFromArray(np.zeros((200, 200, 200), np.float32))
    sitk.WriteImage(image, f"{server.temporary}/zeros.nrrd", useCompression=True)
    packed = Path(f"{server.temporary}/zeros.nrrd")
    status, said = server.upload(("zeros.nrrd", packed.read_bytes()))
    packed.unlink()
    assert status == 422 and "That needs 0.03 GB more" in said and "remove a result or a scan" in said
    assert len(fresh.driver.find_elements("css selector", ".scans li")) == 1


def test_a_session_that_nobody_uses_ends_and_says_so_before(served, browse, fresh):
    unused = served("--idle-minutes", "0.12")
    fresh.open(unused.address)
    fresh.wait(lambda: "Nobody uses this session" in fresh.text("ending"), "warning")
    fresh.click("sample-button")
    fresh.wait(lambda: not fresh.there("ending"), "end of the warning")
    fresh.wait(lambda: "The session has ended" in fresh.driver.page_source, "end of the session", 30)
    assert unused.ask(path="/alive")[0] == 403
    fresh.driver.get(unused.address)
    fresh.wait(lambda: fresh.there("sample-button"), "a new session")
    assert not fresh.driver.find_elements("css selector", ".scans li")
    assert unused.complaints() == []


def test_when_a_visitor_has_gone_the_next_is_asked_before_anything_is_lost(monkeypatch):
    test_utils = pytest.importorskip("aiohttp.test_utils")
    from aiohttp import DummyCookieJar, web

    from SparseVolumeReconstructionLib.web import access, guard

    async def alive(_request):
        return web.Response(text="yes")

    async def visit() -> list:
        cleared, said = [], []
        entrance = guard.Guard(access.AccessPolicy(None, None), lambda: cleared.append(True))
        application = web.Application(middlewares=[access.middleware(entrance.answer)])
        application.router.add_get("/alive", alive)
        async with test_utils.TestClient(
            test_utils.TestServer(application), cookie_jar=DummyCookieJar()
        ) as client:

            async def enter(**form) -> tuple[int, str]:
                answer = await client.post("/enter", data=form, allow_redirects=False)
                said.append((answer.status, "begin anew" in await answer.text(), len(cleared)))
                return next((f"{name}={morsel.value}" for name, morsel in answer.cookies.items()), "")

            first = await enter()
            await enter(over="1")
            monkeypatch.setattr(guard, "AWAY_S", 0.0)
            said.append((await client.get("/", allow_redirects=False)).status)
            await enter()
            second = await enter(over="1")
            for cookie in (first, second):
                said.append((await client.get("/alive", headers={"Cookie": cookie})).status)
        return said

    in_use, asked, let_in = (409, False, 0), (200, True, 0), (303, False, 1)
    assert asyncio.run(visit()) == [(303, False, 0), in_use, 200, asked, let_in, 403, 200]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--token-file", "no-such-file"), "expected a text file that holds the token"),
        (("--input", "no-such-file.nii"), "no such file"),
        (("--port", "70000"), "--port"),
        (("--host", "203.0.113.9"), "cannot be listened on"),
    ],
)
def test_wrong_words_are_one_clear_line(library_environment, words, said):
    command = [sys.executable, "-m", "SparseVolumeReconstructionLib.cli", "web", *words]
    done = subprocess.run(
        command, env=library_environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and said in done.stderr
