"""A radiograph becomes a volume, and scans another contrast, by clicks in forms."""

import numpy as np
import pytest
from synthesis.conftest import blind, model, visits_dir  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def radiograph(bench):
    """The panel with a lateral radiograph of the mean mouse head in the scene."""
    import torch

    from SparseVolumeReconstructionLib.geometry import Grid, Volume
    from SparseVolumeReconstructionLib.mrml.nodes import add_volume
    from SparseVolumeReconstructionLib.observation import Radiograph
    from SparseVolumeReconstructionLib.observation.projection import CHI
    from SparseVolumeReconstructionLib.observation.views import VIEWS, detector, middle_of, view_axes
    from SparseVolumeReconstructionLib.zoo import ModelStore

    bench.clear()
    prior = ModelStore().load("mouse-xray", "cpu")
    side = 64 * 0.4
    plane = detector(view_axes(np.array(VIEWS["side"])), middle_of(prior.grid), (32, 32), side / 32)
    blank = Radiograph(np.eye(32), plane, "r", "r", None, attenuation_per_mm=CHI / side)
    shown = blank.operator(prior.grid).forward(torch.as_tensor(prior.condition([]).mean())[None])[0]
    grey = np.exp(-shown.numpy()).reshape(1, 32, 32).astype(np.float32)
    grid = Grid(grey.shape, np.diag([side / 32, side / 32, 1.0, 1.0]))
    add_volume(Volume(grey, grid), "Lateral")
    add_volume(Volume(np.zeros((4, 8, 8), np.float32), Grid((4, 8, 8), np.eye(4))), "No radiograph")
    return bench, prior


def test_a_radiograph_becomes_a_volume(radiograph):
    import slicer.util

    desk, prior = radiograph
    form, host = desk.tools["xray"], desk.host
    host.click(form.toolSection)
    assert not form.toolButton.enabled and form.toolSelector.nodeCount == 1  # what is no radiograph
    host.choose(form.toolSelector, "Lateral")
    host.click(form.toolAddButton)
    host.process(0.05)
    host.choose(form.toolInputs.cellWidget(0, 1), "lateral")
    models = next(one for one in form.toolOptions.children() if one.className() == "QComboBox")
    ids = ["head-xray", "mouse-xray", "mouse-xray-cnn"]
    assert [models.itemText(row) for row in range(models.count)] == ids
    assert models.currentText == "head-xray" and "no CT and no radiograph was seen" in form.toolCard.text
    host.choose(models, "mouse-xray")
    of_slices = [desk.ui.priorBox.itemText(row) for row in range(desk.ui.priorBox.count)]
    assert any("(mouse-xray)" in text for text in of_slices) and "X-ray network" not in str(of_slices)
    assert "mouse" in form.toolCard.text and "not for diagnosis" in form.toolLine.text
    host.click(form.toolButton)
    desk.wait()
    result = desk.result
    assert result.main.GetName().startswith("Volume from radiographs") and result.std is not None
    mean = slicer.util.arrayFromVolume(result.mean)
    np.testing.assert_allclose(result.mean.GetSpacing(), 0.4, atol=1e-6)
    truth = prior.condition([]).mean().numpy()
    assert np.corrcoef(mean.ravel(), truth.ravel())[0, 1] > 0.9
    assert "No voxel of it was observed, all are inferred" in desk.ui.noticeLabel.text
    assert "explains 9" in desk.ui.frameLabel.text
    assert desk.host.views["Red"].composite.GetBackgroundVolumeID() == result.mean.GetID()  # no radiograph
    request = result.provenance["request"]["contexts"][0]
    assert request["view"] == "side" and request["source"] == "Lateral"


def test_a_contrast_is_converted_by_a_network_of_the_user(bench, blind):  # noqa: F811
    """Named by its file; the contrast of a scan is guessed by its name, and asked for once."""
    import slicer.util
    from synthesis.conftest import with_a_spot

    from SparseVolumeReconstructionLib.mrml.nodes import add_volume

    bench.clear()
    desk, form, host = bench, bench.tools["contrast"], bench.host
    scan = with_a_spot(20)
    for name in ("Patient FLAIR", "Patient FLAIR again"):
        add_volume(scan, name)
    host.process(0.05)
    host.click(form.toolSection)
    for name in ("Patient FLAIR", "Patient FLAIR again"):
        host.choose(form.toolSelector, name)
        host.click(form.toolAddButton)
        host.process(0.05)
    assert form.toolInputs.cellWidget(0, 1).currentText == "FLAIR"
    host.click(form.toolButton)
    assert "FLAIR is chosen twice" in desk.status.error
    host.click_cell(form.toolInputs, 1, 2)  # the cross
    host.process(0.05)
    (menu,) = (one for one in form.toolOptions.children() if one.className() == "QComboBox")
    assert menu.currentText == "T1w from FLAIR" and menu.currentText in form.toolCard.text
    (edit,) = (one for one in form.toolOptions.children() if one.className() == "ctkPathLineEdit")
    edit.currentPath = str(blind)
    host.process(0.05)
    host.click(form.toolButton)
    assert "a network and a file are chosen" in desk.status.error
    host.choose(menu, "from a file")
    host.click(form.toolButton)
    desk.wait()
    result = desk.result
    assert not desk.status.error and result.operation == "synthesize"
    assert set(result.roles) == {"mean", "std", "lost"}
    assert slicer.util.arrayFromVolume(result.lost).max() == 1
    assert "lesions there may be missing in the T1w" in str(result.provenance["warnings"])
    assert "T1w made from other contrasts" in desk.ui.noticeLabel.text
    assert "Every voxel is inferred" in desk.ui.noticeLabel.text
    assert result.mean.GetImageData().GetDimensions() == scan.array.shape[::-1]
    assert desk.shown() is result.mean and not desk.ui.frameLabel.isVisible()
