"""The whole workflow by clicks: sample, four slices, reconstruction, samples, downloads; the same as through
the desktop's logic.
"""

import io
import json
import re
import zipfile
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

pytest.importorskip(
    "selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it"
)

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

SPACING_MM, SAMPLES, SEED = 4.0, 3, 5


@pytest.fixture(scope="module")
def result(slices):
    """The reconstruction, coarse, with some samples."""
    page = slices
    for name, value in (("out-spacing", SPACING_MM), ("out-samples", SAMPLES), ("out-seed", SEED)):
        field = page.there(name)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(f"{value:g}", Keys.TAB)
    Select(page.there("out-draws")).select_by_visible_text("Noise")
    page.click("apply-button")
    page.wait(lambda: page.there("cancel-button") or page.text("run-step") == "done", "start")
    page.wait(lambda: page.text("run-step") == "done", "result", 300)
    return page


@pytest.fixture(scope="module")
def desktop():
    """What the logic of the desktop makes of the same choices, the mean alone: the result's nodes."""
    from SparseVolumeReconstructionLib.mrml.logic import SparseVolumeReconstructionLogic
    from SparseVolumeReconstructionLib.mrml.sample_data import load_sparse_brain
    from SparseVolumeReconstructionLib.mrml.scene import headless_scene
    from SparseVolumeReconstructionLib.workflow.choices import Choices, Draws
    from SparseVolumeReconstructionLib.workflow.presenter import Presenter

    headless_scene()
    only_mean = {"samples": 0, "makeStd": False, "makeTemplate": False}
    choices = Choices(spacing=SPACING_MM, seed=SEED, draws=Draws.GAUSSIAN, **only_mean)
    with (
        closing(SparseVolumeReconstructionLogic()) as logic,
        closing(Presenter(choices, logic, lambda: None)) as presenter,
    ):
        presenter.contexts.add_all(load_sparse_brain())
        return logic.reconstruct(presenter.inputs())


def step(page) -> str:
    """The step that the guide shows as the next."""
    found = page.driver.find_elements(By.CSS_SELECTOR, ".guide [aria-current]")
    return found[0].get_property("textContent").strip("0123456789✓ ") if found else ""


def test_the_guide_begins_with_the_scan(page):
    assert step(page) == "Scan" and "sample" in page.text("guide-next")
    assert "nobody's" in page.text("run-alone")


def test_the_page_says_what_it_is_not_for(page):
    assert "Not for diagnosis" in page.driver.find_element(By.CSS_SELECTOR, ".notice").text


def test_views_are_dark_before_anything_is_loaded(page):
    page.wait(lambda: page.picture("ThreeD"), "picture")
    shown = page.driver.find_element(By.CSS_SELECTOR, '[data-view="ThreeD"] .picture').screenshot_as_png
    assert imread(io.BytesIO(shown))[..., :3].max() < 0.4
    assert page.text("apply-button") == "Show the prior's anatomy" and "no patient's" in page.there(
        "apply-button"
    ).get_attribute("title")


def test_slices_are_rows_and_can_be_edited(slices, screenshots):
    page = slices
    page.wait(lambda: page.text("apply-button") == "Reconstruct" == step(page), "what is next")
    assert page.text("context-count") == "4 of 4 slices used"
    assert not page.driver.find_elements(By.CSS_SELECTOR, ".badge")
    page.rows()[0].find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()
    page.wait(lambda: page.text("context-count") == "3 of 4 slices used", "row that is not used")
    page.rows()[0].find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()
    thickness = lambda: page.rows()[1].find_elements(By.CSS_SELECTOR, "input[type=number]")[1]  # noqa: E731
    thickness().send_keys(Keys.CONTROL, "a")
    thickness().send_keys("-3", Keys.TAB)
    page.wait(lambda: "expected 0.01 to 100 mm" in page.text("run-error"), "message")
    page.screenshot(screenshots / "web-error.png")
    page.wait(lambda: thickness().get_property("value") == "1", "the thickness as before")
    page.click("run-dismiss")
    page.wait(lambda: not page.there("run-error"), "message put away")
    for typed in ("2.5", "1"):
        thickness().send_keys(Keys.CONTROL, "a")
        thickness().send_keys(typed, Keys.TAB)
        page.wait(lambda typed=typed: thickness().get_property("value") == typed, f"thickness of {typed} mm")


