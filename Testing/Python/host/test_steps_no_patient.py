"""Without a slice and without a frame nobody knows where the patient lies: nothing is laid over him."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

VIEWS = ("Red", "Green", "Yellow")


@pytest.fixture
def anatomy(desk, sample):
    """The prior's own anatomy, made while the sample is shown and one slice of it is listed, but not used."""
    desk.host.click(desk.ui.templateCheckBox)
    desk.add_all(sample)
    for row in range(len(desk.contexts)):
        desk.tick_cell(row)
    desk.quick(samples="0")
    assert (
        desk.ui.applyButton.text == "Show the prior's anatomy"
        and "no patient's" in desk.ui.applyButton.toolTip
    )
    desk.apply()
    return desk.result


def backgrounds(desk):
    """Names of the background volumes of the views; "" for none."""
    nodes = [desk.host.views[view].logic.GetBackgroundLayer().GetVolumeNode() for view in VIEWS]
    return [node.GetName() if node else "" for node in nodes]


def test_the_anatomy_is_shown_alone_and_says_that_it_is_nobodys(desk, sample, anatomy):
    name = anatomy.mean.GetName()
    assert name.startswith("brain-t1 anatomy (no patient)") and not anatomy.placed
    assert backgrounds(desk) == [name] * 3 and [desk.shown(view) for view in VIEWS] == [None] * 3
    assert (
        "no patient's" in desk.ui.noticeLabel.text
        and "% of the voxels were observed" not in desk.ui.noticeLabel.text
    )
    assert not any(context.node.GetDisplayNode().GetVisibility() for context in desk.contexts)
    middle, inside = np.zeros(6), desk.host.views["Red"].logic
    anatomy.mean.GetRASBounds(middle)
    assert middle[4] < inside.GetSliceOffset() < middle[5]
    desk.host.choose(desk.ui.layerBox, "Uncertainty (sd)")
    assert backgrounds(desk) == [anatomy.std.GetName()] * 3
    desk.show(sample)  # the user wants the scan back: it stays
    desk.host.click(desk.ui.markCheckBox)
    desk.host.click(desk.ui.markCheckBox)
    assert backgrounds(desk) == [sample.GetName()] * 3
    desk.host.choose(desk.ui.layerBox, "Mean")
    assert backgrounds(desk) == [name] * 3


def test_with_another_choice_the_scan_is_back(desk, sample, anatomy):
    for what, choice in ((desk.ui.layerBox, "Nothing"), (desk.ui.resultSelector, "None")):
        desk.host.choose(desk.ui.layerBox, "Mean")
        assert backgrounds(desk) == [anatomy.mean.GetName()] * 3
        desk.host.choose(what, choice)
        assert backgrounds(desk) == [sample.GetName()] * 3 and desk.shown() is None
        assert all(context.node.GetDisplayNode().GetVisibility() for context in desk.contexts)


def test_live_update_and_the_atlas_wait_for_the_first_slice(desk, sample):
    desk.host.click(desk.ui.liveCheckBox)
    desk.wait()
    assert desk.result is None and backgrounds(desk) == [sample.GetName()] * 3 and desk.shown() is None
    assert "waits for the first slice" in desk.ui.statusLabel.text and not desk.ui.atlasButton.enabled
    desk.add_all(sample)
    desk.wait()
    window = sample.GetDisplayNode().GetWindow()
    assert (
        desk.result.live
        and desk.shown() is desk.result.mean
        and desk.result.mean.GetDisplayNode().GetWindow() == window
    )
    assert "waits" not in desk.ui.statusLabel.text
    desk.host.click(desk.ui.liveCheckBox)
