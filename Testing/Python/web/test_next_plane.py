"""Which plane to scan next, on the page: asked for, listed, outlined, gone to; dropped when slices change."""

import re

import pytest

pytest.importorskip(
    "selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it"
)

from selenium.webdriver.common.by import By

WORDS = r"(Axial|Coronal|Sagittal|Oblique.+) at [LR] \d+ [PA] \d+ [IS] \d+ mm: [\d.]+.% less variance"


def test_planes_are_suggested_outlined_and_gone_to(slices, screenshots):
    page = slices
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


def test_suggestions_end_with_what_they_were_made_for(slices):
    slices.rows()[0].find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()
    slices.wait(lambda: not slices.there("planes"), "end of the suggestions")
    assert not slices.there("go-button").is_enabled() and slices.complaints() == []
