"""Scans on the page: a choice of series, a series with a gap as parts that say so."""

import numpy as np
import pytest
from geometry.dicom_files import change, write_series

pytest.importorskip(
    "selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it"
)

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume


@pytest.fixture(scope="module")
def two_series(tmp_path_factory):
    """Files of a series with a gap, of another one, and a text."""
    folder = tmp_path_factory.mktemp("dicom") / "files"
    column, row = np.mgrid[:6, :5]
    for uid, places, description in (
        ("1.2.3.4", [0, 4, 8, 20, 24], "T1 axial"),
        ("1.2.3.5", [0, 4], "T2 axial"),
    ):
        pixels = [100 + 10 * n + 20 * column + row for n in range(len(places))]
        write_series(folder, [(0, 0, z) for z in places], np.array(pixels), series=uid, thickness=3.5)
        for file in folder.glob(f"{uid}-*"):
            change(file, SeriesDescription=description, SeriesNumber=int(uid[-1]))
    (folder / "notes.txt").write_text("of no use")
    return folder


def scans(page) -> list[str]:
    """The volumes in the list."""
    return [each.text for each in page.driver.find_elements(By.CSS_SELECTOR, ".scans li")]


def test_a_series_is_chosen_and_its_gap_is_said(page, two_series, screenshots):
    page.there("upload-input").send_keys("\n".join(str(file) for file in sorted(two_series.iterdir())))
    choice = page.wait(lambda: page.there("series-choice"), "choice of series")
    assert "hold 2 series" in choice.text and "#4 T1 axial" in choice.text and "5 slices" in choice.text
    page.screenshot(screenshots / "web-series.png")
    choice.find_element(By.XPATH, ".//button[contains(., 'T1 axial')]").click()
    page.wait(lambda: len(scans(page)) == 2, "two parts")
    assert not page.there("series-choice")
    listed = scans(page)
    assert "T1 axial part 1" in listed[0] and "5 × 6 × 3" in listed[0]
    assert "T1 axial part 2" in listed[1] and "5 × 6 × 2" in listed[1]
    said = [each.text for each in page.driver.find_elements(By.CSS_SELECTOR, ".scan-notice")]
    gap = (
        "slices 3 to 4 of 7 are missing (counted from 0): the series is kept as 2 parts, at their own "
        "positions."
    )
    assert said == [gap, "left out, because it is no image: notes.txt."]
    page.click("all-button")
    page.wait(lambda: len(page.rows()) == 5, "slices of both parts")
    page.screenshot(screenshots / "web-parts.png")
    page.driver.find_element(By.XPATH, "//button[text()='Remove all']").click()
    page.wait(lambda: not page.rows(), "no slices")


def test_a_choice_can_be_put_away_and_leaves_nothing(page, server, two_series):
    files = "\n".join(str(file) for file in sorted(two_series.iterdir()))
    page.there("upload-input").send_keys(files)
    page.wait(lambda: page.there("series-choice"), "choice of series")
    page.there("series-choice").find_element(By.XPATH, ".//button[contains(., 'None')]").click()
    page.wait(lambda: not page.there("series-choice"), "choice put away")
    assert not server.left_behind("upload-*") and len(scans(page)) == 2


def test_a_mask_is_used_as_mask_of_the_sample(page, tmp_path, screenshots):
    from SparseVolumeReconstructionLib.mrml.sample_data import FILE, NAME

    head = read_volume(FILE)
    inside = np.zeros(head.array.shape, np.uint8)
    inside[:, 40:120, 30:90] = 1
    write_volume(Volume(inside, head.grid), tmp_path / "brain mask.nii.gz")
    page.click("sample-button")
    page.wait(lambda: any(NAME in each for each in scans(page)), "sample")
    page.there("upload-input").send_keys(str(tmp_path / "brain mask.nii.gz"))
    menu = page.wait(lambda: page.driver.find_element(By.CSS_SELECTOR, ".mask-of"), "mask in the list")
    Select(menu).select_by_visible_text(NAME)
    page.wait(lambda: any(f"{NAME} masked" in each for each in scans(page)), "masked scan")
    page.wait(lambda: page.chosen("all-volume") == f"{NAME} masked", "masked scan as the choice")
    page.screenshot(screenshots / "web-mask.png")
    page.choose("all-volume", "brain mask")
    page.click("all-button")
    page.wait(lambda: "brain mask is a mask, not a scan" in page.text("run-error"), "refusal")
    assert len(page.rows()) == 0


