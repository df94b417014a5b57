"""Step 1 of the panel: the table of slices, by clicks and keys."""

import numpy as np
import pytest

from host.desk import OFFSET, REMOVE, THICKNESS, VIEW
from host.planes import box, distance, plane


def test_offset_and_thickness_are_edited_by_keyboard(desk, dense):
    desk.host.click(desk.ui.addRedButton)
    desk.edit_cell(0, OFFSET, "12.5")
    assert desk.contexts[0].offset_mm == pytest.approx(12.5) and desk.row(0)[OFFSET] == "12.50"
    desk.edit_cell(0, THICKNESS, "3,5")
    assert desk.contexts[0].thickness_mm == pytest.approx(3.5) and desk.row(0)[THICKNESS] == "3.50"
    bounds = [0.0] * 6
    desk.contexts[0].node.GetRASBounds(bounds)
    assert bounds[4:] == pytest.approx([12.5 - 1.75, 12.5 + 1.75], abs=1e-3)
    desk.edit_cell(0, THICKNESS, "")
    assert desk.contexts[0].stated_thickness_mm is None and desk.row(0)[THICKNESS] == "4.00 (assumed)"


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        (OFFSET, "high up", "is no number"),
        (OFFSET, "500", "move it inside"),
        (OFFSET, "nan", "is no number"),
        (THICKNESS, "thick", "is no number"),
        (THICKNESS, "-1", "expected 0.01 to 100 mm"),
        (THICKNESS, "inf", "is no number"),
    ],
)
def test_wrong_text_puts_the_old_value_back(desk, dense, column, text, words):
    desk.host.click(desk.ui.addRedButton)
    desk.edit_cell(0, THICKNESS, "2")
    row, offset = desk.row(0), desk.contexts[0].offset_mm
    desk.edit_cell(0, column, text)
    assert desk.row(0) == row and desk.contexts[0].offset_mm == offset and desk.contexts[0].thickness_mm == 2
    assert (
        words in desk.ui.errorLabel.text
        and desk.ui.errorLabel.isVisible()
        and not desk.ui.logButton.isVisible()
    )
    desk.edit_cell(0, THICKNESS, "3")
    assert not desk.ui.errorLabel.isVisible()


def test_slices_are_left_out_and_taken_back(desk, sample):
    desk.add_all(sample)
    desk.tick_cell(1)
    assert [context.enabled for context in desk.contexts] == [True, False, True, True]
    assert (
        desk.ui.countLabel.text == "3 of 4 slices used"
        and desk.contexts[1].node.GetDisplayNode().GetOpacity() < 0.5
    )
    desk.tick_cell(1)
    assert (
        all(context.enabled for context in desk.contexts) and desk.ui.countLabel.text == "4 of 4 slices used"
    )


def test_slices_are_removed(desk, sample):
    import slicer.util

    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    desk.add_all(sample)
    first, _, third, fourth = desk.contexts
    desk.host.click_cell(desk.ui.contextTable, 1, REMOVE)
    assert desk.contexts == [first, third, fourth]
    desk.host.click_cell(desk.ui.contextTable, 0, VIEW)
    desk.host.key(desk.ui.contextTable, "Delete")
    assert desk.contexts == [third, fourth] and desk.ui.contextTable.rowCount == 2
    desk.host.click(desk.ui.removeAllButton)
    assert not desk.contexts and not desk.ui.removeAllButton.enabled
    after = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    assert after == before, "nodes stayed behind"


def test_a_click_on_a_row_lets_all_views_jump(desk, sample):
    desk.add_all(sample)
    for k in (2, 0):
        for view in ("Red", "Green", "Yellow"):
            desk.host.scroll(view, 5)
        desk.host.click_cell(desk.ui.contextTable, k, VIEW)
        centre, context = box(k).mean(0), desk.contexts[k]
        assert desk.panel.presenter.contexts.selected == context
        assert max(distance(desk, view, centre) for view in ("Red", "Green", "Yellow")) < 0.01
        matrix = plane(desk, context.view)
        assert np.abs(matrix[:3, 2] @ context.plane[:3, 2]) == pytest.approx(1, abs=1e-6)


def test_images_are_shown_on_the_frames(desk, sample):
    desk.add_all(sample)
    display = desk.contexts[0].node.GetDisplayNode()
    desk.host.click(desk.ui.texturedCheckBox)
    assert display.GetTextureImageDataConnection() is not None
    desk.host.click(desk.ui.texturedCheckBox)
    assert display.GetTextureImageDataConnection() is None
