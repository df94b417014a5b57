"""Steps 5 and 6 of the panel, by clicks and keys: a result is looked at, compared, and handed over."""

import time

import numpy as np
import pytest
import SimpleITK as sitk

pytestmark = pytest.mark.slow

VIEWS = ("Red", "Green", "Yellow")
SAMPLES = 4


@pytest.fixture(scope="module")
def explored(bench):
    """The panel with a reconstruction of the sample, made once for all tests of this file."""
    bench.clear()
    bench.add_all(bench.sample())
    bench.quick(samples=str(SAMPLES))
    bench.apply()
    return bench


@pytest.fixture
def desk(explored):
    """The panel with the reconstruction, shown anew; errors that nobody asked for fail the test."""
    explored.host.choose(explored.ui.layerBox, "Mean")
    yield explored
    explored.wait()


@pytest.fixture
def reference(desk):
    """A scan of the same patient: the mean, a little noisy, on a finer grid."""
    import slicer
    import slicer.util

    mean = desk.result.mean
    array = slicer.util.arrayFromVolume(mean)
    node = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, mean, "Scan")
    node.SetName("Scan")
    for name in list(node.GetAttributeNames()):
        node.RemoveAttribute(name)
    noisy = array + np.random.default_rng(0).normal(0, 0.02 * array.max(), array.shape)
    slicer.util.updateVolumeFromArray(node, noisy.astype(np.float32))
    desk.host.process(0.02)
    yield node
    slicer.mrmlScene.RemoveNode(node)


def of_class(name):
    """Nodes of a class by name."""
    import slicer.util

    return {node.GetName(): node for node in slicer.util.getNodesByClass(name)}


def column(table, name):
    """A column of a table node, as an array."""
    import slicer.util

    return slicer.util.arrayFromTableColumn(table, name)


def grid_axis(node):
    """Direction of a volume node's third axis, upwards, (3,) in RAS."""
    lps = node_geometry(node)[6:].reshape(3, 3)[:, 2]
    axis = lps * [-1, -1, 1]
    return axis * np.sign(axis[2])


def node_geometry(node):
    """Origin, spacing and direction of a volume node in LPS, as SimpleITK says them."""
    import slicer.util
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ slicer.util.arrayFromVTKMatrix(matrix)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return np.concatenate([lps[:3, 3], spacing, (lps[:3, :3] / spacing).ravel()])


def file_geometry(path):
    """The same of a file."""
    image = sitk.ReadImage(str(path))
    return np.concatenate([image.GetOrigin(), image.GetSpacing(), image.GetDirection()])


def test_layers_are_laid_over_the_views_with_the_opacity(desk):
    import qt

    result, opacity = desk.result, desk.ui.opacitySlider.findChild(qt.QSlider)
    layers = {"Uncertainty (sd)": result.std, "Sample": result.current, "Nothing": None, "Mean": result.mean}
    for share, (text, node) in zip((0.25, 0.5, 0.75, 1.0), layers.items(), strict=True):
        desk.host.choose(desk.ui.layerBox, text)
        desk.host.key(opacity, "Home", *["Right"] * round(share / 0.05))
        assert [desk.shown(view) for view in VIEWS] == [node] * 3, text
        if node is not None:
            assert [
                desk.host.views[view].composite.GetForegroundOpacity() for view in VIEWS
            ] == pytest.approx([share] * 3)


