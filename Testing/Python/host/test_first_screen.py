"""What a new panel shows before anything was opened or scrolled, in two languages."""

import pytest


@pytest.fixture
def new_desk(host, tmp_path, monkeypatch):
    """Function: the panel of a new host."""
    from host.desk import Desk

    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path))
    return lambda: Desk(host)


def test_words_may_be_long(host, new_desk):
    """As in languages with long words: the panel grows, and nothing is cut off."""
    from host.layout import NARROW, check_nothing_is_cut_off, set_screen
    from host.pictures import LongWords, translated

    with translated(LongWords()):
        desk = new_desk()
        desk.open_sections()
        desk.add_all(desk.sample())
        assert desk.ui.addRedButton.text != "Red"
        assert set_screen(host, "narrow") > NARROW
        check_nothing_is_cut_off(desk.panel)


def test_the_first_screen(host, new_desk):
    """A new panel on a small screen has slices, model and Apply in sight without scrolling; the rest is
    folded or below.
    """
    from host.layout import in_sight, set_screen

    desk = new_desk()
    table, ui = desk.ui.contextTable, desk.ui
    for screen in ("1280x720", "narrow"):
        set_screen(host, screen)
        desk.add_all(desk.sample())
        host.process(0.05)
        for widget in (ui.addRedButton, ui.useAllButton, table, ui.priorBox, ui.applyButton):
            assert in_sight(widget), (screen, widget.objectName)
        rows = [table.visualItemRect(table.item(row, 2)) for row in range(4)]
        assert all(table.viewport().rect.contains(row) for row in rows)
        assert ui.frameSection.collapsed and ui.outputsSection.collapsed and ui.aboutSection.collapsed
        assert not ui.cardBrowser.isVisible()
        desk.panel.presenter.contexts.clear()
        host.process(0.05)


@pytest.mark.slow
def test_what_was_made_or_opened_comes_into_view(host, new_desk):
    """A result with the controls to look at it; a section that lies below.

    What is refused then is said there.
    """
    from host.layout import in_sight, set_screen
    from SparseVolumeReconstructionLib.workflow.choices import FrameMode

    desk = new_desk()
    ui = desk.ui
    set_screen(host, "1280x720")
    desk.add_all(desk.sample())
    p = desk.parameters
    p.frameMode, p.spacing, p.samples = FrameMode.REGISTERED, 4.0, 2
    assert not in_sight(ui.playButton) and in_sight(ui.addRedButton)
    desk.apply()
    host.wait_until(lambda: in_sight(ui.compareButton))  # the panel scrolls once all has its place
    assert (
        in_sight(ui.layerBox)
        and in_sight(ui.opacitySlider)
        and in_sight(ui.playButton)
        and in_sight(ui.compareButton)
    )
    host.click(ui.templateSection)
    host.process(0.1)
    assert in_sight(ui.folderEdit) and in_sight(ui.writeButton)
    host.click(ui.writeButton)
    host.process(0.05)
    assert in_sight(ui.templateNote) and "Choose the folder" in ui.templateNote.text
    desk.parameters.svrFolder = "elsewhere"
    host.process(0.05)
    assert (
        not ui.templateNote.isVisible() and not ui.errorLabel.isVisible()
    )  # what was refused is being put right
