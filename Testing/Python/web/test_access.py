"""For everybody: labels, contrast and structure by axe's rules, the keyboard alone, and the section for
learning.
"""

import re
import time

import pytest

pytest.importorskip(
    "selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it"
)

from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

SHOWN_AT_ONCE = ("Red", "Green", "Yellow", "ThreeD")


# Whether it can be seen what has the focus; the input for files is seen as its label.
OUTLINED = """const focused = document.activeElement, shown = focused.type === "file" ? focused.labels[0] : focused;
return getComputedStyle(shown).outlineStyle !== "none" && parseFloat(getComputedStyle(shown).outlineWidth) >= 2"""  # noqa: E501
SIZES = [
    (1400, 900, 1),
    (1024, 768, 1),
    (420, 900, 1),
    (700, 450, 2),
]  # the last is 1400 x 900 enlarged to 200 %


@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_and_axe_finds_nothing(slices, screenshots, size):
    slices.resize(*size)
    slices.wait(lambda: slices.driver.execute_script("return innerWidth") == size[0], "size")
    assert slices.driver.execute_script("return document.documentElement.scrollWidth") == size[0]
    assert slices.too_wide() == [] == slices.cut_names()
    box = slices.there("apply-button").rect
    assert (
        box["x"] >= 0
        and box["x"] + box["width"] <= size[0]
        and box["y"] >= 0
        and box["y"] + box["height"] <= size[1]
    )
    for name in SHOWN_AT_ONCE if size[0] > 860 else ("Red",):
        picture = slices.driver.find_element("css selector", f'[data-view="{name}"] .picture')
        assert picture.is_displayed() and min(picture.size.values()) >= 200
    assert "\n".join(slices.violations()) == ""
    slices.screenshot(screenshots / f"web-slices-{size[0]}x{size[1]}.png")
    slices.resize(1400, 900)


def test_axe_finds_what_is_wrong(slices):
    slices.driver.execute_script(
        "document.querySelector('.top').insertAdjacentHTML('beforeend', '<button id=\"bad\"></button>')"
    )
    assert any("button-name" in line for line in slices.violations())
    slices.driver.execute_script("document.getElementById('bad').remove()")


def test_every_control_can_be_reached_with_the_tab_key(slices):
    slices.driver.execute_script("document.querySelector('.skip').focus()")
    reached, unseen = set(), set()
    for _ in range(160):
        ActionChains(slices.driver).send_keys(Keys.TAB).perform()
        name = slices.driver.switch_to.active_element.get_attribute("id")
        reached.add(name)
        if not slices.driver.execute_script(OUTLINED):
            unseen.add(name)
        if "planes-button" in reached:
            break
    assert unseen == set()
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


def thumb(page, view: str = "Red") -> tuple[float, float]:
    """Where the slider of a view really stands, and its step."""
    slider = page.there(f"scroll-{view}")
    return float(slider.get_property("value")), float(slider.get_property("step"))


def test_sliders_say_what_is_shown_and_arrows_move_by_a_slice(slices):
    slices.wait(slices.sliders_agree, "sliders of the sample")
    for name in ("fit-button", "window-again"):
        slices.click(name)
        slices.wait(slices.sliders_agree, f"sliders after {name}")
    for view in ("Red", "Green", "Yellow"):
        value, step = thumb(slices, view)
        slices.press(f"scroll-{view}", Keys.ARROW_RIGHT)
        slices.wait(
            lambda view=view, value=value, step=step: (
                thumb(slices, view)[0] == pytest.approx(value + step, abs=0.01)
            ),
            "one step",
        )
        slices.wait(slices.sliders_agree, f"what is written beside the slider of {view}")
        slices.press(f"scroll-{view}", Keys.ARROW_LEFT)
        slices.wait(
            lambda view=view, value=value: thumb(slices, view)[0] == pytest.approx(value, abs=0.01),
            "the step back",
        )


def focus(page, view: str) -> None:
    """Give the picture of a view the focus, as Tab does."""
    page.driver.execute_script(
        "document.querySelector(`[data-view=${arguments[0]}] .picture [tabindex]`).focus()", view
    )