def test_the_brain_of_a_whole_head_is_outlined(page, shared_data, tmp_path, screenshots):
    """And its contrast is told, and can be chosen for the next reconstruction."""
    head = read_volume(shared_data / "real_scans" / "ms_patient12_study1_FLAIR.nii.gz")
    first, step = (int(share * len(head.array)) for share in (0.4, 0.12))
    matrix = head.grid.ijk_to_ras @ np.diag([1, 1, step, 1])
    matrix[:3, 3] += first * head.grid.ijk_to_ras[:3, 2]
    array = head.array[first::step][:4]
    write_volume(Volume(array, Grid(array.shape, matrix)), tmp_path / "head.nrrd")
    page.there("upload-input").send_keys(str(tmp_path / "head.nrrd"))
    page.wait(lambda: any("head" in scan for scan in scans(page)), "the scan")
    page.choose("all-volume", "head")
    page.click("all-button")
    page.wait(lambda: len(page.rows()) == 4, "slices")
    for name, value in (("out-spacing", "4"), ("out-samples", "0")):
        page.press(name, Keys.CONTROL, "a")
        page.there(name).send_keys(value, Keys.TAB)
    page.click("apply-button")
    page.wait(lambda: page.text("run-step") == "done", "result", 300)
    page.wait(lambda: "whole head" in page.there("run-warnings").get_property("textContent"), "warning")
    box = page.wait(lambda: page.there("show-brain"), "the switch")
    page.wait(lambda: not box.is_selected() and page.there("mark-observed").is_enabled(), "switches")
    before = page.picture("Green")
    page.click("show-brain")
    page.wait(lambda: page.picture("Green") != before, "outline")
    page.wait(lambda: not page.there("mark-observed").is_enabled(), "one mask at a time")
    page.screenshot(screenshots / "web-brain-mask.png")
    assert read_volume(page.download("brain_mask.nrrd")).array.max() == 1
    assert page.text("summary").splitlines()[0] == "FLAIR-like, whole head"
    page.choose("contrast-menu", "T1w, as the model")
    page.wait(lambda: "Reconstruct again to see it so: T1w, as the model." in page.text("summary"), "told")
    page.there("contrast-menu").location_once_scrolled_into_view  # noqa: B018
    page.screenshot(screenshots / "web-contrast.png")
    page.choose("contrast-menu", "As the slices")
    page.wait(lambda: "Reconstruct again" not in page.text("summary"), "taken back")


def test_the_brain_of_a_stack_is_found_downloaded_and_given_back(page, tmp_path, screenshots):
    """Slices of it are proposed and taken by one click; a mask that was corrected elsewhere is used."""
    from alignment.pregnancy import Pregnancy

    scanned, _ = Pregnancy().stack({12: np.array([0, 8.0, 0])})
    write_volume(scanned, tmp_path / "stack.nrrd")
    page.there("upload-input").send_keys(str(tmp_path / "stack.nrrd"))
    page.wait(lambda: any("stack" in each for each in scans(page)), "the stack")
    Select(page.there("prior-menu")).select_by_value("fetal-t2")
    page.choose("all-volume", "stack")
    page.click("find-mask")
    page.wait(lambda: page.there("take-button"), "proposal", 120)
    assert "of stack belong together" in page.text("proposal")
    page.wait(lambda: page.chosen("mask-menu") == "stack brain", "its mask as the choice")
    page.click("take-button")
    page.wait(lambda: not page.there("take-button").is_enabled(), "taken")

    def off_mm() -> list[float]:
        own = [row for row in page.rows() if row.get_attribute("title").endswith(", stack")]
        used = [row for row in own if row.find_element(By.CSS_SELECTOR, "input").is_selected()]
        return [float(row.find_elements(By.CSS_SELECTOR, "td")[4].text) for row in used]

    assert max(page.wait(lambda: len(off_mm()) == 4 and off_mm(), "scores of the slices")) < 2.0
    page.screenshot(screenshots / "web-stack-mask.png")
    page.there("mask-download").click()
    kept = page.downloads / "stack_brain.nrrd"
    page.wait(kept.exists, "the mask")
    corrected = read_volume(kept)
    assert corrected.grid.same_as(scanned.grid) and set(np.unique(corrected.array)) == {0, 1}
    corrected.array[12] = 0
    write_volume(corrected, tmp_path / "corrected.nrrd")
    page.there("upload-input").send_keys(str(tmp_path / "corrected.nrrd"))
    page.choose("mask-menu", "corrected (uploaded)")
    page.wait(lambda: page.chosen("mask-menu") == "corrected brain", "corrected mask")
    page.wait(lambda: not page.there("proposal"), "end of the proposal")
    assert page.complaints() == []