def test_a_slice_moves_only_when_told_and_comes_back(slices, screenshots):
    page = slices

    def offsets() -> list[str]:
        return [
            row.find_elements(By.CSS_SELECTOR, "input[type=number]")[0].get_property("value")
            for row in page.rows()
        ]

    def scroll(value: str) -> None:
        script = (
            "const it = document.getElementById('scroll-Red'); it.value = arguments[0]; "
            "it.dispatchEvent(new Event('input'))"
        )
        page.driver.execute_script(script, value)
        page.wait(
            lambda: abs(float(page.there("scroll-Red").get_property("value")) - float(value)) < 1,
            "another offset",
        )

    before = offsets()
    slider = page.there("scroll-Red")
    low, high = (slider.get_attribute(name) for name in ("min", "max"))
    scroll(low)
    page.rows()[2].find_element(By.CSS_SELECTOR, ".icon").click()
    page.wait(lambda: len(page.rows()) == 3, "three rows")
    page.rows()[0].find_element(By.CSS_SELECTOR, ".link").click()
    page.wait(lambda: "chosen" in page.rows()[0].get_attribute("class"), "chosen row")
    page.rows()[1].find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()
    page.wait(lambda: page.text("context-count").startswith("2 of 3"), "row that is not used")
    assert "chosen" in page.rows()[0].get_attribute("class") and offsets() == [*before[:2], before[3]]
    page.click("move-button")
    page.wait(lambda: "Slice 1 moves with the axial view" in page.text("context-count"), "moving slice")
    page.screenshot(screenshots / "web-moving.png")
    scroll(before[2])
    page.wait(lambda: offsets() == [before[2], before[1], before[3]], "slice that was moved")
    page.rows()[1].find_element(By.CSS_SELECTOR, ".link").click()
    page.wait(lambda: "moves" not in page.text("context-count"), "end of the moving")
    scroll(high)
    assert offsets() == [before[2], before[1], before[3]]
    for _ in range(3):
        said = page.there("undo-button").get_attribute("title")
        page.click("undo-button")
        page.wait(lambda said=said: page.there("undo-button").get_attribute("title") != said, "one step back")
    page.wait(lambda: offsets() == before, "the slices as they were")
    assert page.text("context-count") == "4 of 4 slices used"


def test_a_result_is_brought_into_view_and_marked_in_every_picture(result):
    top, run = (result.driver.find_element(By.CSS_SELECTOR, name).rect for name in (".top", ".run"))
    inside = lambda box: top["height"] < box["y"] and box["y"] + box["height"] < run["y"]  # noqa: E731
    result.wait(lambda: inside(result.there("result-menu").rect), "menu of results")
    result.wait(lambda: result.there("result-menu").get_property("value"), "choice of the result")
    menu = result.there("result-menu")
    ActionChains(result.driver).move_to_element_with_offset(menu, 3, 3).move_to_element(menu).perform()
    assert menu.get_property("title").startswith("Reconstruction brain-t1 4 slices")
    result.wait(lambda: step(result) == "", "end of the steps")
    result.wait(result.sliders_agree, "sliders of the result")
    badges = lambda: [each.text for each in result.driver.find_elements(By.CSS_SELECTOR, ".badge")]  # noqa: E731
    result.wait(lambda: badges() == ["INFERRED mean"] * 3, "marks")
    assert not result.driver.find_elements(By.CSS_SELECTOR, ".legend")


def test_the_mean_is_that_of_the_desktop(result, desktop, screenshots):
    from SparseVolumeReconstructionLib.geometry.io import read_volume
    from SparseVolumeReconstructionLib.mrml.nodes import volume_of

    result.screenshot(screenshots / "web-1400x900.png")
    there, here = read_volume(result.download("mean.nrrd")), volume_of(desktop.mean)
    assert there.grid.same_as(here.grid) and np.allclose(there.grid.spacing_ijk, SPACING_MM)
    np.testing.assert_array_equal(there.array, here.array)


def test_all_files_can_be_downloaded(result, server):
    links = result.driver.find_elements(By.CSS_SELECTOR, "a[download]")
    names = [link.get_attribute("href").rpartition("/")[2] for link in links]
    assert {
        "std.nrrd",
        "observed.nrrd",
        "template.nrrd",
        "mean.nii.gz",
        "samples.nii.gz",
        "samples.seq.nrrd",
        "result.json",
        "report.html",
        "scene.mrb",
    } <= {*names}
    paths = {name: result.download(name) for name in names if name != "mean.nrrd"}
    assert all(
        re.fullmatch(r"Reconstruction_brain-t1_4_slices_\d\d_\d\d_\d\d_.*", path.name)
        for path in paths.values()
    )
    found = {name: path.read_bytes() for name, path in paths.items()}
    assert (
        found["samples.seq.nrrd"].startswith(b"NRRD")
        and found["scene.mrb"].startswith(b"PK")
        and found["svr-template.zip"].startswith(b"PK")
    )
    assert b"Not for diagnosis" in found["report.html"]
    assert json.loads(found["result.json"])["request"]["seed"] == SEED
    bundle = zipfile.ZipFile(io.BytesIO(found["scene.mrb"]))
    scene = bundle.read(next(name for name in bundle.namelist() if name.endswith(".mrml")))
    for text in (found["result.json"], found["report.html"], scene):
        assert b"SparseVolumeReconstruction" in text or b"brain-t1" in text
        assert str(server.temporary).encode() not in text and str(Path.home()).encode() + b"/" not in text


