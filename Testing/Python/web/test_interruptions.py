"""What happens in between: a reload and a lost connection during a run, cancel, a second visitor, Ctrl-C in the middle of a run."""

from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it")


@pytest.fixture(scope="module")
def server(served):
    """One server for the steps of this file."""
    return served()


@pytest.fixture(scope="module")
def page(server, browse):
    """The page, with the sample's slices as contexts."""
    browser = browse()
    browser.open(server.address)
    browser.click("sample-button")
    browser.wait(lambda: browser.there("all-button").is_enabled(), "sample")
    browser.click("all-button")
    browser.wait(lambda: len(browser.rows()) == 4, "four rows")
    return browser


def start(page) -> None:
    """Begin a reconstruction."""
    page.click("apply-button")
    page.wait(lambda: page.there("cancel-button"), "start")


def test_cancel_ends_a_run_and_changes_nothing(page):
    start(page)
    page.click("cancel-button")
    page.wait(lambda: page.there("apply-button"), "end of the run")
    assert not page.there("run-error") and not page.driver.find_elements("css selector", "a[download]")


def test_a_reload_during_a_run_finds_it_running(page):
    start(page)
    page.driver.refresh()
    page.wait(lambda: page.there("cancel-button"), "run after the reload")
    assert len(page.rows()) == 4


def test_a_second_visitor_is_told_that_the_session_is_in_use(server, page, browse):
    assert server.enter() == 409
    other = browse()
    other.driver.get(server.address)
    assert "in use" in other.driver.page_source and not other.there("apply-button")
    assert page.there("cancel-button")


def test_a_dropped_connection_during_a_run_comes_back_by_itself(page):
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_script("window.trame.client.getConnection().getSession().close()")
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    page.wait(lambda: "connection was lost" in page.driver.page_source, "message")
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline | {"offline": False})
    page.wait(lambda: len(page.rows()) == 4, "the page again")
    page.wait(lambda: page.there("cancel-button"), "run that went on")


def test_ctrl_c_during_a_run_ends_everything(server, page):
    workers = server.workers()
    assert workers and server.left_behind()
    assert server.interrupt() == 0
    assert server.left_behind() == [] and not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert server.complaints() == []
    page.wait(lambda: "connection was lost" in page.driver.page_source, "message")
