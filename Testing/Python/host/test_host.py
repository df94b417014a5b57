"""The host itself: a small module runs in it as it would in the application."""

import weakref

import numpy as np
import pytest


def test_what_is_set_in_the_panel_is_kept_in_the_scene(host, small, noise):
    node, ui, kept = noise(), small.ui, small.parameters.parameterNode
    assert (
        ui.countBox.value == 3
        and ui.weightSlider.value == 0.25
        and ui.activeBox.checked
        and ui.shapeBox.currentText == "Flat one"
    )
    host.choose(ui.volumeSelector, "Noise")
    host.type(ui.countBox, "7")
    host.type(ui.labelEdit, "Ärmel")
    host.click(ui.activeBox)
    host.choose(ui.shapeBox, "Round one")
    host.choose(ui.colourBox, "red")
    stored = {name: kept.GetParameter(name) for name in kept.GetParameterNames() if name != "volume"}
    assert stored == {
        **{
            "count": "7",
            "weight": "0.25",
            "label": "Ärmel",
            "active": "False",
            "shape": "ROUND",
            "colour": "red",
        },
        "offsets_len": "0",
    }
    assert kept.GetNodeReference("volume") is node is small.parameters.volume


def test_the_panel_shows_what_a_script_sets_and_what_the_scene_loses(host, small, noise):
    node, ui, parameters = noise(), small.ui, small.parameters
    parameters.volume, parameters.count, parameters.label = node, 9, "b"
    assert ui.volumeSelector.currentNode() is node and ui.countBox.value == 9 and ui.labelEdit.text == "b"
    host.scene.RemoveNode(node)
    assert parameters.volume is None and ui.volumeSelector.currentNodeID == ""
    parameters.offsets = [1.0, 2.5]
    parameters.offsets.append(4.0)
    assert parameters.parameterNode.GetParameter("offsets_2") == "4.0" and parameters.offsets == [
        1.0,
        2.5,
        4.0,
    ]
    host.scene.Clear(0)
    host.process()
    assert (
        small.log[-1] == "closed"
        and ui.countBox.value == 3
        and parameters.offsets == []
        and parameters.label == "a"
    )
    assert parameters.parameterNode.GetAttribute("ModuleName") == "Small"


def test_views_are_real(host, small, noise, tmp_path):
    noise()
    red = host.views["Red"]
    before, offset = red.picture(), red.logic.GetSliceOffset()
    host.scroll("Red", 3)
    assert red.logic.GetSliceOffset() == pytest.approx(offset + 3) and (red.picture() != before).any()
    host.scroll("Red", -3)
    assert red.logic.GetSliceOffset() == pytest.approx(offset)
    crosshair, position = host.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode"), [0.0] * 3
    host.point("Green", 0.5, 0.5)
    assert (
        crosshair.GetCursorPositionRAS(position)
        and crosshair.GetCursorPositionXYZ([0.0] * 3).GetName() == "Green"
    )
    np.testing.assert_allclose(
        position, host.views["Green"].node.GetSliceToRAS().MultiplyPoint((0, 0, 0, 1))[:3], atol=0.2
    )
    empty = host.views["3D"].picture()
    red.node.SetSliceVisible(1)
    host.views["3D"].reset_camera()
    assert (host.views["3D"].picture() != empty).mean() > 0.02
    image = host.picture(tmp_path / "host.png", (1280, 720))
    assert (image.width(), image.height()) == (1280, 720) and (tmp_path / "host.png").stat().st_size > 20_000


def test_layout_manager_finds_the_views(host):
    import slicer

    layout = slicer.app.layoutManager()
    assert layout.sliceViewNames() == ("Red", "Yellow", "Green")
    assert (
        layout.sliceWidget("Red").mrmlSliceNode() is host.views["Red"].node
        and layout.sliceWidget("Blue") is None
    )
    assert layout.sliceWidget("Red").sliceLogic() is host.views["Red"].logic
    assert layout.threeDWidget(0).threeDView().mrmlViewNode() is host.views["3D"].node
    assert slicer.util.mainWindow() is host.window


def test_a_module_is_left_entered_reloaded_and_unloaded(host, small, module_file):
    import slicer

    host.select("")
    host.select("Small")
    assert small.log == ["enter", "exit", "enter"]
    module_file(code=('"go"', '"went"'))
    new = host.reload()
    assert new is not small and small.log[-1] == "cleanup" and slicer.modules.SmallWidget is new
    host.click(new.ui.goButton)
    assert new.log == ["enter", "went"]
    host.unload("Small")
    assert new.log[-1] == "cleanup" and not hasattr(slicer.modules, "small")
    host.scene.Clear(0)
    assert "closed" not in small.log + new.log


