"""A stack as scanned, by clicks: its brain is found, corrected, used; still slices are proposed and taken."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow
MOTION = 6
MOVED = 12


@pytest.fixture
def stack(desk):
    """Mother and fetus, as a volume node that is shown; in one slice the head had moved."""
    from alignment.pregnancy import Pregnancy

    from SparseVolumeReconstructionLib.mrml.nodes import add_volume

    scanned, _ = Pregnancy().stack({MOVED: np.array([0, 8.0, 0])})
    desk.parameters.prior = "fetal-t2"
    return desk.show(add_volume(scanned, "Stack"))


def numbers(desk, stack):
    """Numbers of the slices of the stack that are used."""
    from SparseVolumeReconstructionLib.mrml.segments import number_in

    return [number_in(stack, one.plane) for one in desk.contexts if one.enabled]


def test_the_brain_of_a_stack_is_found_corrected_and_used(desk, stack):
    import slicer

    host, ui = desk.host, desk.ui
    assert not ui.findMaskButton.enabled and not ui.correctButton.enabled and not ui.takeButton.isVisible()
    host.choose(ui.allSelector, "Stack")
    host.click(ui.findMaskButton)
    desk.wait()
    mask = desk.parameters.mask
    assert mask.GetName() == "Stack brain" and ui.maskSelector.currentNode() is mask
    proposal = desk.panel.presenter.masks.proposed
    assert len(proposal) == 4 and MOVED not in proposal
    words = f"Slices {', '.join(map(str, proposal))} of Stack belong together"
    assert ui.takeButton.isVisible() and ui.proposalLabel.text.startswith(words)
    assert ui.contextTable.isColumnHidden(MOTION) and not desk.contexts  # nobody takes them but the user
    _check_all_slices_say_how_still_they_were(desk)
    host.click(ui.takeButton)
    assert numbers(desk, stack) == proposal and not ui.takeButton.enabled
    host.click(ui.undoButton)
    assert len(numbers(desk, stack)) == 24 and ui.takeButton.enabled
    host.click(ui.removeAllButton)
    host.click(ui.takeButton)
    assert numbers(desk, stack) == proposal and len(desk.contexts) == 4
    host.click(ui.correctButton)
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    assert editor.segmentation is mask and editor.volume is stack
    _erase(mask, stack, proposal[0])
    host.select("SparseVolumeReconstruction")
    _check_the_corrected_mask_is_used(desk, proposal)


def test_the_brain_of_a_visit_is_found_in_all_its_stacks(desk, stack):
    """One request for all stacks of the list, whose masks are then those of the merge."""
    import slicer

    from SparseVolumeReconstructionLib.geometry import Grid, Volume
    from SparseVolumeReconstructionLib.mrml.nodes import add_volume, volume_of
    from SparseVolumeReconstructionLib.mrml.segments import mask_of, stack_of

    host, form, use = desk.host, desk.tools["merge"], desk.panel.presenter.tools["merge"]
    whole = volume_of(stack)
    half = Volume(
        whole.array[::2].copy(), Grid((12, 144, 144), whole.grid.ijk_to_ras @ np.diag([1, 1, 2, 1]))
    )
    nodes = [stack, add_volume(half, "Stack")]  # two series of one name
    host.click(form.toolSection)
    assert form.toolMasksButton.isVisible() and not form.toolMasksButton.enabled
    assert not desk.tools["contrast"].toolMasksButton.isVisible()
    for node in nodes:
        use.add(node)
    host.process(0.05)
    asked, submit = [], desk.panel.logic.client.submit
    with pytest.MonkeyPatch.context() as patch:
        client = desk.panel.logic.client
        patch.setattr(
            client, "submit", lambda request, **words: asked.append(request) or submit(request, **words)
        )
        host.click(form.toolMasksButton)
        desk.wait()
    assert [len(request["stacks"]) for request in asked] == [2]
    masks = [slicer.mrmlScene.GetNodeByID(each.values["mask"]) for each in use.inputs]
    assert [stack_of(mask) for mask in masks] == nodes
    sizes = [int(mask_of(mask).array.sum()) * spacing for mask, spacing in zip(masks, (4, 8), strict=True)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def _check_all_slices_say_how_still_they_were(desk):
    """A column of the table, amber in the slice in which the head had moved."""
    ui = desk.ui
    desk.host.click(ui.useAllButton)
    assert not ui.contextTable.isColumnHidden(MOTION)
    off = [ui.contextTable.item(row, MOTION).text() for row in range(24)]
    amber = [ui.contextTable.item(row, MOTION).background().color().name() == "#fff4d6" for row in range(24)]
    assert amber[MOVED] and float(off[MOVED]) > 4.0 > float(off[MOVED - 1]) and sum(amber) < 12


def _erase(mask, stack, number):
    """What the eraser of the Segment Editor does to one slice."""
    import slicer
    import slicer.util

    from SparseVolumeReconstructionLib.mrml.segments import mask_of

    kept = mask_of(mask).array.copy()
    kept[number] = 0
    label_map = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    label_map.CopyOrientation(stack)
    slicer.util.updateVolumeFromArray(label_map, kept)
    mask.GetSegmentation().RemoveAllSegments()
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(label_map, mask)
    slicer.mrmlScene.RemoveNode(label_map)


def _check_the_corrected_mask_is_used(desk, proposal):
    """The slice in which it was erased is left out; what was found is not found anew."""
    desk.host.choose(desk.ui.frameModeBox, "Already registered")
    desk.quick(spacing="5", samples="0")
    desk.apply()
    warnings = desk.panel.presenter.explorer.warnings()
    left_out = [each for each in warnings if each.startswith("Slices without any brain were left out")]
    assert len(left_out) == 1 and left_out[0].count("Stack") == 1
    assert not any("mother and fetus" in each for each in warnings)
    assert len(desk.result.provenance["contexts"]) == len(proposal) - 1
    assert "brain as masked" in desk.ui.noticeLabel.text
