"""For everybody: labels, contrast and structure by axe's rules, the keyboard alone, and the section for learning."""

import pytest

pytest.importorskip("selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it")

from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys


def violations(page) -> list[str]:
    """What breaks axe's rules, one line each."""
    from axe_core_python.selenium import Axe

    found = Axe().run(page.driver)["violations"]
    return [f"{each['id']}: {each['help']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("size", [(1400, 900), (1024, 768)])
def test_axe_finds_nothing(slices, size):
    slices.resize(*size)
    assert "\n".join(violations(slices)) == ""
    slices.resize(1400, 900)


def test_axe_finds_what_is_wrong(slices):
    slices.driver.execute_script("document.querySelector('.top').insertAdjacentHTML('beforeend', '<button id=\"bad\"></button>')")
    assert any("button-name" in line for line in violations(slices))
    slices.driver.execute_script("document.getElementById('bad').remove()")


def test_every_control_can_be_reached_with_the_tab_key(slices):
    slices.driver.execute_script("document.querySelector('.skip').focus()")
    reached = set()
    for _ in range(160):
        ActionChains(slices.driver).send_keys(Keys.TAB).perform()
        reached.add(slices.driver.switch_to.active_element.get_attribute("id"))
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


def test_slices_are_scrolled_and_taken_with_the_keyboard(slices):
    before = slices.there("scroll-Red").get_property("value")
    slices.press("scroll-Red", Keys.ARROW_RIGHT)
    slices.wait(lambda: slices.there("scroll-Red").get_property("value") != before, "another offset")
    slices.press("scroll-Red", "c")
    slices.wait(lambda: len(slices.rows()) == 5, "fifth row")
    slices.driver.execute_script("document.querySelectorAll('.table tbody tr .icon')[4].focus()")
    slices.driver.switch_to.active_element.send_keys(Keys.ENTER)
    slices.wait(lambda: len(slices.rows()) == 4, "four rows again")


def test_the_mental_map_goes_step_by_step(slices, screenshots):
    slices.choose("prior-menu", "Structured Gaussian, brain T1w MRI")
    slices.click("map-start")
    steps = lambda: slices.driver.find_elements("css selector", "#learn tbody tr")  # noqa: E731
    slices.wait(lambda: len(steps()) == 1, "the anatomy without slices", 300)
    for count in (2, 3):
        slices.click("map-forward")
        slices.wait(lambda count=count: len(steps()) == count, f"step {count}", 120)
    slices.wait(lambda: slices.text("context-count") == "2 of 4 slices used", "count of slices")
    slices.driver.execute_script("document.getElementById('learn').scrollIntoView()")
    slices.screenshot(screenshots / "web-mental-map.png")
    slices.click("map-back")
    slices.wait(lambda: slices.text("context-count") == "1 of 4 slices used", "one slice less")


def test_where_is_this_slice(slices, screenshots):
    slices.click("quiz-ask")
    slices.wait(lambda: slices.driver.find_elements("css selector", ".question img"), "question")
    slices.wait(lambda: slices.picture("Red"), "picture")
    slices.driver.execute_script("document.getElementById('quiz-verdict').scrollIntoView({block: 'end'})")
    slices.screenshot(screenshots / "web-quiz.png")
    assert violations(slices) == []
    slices.click("quiz-answer")
    slices.wait(lambda: "1 placed" in slices.text("quiz-verdict"), "verdict")
    assert any(words in slices.text("quiz-verdict") for words in ("mm too far", "right there", "its middle is right"))
    slices.click("quiz-ask")
    slices.click("quiz-give-up")
    slices.wait(lambda: "It lies here" in slices.text("quiz-verdict") and "1 placed" in slices.text("quiz-verdict"), "answer")
    slices.click("quiz-done")
    slices.wait(lambda: not slices.there("quiz-done"), "end of the quiz")
    assert slices.text("context-count") == "1 of 4 slices used", "as the mental map had left it"
    slices.click("map-stop")
    slices.wait(lambda: slices.text("context-count") == "4 of 4 slices used", "all slices as before the mental map")


def test_nothing_was_complained_about(slices, server):
    assert slices.complaints() == [] and server.complaints() == []
