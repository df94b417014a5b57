"""Lessons on the page: a student's way through one, a teacher's tools, and what a phone shows."""

import base64

import pytest

pytest.importorskip(
    "selenium", reason="NO TEST OF THE PAGE: selenium is not installed; ./run test installs it"
)

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys


@pytest.fixture(scope="module")
def lesson():
    """One slice to be placed, then one that is given."""
    from SparseVolumeReconstructionLib.workflow.lesson import AskSlice, GiveSlices, Lesson, LessonPlane

    plane = LessonPlane(normal=(0, 0, 1), offset_mm=8.0)
    steps = [AskSlice(text="Look for the thalamus.", plane=plane), GiveSlices(planes=[plane])]
    return Lesson(title="Thalamus", text="Two steps.", seed=3, steps=steps)


@pytest.fixture(scope="module")
def server(served, tmp_path_factory):
    """A server that offers a lesson to everybody."""
    from SparseVolumeReconstructionLib.workflow.lesson import Lesson, write

    file = tmp_path_factory.mktemp("lesson") / "lesson.json"
    file.write_text(write(Lesson(title="Offered", text="To everybody.")))
    return served("--lesson", str(file))


@pytest.fixture(scope="module")
def page(server, browse, lesson):
    """Its page, to which a link with another lesson led a newcomer; he has left the lesson."""
    from SparseVolumeReconstructionLib.workflow.lesson import to_link

    browser = browse()
    browser.open(f"{server.address}#lesson={to_link(lesson)}")
    browser.wait(lambda: browser.text("lesson-title") == "Thalamus", "the lesson of the link")
    browser.click("lesson-leave")
    browser.wait(lambda: browser.there("sample-button").is_displayed(), "the workbench")
    browser.driver.execute_script(
        "document.querySelectorAll('details').forEach(each => { each.open = true })"
    )
    return browser


def file_behind(page, name: str) -> str:
    """The text of a file that a link of the page carries."""
    return base64.b64decode(page.there(name).get_attribute("href").split("base64,")[1]).decode()


def test_a_lesson_comes_by_link_and_is_done_with_the_keyboard(slices, server, lesson, screenshots):
    from SparseVolumeReconstructionLib.workflow.class_scores import Results, scores
    from SparseVolumeReconstructionLib.workflow.lesson import read, to_link

    slices.driver.get(f"{server.address}#lesson={to_link(lesson)}")
    slices.wait(lambda: slices.there("lesson-begin"), "the lesson of the link")
    assert slices.violations() == [] and "Two steps." in slices.driver.page_source
    slices.there("lesson-name").send_keys("Ada", Keys.ENTER)
    slices.wait(lambda: slices.there("lesson-answer"), "the question", 300)
    assert "made-up person" in slices.driver.find_element("css selector", ".asked").text
    near = slices.text("lesson-near")
    slices.press("scroll-Red", *[Keys.ARROW_RIGHT] * 8)
    slices.wait(
        lambda: "near: " in slices.text("lesson-near") and slices.text("lesson-near") != near,
        "names of what is near now",
    )
    slices.screenshot(screenshots / "web-lesson-question.png")
    assert slices.violations() == []
    slices.press("lesson-answer", Keys.ENTER)
    slices.wait(lambda: "mm too far up (superior)" in slices.text("lesson-verdict"), "verdict")
    assert "thalamus" in slices.driver.find_element("css selector", ".words .near").text
    slices.screenshot(screenshots / "web-lesson-answer.png")
    assert slices.violations() == []
    slices.press("lesson-next", Keys.ENTER)
    slices.wait(
        lambda: len(slices.driver.find_elements("css selector", ".thumbs img")) == 2,
        "uncertainty after the slice",
        120,
    )
    shares = [
        int(each.text.split()[0]) for each in slices.driver.find_elements("css selector", ".shrink output")
    ]
    assert shares[0] == 100 > shares[1]
    slices.screenshot(screenshots / "web-lesson-slices.png")
    assert slices.violations() == []
    slices.click("lesson-next")
    slices.wait(lambda: slices.there("lesson-results"), "end")
    results = read(Results, file_behind(slices, "lesson-results"), "results")
    assert results.name == "Ada" and scores(lesson, results)[0] > 3
    slices.click("lesson-leave")
    slices.wait(lambda: slices.text("context-count") == "4 of 4 slices used", "workbench")