def shown(page, view: str) -> dict:
    """What the page knows of a slice view."""
    return next(
        each
        for each in page.driver.execute_script("return window.trame.state.get('look').views")
        if each["name"] == view
    )


def keys(page, *pressed: str) -> None:
    """Press keys where the focus is; the last one while the others are held."""
    chain = ActionChains(page.driver)
    for key in pressed[:-1]:
        chain.key_down(key)
    chain.send_keys(pressed[-1])
    for key in pressed[:-1]:
        chain.key_up(key)
    chain.perform()


def test_letters_and_scale_are_those_of_the_views(slices):
    wanted = {"Red": "LRPA", "Green": "LRIS", "Yellow": "PAIS"}
    for view, letters in wanted.items():
        found = {
            each.get_attribute("data-edge"): each.get_property("textContent")
            for each in slices.driver.find_elements("css selector", f'[data-view="{view}"] .letter')
        }
        assert "".join(found[edge] for edge in ("right", "left", "bottom", "top")) == letters
    before = shown(slices, "Red")["scale"]
    bar = slices.driver.find_element("css selector", '[data-view="Red"] .scale').size["width"]
    picture = slices.driver.find_element("css selector", '[data-view="Red"] .picture').size["width"]
    assert bar == pytest.approx(picture * before["percent"] / 100, abs=2)
    focus(slices, "Red")
    keys(slices, "+")
    slices.wait(lambda: shown(slices, "Red")["scale"] != before, "scale after zooming")
    after = shown(slices, "Red")["scale"]
    longer = float(after["mm"].split()[0]) / float(before["mm"].split()[0])
    assert after["percent"] / before["percent"] == pytest.approx(1.15 * longer, rel=1e-3)
    keys(slices, "-")
    slices.wait(
        lambda: shown(slices, "Red")["scale"]["percent"] == pytest.approx(before["percent"], rel=1e-3),
        "scale as before",
    )


def test_views_are_moved_with_the_keyboard(slices):
    for view in ("Red", "ThreeD"):
        focus(slices, view)
        for pressed in ((Keys.ARROW_UP,), (Keys.SHIFT, Keys.ARROW_LEFT), ("+",)):
            before = slices.picture(view)
            keys(slices, *pressed)
            slices.wait(
                lambda view=view, before=before: slices.picture(view) != before, f"{pressed} in {view}"
            )
    before = slices.picture("Red")
    focus(slices, "Red")
    keys(slices, Keys.CONTROL, Keys.ARROW_UP)
    slices.wait(lambda: slices.picture("Red") != before, "brightness")
    keys(slices, "a")
    keys(slices, "r")


def test_what_is_seen_stays_in_sight_when_the_window_changes(slices):
    picture = slices.driver.find_element("css selector", '[data-view="Green"] .picture')

    def field() -> tuple[float, float]:
        """Width and height of what the view shows, mm, once the page knows it."""
        bar = shown(slices, "Green")["scale"]
        width = 100 * float(bar["mm"].split()[0]) / bar["percent"]
        return width, width * picture.size["height"] / picture.size["width"]

    def settled() -> bool:
        """Whether the picture has the shape of its place, and nothing changes any more."""
        image, now = picture.find_element("css selector", "img"), field()
        shape = [float(image.get_property(name)) for name in ("naturalWidth", "naturalHeight")]
        time.sleep(0.3)
        return now == field() and abs(shape[0] / shape[1] - now[0] / now[1]) < 0.02

    slices.wait(settled, "picture of the size of the page")
    focus(slices, "Green")
    before = field()
    keys(slices, "-")
    slices.wait(lambda: field()[0] > 1.05 * before[0] and settled(), "the view as its user wants it")
    wanted = field()
    for width, height in ((1024, 768), (1600, 700), (1400, 900)):
        slices.resize(width, height)
        slices.wait(settled, "picture of the new size")
        assert field()[0] > 0.98 * wanted[0] and field()[1] > 0.98 * wanted[1]
    assert field() == pytest.approx(wanted, rel=0.02)
    slices.click("fit-button")


