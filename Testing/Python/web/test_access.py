"""For everybody: labels, contrast and structure by axe's rules, the keyboard alone, and the section for learning."""

import pytest

pytest.importorskip("selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it")

from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys


@pytest.fixture(scope="module")
def server(served):
    """One server for the steps of this file."""
    return served()


@pytest.fixture(scope="module")
def page(server, browse):
    """The page, with the sample's slices as contexts and every section open."""
    browser = browse()
    browser.open(server.address)
    browser.driver.execute_script("document.querySelectorAll('details').forEach(each => { each.open = true })")
    browser.press("sample-button", Keys.ENTER)
    browser.wait(lambda: browser.there("all-button").is_enabled(), "sample")
    browser.press("all-button", Keys.SPACE)
    browser.wait(lambda: len(browser.rows()) == 4, "four rows")
    return browser


def violations(page) -> list[str]:
    """What breaks axe's rules, one line each."""
    from axe_core_python.selenium import Axe

    found = Axe().run(page.driver)["violations"]
    return [f"{each['id']}: {each['help']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("size", [(1400, 900), (1024, 768)])
def test_axe_finds_nothing(page, size):
    page.resize(*size)
    assert "\n".join(violations(page)) == ""
    page.resize(1400, 900)


def test_axe_finds_what_is_wrong(page):
    page.driver.execute_script("document.querySelector('.top').insertAdjacentHTML('beforeend', '<button id=\"bad\"></button>')")
    assert any("button-name" in line for line in violations(page))
    page.driver.execute_script("document.getElementById('bad').remove()")


def test_every_control_can_be_reached_with_the_tab_key(page):
    page.driver.execute_script("document.querySelector('.skip').focus()")
    reached = set()
    for _ in range(160):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        reached.add(page.driver.switch_to.active_element.get_attribute("id"))
        if "fit-button" in reached:
            break
    wanted = {
        "over-button",
        "sample-button",
        "upload-input",
        "all-volume",
        "live",
        "prior-menu",
        "apply-button",
        "scroll-Red",
        "add-Yellow",
    }
    assert wanted <= reached


def test_slices_are_scrolled_and_taken_with_the_keyboard(page):
    before = page.there("scroll-Red").get_property("value")
    page.press("scroll-Red", Keys.ARROW_RIGHT)
    page.wait(lambda: page.there("scroll-Red").get_property("value") != before, "another offset")
    page.press("scroll-Red", "c")
    page.wait(lambda: len(page.rows()) == 5, "fifth row")
    page.driver.execute_script("document.querySelectorAll('.table tbody tr .icon')[4].focus()")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait(lambda: len(page.rows()) == 4, "four rows again")


def test_the_mental_map_goes_step_by_step(page, screenshots):
    page.choose("prior-menu", "Structured Gaussian, brain T1w MRI")
    page.click("map-start")
    steps = lambda: page.driver.find_elements("css selector", "#learn tbody tr")  # noqa: E731
    page.wait(lambda: len(steps()) == 1, "the anatomy without slices", 300)
    for count in (2, 3):
        page.click("map-forward")
        page.wait(lambda count=count: len(steps()) == count, f"step {count}", 120)
    page.wait(lambda: page.text("context-count") == "2 of 4 slices used", "count of slices")
    page.driver.execute_script("document.getElementById('learn').scrollIntoView()")
    page.screenshot(screenshots / "web-mental-map.png")
    page.click("map-back")
    page.wait(lambda: page.text("context-count") == "1 of 4 slices used", "one slice less")


def test_where_is_this_slice(page, screenshots):
    page.click("quiz-ask")
    page.wait(lambda: page.driver.find_elements("css selector", ".question img"), "question")
    page.wait(lambda: page.picture("Red"), "picture")
    page.driver.execute_script("document.getElementById('quiz-verdict').scrollIntoView({block: 'end'})")
    page.screenshot(screenshots / "web-quiz.png")
    assert violations(page) == []
    page.click("quiz-answer")
    page.wait(lambda: "mm off" in page.text("quiz-verdict") and "1 placed" in page.text("quiz-verdict"), "verdict")


def test_nothing_was_complained_about(page, server):
    assert page.complaints() == [] and server.complaints() == []
