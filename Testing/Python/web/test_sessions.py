"""Several people at one address: each with a scene of their own, no more than there are places, and nothing left at the end."""

import http.client
from pathlib import Path

import pytest

from SparseVolumeReconstructionLib.slicerside.sample_data import FILE


@pytest.fixture(scope="module")
def server(served):
    """Two places."""
    return served("--sessions", "2", "--token", "t")


def ask(server, cookie: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str):
    """Status, body and headers of one request of a visitor."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=180)
    try:
        connection.request(method, path, body, {"Cookie": cookie} | {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def visitors(server):
    """The cookies of two visitors."""
    cookies = []
    for _ in range(2):
        status, _, headers = ask(server, "", "/?token=t")
        assert status == 303
        cookies.append(headers["Set-Cookie"].split(";")[0])
    return cookies


def test_the_token_is_asked_for(server):
    assert ask(server, "", "/")[0] == 403 and ask(server, "", "/?token=u")[0] == 403
    assert ask(server, "svr-session=guess", "/alive")[0] == 403


def test_visitors_have_processes_of_their_own(server, visitors):
    assert len(set(visitors)) == 2 and len(server.workers()) == 2
    for cookie in visitors:
        status, body, headers = ask(server, cookie, "/index.html")
        assert status == 200 and b"<div id=" in body and "Set-Cookie" not in headers
    assert ask(server, visitors[0], "/alive", Origin="http://elsewhere.example")[0] == 403


def test_a_third_visitor_finds_no_place(server, visitors):
    status, body, headers = ask(server, "", "/?token=t")
    assert status == 503 and b"places are taken" in body and "Set-Cookie" not in headers


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


def test_the_end_ends_all_of_them(server, visitors):
    workers = server.workers()
    assert len(workers) == 2 and server.complaints() == []
    assert server.interrupt(60) == 0
    assert server.left_behind() == [] and not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