def test_the_crosshair_links_the_views(slices):
    focus(slices, "Red")
    keys(slices, "x")
    slices.wait(lambda: slices.there("point-button").get_attribute("aria-pressed") == "true", "crosshair")
    before = [thumb(slices, view)[0] for view in ("Green", "Yellow")]
    picture = slices.driver.find_element("css selector", '[data-view="Red"] .picture')
    ActionChains(slices.driver).move_to_element_with_offset(picture, 40, 60).click().perform()
    slices.wait(
        lambda: all(
            thumb(slices, view)[0] != at for view, at in zip(("Green", "Yellow"), before, strict=True)
        ),
        "other slices",
    )
    line = next(each for each in shown(slices, "Red")["lines"] if each["view"] == "Yellow")
    assert line["x1"] == pytest.approx(50 + 100 * 40 / picture.size["width"], abs=1)
    keys(slices, "x")


def test_contrast_is_a_drag_with_ctrl_and_leaves_slice_and_zoom(slices):
    before, at = shown(slices, "Red"), slices.picture("Red")
    picture = slices.driver.find_element("css selector", '[data-view="Red"] .picture')
    chain = ActionChains(slices.driver).key_down(Keys.CONTROL).move_to_element(picture).click_and_hold()
    chain.move_by_offset(60, 30).release().key_up(Keys.CONTROL).perform()
    slices.wait(lambda: slices.picture("Red") != at, "another contrast")
    assert (
        shown(slices, "Red")["scale"] == before["scale"] and shown(slices, "Red")["value"] == before["value"]
    )
    slices.click("window-again")


def touch(page, kind: str, *points: tuple[float, float]) -> None:
    """Fingers at these places of the page."""
    fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})


def test_one_finger_scrolls_and_two_zoom(slices):
    slices.driver.execute_cdp_cmd(
        "Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2}
    )
    box = slices.driver.find_element("css selector", '[data-view="Green"] .picture').rect
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before = shown(slices, "Green")
    touch(slices, "touchStart", (x, y))
    touch(slices, "touchMove", (x, y - 40))
    touch(slices, "touchEnd")
    slices.wait(lambda: shown(slices, "Green")["value"] > before["value"], "another slice")
    assert shown(slices, "Green")["scale"]["percent"] == pytest.approx(
        before["scale"]["percent"], rel=0.05
    )  # larger buttons for fingers
    before = shown(slices, "Green")
    touch(slices, "touchStart", (x - 30, y), (x + 30, y))
    touch(slices, "touchMove", (x - 60, y), (x + 60, y))
    touch(slices, "touchEnd")
    slices.wait(lambda: shown(slices, "Green")["scale"]["mm"] != before["scale"]["mm"], "larger picture")
    assert shown(slices, "Green")["value"] == before["value"]
    assert slices.driver.execute_script("return visualViewport.scale") == 1
    slices.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    slices.click("fit-button")


def test_words_are_explained_on_focus_and_help_has_the_keys(slices):
    slices.driver.execute_script("document.querySelector('[data-term=context]').focus()")
    slices.wait(lambda: slices.text("explanation").startswith("Context slice:"), "explanation")
    ActionChains(slices.driver).send_keys(Keys.ESCAPE).perform()
    assert slices.text("explanation") == ""
    focus(slices, "Red")
    keys(slices, "?")
    slices.wait(lambda: slices.there("help-dialog").is_displayed(), "help")
    assert slices.violations() == []
    ActionChains(slices.driver).send_keys(Keys.ESCAPE).perform()
    slices.wait(lambda: not slices.there("help-dialog").is_displayed(), "page")