def test_what_is_inferred_says_so_in_the_picture_and_uncertainty_has_a_legend(desk):
    result, mark, pictures = desk.result, desk.panel.sections[5]._mark, {}
    for text, node in {"Uncertainty (sd)": result.std, "Mean": result.mean, "Nothing": None}.items():
        desk.host.choose(desk.ui.layerBox, text)
        written = {mark.text(view) for view in VIEWS}
        assert written == {f"{node.GetName()}\nINFERRED, not for diagnosis" if node else ""}
        pictures |= {(text, view): desk.host.views[view].picture() for view in VIEWS}
        legend = result.std.GetNthDisplayNode(1)
        assert legend.IsA("vtkMRMLColorLegendDisplayNode") and "sd" in legend.GetTitleText()
        assert bool(legend.GetVisibility()) == (node is result.std)
    for (text, view), picture in pictures.items():
        height, width, _ = picture.shape
        top, right = (
            picture[: height // 15].astype(int),
            picture[height // 3 : height * 2 // 3, width * 9 // 10 :],
        )
        yellow = int(((top[..., 0] > 150) & (top[..., 2] < 120)).sum())
        assert yellow == 0 if text == "Nothing" else yellow > 100, (text, view)
        assert (right.max() > 240) == (text == "Uncertainty (sd)"), (text, view)


def test_samples_are_chosen_by_the_slider(desk):
    import slicer.util

    result, ui = desk.result, desk.ui
    assert ui.sampleSlider.maximum == SAMPLES - 1
    seen = []
    for number, key in enumerate(("Right", "Right", "End"), 1):
        desk.host.key(ui.sampleSlider, key)
        number = SAMPLES - 1 if key == "End" else number
        assert (
            ui.layerBox.currentText == "Sample"
            and desk.shown() is result.current
            and ui.sampleLabel.text == f"{number + 1} / {SAMPLES}"
        )
        shown = slicer.util.arrayFromVolume(result.current)
        np.testing.assert_array_equal(
            shown, slicer.util.arrayFromVolume(result.samples.GetNthDataNode(number))
        )
        seen.append(shown.copy())
    assert not np.array_equal(seen[0], seen[1])
    desk.host.key(ui.sampleSlider, "Home")


@pytest.mark.parametrize("seconds", [0.0, 0.25])
def test_samples_are_played_as_quickly_as_they_are_shown(desk, monkeypatch, seconds):
    """Nothing waits where that takes longer than a frame: the film ends when it is stopped."""
    ui, explorer, played = desk.ui, desk.panel.presenter.explorer, []
    show = explorer.choose_sample

    def choose_sample(index):
        time.sleep(seconds)
        show(index)
        played.append(index)

    monkeypatch.setattr(explorer, "choose_sample", choose_sample)
    desk.host.click(ui.playButton)
    assert ui.playButton.text == "Pause"
    desk.host.process(2.0)
    desk.host.click(ui.playButton)
    count = len(played)
    desk.host.process(0.5)
    assert len(played) == count >= (4 if seconds else 7), "0.4 s a sample would be 5"
    assert played == [(played[0] + n) % SAMPLES for n in range(count)]
    assert ui.playButton.text == "Play" and ui.sampleLabel.text == f"{played[-1] + 1} / {SAMPLES}"
    assert desk.shown() is desk.result.current


def test_what_was_observed_is_marked(desk):
    observed, views = desk.result.observed, desk.host.views
    assert "% of the voxels were observed" in desk.ui.noticeLabel.text
    desk.host.click(desk.ui.markCheckBox)
    assert [views[view].composite.GetLabelVolumeID() for view in VIEWS] == [observed.GetID()] * 3
    desk.host.click(desk.ui.markCheckBox)
    assert not any(views[view].composite.GetLabelVolumeID() for view in VIEWS)


def test_views_are_linked(desk):
    views = desk.host.views
    for linked in (False, True):
        desk.host.click(desk.ui.linkCheckBox)
        assert [bool(views[view].composite.GetLinkedControl()) for view in VIEWS] == [linked] * 3


def test_frames_are_hidden_and_thin_where_there_are_many(desk):
    import slicer.util

    def displays():
        return [context.node.GetDisplayNode() for context in desk.contexts]

    desk.host.click(desk.ui.framesCheckBox)
    assert len(displays()) == 4 and not any(display.GetVisibility() for display in displays())
    desk.host.click(desk.ui.framesCheckBox)
    assert (
        all(display.GetVisibility() for display in displays())
        and min(display.GetLineWidth() for display in displays()) == 2
    )
    volume, contexts = desk.contexts[0].volume, desk.panel.presenter.contexts
    dense = desk.noise()
    for offset in (-30, -10, 10):
        desk.host.views["Red"].logic.SetSliceOffset(offset)
        contexts.add_from_view("Red")
    assert len(displays()) == 7 and sorted({display.GetLineWidth() for display in displays()}) == [1, 2]
    slicer.mrmlScene.RemoveNode(dense)
    desk.host.process(0.05)
    assert len(displays()) == 4 and min(display.GetLineWidth() for display in displays()) == 2
    desk.show(volume)


def test_user_layers_stay_and_new_views_show_what_the_others_show(desk):
    import slicer
    import slicer.util

    from SparseVolumeReconstructionLib.mrml.nodes import add_volume, volume_of

    logic, composite = slicer.vtkMRMLSliceLogic(), desk.host.views["Red"].composite
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(slicer.mrmlScene)
    node = logic.AddSliceNode("Slice4")
    new = logic.GetSliceCompositeNode()
    assert (
        new.GetForegroundVolumeID() == desk.result.mean.GetID()
        and new.GetBackgroundVolumeID() == composite.GetBackgroundVolumeID()
    )
    logic.SetMRMLScene(None)
    slicer.mrmlScene.RemoveNode(new)
    slicer.mrmlScene.RemoveNode(node)
    desk.host.choose(desk.ui.layerBox, "Nothing")
    own = add_volume(volume_of(desk.result.observed), "Lesion", "vtkMRMLLabelMapVolumeNode")
    composite.SetLabelVolumeID(own.GetID())
    composite.SetForegroundVolumeID(desk.contexts[0].volume.GetID())
    desk.host.click(desk.ui.linkCheckBox)
    desk.host.click(desk.ui.linkCheckBox)
    assert (
        composite.GetLabelVolumeID() == own.GetID()
        and composite.GetForegroundVolumeID() == desk.contexts[0].volume.GetID()
    )
    slicer.mrmlScene.RemoveNode(own)


def test_results_are_chosen(desk):
    name = desk.result.mean.GetName()
    assert desk.ui.resultSelector.toolTip == name, "a narrow selector cuts it"
    desk.host.choose(desk.ui.resultSelector, "None")
    assert (
        desk.shown() is None
        and desk.ui.noticeLabel.text == "No result yet."
        and not desk.ui.writeButton.enabled
    )
    assert (
        not desk.ui.layerBox.enabled and not desk.ui.sampleSlider.enabled and not desk.ui.playButton.enabled
    )
    desk.host.choose(desk.ui.resultSelector, name)
    assert desk.shown() is desk.result.mean and desk.ui.layerBox.enabled


def test_a_result_is_compared_with_a_reference(desk, reference):
    import slicer
    import slicer.util

    assert not desk.ui.compareButton.enabled
    desk.host.choose(desk.ui.referenceSelector, "Scan")
    desk.host.click(desk.ui.compareButton)
    array, contexts = slicer.util.arrayFromVolume(desk.result.mean), desk.contexts
    (chart,), tables = of_class("vtkMRMLPlotChartNode").values(), of_class("vtkMRMLTableNode")
    name = chart.GetName()
    quality, marks = tables[name], tables[f"{name}, contexts"]
    assert (
        len(tables) == 2 and chart.GetNumberOfPlotSeriesNodes() == len(of_class("vtkMRMLPlotSeriesNode")) == 3
    )
    rows = [k for k in range(len(array)) if np.ptp(array[k]) > 0]
    assert quality.GetNumberOfRows() == len(rows) and marks.GetNumberOfRows() == len(contexts)
    other = slicer.util.arrayFromVolume(reference)
    expected = [np.corrcoef(array[k].ravel(), other[k].ravel())[0, 1] for k in rows]
    np.testing.assert_allclose(column(quality, "Correlation"), expected, atol=0.02)
    assert column(quality, "SSIM").min() > 0 and column(quality, "SSIM").max() <= 1
    direction = grid_axis(desk.result.mean)
    middles = [context.grid().corners_ras().mean(0) @ direction for context in contexts]
    np.testing.assert_allclose(column(marks, "Position (mm)"), middles, atol=0.5)
    view = slicer.app.layoutManager().plotWidget(0).mrmlPlotViewNode()
    assert view.GetPlotChartNodeID() == chart.GetID()
    desk.host.click(desk.ui.compareButton)
    (again,) = of_class("vtkMRMLPlotChartNode").values()
    assert (
        again is not chart
        and len(of_class("vtkMRMLTableNode")) == 2
        and len(of_class("vtkMRMLPlotSeriesNode")) == 3
    )
    assert view.GetPlotChartNodeID() == again.GetID()


def test_a_comparison_is_shown_only_with_its_result_and_goes_with_it(desk, reference):
    import slicer

    host, ui, first = desk.host, desk.ui, desk.result
    host.choose(ui.referenceSelector, "Scan")
    host.click(ui.compareButton)
    (chart,) = of_class("vtkMRMLPlotChartNode").values()
    assert first.mean.GetName() in chart.GetTitle() and "Scan" in chart.GetTitle()
    view = slicer.app.layoutManager().plotWidget(0).mrmlPlotViewNode()
    host.process(1.0)  # names tell results apart by the second
    desk.quick(mean_alone=True)
    desk.apply()
    second, before = desk.result, slicer.mrmlScene.GetNumberOfNodes()
    assert second.mean is not first.mean and view.GetPlotChartNode() is None
    host.choose(ui.resultSelector, first.mean.GetName())
    assert view.GetPlotChartNode() is chart
    host.choose(ui.resultSelector, second.mean.GetName())
    host.click(ui.compareButton)
    assert view.GetPlotChartNode() not in (chart, None) and len(of_class("vtkMRMLPlotChartNode")) == 2
    host.answers = [False, True]
    host.click(ui.deleteButton)
    assert desk.result == second and second.mean.GetName() in host.questions[-1]
    host.click(ui.deleteButton)
    assert desk.result is None and ui.resultSelector.currentNode() is None and not ui.deleteButton.enabled
    assert (
        not any(slicer.mrmlScene.IsNodePresent(node) for node in second.nodes)
        and len(of_class("vtkMRMLPlotChartNode")) == 1
    )
    assert (
        slicer.mrmlScene.GetNumberOfNodes() < before
        and desk.shown() is None
        and view.GetPlotChartNode() is None
    )
    host.choose(ui.resultSelector, first.mean.GetName())
    assert view.GetPlotChartNode() is chart


def test_a_reference_elsewhere_is_refused(desk, reference):
    reference.SetOrigin(900, 900, 900)
    desk.host.choose(desk.ui.referenceSelector, "Scan")
    before = len(of_class("vtkMRMLTableNode"))
    desk.host.click(desk.ui.compareButton)
    assert (
        desk.ui.errorLabel.isVisible()
        and "do not overlap" in desk.ui.errorLabel.text
        and len(of_class("vtkMRMLTableNode")) == before
    )


def test_the_template_is_written_with_the_commands(desk, tmp_path):
    import qt

    host, ui, folder = desk.host, desk.ui, tmp_path / "hand over"
    host.type(ui.folderEdit.findChild(qt.QLineEdit), str(folder))
    assert desk.parameters.svrFolder == str(folder) and ui.writeButton.enabled
    host.click(ui.writeButton)
    assert ui.statusLabel.isVisible() and str(folder) in desk.status.step and ui.templateNote.isVisible()
    files = {path.name: path for path in folder.iterdir()}
    assert set(files) == {
        "template.nii.gz",
        "template_mask.nii.gz",
        "commands.txt",
        "stack-1-Sparse_brain_4_slices.nii.gz",
    }
    for name, node in (("template", desk.result.template), ("template_mask", desk.result.template_mask)):
        np.testing.assert_allclose(file_geometry(files[f"{name}.nii.gz"]), node_geometry(node), atol=1e-4)
    np.testing.assert_allclose(
        file_geometry(files["stack-1-Sparse_brain_4_slices.nii.gz"]),
        node_geometry(desk.contexts[0].volume),
        atol=1e-4,
    )
    assert [ui.toolBox.itemText(i) for i in range(ui.toolBox.count)] == ["SVRTK", "NeSVoR", "NiftyMIC"]
    for tool, program in (
        ("NeSVoR", "nesvor reconstruct"),
        ("NiftyMIC", "niftymic_reconstruct_volume"),
        ("SVRTK", "mirtk reconstruct"),
    ):
        host.choose(ui.toolBox, tool)
        command = ui.commandEdit.plainText
        assert (
            command.startswith(program)
            and str(folder / "template_mask.nii.gz") in command
            and "stack-1-Sparse" in command
        )
        host.click(ui.copyButton)
        assert qt.QApplication.clipboard().text() == command and command in files["commands.txt"].read_text()


def test_a_folder_that_cannot_be_written_is_said(desk, tmp_path):
    import qt

    (tmp_path / "taken").write_text("a file")
    desk.host.type(desk.ui.folderEdit.findChild(qt.QLineEdit), str(tmp_path / "taken"))
    desk.host.click(desk.ui.writeButton)
    assert (
        desk.ui.errorLabel.isVisible()
        and "taken" in desk.ui.errorLabel.text
        and not desk.ui.logButton.isVisible()
    )