@pytest.mark.parametrize("forgotten", [False, True])
def test_nothing_of_a_panel_stays_unless_an_observer_is_forgotten(host, module_file, forgotten):
    panel = weakref.ref(
        host.load(module_file(code=("self.removeObservers()", "pass") if forgotten else ("", "")))
    )
    assert host.nodes() == ["vtkMRMLScriptedModuleNodeSmall"]
    host.unload("Small")
    assert (panel() is not None) == forgotten
    if forgotten:
        panel().removeObservers()


def test_file_dialogs_give_what_the_test_chose(host, small):
    import qt

    host.files = ["a.nii.gz", ""]
    assert qt.QFileDialog.getOpenFileName(small.parent, "Open", "", "*") == "a.nii.gz"
    assert qt.QFileDialog.getExistingDirectory(small.parent, "Folder") == ""
    with pytest.raises(AssertionError, match="file dialog"):
        qt.QFileDialog.getSaveFileName(small.parent, "Save")


def test_charts_are_shown(host):
    import slicer

    chart = host.scene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    slicer.modules.plots.logic().ShowChartInLayout(chart)
    assert slicer.app.layoutManager().plotWidget(0).mrmlPlotViewNode().GetPlotChartNodeID() == chart.GetID()


def test_shortcuts_work_over_the_views(host, small):
    import qt
    import slicer

    shortcut, pressed = qt.QShortcut(qt.QKeySequence("Ctrl+Shift+A"), slicer.util.mainWindow()), []
    shortcut.connect("activated()", lambda: pressed.append(True))
    host.point("Yellow")
    host.key(host.views["Yellow"], "Ctrl+Shift+A")
    assert pressed == [True]


def test_a_section_hides_its_contents(host, small):
    host.click(small.ui.section)
    assert small.ui.section.collapsed and not small.ui.countBox.isVisible()
    with pytest.raises(AssertionError, match="not visible"):
        host.click(small.ui.countBox)
    host.click(small.ui.section)
    assert small.ui.countBox.isVisible()
    small.ui.goButton.enabled = False
    with pytest.raises(AssertionError, match="disabled"):
        host.click(small.ui.goButton)


def test_like_in_the_application_connect_gui_tells_no_tag(host, small):
    assert small.parameters.connectGui(small.ui) is None


def test_a_form_that_hands_the_scene_to_nobody_has_empty_selectors(host, module_file, noise):
    small = host.load(module_file(form=("mrmlSceneChanged(vtkMRMLScene*)", "windowTitleChanged(QString)")))
    noise()
    assert small.ui.volumeSelector.nodeCount == 0
    host.errors.clear()


def test_selectors_follow_names_and_attributes(host, small, noise):
    node, selector = noise("Before"), small.ui.volumeSelector
    node.SetName("After")
    host.choose(selector, "After")
    assert selector.currentNode() is node
    node.SetHideFromEditors(True)
    node.Modified()
    assert selector.currentNode() is None and selector.nodeCount == 0


@pytest.mark.parametrize("how", ["deleted", "hidden"])
def test_like_in_the_application_selectors_go_on_to_the_neighbour(host, small, noise, how):
    nodes, selector = [noise(name) for name in "ABC"], small.ui.volumeSelector
    for gone, chosen in ((nodes[1], nodes[2]), (nodes[2], nodes[0]), (nodes[0], None)):
        if selector.currentNode() is not gone:
            host.choose(selector, gone.GetName())
        if how == "deleted":
            host.scene.RemoveNode(gone)
        else:
            selector.sortFilterProxyModel().hiddenNodeIDs = [
                *selector.sortFilterProxyModel().hiddenNodeIDs,
                gone.GetID(),
            ]
        assert selector.currentNode() is chosen is small.parameters.volume


def test_settings_stay_in_the_host(host):
    import qt
    import slicer

    qt.QSettings().setValue("word", "kept")
    assert (
        slicer.util.settingsValue("word", "") == "kept"
        and slicer.app.temporaryPath in qt.QSettings().fileName()
    )


def test_the_modules_own_panel_loads(host, repository):
    small = host.load(repository / "SparseVolumeReconstruction" / "SparseVolumeReconstruction.py")
    assert small.parent.isVisible()