def test_the_slider_shows_the_samples_one_after_the_other(result):
    page = result
    before = page.picture("Red")
    page.press("sample-slider", Keys.ARROW_RIGHT)
    page.wait(lambda: page.text("sample-number") == f"2 / {SAMPLES}", "second sample")
    page.wait(lambda: page.there("layer-menu").get_property("value") == "sample", "layer of samples")
    page.wait(lambda: page.picture("Red") != before, "another picture")
    played = [int(text.split("/")[0]) for text in page.play(2.0)]
    assert len(played) > 6 and page.stays(lambda: page.text("sample-number")), "quick, and none was waiting"
    assert all(after == before % SAMPLES + 1 for before, after in pairwise(played))


def test_the_uncertainty_can_be_shown(result, screenshots):
    before = result.picture("Green")
    result.choose("layer-menu", "Uncertainty (sd)")
    result.wait(lambda: result.picture("Green") != before, "another picture")
    legends = result.wait(lambda: result.driver.find_elements(By.CSS_SELECTOR, ".legend"), "legend")
    assert len(legends) == 3
    low, unit, high = (each.text for each in legends[0].find_elements(By.TAG_NAME, "span"))
    assert float(low) == 0 < float(high) and unit == "sd, grey values"
    assert {each.text for each in result.driver.find_elements(By.CSS_SELECTOR, ".badge")} == {
        "INFERRED uncertainty"
    }
    result.screenshot(screenshots / "web-uncertainty.png")


def test_what_was_inferred_can_be_hatched(result, screenshots):
    before = result.picture("Green")
    result.click("hatch-button")
    result.wait(lambda: result.picture("Green") != before, "lines")
    result.screenshot(screenshots / "web-hatched.png")
    result.click("hatch-button")
    result.wait(lambda: result.there("hatch-button").get_attribute("aria-pressed") == "false", "no lines")


def test_the_surface_of_the_mean_is_shown_in_3d(result, screenshots):
    before = result.picture("ThreeD")
    result.click("surface-button")
    result.wait(
        lambda: "surface of the mean" in result.driver.find_element(By.CSS_SELECTOR, ".ThreeD .badge").text,
        "mark",
    )
    result.wait(lambda: result.picture("ThreeD") != before, "surface")
    result.screenshot(screenshots / "web-surface.png")
    result.click("surface-button")
    result.wait(lambda: not result.driver.find_elements(By.CSS_SELECTOR, ".ThreeD .badge"), "no surface")


def test_a_result_is_compared_with_a_reference_slice_by_slice(result, screenshots):
    result.choose("reference-menu", "Sparse brain, 4 slices")
    result.click("compare-button")
    result.wait(lambda: result.driver.find_elements(By.CSS_SELECTOR, ".chart svg"), "plot")
    title = result.driver.find_element(By.CSS_SELECTOR, ".chart svg").get_attribute("innerHTML")
    assert "<!-- Reconstruction brain-t1 4 slices" in title and "4 slices -->" in title
    result.driver.execute_script("document.querySelector('.chart').scrollIntoView({block: 'center'})")
    result.screenshot(screenshots / "web-plot.png")


def test_a_reload_finds_everything_as_it_was(result, screenshots):
    result.driver.refresh()
    result.wait(lambda: len(result.rows()) == 4, "rows")
    assert result.text("context-count") == "4 of 4 slices used"
    result.wait(lambda: result.picture("Red"), "picture")
    before = {view: result.picture(view) for view in ("Red", "ThreeD")}
    result.resize(1024, 768)
    result.wait(
        lambda: all(result.picture(view) != picture for view, picture in before.items()),
        "pictures of the new size",
    )
    result.driver.execute_script("document.querySelector('.sections').scrollTop = 0")
    result.screenshot(screenshots / "web-1024x768.png")
    result.resize(1400, 900)


def test_a_plane_across_thick_slices_is_refused_with_the_reason(result):
    result.click("add-Green")
    result.wait(lambda: "this plane runs across them" in result.text("run-error"), "message")
    result.click("run-dismiss")