def test_slices_are_planned_with_the_mouse(slices, screenshots):
    from SparseVolumeReconstructionLib.workflow.lesson import Lesson, PlanSlices, to_link

    lesson = Lesson(title="Plan", text="Plan two.", seed=5, steps=[PlanSlices(text="Where?", count=2)])
    slices.driver.execute_script("window.trame.trigger('teach_link', [arguments[0]])", to_link(lesson))
    slices.wait(lambda: slices.text("lesson-title") == "Plan" and slices.there("lesson-begin"), "the lesson")
    assert "1 scan to plan." in slices.driver.page_source
    slices.there("lesson-name").clear()
    slices.there("lesson-name").send_keys("Ada", Keys.ENTER)
    slices.wait(lambda: slices.there("scout-2"), "the scouts", 300)
    assert not slices.there("plan-judge").is_enabled() and slices.violations() == []
    words = slices.text("plan-words")
    assert words.startswith("Axial at ") and "near: " in words
    sagittal = slices.there("scout-0")
    size = sagittal.rect["width"]
    mouse = ActionChains(slices.driver, duration=100)
    mouse.move_to_element(sagittal).click_and_hold().move_by_offset(0, -round(0.1 * size)).release().perform()
    slices.wait(lambda: slices.text("plan-words") not in ("", words), "a plane that was shifted")
    assert slices.text("plan-words").startswith("Axial at ")
    mouse.move_to_element_with_offset(sagittal, round(0.3 * size), -round(0.1 * size)).click_and_hold()
    mouse.move_by_offset(0, -round(0.1 * size)).release().perform()
    slices.wait(lambda: "Oblique" in slices.text("plan-words"), "a plane that was turned")
    named = slices.driver.find_element("css selector", "#scout-0 .named")
    x, y = slices.driver.execute_script(
        "const each = JSON.parse(document.getElementById('scout-0').dataset.names)"
        ".find((each) => each.name === 'pons'); return [each.x, each.y]"
    )
    mouse.move_to_element_with_offset(sagittal, round((x - 0.5) * size), round((y - 0.5) * size)).perform()
    slices.wait(lambda: named.is_displayed() and named.text == "pons", "the name under the mouse")
    slices.screenshot(screenshots / "web-plan-scouts.png")
    slices.click("plan-scan")
    slices.wait(lambda: "1 of 2 scanned" in slices.text("plan-scan"), "the first slice", 120)


def test_slices_are_planned_with_keys_and_the_plan_is_scored(slices, tmp_path, screenshots):
    from SparseVolumeReconstructionLib.workflow.class_scores import Results
    from SparseVolumeReconstructionLib.workflow.lesson import read

    slices.press("put-sagittal", Keys.ENTER)
    slices.wait(lambda: slices.text("plan-words").startswith("Sagittal"), "another orientation")
    words = slices.text("plan-words")
    slices.press("scout-1", *[Keys.ARROW_RIGHT] * 6)
    slices.wait(lambda: slices.text("plan-words") not in ("", words), "a plane that the keys shift")
    slices.press("scout-1", Keys.SHIFT, Keys.ARROW_RIGHT)
    slices.wait(lambda: "Oblique (sagittal 5°)" in slices.text("plan-words"), "a plane that the keys turn")
    slices.press("plan-scan", Keys.ENTER)
    slices.wait(lambda: "2 of 2 scanned" in slices.text("plan-scan"), "the second slice", 120)
    assert not slices.there("plan-scan").is_enabled()
    white = "const each = document.createElement('canvas').getContext('2d'); const [n] = arguments;"
    white += "each.drawImage(document.querySelectorAll('.plan .thumbs img')[n], 0, 0);"
    white += "return Math.max(...each.getImageData(0, 0, 240, 150).data.filter((_, n) => n % 4 < 3))"
    assert all(slices.driver.execute_script(white, n) > 150 for n in range(2)), "slices that show something"
    shares = [
        int(each.text.split()[0]) for each in slices.driver.find_elements("css selector", ".shrink output")
    ]
    assert shares[0] == 100 > shares[1] > shares[2]
    slices.press("plan-judge", Keys.ENTER)
    slices.wait(lambda: slices.text("plan-verdict"), "the score", 120)
    percent = int(slices.text("plan-verdict").split()[4])
    assert 20 < percent < 110 and slices.violations() == []
    slices.screenshot(screenshots / "web-plan-score.png")
    slices.resize(420, 900)
    assert slices.too_wide() == []
    slices.screenshot(screenshots / "web-plan-phone.png")
    slices.resize(1400, 900)
    slices.press("lesson-next", Keys.ENTER)
    slices.wait(lambda: f"Plan 1: {percent} % of the best" in slices.text("lesson-plans"), "the end")
    file = tmp_path / "ada.json"
    file.write_text(file_behind(slices, "lesson-results"))
    assert len(read(Results, file.read_text(), "results").plans[0].planes) == 2
    slices.driver.execute_script("window.trame.trigger('teach_class')")
    slices.wait(lambda: slices.there("class-files"), "the scores").send_keys(str(file))
    slices.wait(lambda: f"Ada 0 – {percent}" in slices.text("class-table"), "row of the student")
    assert file_behind(slices, "class-csv").splitlines()[1] == f"Ada,0,,{percent}"
    slices.click("lesson-leave")


