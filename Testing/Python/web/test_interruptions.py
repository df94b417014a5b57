"""What happens in between: a reload and a lost connection during a run, cancel, a second visitor, Ctrl-C in
the middle of a run.
"""

import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip(
    "selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it"
)


def start(page) -> None:
    """Begin a reconstruction."""
    page.click("apply-button")
    page.wait(lambda: page.there("cancel-button"), "start")


def test_a_browser_that_was_closed_finds_everything_again(server, slices):
    def is_open(name):
        return slices.there(name).find_element("xpath", "ancestor::details[1]").get_property("open")

    assert is_open("prior-menu")
    slices.driver.execute_script(
        "document.getElementById('prior-menu').closest('details').querySelector('summary').click()"
    )
    slices.wait(lambda: slices.driver.execute_script("return localStorage.length") > 0, "memory of the page")
    time.sleep(1.0)  # the browser writes it to its profile
    slices.restart(server.address)
    slices.wait(lambda: len(slices.rows()) == 4, "rows")
    assert slices.text("context-count") == "4 of 4 slices used"
    slices.wait(lambda: not is_open("prior-menu"), "what was open")


def test_cancel_ends_a_run_and_changes_nothing(slices):
    start(slices)
    slices.click("cancel-button")
    slices.wait(lambda: slices.there("apply-button"), "end of the run")
    assert not slices.there("run-error") and not slices.driver.find_elements("css selector", "a[download]")


def test_a_reload_during_a_run_finds_it_running(slices):
    start(slices)
    slices.driver.refresh()
    slices.wait(lambda: slices.there("cancel-button"), "run after the reload")
    assert len(slices.rows()) == 4


def test_a_second_visitor_is_told_that_the_session_is_in_use(server, slices, browse):
    assert server.enter() == 409
    other = browse()
    other.driver.get(server.address)
    assert "in use" in other.driver.page_source and not other.there("apply-button")
    assert slices.there("cancel-button")


def test_a_dropped_connection_during_a_run_comes_back_by_itself(slices):
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    slices.driver.execute_cdp_cmd("Network.enable", {})
    slices.driver.execute_script("window.trame.client.getConnection().getSession().close()")
    slices.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    slices.wait(lambda: "connection was lost" in slices.driver.page_source, "message")
    slices.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline | {"offline": False})
    slices.wait(lambda: len(slices.rows()) == 4, "the page again")
    slices.wait(lambda: slices.there("cancel-button"), "run that went on")


def test_a_worker_that_is_killed_leaves_no_files_and_the_next_run_begins(server, slices):
    private = lambda: [path for path in server.left_behind() if "context-" in path or ".incomplete" in path]  # noqa: E731
    assert private()
    os.kill(server.workers()[0], signal.SIGKILL)
    slices.wait(lambda: slices.there("run-error"), "what happened")
    assert private() == []
    start(slices)


def test_ctrl_c_during_a_run_ends_everything(server, slices):
    workers = server.workers()
    assert workers and server.left_behind()
    assert server.interrupt() == 0
    assert server.left_behind() == [] and not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert server.complaints() == []
    slices.wait(lambda: "connection was lost" in slices.driver.page_source, "message")
