"""Step 4 of the panel, by clicks and keys: outputs, Apply, Cancel, and errors."""

import re
import time

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def nodes():
    """All nodes of the scene."""
    import slicer.util

    return slicer.util.getNodesByClass("vtkMRMLNode")


def grid(node):
    """Size and 4x4 IJKToRAS of a volume node."""
    import slicer.util
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return node.GetImageData().GetDimensions(), slicer.util.arrayFromVTKMatrix(matrix)


def _check_tissues_are_shown(desk):
    """By their names, each in its colour from nothing to all, in the folder of the result, with a legend."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    for role, label, colour in (("csf", "Fluid", "Cyan"), ("gm", "Grey matter", "Magenta")):
        node = getattr(desk.result, role)
        desk.host.choose(desk.ui.layerBox, label)
        assert desk.shown() is node and node.GetName().endswith(f" {label.lower()}")
        display = node.GetDisplayNode()
        assert display.GetColorNode().GetName() == colour
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == desk.result.folder
        legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
        assert legend.GetVisibility() and "share of" in legend.GetTitleText()
        desk.host.choose(desk.ui.layerBox, f"{label} (sd)")
        assert desk.shown() is getattr(desk.result, f"{role}_std")
        legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(desk.shown())
        assert legend.GetVisibility() and "sd, share of" in legend.GetTitleText()
    desk.host.choose(desk.ui.layerBox, "Mean")
    desk.host.click(desk.ui.tissuesCheckBox)


@pytest.fixture
def ready(desk, sample):
    """Four slices, a coarse grid, and a frame that need not be found."""
    desk.add_all(sample)
    desk.host.choose(desk.ui.frameModeBox, "Already registered")
    desk.quick()
    return sample


def test_outputs_are_what_was_chosen(desk, ready):
    host, ui = desk.host, desk.ui
    host.type(ui.nameEdit, "Half a head")
    host.click(ui.stdCheckBox)
    host.click(ui.templateCheckBox)
    host.type(ui.samplesSpinBox, "3")
    host.type(ui.spacingSpinBox, "4.5")
    desk.apply()
    result = desk.result
    assert set(result.roles) == {"mean", "observed", "samples", "browser", "current", "frame"}
    assert re.fullmatch(r"Half a head brain-t1 4 slices \d\d:\d\d:\d\d mean", result.mean.GetName())
    assert result.samples.GetNumberOfDataNodes() == 3
    assert result.provenance["draws"] == "donors" and "start from real anatomy" in ui.noticeLabel.text
    ui.outputsSection.collapsed = False
    assert ui.drawsBox.isVisible() and ui.drawsLabel.isVisible()
    host.choose(ui.drawsBox, "Noise")
    assert result.mean.GetSpacing() == pytest.approx((4.5, 4.5, 4.5))
    assert ui.resultSelector.currentNode() is result.mean and desk.shown() is result.mean
    host.click(ui.stdCheckBox)
    host.click(ui.templateCheckBox)
    host.type(ui.samplesSpinBox, "1")
    host.type(ui.nameEdit, "Whole")
    host.click(ui.tissuesCheckBox)
    desk.apply()
    made = {"mean", "std", "observed", "template", "template_mask", "frame"}
    sampled = {"samples", "browser", "current"}
    assert set(desk.result.roles) == made | sampled | {"csf", "csf_std", "gm", "gm_std", "wm", "wm_std"}
    assert desk.result.provenance["draws"] == "gaussian" and "real anatomy" not in ui.noticeLabel.text
    _check_tissues_are_shown(desk)
    assert (
        desk.result.mean.GetName().startswith("Whole brain-t1 4 slices ")
        and result.mean.GetScene() is not None
    )


def test_a_volume_gives_its_grid(desk, ready):
    wanted = desk.noise("Grid", (20, 24, 28), 6.0)
    desk.host.choose(desk.ui.likeSelector, "Grid")
    assert not desk.ui.spacingSpinBox.enabled
    desk.apply()
    for role in ("mean", "std", "observed", "current"):
        node = getattr(desk.result, role)
        assert grid(node)[0] == grid(wanted)[0]
        np.testing.assert_allclose(grid(node)[1], grid(wanted)[1], atol=1e-4)
    desk.host.choose(desk.ui.likeSelector, "None")
    assert desk.ui.spacingSpinBox.enabled and desk.parameters.likeVolume is None


def test_observed_pixels_are_kept_or_not(desk, ready):
    import slicer.util

    desk.quick(mean_alone=True)
    desk.host.choose(desk.ui.likeSelector, ready.GetName())
    seen, off = slicer.util.arrayFromVolume(ready).astype(float), {}
    for kept in (True, False):
        assert desk.ui.keepCheckBox.checked is kept
        desk.apply()
        mean, observed = (
            slicer.util.arrayFromVolume(node) for node in (desk.result.mean, desk.result.observed)
        )
        off[kept] = (
            np.abs(mean - seen)[observed > 0].mean()
            if observed.any()
            else np.abs(mean - seen)[seen > 0].mean()
        )
        desk.host.click(desk.ui.keepCheckBox)
    assert off[True] < 1 < 5 < off[False]


@pytest.mark.parametrize("what", ["transform", "name", "outside", "prior"])
def test_apply_is_off_and_says_why(desk, ready, what):
    host, ui = desk.host, desk.ui
    assert ui.applyButton.enabled and ui.applyButton.toolTip == "Reconstruct the volume"
    if what == "transform":
        host.choose(ui.frameModeBox, "Transform node")
        words = "Choose the transform"
    elif what == "name":
        host.type(ui.nameEdit, " ")
        words = "Give the result a name"
    elif what == "outside":
        ready.SetOrigin(1000, 1000, 1000)
        host.click_cell(ui.contextTable, 0, 1)
        words = "move it inside"
    else:
        desk.parameters.prior = "gone"  # as a scene that was made with another computer's models
        host.process(0.05)
        words = 'no model "gone"'
    assert not ui.applyButton.enabled and words in ui.applyButton.toolTip
    assert words in next(label.text for label in (ui.reasonLabel, ui.errorLabel) if label.isVisible())
    with pytest.raises(AssertionError, match="is disabled"):
        host.click(ui.applyButton)
    if what == "outside":
        assert "unusable" in desk.row(0)
        host.click(ui.removeAllButton)
    elif what == "name":
        host.type(ui.nameEdit, "Again")
    else:
        host.choose(ui.frameModeBox, "Already registered")
        desk.parameters.prior = "brain-t1"
        host.process(0.05)
    assert ui.applyButton.enabled and not ui.reasonLabel.isVisible()


def test_apply_is_cancelled_and_everything_kept(desk, ready):
    host, ui = desk.host, desk.ui
    desk.quick(mean_alone=True)
    desk.apply()
    first, before = desk.result, [node.GetID() for node in nodes()]
    row, contexts = desk.row(0), desk.contexts
    host.type(ui.spacingSpinBox, "0.8")
    host.type(ui.samplesSpinBox, "30")
    host.click(ui.applyButton)
    assert ui.applyButton.text == "Cancel" and ui.progressBar.isVisible() and ui.statusLabel.isVisible()
    host.wait_until(lambda: ui.progressBar.value > 5, 60)
    assert ui.statusLabel.text
    start = time.monotonic()
    host.click(ui.applyButton)
    host.wait_until(lambda: not desk.panel.presenter.runner.busy, 10)
    assert time.monotonic() - start < 2.0
    host.process(0.05)
    assert ui.applyButton.text == "Apply" and not ui.progressBar.isVisible() and not ui.errorFrame.isVisible()
    assert (
        [node.GetID() for node in nodes()] == before
        and desk.result == first
        and desk.contexts == contexts
        and desk.row(0) == row
    )
    desk.quick(mean_alone=True)
    desk.apply()
    assert desk.result.mean is not first.mean and desk.result.mean.GetSpacing() == pytest.approx((4, 4, 4))


def test_an_error_is_one_line_with_a_log(desk):
    import qt

    desk.noise(shape=(60, 72, 60), spacing=3.0)
    host, ui = desk.host, desk.ui
    for view in ("Red", "Green", "Yellow"):
        host.click(getattr(ui, f"add{view}Button"))
    desk.quick()
    before = [node.GetID() for node in nodes()]
    desk.apply()
    assert ui.errorFrame.isVisible() and ui.errorLabel.text.startswith(
        "The slices do not look like brain T1w MRI (brain-t1): "
    )
    assert "\n" not in ui.errorLabel.text and "Traceback" not in ui.errorLabel.text
    assert desk.result is None and [node.GetID() for node in nodes()] == before and len(desk.contexts) == 3
    assert ui.applyButton.enabled and ui.applyButton.text == "Apply" and not ui.logEdit.isVisible()
    host.click(ui.logButton)
    assert (
        ui.logEdit.isVisible()
        and ui.errorLabel.text in ui.logEdit.plainText
        and "Traceback" in ui.logEdit.plainText
    )
    host.click(ui.copyLogButton)
    assert qt.QApplication.clipboard().text() == ui.logEdit.plainText
    host.click(ui.logButton)
    assert not ui.logEdit.isVisible()


def test_the_brain_of_whole_heads_is_outlined(bench, tmp_path):
    from SparseVolumeReconstructionLib.geometry import Grid, Volume
    from SparseVolumeReconstructionLib.mrml.results import load_result
    from SparseVolumeReconstructionLib.reconstruction.result import Reconstruction, write_result

    bench.clear()
    made, array = {}, np.ones((9, 8, 7), np.uint8)
    frame = {"found_from_slices": True, "patient_to_canonical": np.eye(4).tolist()}
    request = {"outputs": ["mean"], "contexts": [{"path": "head.nrrd", "source": "Head"}], "show_as": "own"}
    for name, masks in (("Whole", ("observed", "brain_mask")), ("Bare", ("observed",))):
        provenance = {"request": request, "frame": frame, "frame_probability": 0.6 + 0.37 * (name == "Bare")}
        contrast = {"found": "T2w-like", "other": True} if name == "Whole" else {"found": "T1w-like"}
        provenance["contrast"] = {**contrast, "series": {"Head": {}}}
        volumes = {role: Volume(array, Grid.centred(array.shape, 9.0)) for role in ("mean", *masks)}
        write_result(Reconstruction.of(volumes, np.eye(4), provenance), tmp_path / name)
        made[name] = load_result(tmp_path / name, name)
    box, views = bench.ui.brainCheckBox, bench.host.views
    for name in ("Bare", "Whole", "Bare", "Whole"):
        bench.host.choose(bench.ui.resultSelector, f"{name} mean")
        assert box.visible == (name == "Whole") and box.text == "Brain mask (inferred)"
        _check_frame_and_contrast_are_told(bench, name == "Whole")
        assert not box.checked and not views["Red"].composite.GetLabelVolumeID()
        if name == "Whole":
            bench.host.click(box)
            outlined = {views[view].composite.GetLabelVolumeID() for view in ("Red", "Green", "Yellow")}
            assert outlined == {made["Whole"].brain_mask.GetID()}
            assert views["Red"].node.GetUseLabelOutline() and not bench.ui.markCheckBox.enabled
            bench.host.click(box)
            assert not views["Red"].composite.GetLabelVolumeID() and bench.ui.markCheckBox.enabled


def _check_frame_and_contrast_are_told(desk, whole):
    """In words with the number, amber where it is doubtful; the contrast is offered where it is not T1w."""
    ui = desk.ui
    assert ui.frameLabel.text == ("Frame found: only 60 % sure" if whole else "Frame found: 97 % sure")
    assert ("#fff4d6" in ui.frameLabel.styleSheet) == whole and ui.frameLabel.isVisible()
    told = "T2w-like, whole head" if whole else "T1w-like"
    assert ui.noticeLabel.text.splitlines()[0] == told
    assert ui.showAsBox.isVisible() == ui.showAsLabel.isVisible() == whole
    if whole:
        desk.host.choose(ui.showAsBox, "T1w, as the model")
        assert "Reconstruct again to see it so: T1w, as the model." in ui.noticeLabel.text
        assert desk.panel.presenter.inputs().show_as == "t1w"
        desk.host.choose(ui.showAsBox, "As the slices")
