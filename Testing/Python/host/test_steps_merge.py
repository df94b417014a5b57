"""Stacks are merged by clicks: chosen, merged, slices listed, drawn, gone to, switched off; cancelled."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow

USED, SLICE, WEIGHT, MOVED, WHY = range(5)


@pytest.fixture(scope="module")
def stacks(bench, tmp_path_factory):
    """The panel with three small stacks of a body that moved, and the mask of each, in the scene."""
    from svr.phantom import moving, write_stacks

    from SparseVolumeReconstructionLib.geometry.io import read_volume
    from SparseVolumeReconstructionLib.mrml.nodes import add_volume

    bench.clear()
    folder, found = tmp_path_factory.mktemp("stacks"), moving()
    nodes = []
    for n, path in enumerate(write_stacks(found, folder), 1):
        nodes.append(add_volume(read_volume(path), f"Stack {n}"))
    masks = [read_volume(path) for path in write_stacks(found, folder, masks=True)]
    for name, mask in zip((10, 1, 2, 3), (masks[2], *masks), strict=True):
        add_volume(mask, f"Stack {name} mask")
    bench.show(nodes[0])
    return bench, nodes


@pytest.fixture(scope="module")
def form(stacks):
    """The widgets of the section."""
    return stacks[0].tools["merge"]


@pytest.fixture(scope="module")
def merged(stacks, form):
    """The three, chosen and merged by clicks; with them, what the computing process is asked."""
    desk, nodes = stacks
    host, asked = desk.host, []
    begin = desk.panel.logic.client.submit
    host.click(form.toolSection)
    for node in nodes:
        host.choose(form.toolSelector, node.GetName())
        host.click(form.toolAddButton)
    host.process(0.05)
    host.type(form.toolOptions.findChildren(type(desk.ui.spacingSpinBox))[0], "3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            desk.panel.logic.client,
            "submit",
            lambda request, **words: asked.append(request) or begin(request, **words),
        )
        host.click(form.toolButton)
        host.process(0.05)
        assert form.toolButton.text == "Cancel"
        desk.wait()
        yield desk, nodes, asked


def test_a_merge_comes_back_as_a_result(merged, form):
    import slicer.util

    desk, nodes, (request, *_) = merged
    result = desk.result
    assert [each["source"] for each in request["stacks"]] == ["Stack 1", "Stack 2", "Stack 3"]
    chosen = [slicer.util.getNode(f"Stack {n} mask").GetID() for n in (1, 2, 3)]  # found by their names
    assert [each.values["mask"] for each in desk.panel.presenter.tools["merge"].inputs] == chosen
    assert len(request["masks"]) == 3 and request["device"] == desk.panel.presenter.parameters.device.value
    assert result.operation == "svr" and set(result.roles) == {"mean", "std", "seen"}
    assert result.mean.GetSpacing() == pytest.approx((3, 3, 3))
    bounds, stack = [0.0] * 6, [0.0] * 6
    result.mean.GetRASBounds(bounds)
    nodes[0].GetRASBounds(stack)
    middle = np.array(bounds).reshape(3, 2).mean(1)
    np.testing.assert_allclose(middle, (5, -7, 11), atol=6)  # where the body lies
    assert 100 < slicer.util.arrayFromVolume(result.mean).max() < 600  # units of the first stack
    assert result.mean.GetAttribute("SparseVolumeReconstruction.Notice")
    assert desk.shown() is result.mean and "INFERRED" in desk.panel.sections[5]._mark.text("Red")
    assert "Every voxel is inferred" in desk.ui.noticeLabel.text and not desk.ui.frameLabel.isVisible()


def test_slices_are_listed_drawn_and_gone_to(merged, form):
    from SparseVolumeReconstructionLib.mrml.drawing import outlines
    from SparseVolumeReconstructionLib.mrml.placed import CHOSEN, ROLE

    desk, _nodes, _asked = merged
    table, told = form.sliceTable, desk.result.provenance["slices"]
    assert table.rowCount == len(told) > 20
    assert table.item(0, SLICE).text().startswith("Stack 1 ")
    assert [table.item(n, WEIGHT).text() for n in range(3)] == [f"{each['weight']:.2f}" for each in told[:3]]
    drawn = sum(node.GetPolyData().GetNumberOfCells() for node in outlines(ROLE))
    assert drawn == len(told) and outlines(CHOSEN) == []
    before = {view: desk.host.views[view].logic.GetSliceOffset() for view in ("Red", "Green", "Yellow")}
    desk.host.click_cell(table, 2, SLICE)
    assert len(outlines(CHOSEN)) == 1
    assert before != {view: desk.host.views[view].logic.GetSliceOffset() for view in before}
    desk.host.click(form.drawSlicesBox)
    assert outlines(ROLE) == [] == outlines(CHOSEN)
    desk.host.click(form.drawSlicesBox)
    assert len(outlines(ROLE)) == 3


def test_a_merge_goes_on_without_a_slice_that_is_switched_off(merged, form):
    desk, _nodes, asked = merged
    before, told = desk.result.mean, desk.result.provenance["slices"]
    desk.tick(form.sliceTable, 1, USED)
    assert form.toolButton.text == "Merge without 1 slice"
    desk.host.click(form.toolButton)
    desk.host.wait_until(lambda: desk.status.step.startswith("motion"))
    desk.host.click(form.toolButton)  # cancelled
    desk.wait()
    assert desk.result.mean is before and not desk.status.error
    desk.host.click(form.toolButton)
    desk.wait()
    now = desk.result.provenance["slices"]
    assert asked[2]["exclude"] == [{"stack": 1, "slices": [told[1]["index"]]}] and asked[2]["continue_from"]
    assert now[1]["weight"] == 0 and form.sliceTable.item(1, WHY).text() == now[1]["reason"] != ""
    assert form.sliceTable.item(1, USED).checkState().value == 0
    desk.tick(form.sliceTable, 1, USED)
    assert form.toolButton.text == "Merge"


def test_a_merge_starts_anew_where_a_mask_was_changed_and_not_without_one_that_is_gone(merged, tmp_path):
    """Poses that were found with other slices are no start; what was chosen is not left out silently."""
    import slicer
    import slicer.util

    from SparseVolumeReconstructionLib.geometry import InputError

    desk, _nodes, _asked = merged
    use, mask = desk.panel.presenter.tools["merge"], slicer.util.getNode("Stack 1 mask")

    def goes_on(name: str) -> bool:
        (tmp_path / name).mkdir()
        return use.tool.making(use).build(tmp_path / name)["continue_from"] is not None

    voxels = slicer.util.arrayFromVolume(mask)
    assert goes_on("same")
    voxels[0, 0, 0] = voxels.max() - voxels[0, 0, 0]
    assert not goes_on("changed")
    voxels[0, 0, 0] = voxels.max() - voxels[0, 0, 0]
    assert goes_on("back")
    use.set_field(0, "mask", slicer.util.getNode("Stack 10 mask").GetID())
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("Stack 10 mask"))
    with pytest.raises(InputError, match="what was chosen is gone"):
        use.start()
    use.set_field(0, "mask", mask.GetID())


def test_the_result_blinks_over_the_scan(merged):
    desk, _nodes, _asked = merged
    composite, button = desk.host.views["Red"].composite, desk.ui.blinkButton
    desk.host.click(button)
    seen = set()
    desk.host.wait_until(lambda: seen.add(composite.GetForegroundOpacity()) or seen == {0.0, 1.0})
    desk.host.click(button)
    assert composite.GetForegroundOpacity() == 1.0 and not desk.panel.sections[5]._blinker.active
    desk.host.click(button)
    desk.panel.leave()
    assert not desk.panel.sections[5]._blinker.active and composite.GetForegroundOpacity() == 1.0
    desk.panel.enter()
    desk.host.click(button)
    desk.parameters.result = None  # nothing is left to blink
    desk.host.process(0.05)
    assert not button.checked and not button.enabled
