"""The selectors of volumes: what was deleted is chosen no more, nothing is chosen in its place, and no
generated volume is a scan.
"""

import pytest

from SparseVolumeReconstructionLib.workflow.choices import NODES

SELECTORS = {
    **{"allVolume": "allSelector", "likeVolume": "likeSelector", "reference": "referenceSelector"},
    "frameTransform": "frameTransformSelector",
}


def nodes_of(desk, choice):
    """Three nodes that a selector offers."""
    import slicer

    if NODES[choice] == "vtkMRMLLinearTransformNode":
        return [slicer.mrmlScene.AddNewNodeByClass(NODES[choice], name) for name in "ABC"]
    return [desk.noise(name, (4, 5, 6)) for name in "ABC"]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("choice", SELECTORS)
def test_what_is_deleted_leaves_nothing_chosen(desk, choice, place):
    import slicer

    selector, nodes = getattr(desk.ui, SELECTORS[choice]), nodes_of(desk, choice)
    desk.host.choose(
        desk.ui.frameModeBox, "Transform node" if choice == "frameTransform" else "Found from the slices"
    )
    desk.host.choose(selector, nodes[place].GetName())
    assert getattr(desk.parameters, choice) is nodes[place]
    slicer.mrmlScene.RemoveNode(nodes[(place + 1) % 3])
    assert selector.currentNode() is nodes[place] is getattr(desk.parameters, choice), (
        "another one was deleted"
    )
    slicer.mrmlScene.RemoveNode(nodes[place])
    desk.host.process(0.02)
    assert selector.currentNode() is None and getattr(desk.parameters, choice) is None


def test_what_was_generated_is_offered_as_no_scan(desk):
    import slicer

    scan, generated = desk.noise("Scan"), desk.noise("Generated")
    desk.host.choose(desk.ui.referenceSelector, "Generated")  # as an old scene may name it
    generated.SetAttribute("SparseVolumeReconstruction.Role", "atlas")
    desk.panel.refresh()
    for selector in (desk.ui.allSelector, desk.ui.referenceSelector):
        assert selector.currentNode() is None
        desk.host.choose(selector, "Scan")
        with pytest.raises(ValueError, match="no item 'Generated'"):
            desk.host.choose(selector, "Generated")
    desk.host.choose(desk.ui.likeSelector, "Generated")
    assert (
        desk.parameters.likeVolume is generated
        and desk.parameters.allVolume is desk.parameters.reference is scan
    )
    slicer.mrmlScene.RemoveNode(generated)
    assert desk.parameters.likeVolume is None and desk.parameters.reference is scan
