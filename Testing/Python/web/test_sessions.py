"""Several people at one address: each with a scene of their own, no more than there are places, and nothing
left at the end.
"""

import base64
import http.client
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from web.served import command_line

from SparseVolumeReconstructionLib.mrml.sample_data import FILE
from SparseVolumeReconstructionLib.workflow.class_scores import Results
from SparseVolumeReconstructionLib.workflow.lesson import Lesson, PlanSlices, read, to_link


@pytest.fixture(scope="module")
def server(served):
    """Two places."""
    return served("--sessions", "2", token="t", unset="OMP_NUM_THREADS")


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


def test_visitors_at_work_share_the_processors(server, visitors):
    """Eight of them with two threads each on two processors took more than ten times as long as with one."""
    own = max(1, os.cpu_count() // 2)
    for process in server.workers():
        assert f"OMP_NUM_THREADS={own}\0".encode() in Path(f"/proc/{process}/environ").read_bytes()


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


@pytest.fixture(scope="module")
def pages(server, visitors, browse):
    """The pages of both."""
    opened = []
    for cookie in visitors:
        name, value = cookie.split("=", 1)
        opened.append(browse())
        opened[-1].driver.get(f"http://127.0.0.1:{server.port}/")
        opened[-1].driver.add_cookie({"name": name, "value": value})
        opened[-1].open(f"http://127.0.0.1:{server.port}/")
    return opened


def test_the_page_works_through_the_one_address(pages):
    page = pages[0]
    page.wait(lambda: "scan" in page.text("all-volume"), "the volume that was uploaded")
    page.wait(lambda: page.picture("Red"), "picture")


def test_two_students_plan_at_once_and_each_has_a_score_of_his_own(pages):
    """One slice each, of which a sagittal one is worth another share than an axial one at the edge."""
    students = list(zip(pages, ("Ada", "Bob"), ("sagittal", "axial"), strict=True))
    link = to_link(Lesson(title="Plan", seed=5, steps=[PlanSlices(text="Where?", count=1)]))
    for page, name, _ in students:
        page.driver.execute_script("window.trame.trigger('teach_link', [arguments[0]])", link)
        page.wait(lambda page=page: page.there("lesson-begin"), "the lesson")
        page.there("lesson-name").send_keys(name, page.keys.ENTER)
    for page, _, orientation in students:
        page.wait(lambda page=page: page.there("scout-2"), "the scouts", 300)
        page.click(f"put-{orientation}")
    pages[1].press("scout-0", *[pages[1].keys.PAGE_UP] * 6)
    for page, _, orientation in students:
        words = orientation.capitalize()
        page.wait(lambda page=page, words=words: page.text("plan-words").startswith(words), "the plane")
        page.click("plan-scan")
    for page, _, _ in students:
        page.wait(lambda page=page: "1 of 1 scanned" in page.text("plan-scan"), "the slice", 300)
        page.click("plan-judge")
    handed_in = []
    for page, _, _ in students:
        page.wait(lambda page=page: page.text("plan-verdict"), "the score", 300)
        page.click("lesson-next")
        page.wait(lambda page=page: page.there("lesson-results"), "the end")
        coded = page.there("lesson-results").get_attribute("href").split("base64,")[1]
        handed_in.append(read(Results, base64.b64decode(coded).decode(), "results"))
    assert [each.name for each in handed_in] == ["Ada", "Bob"]
    ada, bob = (each.plans for each in handed_in)
    assert len(ada) == len(bob) == 1 and ada[0].best == pytest.approx(bob[0].best, rel=1e-3)
    assert ada[0].taken > 1.5 * bob[0].taken > 0


def test_secrets_are_not_in_the_process_list(server, visitors):
    assert "token" not in server.command_lines()


def test_the_place_of_a_process_that_died_is_free_again(server, visitors):
    victim = next(pid for pid in server.family() if b"Lib.web\0" in command_line(pid))
    os.kill(victim, signal.SIGKILL)
    wait(lambda: len(server.workers()) == 1, "end of its worker")
    entered = []
    wait(lambda: entered.append(enter(server)) or entered[-1][0] == 303, "the place to be free")
    cookie = entered[-1][2]
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
