"""Step 1 of the panel: a slice moves while it is told to, and only then."""

import numpy as np
import pytest

from host.desk import OFFSET, VIEW
from host.planes import plane


def test_ticking_chooses_nothing_and_moves_nothing(desk, dense):
    for view in ("Red", "Green"):
        desk.host.click(getattr(desk.ui, f"add{view}Button"))
    contexts, planes = (
        desk.panel.presenter.contexts,
        [plane(desk, view) for view in ("Red", "Green", "Yellow")],
    )
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.click(desk.ui.moveButton)
    before, chosen = [context.observed() for context in desk.contexts], contexts.selected
    assert chosen == contexts.moving == desk.contexts[1]
    for row in (0, 1, 0):
        desk.tick_cell(row)
        assert (
            contexts.selected == contexts.moving == chosen and desk.ui.contextTable.item(1, VIEW).isSelected()
        )
    assert not desk.ui.contextTable.item(0, VIEW).isSelected()
    assert [context.observed() for context in desk.contexts] == before
    np.testing.assert_allclose([plane(desk, view) for view in ("Red", "Green", "Yellow")], planes, atol=1e-6)
    desk.host.click(desk.ui.liveCheckBox)
    desk.wait()


def test_a_slice_is_moved_and_put_back(desk, dense):
    for view in ("Red", "Green", "Red"):
        desk.host.scroll(view, 4)
        desk.host.click(getattr(desk.ui, f"add{view}Button"))
    desk.host.click_cell(desk.ui.contextTable, 1, VIEW)
    assert not desk.ui.moveButton.checked and desk.ui.moveButton.enabled
    before = [context.offset_mm for context in desk.contexts]
    desk.host.scroll("Green", 2)
    assert [context.offset_mm for context in desk.contexts] == before
    desk.host.click(desk.ui.moveButton)
    assert desk.ui.contextTable.palette.highlight().color().getRgb()[:3] == (255, 51, 229)
    assert (
        desk.ui.moveButton.checked
        and desk.row(1)[VIEW] == "Green ⇕"
        and "Slice 2 moves with the Green view" in desk.ui.countLabel.text
    )
    desk.host.scroll("Green", 2)
    desk.host.scroll("Red", 2)
    moved = [context.offset_mm for context in desk.contexts]
    assert (
        moved[::2] == before[::2]
        and moved[1] == pytest.approx(desk.host.views["Green"].logic.GetSliceOffset()) != before[1]
    )
    desk.host.click_cell(desk.ui.contextTable, 0, VIEW)
    assert not desk.ui.moveButton.checked and desk.row(1)[VIEW] == "Green"
    desk.host.scroll("Green", 2)
    assert [context.offset_mm for context in desk.contexts] == moved
    assert "slice moved" in desk.ui.undoButton.toolTip
    desk.host.key(desk.ui.contextTable, "Ctrl+Z")
    assert [context.offset_mm for context in desk.contexts] == before
    desk.host.click(desk.ui.undoButton)
    assert len(desk.contexts) == 2


def test_outside_the_module_nothing_happens(desk, dense):
    desk.host.choose(desk.ui.frameModeBox, "Already registered")
    desk.host.click(desk.ui.addRedButton)
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.click(desk.ui.moveButton)
    desk.wait()
    before, mean = desk.contexts[0].observed(), desk.result.mean.GetMTime()
    desk.host.select("")
    desk.host.scroll("Red", 3)
    desk.host.point("Red")
    desk.host.key(desk.host.views["Red"], "Ctrl+Shift+C")
    desk.contexts[0].set_enabled(False)  # as a script may do
    desk.wait()
    assert [context.observed() for context in desk.contexts] == [
        before
    ] and desk.result.mean.GetMTime() == mean
    desk.contexts[0].set_enabled(True)
    desk.host.select("SparseVolumeReconstruction")
    assert not desk.ui.moveButton.checked and desk.ui.liveCheckBox.checked
    desk.edit_cell(0, OFFSET, "4")
    desk.wait()
    assert desk.result.mean.GetMTime() > mean
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.point("Green")
    desk.host.key(desk.host.views["Green"], "Ctrl+Shift+C")
    assert len(desk.contexts) == 2


@pytest.mark.slow
def test_live_results_follow_the_wheel(desk, dense):
    import slicer
    import slicer.util

    desk.host.choose(desk.ui.frameModeBox, "Already registered")
    for view in ("Green", "Red"):
        desk.host.click(getattr(desk.ui, f"add{view}Button"))
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.click(desk.ui.moveButton)
    desk.wait()
    mean = desk.result.mean
    count, ids, before = (
        slicer.mrmlScene.GetNumberOfNodes(),
        mean.GetID(),
        slicer.util.arrayFromVolume(mean).copy(),
    )
    offset, other = desk.contexts[1].offset_mm, desk.contexts[0].offset_mm
    for _ in range(3):
        desk.host.scroll("Red", 2)
    desk.wait()
    assert (
        desk.contexts[1].offset_mm == pytest.approx(desk.host.views["Red"].logic.GetSliceOffset()) != offset
    )
    assert desk.row(1)[OFFSET] == f"{desk.contexts[1].offset_mm:.2f}" and desk.contexts[0].offset_mm == other
    after = slicer.util.arrayFromVolume(mean)
    assert np.abs(after - before).max() > 0.02 * before.max()
    assert desk.result.mean is mean and mean.GetID() == ids and slicer.mrmlScene.GetNumberOfNodes() == count
    assert desk.shown("Red") is mean
    desk.host.click(desk.ui.liveCheckBox)
    desk.host.scroll("Red", 2)
    desk.wait()
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(mean), after)
