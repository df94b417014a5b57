"""The panel at the sizes of common screens: nothing cut off, what matters in sight.

`python -m host.pictures` shows the same.
"""

from dataclasses import fields

import pytest
import slicer.util

from SparseVolumeReconstructionLib.workflow.choices import Choices

pytestmark = pytest.mark.slow

MESSAGES = {
    "empty": (),
    "slices": (),
    "running": ("progressBar", "statusLabel"),
    "rows": (),
    "refused": ("errorLabel",),
    "warnings": ("warningButton", "warningLabel"),
}


@pytest.mark.parametrize("screen", ["1600x1000", "1280x720", "narrow"])
def test_nothing_is_cut_off_or_overlaps(desk, screen):
    from host.layout import check_nothing_is_cut_off, set_screen

    desk.add_all(desk.sample())
    desk.parameters.prior = "fetal-t2"  # its covariate has a row of its own
    desk.host.process(0.1)
    set_screen(desk.host, screen)
    check_nothing_is_cut_off(desk.panel)


def test_the_panel_becomes_narrow(desk):
    """In the narrowest dock, whatever is open and whichever model is chosen."""
    from host.layout import NARROW, set_screen

    ui, host = desk.ui, desk.host
    desk.add_all(desk.sample())
    for model in [entry.card.id for entry in desk.panel.presenter.models.entries_for("slice")]:
        desk.parameters.prior = model
        host.process(0.05)
        assert set_screen(host, "narrow") <= NARROW
    assert ui.priorBox.toolTip == ui.priorBox.currentText and ui.priorBox.itemText(0)


def test_what_matters_is_always_in_sight(desk):
    """Apply and the one message, in every state at every size, also in a window of half a screen."""
    from host.layout import SCREENS, in_sight, set_screen
    from host.pictures import states

    ui, host = desk.ui, desk.host
    messages = ("reasonLabel", "statusLabel", "errorLabel", "warningButton")
    for state in states(desk):
        for screen in [*SCREENS, "low"]:
            set_screen(host, "1280x720" if screen == "low" else screen)
            host.window.resize(1280, 450 if screen == "low" else host.window.height)
            host.process(0.05)
            for name in ("applyButton", "safetyLabel", *MESSAGES[state]):
                assert in_sight(getattr(ui, name)), (state, screen, name)
            assert sum(getattr(ui, name).isVisible() for name in messages) <= 1, (state, screen)


REFUSALS = {
    "contexts": ("addYellowButton", "contextsNote", "show a scan in the view first"),
    "prior": ("importButton", "priorNote", "letter.safetensors"),
    "explore": ("compareButton", "exploreNote", "do not overlap"),
    "template": ("writeButton", "templateNote", "svr"),
}


def test_a_refusal_stands_beside_its_control(desk, tmp_path):
    """And in the footer, until something else is done."""
    from host.layout import in_sight, set_screen

    ui, host = desk.ui, desk.host
    set_screen(host, "1280x720")
    (tmp_path / "letter.safetensors").write_text("Dear reader")
    (tmp_path / "svr").write_text("a file where a folder should be")
    desk.add_all(desk.sample())
    host.choose(ui.frameModeBox, "Already registered")
    desk.quick(samples="0")
    desk.apply()
    far = slicer.util.addVolumeFromArray(slicer.util.arrayFromVolume(desk.result.mean), name="Far away")
    far.SetOrigin(2000, 2000, 2000)
    desk.parameters.reference, desk.parameters.svrFolder = far, str(tmp_path / "svr")
    slicer.util.setSliceViewerLayers(background=None, foreground=None)
    host.process(0.1)
    for button, note, words in REFUSALS.values():
        host.files = [tmp_path / "letter.safetensors"]
        label, control = getattr(ui, note), getattr(ui, button)
        host.click(control)
        host.wait_until(lambda label=label: in_sight(label))  # the panel scrolls once all has its place
        assert words in label.text.replace("\u200b", ""), (button, desk.status)
        below = (
            label.mapTo(desk.panel._root, label.rect.topLeft()).y()
            - control.mapTo(desk.panel._root, control.rect.bottomLeft()).y()
        )
        assert 0 <= below < 60, (button, below)
        assert in_sight(ui.errorLabel) and ui.errorLabel.text == label.text
        assert [other for _button, other, _words in REFUSALS.values() if getattr(ui, other).isVisible()] == [
            note
        ]
    host.click_cell(ui.contextTable, 0, 1)
    assert not ui.templateNote.isVisible() and not ui.errorLabel.isVisible()


def test_warnings_are_counted(desk):
    """And leave the last line of what was made in sight."""
    from host.layout import in_sight, set_screen
    from host.pictures import two_bodies

    ui, host = desk.ui, desk.host
    set_screen(host, "1280x720")
    two_bodies(desk, "brain-t1")
    desk.apply()
    label = ui.noticeLabel  # the panel scrolls once all has its place
    host.wait_until(lambda: label.height >= label.heightForWidth(label.width) and in_sight(label))
    warnings = desk.panel.presenter.explorer.warnings()
    assert len(warnings) >= 2 and ui.warningButton.text == f"Done – {len(warnings)} warnings"
    assert ui.warningLabel.isVisible() and all(words in ui.warningLabel.text for words in warnings)
    host.click(ui.warningButton)
    assert ui.warningButton.isVisible() and not ui.warningLabel.isVisible()
    host.click(ui.verifyButton)
    assert (
        ui.statusLabel.isVisible() and ui.warningButton.text == f"{len(warnings)} warnings about this result"
    )
    host.choose(ui.resultSelector, "None")
    assert not ui.warningButton.isVisible() and not ui.warningLabel.isVisible()


def test_the_scene_keeps_every_choice(desk):
    """The parameter node has the members of Choices with the same defaults."""
    kept = {name for name in vars(type(desk.parameters)) if not name.startswith("_")}
    for field in fields(Choices):
        assert field.name in kept
        if field.name not in ("allVolume", "svrFolder"):
            assert getattr(desk.parameters, field.name) == field.default, field.name