def test_a_teacher_makes_a_lesson_and_collects_scores(slices, lesson, tmp_path, screenshots):
    from SparseVolumeReconstructionLib.workflow.class_scores import Results
    from SparseVolumeReconstructionLib.workflow.lesson import Lesson, read, write

    slices.driver.execute_script("document.getElementById('learn').open = true")
    slices.click("teach-home")
    slices.click("home-edit")
    slices.wait(lambda: slices.there("ask-Green"), "the editor", 300)
    slices.click("ask-Green")
    slices.click("give-Red")
    slices.wait(lambda: len(slices.driver.find_elements("css selector", ".steps li")) == 2, "two steps")
    assert slices.violations() == []
    slices.screenshot(screenshots / "web-lesson-edit.png")
    made = read(Lesson, file_behind(slices, "draft-save"), "lesson")
    assert [step.kind for step in made.steps] == ["question", "slices"] and abs(
        made.steps[0].plane.normal[1]
    ) == 1
    slices.click("draft-try")
    slices.wait(
        lambda: slices.text("lesson-progress") == "" and slices.there("lesson-begin"), "the lesson to try"
    )
    slices.click("title-class")
    wrong, right, results = (tmp_path / name for name in ("wrong.json", "right.json", "ada.json"))
    wrong.write_text('{"title": "x", "steps": [{"kind": "dance"}]}')
    right.write_text(write(lesson))
    results.write_text(
        write(
            Results(
                lesson=lesson.digest, name="<b>Ada", answers=[{"step": 0, "guess": lesson.steps[0].plane}]
            )
        )
    )
    slices.wait(lambda: slices.there("class-lesson"), "the scores").send_keys(str(wrong))
    slices.wait(
        lambda: "the lesson: steps.0" in slices.text("lesson-error"), "one line that says what is wrong"
    )
    assert len(slices.text("lesson-error").splitlines()) <= 2
    slices.there("class-lesson").send_keys(str(right))
    slices.wait(lambda: "Thalamus" in slices.text("lesson-title"), "the lesson")
    slices.there("class-files").send_keys(str(results))
    slices.wait(lambda: "<b>Ada 0.0 1 0.0" in slices.text("class-table"), "row of the student")
    assert (
        file_behind(slices, "class-csv").splitlines()[1] == "<b>Ada,0.0,1,0.0" and slices.violations() == []
    )
    slices.click("lesson-leave")


@pytest.mark.parametrize("phase", ["home", "question"])
def test_a_lesson_fits_a_phone(slices, lesson, phase):
    slices.resize(420, 900)
    slices.driver.execute_script(
        "window.trame.trigger('teach_home')"
        if phase == "home"
        else "window.trame.trigger('teach_begin', ['Ada'])"
    )
    wanted = ("home-example", "home-class") if phase == "home" else ("scroll-Red", "lesson-answer")
    slices.wait(lambda: slices.there(wanted[1]), phase, 300)
    for name in wanted:
        box = slices.there(name).rect
        assert box["x"] >= 0 and box["x"] + box["width"] <= 420 and box["width"] > 60, name
    slices.resize(420, 640)
    slices.driver.execute_script("document.querySelector('.body').scrollTop = 9999")
    slices.click(wanted[1])  # fails where something lies over it
    slices.wait(
        lambda: slices.there("class-lesson" if phase == "home" else "lesson-verdict"), "what the click brings"
    )
    top = slices.driver.find_element("css selector", ".top").rect["height"]
    slices.wait(lambda: slices.there("lesson-title").rect["y"] >= top, "the beginning of what is new")
    words = slices.driver.find_element("css selector", ".words")
    assert words.get_property("scrollHeight") <= words.get_property("clientHeight") + 1, "nothing is cut off"
    slices.driver.execute_script("window.trame.trigger('teach_leave')")
    slices.resize(1400, 900)


def test_who_starts_over_in_a_lesson_is_offered_it_again_and_nothing_is_left(slices, lesson):
    from SparseVolumeReconstructionLib.workflow.lesson import to_link

    slices.driver.execute_script("window.trame.trigger('teach_link', [arguments[0]])", to_link(lesson))
    slices.wait(lambda: slices.text("lesson-title") == "Thalamus", "lesson")
    slices.click("lesson-begin")
    slices.wait(lambda: slices.there("lesson-answer"), "question", 300)
    slices.driver.refresh()
    slices.wait(
        lambda: slices.there("lesson-answer") and slices.there("lesson-answer").is_displayed(),
        "the same question after a reload",
    )
    slices.driver.execute_script("window.trame.trigger('scan_over')")
    slices.wait(lambda: slices.text("lesson-title") == "Offered", "the lesson that is offered")
    slices.click("lesson-leave")
    slices.wait(
        lambda: not slices.rows() and slices.there("sample-button").is_displayed(), "an empty workbench"
    )


def test_nothing_was_complained_about(slices, server):
    assert slices.complaints() == [] and server.complaints() == []
