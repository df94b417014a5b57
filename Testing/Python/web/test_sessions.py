"""Several people at one address: each with a scene of their own, no more than there are places, and nothing
left at the end.
"""

import http.client
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from web.served import command_line

from SparseVolumeReconstructionLib.mrml.sample_data import FILE


@pytest.fixture(scope="module")
def server(served):
    """Two places."""
    return served("--sessions", "2", token="t")


def ask(server, cookie: str, path: str, method: str = "GET", body: bytes | str | None = None, **headers: str):
    """Status, body and headers of one request of a visitor."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=180)
    try:
        connection.request(
            method,
            path,
            body,
            {"Cookie": cookie} | {name.replace("_", "-"): value for name, value in headers.items()},
        )
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def enter(server, cookie: str = "", token: str = "t", **more: str) -> tuple[int, bytes, str]:
    """Status, body and cookie of coming in, as the page before the page does it."""
    form = urlencode({"token": token} | more)
    status, body, headers = ask(
        server, cookie, "/enter", "POST", form, Content_Type="application/x-www-form-urlencoded"
    )
    return status, body, headers.get("Set-Cookie", "").split(";")[0]


@pytest.fixture(scope="module")
def visitors(server):
    """The cookies of two visitors, of whom the first is impatient: he opens the page three times while his
    process starts.
    """
    _, _, headers = ask(server, "", "/?token=t")
    first = headers["Set-Cookie"].split(";")[0]
    with ThreadPoolExecutor() as pool:
        assert [answer[0] for answer in pool.map(lambda _: enter(server, first), range(3))] == [303, 303, 303]
    status, _, second = enter(server)
    assert status == 303
    return [first, second]


def test_the_token_is_asked_for(server):
    assert (
        ask(server, "", "/")[0] == 403
        and ask(server, "", "/?token=u")[0] == 403
        and enter(server, token="u")[0] == 403
    )
    assert ask(server, "svr-session=guess", "/alive")[0] == 403


def test_looking_at_the_first_page_takes_no_place(server):
    for _ in range(5):
        assert ask(server, "", "/?token=t")[0] == 200
    assert server.workers() == []


def test_the_link_leads_a_visitor_to_his_place_again(server, visitors):
    for cookie in (visitors[0], visitors[1], visitors[0]):
        status, _, headers = ask(server, cookie, "/?token=t", Sec_Fetch_Site="cross-site")
        assert status == 303 and headers["Set-Cookie"].startswith(cookie)


def test_visitors_have_processes_of_their_own(server, visitors):
    assert len(set(visitors)) == 2 and len(server.workers()) == 2
    for cookie in visitors:
        status, body, headers = ask(server, cookie, "/index.html")
        assert status == 200 and b"<div id=" in body and "Set-Cookie" not in headers
        assert f"ws://127.0.0.1:{server.port};" in headers["Content-Security-Policy"]
    assert ask(server, visitors[0], "/alive", Origin="http://elsewhere.example")[0] == 403


def test_a_third_visitor_finds_no_place(server, visitors):
    status, body, _ = ask(server, "", "/?token=t")
    assert status == 503 and b"places are taken" in body
    assert enter(server)[0] == enter(server, over="1")[0] == 503


def test_uploads_reach_the_visitors_own_process(server, visitors):
    data = FILE.read_bytes()
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="scan.nrrd"\r\n\r\n'
    kind = "multipart/form-data; boundary=x"
    sent = {"Content_Type": kind, "X_SVR": "1"}
    status, text, _ = ask(server, visitors[0], "/upload", "POST", head + data + b"\r\n--x--\r\n", **sent)
    assert (status, text) == (200, b"")
    status, text, _ = ask(server, visitors[1], "/upload", "POST", head + b"nothing\r\n--x--\r\n", **sent)
    assert status == 422 and b"no image of the format" in text


def test_the_page_works_through_the_one_address(server, visitors, browse):
    name, value = visitors[0].split("=", 1)
    page = browse()
    page.driver.get(f"http://127.0.0.1:{server.port}/")
    page.driver.add_cookie({"name": name, "value": value})
    page.open(f"http://127.0.0.1:{server.port}/")
    page.wait(lambda: "scan" in page.text("all-volume"), "the volume that was uploaded")
    page.wait(lambda: page.picture("Red"), "picture")


def test_secrets_are_not_in_the_process_list(server, visitors):
    assert "token" not in server.command_lines()


def test_the_place_of_a_process_that_died_is_free_again(server, visitors):
    victim = next(pid for pid in server.family() if b"Lib.web\0" in command_line(pid))
    os.kill(victim, signal.SIGKILL)
    wait(lambda: len(server.workers()) == 1, "end of its worker")
    status, _, cookie = enter(server)
    assert status == 303
    visitors[:] = [each for each in visitors if ask(server, each, "/alive")[0] == 200] + [cookie]
    assert len(visitors) == 2 and len(list(server.temporary.glob("svr-web-*/place-*"))) == 2


def test_nothing_outlives_the_server(server, visitors, served):
    """Killed so that it cannot tidy up: its processes end by themselves, and the next start removes what they
    left.
    """
    family = server.family()
    assert len(server.workers()) == 2 and server.complaints() == []
    server.close()
    wait(lambda: not [pid for pid in family if command_line(pid)], "end of all processes")
    following = served("--sessions", "2", folder=server.temporary)
    assert len(list(server.temporary.iterdir())) == 1
    assert following.interrupt(60) == 0
    assert server.left_behind() == []


def wait(condition, what: str, seconds: float = 40.0) -> None:
    """Poll until the condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"no {what} within {seconds:.0f} s"
        time.sleep(0.1)
