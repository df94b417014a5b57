"""Which plane to scan next, by clicks: asked for, listed, outlined, gone to; dropped when slices change."""

import re

import numpy as np
import pytest

pytestmark = pytest.mark.slow

VIEWS = ("Red", "Green", "Yellow")
WORDS = r"(Axial|Coronal|Sagittal|Oblique.+) at [LR] \d+ [PA] \d+ [IS] \d+ mm: [\d.]+.% less variance"


@pytest.fixture(scope="module")
def planned(bench):
    """The panel with a reconstruction of the sample and the planes that are suggested beside its slices.

    With it, what the computing process was asked.
    """
    bench.clear()
    assert not bench.ui.suggestButton.enabled and "take a slice first" in bench.ui.suggestButton.toolTip
    assert not bench.ui.planeList.isVisible() and not bench.ui.goButton.enabled
    bench.add_all(bench.sample())
    bench.quick(samples="0")
    bench.apply()
    asked, suggest = [], bench.panel.logic.suggest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.panel.logic, "suggest", lambda inputs: asked.append(inputs) or suggest(inputs))
        bench.host.click(bench.ui.suggestButton)
        bench.wait()
    return bench, asked


def outlines() -> list:
    """The model nodes that outline a suggested plane."""
    import slicer.util

    models = slicer.util.getNodesByClass("vtkMRMLModelNode")
    return [node for node in models if node.GetAttribute("SparseVolumeReconstruction.Role") == "suggestion"]


def off_plane(plane) -> float:
    """How far the outline reaches from a plane, mm."""
    from vtk.util.numpy_support import vtk_to_numpy

    (node,) = outlines()
    points = vtk_to_numpy(node.GetPolyData().GetPoints().GetData())
    return float(np.abs((points - plane.middle) @ plane.normal).max())


def facing(plane) -> list[str]:
    """The views that show a plane."""
    from SparseVolumeReconstructionLib.mrml.contexts import same_plane
    from SparseVolumeReconstructionLib.mrml.views import plane_of, slice_node

    return [view for view in VIEWS if same_plane(plane_of(slice_node(view)), plane.matrix)]


def test_planes_are_suggested_in_the_frame_that_was_found(planned):
    desk, (inputs,) = planned
    found = desk.result.provenance["frame"]
    assert found["found_from_slices"]
    np.testing.assert_allclose(inputs.frame, found["patient_to_canonical"])
    planes = desk.panel.presenter.next_plane
    assert [desk.ui.planeList.item(n).text() for n in range(3)] == planes.words()
    assert all(re.fullmatch(WORDS, words) for words in planes.words()), planes.words()
    gains = [plane.gain for plane in planes.planes]
    assert gains == sorted(gains, reverse=True) and gains[-1] > 0 and gains[0] < 0.5


def test_the_chosen_plane_is_outlined_and_gone_to(planned):
    desk, _ = planned
    planes = desk.panel.presenter.next_plane.planes
    assert off_plane(planes[0]) < 1 < off_plane(planes[1])  # the best is chosen at first
    desk.host.key(desk.ui.planeList, "Down")
    assert off_plane(planes[1]) < 1 < off_plane(planes[0])
    assert not outlines()[0].GetSaveWithScene() and facing(planes[1]) == []
    desk.host.click(desk.ui.goButton)
    assert len(facing(planes[1])) == 1


def test_suggestions_end_with_what_they_were_made_for(planned):
    desk, _ = planned
    ui, planes, runner = desk.ui, desk.panel.presenter.next_plane, desk.panel.presenter.runner
    desk.tick_cell(0)
    assert planes.planes == [] == outlines() and not ui.planeList.isVisible() and not ui.goButton.enabled
    desk.host.click(ui.suggestButton)
    assert runner.running and not ui.suggestButton.enabled
    desk.tick_cell(0)  # another slice: what is being looked for is of no use any more
    desk.wait()
    assert planes.planes == [] == outlines() and not runner.status.error and ui.suggestButton.enabled
    desk.parameters.prior = "brain-t1-slice-vae"
    desk.host.process(0.05)
    assert not ui.suggestButton.enabled and "structured Gaussian" in ui.suggestButton.toolTip
