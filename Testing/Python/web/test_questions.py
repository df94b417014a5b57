"""Questions to the model on the page: planes to scan next, where slices lie, what is improbable in them.

Asked for, listed, outlined, gone to; dropped when slices change.
"""

import re

import pytest

pytest.importorskip(
    "selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it"
)

from selenium.webdriver.common.by import By

PLACE = r"\d+.%: (axial|coronal|sagittal|oblique.+) at .+ mm in the model, within [\d.]+ mm, [\d.]+°"
SURPRISE = r"Least probable at .+ mm: p = [\d.e-]+, (nothing stands out|\d+ mm² stand out)"
WORDS = r"(Axial|Coronal|Sagittal|Oblique.+) at [LR] \d+ [PA] \d+ [IS] \d+ mm: [\d.]+.% less variance"


@pytest.fixture(scope="module")
def page_of_one(slices):
    """The page with one of the slices in use: every frame is found in a third of the time."""
    for row in slices.rows()[1:]:
        row.find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()
    slices.wait(lambda: slices.text("context-count") == "1 of 4 slices used", "one slice")
    return slices


def test_planes_are_suggested_outlined_and_gone_to(page_of_one, screenshots):
    page = page_of_one
    page.resize(1280, 800)
    assert not page.there("planes") and not page.there("go-button").is_enabled()
    before = page.wait(lambda: page.picture("ThreeD"), "picture")
    page.click("suggest-button")
    page.wait(lambda: page.there("plane-2"), "three planes", 300)
    page.wait(lambda: page.text("run-step") == "done", "end of the search")
    page.wait(lambda: page.picture("ThreeD") != before, "outline of the best")
    words = page.text("planes").splitlines()
    assert len(words) == 3 and all(re.fullmatch(WORDS, each) for each in words), words
    assert page.there("plane-0").is_selected()
    before = page.picture("ThreeD")
    page.click("plane-1")
    page.wait(lambda: page.picture("ThreeD") != before, "outline of the second")
    before = [page.picture(view) for view in ("Red", "Green", "Yellow")]
    page.click("go-button")
    page.wait(lambda: [page.picture(view) for view in ("Red", "Green", "Yellow")] != before, "turned view")
    assert page.violations() == [] and page.there("plane-1").is_selected()
    page.screenshot(screenshots / "web-next-plane-1280x800.png")
    page.resize(420, 900)
    page.driver.execute_script("document.getElementById('planes').scrollIntoView({block: 'center'})")
    assert page.too_wide() == []
    page.screenshot(screenshots / "web-next-plane-420x900.png")
    page.resize(1400, 900)


def test_the_map_of_surprise_says_what_it_cannot_do(page_of_one, screenshots):
    page = page_of_one
    before = page.picture("Red")
    page.click("surprise-button")
    page.wait(lambda: "does not find lesions" in page.text("asked-note"), "the map", 300)
    page.wait(lambda: page.picture("Red") != before, "its overlay")
    words = page.text("planes").splitlines()
    assert len(words) == 1 and re.fullmatch(SURPRISE, words[0]), words
    page.press("go-button", page.keys.ENTER)
    shown = page.driver.find_element(By.CSS_SELECTOR, ".view.Red")
    page.wait(lambda: "surprise" in shown.text, "what is shown")
    assert page.violations() == []
    page.driver.execute_script("document.getElementById('planes').scrollIntoView({block: 'center'})")
    page.screenshot(screenshots / "web-surprise.png")
    page.click("clear-button")
    page.wait(lambda: not page.there("planes") and page.text("asked-note") == "", "the end of the map")
    page.wait(lambda: "surprise" not in shown.text, "the views as before")


def test_the_places_of_a_slice_are_listed_with_their_probabilities(page_of_one, screenshots):
    page = page_of_one
    page.press("locate-button", page.keys.ENTER)
    page.wait(lambda: page.there("planes"), "the places", 300)
    words = page.text("planes").splitlines()
    assert words and all(re.fullmatch(PLACE, each) for each in words), words
    assert "90 %" in page.text("asked-note") and page.violations() == []
    page.click("go-button")
    page.driver.execute_script("document.getElementById('planes').scrollIntoView({block: 'center'})")
    page.screenshot(screenshots / "web-locate.png")
    page.press("adopt-button", page.keys.ENTER)
    frame = page.driver.find_element(By.ID, "frame-mode")
    page.wait(lambda: frame.get_property("value") == "transform", "the place as the frame")
    assert page.there("planes") and page.complaints() == []


def test_suggestions_end_with_what_they_were_made_for(page_of_one):
    slices = page_of_one
    slices.rows()[1].find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()
    slices.wait(lambda: not slices.there("planes"), "end of the suggestions")
    assert not slices.there("go-button").is_enabled() and slices.complaints() == []
