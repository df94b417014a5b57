"""Questions to the model by clicks: planes to scan next, where slices lie, what is improbable in them.

Asked for, listed, outlined, gone to; dropped when slices change.
"""

import re

import numpy as np
import pytest

from host.planes import distance

pytestmark = pytest.mark.slow

VIEWS = ("Red", "Green", "Yellow")
PLACE = r"\d+.%: (axial|coronal|sagittal|oblique.+) at .+ mm in the model, within [\d.]+ mm, [\d.]+°"
SURPRISE = r"Least probable at .+ mm: p = [\d.e-]+, (nothing stands out|\d+ mm² stand out)"
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
    bench.quick(mean_alone=True)
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
    return float(np.abs((points - plane.matrix[:3, 3]) @ plane.matrix[:3, 2]).max())


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
    planes = desk.panel.presenter.questions
    assert [desk.ui.planeList.item(n).text() for n in range(3)] == planes.words()
    assert all(re.fullmatch(WORDS, words) for words in planes.words()), planes.words()
    gains = [plane.gain for plane in planes.listed]
    assert gains == sorted(gains, reverse=True) and gains[-1] > 0 and gains[0] < 0.5


def test_the_chosen_plane_is_outlined_and_gone_to(planned):
    desk, _ = planned
    planes = desk.panel.presenter.questions.listed
    assert off_plane(planes[0]) < 1 < off_plane(planes[1])  # the best is chosen at first
    desk.host.key(desk.ui.planeList, "Down")
    assert off_plane(planes[1]) < 1 < off_plane(planes[0])
    assert not outlines()[0].GetSaveWithScene() and facing(planes[1]) == []
    desk.host.click(desk.ui.goButton)
    assert len(facing(planes[1])) == 1


def test_the_frame_is_searched_again_for_a_scan_that_has_changed(planned, monkeypatch):
    """Moved by a transform, or with other voxels under its name; put back, what was found holds again."""
    import slicer
    import slicer.util

    from SparseVolumeReconstructionLib.geometry import InputError

    desk, _ = planned
    frames = []

    def asked(inputs):
        frames.append(inputs.frame)
        raise InputError("enough is known")

    monkeypatch.setattr(desk.panel.logic, "suggest", asked)
    scan, listed = slicer.util.getNode("Sparse brain, 4 slices"), desk.panel.presenter.questions
    assert listed.listed
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    scan.SetAndObserveTransformNodeID(transform.GetID())
    voxels = slicer.util.arrayFromVolume(scan)
    for moved, factor in ((30.0, 1.0), (0.0, 0.5), (0.0, 2.0)):
        matrix = np.eye(4)
        matrix[2, 3] = moved
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        voxels *= factor
        slicer.util.arrayFromVolumeModified(scan)
        assert listed.listed == [], "an answer goes with what it was asked of"
        desk.host.click(desk.ui.suggestButton)
    scan.SetAndObserveTransformNodeID(None)
    slicer.mrmlScene.RemoveNode(transform)
    assert [isinstance(frame, str) for frame in frames] == [True, True, False]


def test_the_map_of_surprise_says_what_it_cannot_do(planned):
    from SparseVolumeReconstructionLib.mrml.views import shown_volumes

    desk, _ = planned
    before = shown_volumes("Red")[-1]
    desk.host.click(desk.ui.surpriseButton)
    desk.wait()
    questions = desk.panel.presenter.questions
    assert len(questions.listed) == 4 and all(re.fullmatch(SURPRISE, each) for each in questions.words())
    p = [each.p for each in questions.listed]
    assert p == sorted(p) and 0 < p[0] < 1
    assert "does not find lesions" in desk.ui.answerLabel.text
    over = shown_volumes("Red")[-1]
    assert over.GetName() == "Map of surprise" and not over.GetSaveWithScene()
    desk.host.key(desk.ui.planeList, "Down")
    desk.host.click(desk.ui.goButton)
    (view,) = facing(questions.listed[1])
    assert distance(desk, view, questions.listed[1].peak) < 0.1
    desk.host.click(desk.ui.clearButton)
    assert shown_volumes("Red")[-1] is before and questions.listed == [] == outlines()
    assert not desk.ui.adoptButton.enabled, "slices of a map say nothing of where the anatomy lies"
    assert not desk.ui.clearButton.enabled and not desk.ui.answerLabel.isVisible()


def test_places_are_listed_with_their_probabilities(planned):
    import slicer.util

    from SparseVolumeReconstructionLib.mrml.nodes import world_grid

    desk, _ = planned
    for row in range(1, 4):
        desk.tick_cell(row)
    desk.host.click(desk.ui.locateButton)
    desk.wait()
    questions = desk.panel.presenter.questions
    assert [desk.ui.planeList.item(n).text() for n in range(desk.ui.planeList.count)] == questions.words()
    assert all(re.fullmatch(PLACE, words) for words in questions.words()), questions.words()
    likely = [place.probability for place in questions.listed]
    assert likely == sorted(likely, reverse=True) and likely[0] >= 0.3
    assert "90 %" in desk.ui.answerLabel.text and desk.ui.answerLabel.isVisible()
    best = questions.listed[0]  # the anatomy stands where this place has it, so the slice lies where it is
    sample = world_grid(slicer.util.getNode("Sparse brain, 4 slices"))
    (moved,) = best.slices
    height = (np.linalg.inv(sample.ijk_to_ras) @ [*moved.corners_ras().mean(0), 1])[2]
    assert height == pytest.approx(0, abs=0.02) and len(outlines()) == 1
    desk.host.click(desk.ui.goButton)
    assert len(facing(best)) == 1


def test_a_place_is_used_as_frame(planned):
    from SparseVolumeReconstructionLib.mrml.nodes import affine_of
    from SparseVolumeReconstructionLib.workflow.choices import FrameMode

    desk, _ = planned
    questions = desk.panel.presenter.questions
    best, p = questions.listed[0], desk.parameters
    desk.host.click(desk.ui.adoptButton)
    assert p.frameMode == FrameMode.TRANSFORM and questions.listed[0] is best, "another one can be tried"
    np.testing.assert_allclose(affine_of(p.frameTransform), best.frame)
    in_model = np.linalg.inv(affine_of(p.frameTransform)) @ best.matrix
    np.testing.assert_allclose(in_model[:3, 3], best.canonical[:3, 3], atol=1e-6)
    first = p.frameTransform
    desk.host.click(desk.ui.adoptButton)
    assert p.frameTransform is first, "one transform serves all places"
    p.frameMode = FrameMode.AUTO
    desk.host.process(0.05)
    assert questions.listed and desk.ui.adoptButton.enabled


def test_suggestions_end_with_what_they_were_made_for(planned):
    desk, _ = planned
    ui, planes, runner = desk.ui, desk.panel.presenter.questions, desk.panel.presenter.runner
    desk.tick_cell(1)
    assert planes.listed == [] == outlines() and not ui.planeList.isVisible() and not ui.goButton.enabled
    desk.host.click(ui.suggestButton)
    assert runner.running and not ui.suggestButton.enabled
    desk.tick_cell(1)  # another slice: what is being looked for is of no use any more
    desk.wait()
    assert planes.listed == [] == outlines() and not runner.status.error and ui.suggestButton.enabled
    desk.parameters.prior = "brain-t1-slice-vae"
    desk.host.process(0.05)
    assert not ui.suggestButton.enabled and "structured Gaussian" in ui.suggestButton.toolTip
