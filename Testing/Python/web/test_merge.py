"""Stacks are merged on the page: uploaded, chosen, merged, slices listed, looked at, switched off."""

import pytest

pytest.importorskip(
    "selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it"
)

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By


@pytest.fixture(scope="module")
def merged(page, tmp_path_factory):
    """The page after two small stacks with a mask each were merged."""
    from svr.phantom import moving, write_stacks

    folder, found = tmp_path_factory.mktemp("stacks"), moving()
    paths = [*write_stacks(found, folder)[:2], *write_stacks(found, folder, masks=True)[:2]]
    page.resize(1280, 800)
    for count, path in enumerate(paths, 1):
        page.there("upload-input").send_keys(path)
        page.wait(lambda n=count: len(page.driver.find_elements(By.CSS_SELECTOR, ".scans li")) == n, path)
    for n in (1, 2):
        page.choose("merge-add", f"stack-{n}")
        page.wait(lambda n=n: page.there(f"merge-mask-{n - 1}"), "row")
        page.choose(f"merge-mask-{n - 1}", f"mask-{n}")
    page.press("merge-spacing_mm", page.keys.CONTROL + "a")
    page.there("merge-spacing_mm").send_keys("3", page.keys.TAB)
    page.click("merge-go")
    page.wait(lambda: page.text("merge-go") == "Cancel", "the run")
    page.wait(lambda: page.there("merged-slices"), "slices", 300)
    page.wait(lambda: page.text("run-step") == "done", "end of the merge")
    return page


def rows(page) -> list:
    """Rows of the table of slices."""
    return page.driver.find_elements(By.CSS_SELECTOR, "#merged-slices tbody tr")


def cells(page) -> list[str]:
    """What the row of the second slice says."""
    return [each.text for each in rows(page)[1].find_elements(By.TAG_NAME, "td")]


def test_a_merge_is_a_result_with_its_slices(merged, screenshots):
    page = merged
    page.wait(lambda: len(rows(page)) > 15 and "Every voxel is inferred" in page.text("summary"), "summary")
    page.wait(lambda: "Merge of 2 stacks" in page.chosen("result-menu"), "the merge as the choice")
    page.wait(lambda: page.driver.find_elements(By.CSS_SELECTOR, 'a[href$="download/mean.nii.gz"]'), "link")
    before = page.picture("ThreeD")
    rows(page)[2].find_element(By.CSS_SELECTOR, ".link").click()
    page.wait(lambda: page.picture("ThreeD") != before, "outline of the slice")
    page.wait(lambda: "chosen" in rows(page)[2].get_attribute("class"), "chosen row")
    page.click("blink-button")
    shown = page.picture("Red")
    page.wait(lambda: page.picture("Red") != shown, "scan below the result")
    page.click("blink-button")
    page.wait(lambda: page.there("blink-button").get_attribute("aria-pressed") == "false", "end of blinking")
    page.wait(lambda: page.stays(lambda: page.picture("Red")), "a picture that stands still")
    before = page.picture("Red")
    page.click("hatch-button")  # no voxel of a merge was observed
    page.wait(lambda: page.picture("Red") != before, "lines")
    page.click("hatch-button")
    page.driver.execute_script("document.getElementById('tool-merge').scrollIntoView()")
    page.screenshot(screenshots / "web-merge-1280x800.png")
    assert page.violations() == []
    menu = page.there("merge-mask-0")
    tip = menu.get_property("title")
    ActionChains(page.driver).move_to_element(menu).perform()
    assert tip and menu.get_property("title") == tip  # what it is for, and not what is chosen
    page.resize(420, 900)
    page.driver.execute_script("document.getElementById('tool-merge').scrollIntoView()")
    page.screenshot(screenshots / "web-merge-420x900.png")
    assert page.too_wide() == []
    page.resize(1280, 800)


def test_slices_are_switched_off_for_the_next_merge_which_can_be_cancelled(merged):
    page = merged
    box = rows(page)[1].find_element(By.CSS_SELECTOR, "input")
    page.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    box.click()
    page.wait(lambda: page.text("merge-go") == "Merge without 1 slice", "words of the button")
    page.click("merge-go")
    page.wait(lambda: page.text("merge-go") == "Cancel", "the run")
    page.click("merge-go")
    page.wait(lambda: page.text("merge-go") == "Merge without 1 slice", "end of the run")
    page.click("merge-go")
    page.wait(lambda: page.text("merge-go") == "Cancel", "the next run")
    page.wait(lambda: cells(page)[2] == "0.00" and cells(page)[4], "weight and reason of the slice", 300)
    page.wait(lambda: page.text("run-step") == "done", "end of the merge")
    assert not page.there("run-error") and page.complaints() == []
    assert page.there("tool-xray") and page.there("contrast-model") and not page.there("contrast-file")
    ids = ("contrast-model", "xray-prior", "prior-menu")
    networks, xray, priors = (page.there(each).get_attribute("textContent") for each in ids)
    assert "T1w from FLAIR" in networks and "from a file" not in networks
    assert "mouse-xray-cnn" in xray and "mouse head" in priors and "X-ray network" not in priors
    page.press("merge-spacing_mm", page.keys.CONTROL + "a")
    page.there("merge-spacing_mm").send_keys("99", page.keys.TAB)
    page.wait(lambda: page.there("merge-spacing_mm").get_attribute("value") == "5", "what is used")
    page.click("merge-masks")  # these bodies are no brains
    page.wait(lambda: "brain" in page.text("run-error"), "refusal", 60)
    assert page.there("merge-masks").is_enabled() and not page.there("contrast-masks")