def test_live_updates_follow_what_is_used_and_warnings_are_counted(result):
    assert not result.there("run-warnings")
    thickness = result.rows()[1].find_elements(By.CSS_SELECTOR, "input[type=number]")[1]
    thickness.send_keys(Keys.CONTROL, "a")
    thickness.send_keys(Keys.DELETE, Keys.TAB)  # nothing states it any more
    result.click("live")
    result.rows()[3].find_element(By.CSS_SELECTOR, "input[type=checkbox]").click()
    result.wait(
        lambda: (
            "Reconstruction live mean"
            in [option.text for option in Select(result.there("result-menu")).options]
        ),
        "live mean",
    )
    result.wait(lambda: not result.there("live-mark"), "end of the update")
    found = r"Frame found: (only )?\d\d % sure"
    result.wait(lambda: re.fullmatch(found, result.text("frame-told")), "what is said of the frame")
    result.wait(lambda: "thickness is not known" in result.text("run-warnings"), "warning in words")
    assert result.text("run-warnings").startswith("1 warning about this result:")
    result.click("live")


def test_a_result_is_deleted_once_that_was_confirmed(result):
    def results():
        return [option.text for option in Select(result.there("result-menu")).options]

    before = results()
    for answer, left in (
        ("delete-no", before),
        ("delete-yes", [name for name in before if name != "Reconstruction live mean"]),
    ):
        result.click("delete-button")
        result.wait(lambda: result.there("delete-dialog").is_displayed(), "question")
        assert "Reconstruction live mean" in result.text("delete-dialog")
        result.click(answer)
        result.wait(
            lambda left=left: not result.there("delete-dialog").is_displayed() and results() == left, "answer"
        )
    result.wait(lambda: result.there("result-menu").get_property("value") == "", "no choice")
    result.wait(lambda: not result.there("delete-button").is_enabled(), "nothing to delete")


def test_a_file_is_uploaded_by_choosing_it(result, tmp_path):
    from SparseVolumeReconstructionLib.mrml.sample_data import FILE

    copy = tmp_path / "my scan.nrrd"
    copy.write_bytes(FILE.read_bytes())
    result.there("upload-input").send_keys(str(copy))
    result.wait(
        lambda: "my scan" in [option.text for option in Select(result.there("all-volume")).options],
        "uploaded volume",
    )
    result.wait(lambda: result.text("upload-status") == "", "end of the upload")
    result.wait(result.sliders_agree, "sliders of the uploaded volume")
    for menu in ("all-volume", "out-like", "reference-menu"):
        result.choose(menu, "my scan")
    result.driver.find_element(By.CSS_SELECTOR, 'button[aria-label="Remove my scan"]').click()
    for menu in ("all-volume", "out-like", "reference-menu"):
        result.wait(lambda menu=menu: "my scan" not in result.text(menu), f"{menu} without the scan")
        result.wait(lambda menu=menu: result.chosen(menu) == "None", f"no choice in {menu}")
    wrong = tmp_path / "notes.nii"
    wrong.write_text("this is no image")
    result.there("upload-input").send_keys(str(wrong))
    result.wait(lambda: "no image of the format" in result.text("upload-status"), "message")
    huge = tmp_path / "huge.nii"
    with open(huge, "wb") as file:
        file.truncate(3 << 30)
    result.there("upload-input").send_keys(str(huge))
    result.wait(lambda: "at most" in result.text("upload-status"), "message")


def test_nothing_was_complained_about(result, server):
    refused = result.complaints()  # the browser says so of every answer that is no success
    assert len(refused) == 1 and "/upload" in refused[0]
    assert server.complaints() == [] and server.blocked() == []


def test_start_over_and_the_end_leave_nothing(result, server):
    result.press("over-button", Keys.ENTER)
    result.wait(lambda: result.there("over-dialog").is_displayed(), "question")
    assert (
        result.driver.switch_to.active_element.get_attribute("id") == "over-no"
    )  # what loses nothing is chosen first
    result.driver.switch_to.active_element.send_keys(Keys.ENTER)
    result.wait(lambda: not result.there("over-dialog").is_displayed(), "answer")
    assert len(result.rows()) == 4
    result.click("over-button")
    result.click("over-yes")
    result.wait(lambda: not result.rows(), "empty table")
    result.wait(lambda: "Sparse brain" not in result.text("all-volume"), "menu without the sample")
    assert server.workers()
    workers = server.workers()
    result.driver.get("about:blank")
    assert server.interrupt() == 0
    assert server.left_behind() == []
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert server.complaints() == []