def test_a_refusal_appears_at_the_control_that_was_used(slices):
    slices.click("add-Green")
    slices.wait(lambda: "runs across them" in slices.text("refusal"), "refusal")
    box, button = slices.there("refusal").rect, slices.there("add-Green").rect
    assert 0 <= box["y"] - button["y"] - button["height"] < 20 and abs(box["x"] - button["x"]) < 400
    for size in (*SIZES[1:], (210, 450, 2)):
        slices.resize(*size)
        slices.wait(lambda size=size: slices.driver.execute_script("return innerWidth") == size[0], "size")
        assert slices.covered() <= 0
        assert not {"top", "tools", "bar"} & {*slices.too_wide()}
    slices.resize(1400, 900)
    slices.click("run-dismiss")
    slices.wait(lambda: not slices.text("refusal"), "page")


def test_what_was_taken_already_is_said_beside_the_button(slices):
    slices.rows()[1].find_element("css selector", ".icon").click()
    slices.wait(lambda: len(slices.rows()) == 3, "three rows")
    slices.click("all-button")
    slices.wait(lambda: "3 slices were in the list already" in slices.text("all-note"), "note")
    for count in (3, 4):
        slices.click("undo-button")
        slices.wait(lambda count=count: len(slices.rows()) == count, "one step back")


def test_slices_are_scrolled_and_taken_with_the_keyboard(slices):
    before = slices.there("scroll-Red").get_property("value")
    slices.press("scroll-Red", Keys.ARROW_RIGHT)
    slices.wait(lambda: slices.there("scroll-Red").get_property("value") != before, "another offset")
    slices.press("scroll-Red", "c")
    slices.wait(lambda: "in the list already" in slices.text("run-error"), "refusal of a slice that is there")
    row = int(re.search(r"row (\d)", slices.text("run-error"))[1])
    slices.driver.execute_script(f"document.querySelectorAll('.table tbody tr .icon')[{row - 1}].focus()")
    slices.driver.switch_to.active_element.send_keys(Keys.ENTER)
    slices.wait(lambda: len(slices.rows()) == 3, "three rows")
    slices.press("scroll-Red", "c")
    slices.wait(lambda: len(slices.rows()) == 4, "four rows again")
    slices.press("undo-button", Keys.ENTER)
    slices.wait(lambda: len(slices.rows()) == 3, "one step back")
    slices.press("live", Keys.CONTROL, "z")
    slices.wait(lambda: len(slices.rows()) == 4, "two steps back")


def test_the_key_takes_the_view_under_the_mouse(slices):
    pointer = ActionChains(slices.driver)
    pointer.move_to_element(
        slices.driver.find_element("css selector", '[data-view="Green"] .picture')
    ).perform()
    slices.press("scroll-Red", "c")
    slices.wait(lambda: "runs across them" in slices.text("run-error"), "what is said of the coronal view")
    pointer.move_to_element(slices.driver.find_element("css selector", ".top h1")).perform()
    slices.press("fit-button", "c")
    slices.wait(
        lambda: "no slice view is under the mouse" in slices.text("run-error"),
        "what is said where no slice view is meant",
    )
    slices.press("scroll-Red", "c")
    slices.wait(
        lambda: "in the list already" in slices.text("run-error"),
        "what is said of the view that has the focus",
    )
    slices.click("run-dismiss")
    slices.wait(lambda: not slices.there("run-error"), "message put away")


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
    assert slices.violations() == []
    slices.click("quiz-answer")
    slices.wait(lambda: "1 placed" in slices.text("quiz-verdict"), "verdict")
    assert any(
        words in slices.text("quiz-verdict") for words in ("mm too far", "right there", "its middle is right")
    )
    slices.click("quiz-ask")
    slices.click("quiz-give-up")
    slices.wait(
        lambda: "It lies here" in slices.text("quiz-verdict") and "1 placed" in slices.text("quiz-verdict"),
        "answer",
    )
    slices.click("quiz-done")
    slices.wait(lambda: not slices.there("quiz-done"), "end of the quiz")
    as_before = "count of slices as the mental map had left it"
    slices.wait(lambda: slices.text("context-count") == "1 of 4 slices used", as_before)
    slices.click("map-stop")
    slices.wait(
        lambda: slices.text("context-count") == "4 of 4 slices used", "all slices as before the mental map"
    )


def test_nothing_was_complained_about(slices, server):
    assert slices.complaints() == [] and server.complaints() == [] and server.blocked() == []
