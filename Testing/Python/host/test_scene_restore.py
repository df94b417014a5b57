"""A saved scene is loaded in another process: contexts, parameters, samples and provenance are there, and
work goes on.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from host.test_steps_frame import affine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def saved(bench, tmp_path_factory, write_weights, repository):
    """The folder that `python -m host.saved_scene` filled, with the models of this process."""
    from host.tiny_body import import_tiny

    folder = tmp_path_factory.mktemp("saved")
    import_tiny(write_weights, folder)
    command = [sys.executable, "-m", "host.saved_scene", str(folder)]
    done = subprocess.run(
        command,
        cwd=repository / "Testing" / "Python",
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def facts(saved):
    """What the other process says of its scene."""
    return json.loads((saved / "facts.json").read_text())


def load(desk, path, clear=True):
    """Load a scene as File > Add data does."""
    import slicer.util

    slicer.util.loadNodeFromFile(str(path), "SceneFile", {"clear": clear})
    desk.host.process(0.3)
    desk.host.check()


@pytest.fixture
def restored(desk, saved):
    """The desk after the scene was loaded."""
    load(desk, saved / "scene.mrb")
    return desk


def same_contexts(contexts, told):
    """Compare contexts with what the other process said of them."""
    assert len(contexts) == len(told)
    for context, (plane, stated, thickness, enabled, view, volume, name) in zip(contexts, told, strict=True):
        np.testing.assert_allclose(context.plane, plane, atol=1e-4)
        assert context.stated_thickness_mm == stated and context.thickness_mm == pytest.approx(
            thickness, abs=1e-4
        )
        assert (context.enabled, context.view, context.volume.GetName(), context.node.GetName()) == (
            enabled,
            view,
            volume,
            name,
        )


def voxels(result):
    """The arrays of a result's samples."""
    import slicer.util

    return [
        slicer.util.arrayFromVolume(result.samples.GetNthDataNode(n)).copy()
        for n in range(result.samples.GetNumberOfDataNodes())
    ]


def test_contexts_are_there(restored, facts):
    from host import scene_rules

    same_contexts(restored.contexts, facts["contexts"])
    scene_rules.check_contexts(restored)
    scene_rules.check_results()
    assert scene_rules.orphans(restored.host) == []
    bounds = [0.0] * 6
    restored.contexts[0].node.GetRASBounds(bounds)
    assert np.ptp(np.reshape(bounds, (3, 2)), axis=1).min() > 3.9  # drawn, as thick as the slice


def test_parameters_are_there_and_shown(restored, facts):
    from host.saved_scene import NODES

    p, ui = restored.parameters, restored.ui
    for name, value in facts["values"].items():
        assert getattr(getattr(p, name), "value", getattr(p, name)) == value, name
    for name, node in facts["nodes"].items():
        assert getattr(p, name).GetName() == node, name
    selectors = [ui.allSelector, ui.likeSelector, ui.frameTransformSelector, ui.referenceSelector]
    assert [selector.currentNode().GetName() for selector in selectors] == list(NODES.values())
    assert (
        ui.resultSelector.currentNode() is p.result
        and ui.texturedCheckBox.checked
        and not ui.stdCheckBox.checked
    )
    assert (ui.nameEdit.text, ui.samplesSpinBox.value, ui.seedSpinBox.value, ui.spacingSpinBox.value) == (
        p.name,
        3,
        7,
        4.5,
    )
    assert (ui.frameModeBox.currentText, ui.deviceBox.currentText, ui.layerBox.currentText) == (
        "Transform node",
        "CPU",
        "Sample",
    )
    assert (
        "tiny" in ui.priorBox.currentText
        and ui.opacitySlider.value == 0.4
        and ui.folderEdit.currentPath == "a folder"
    )
    assert ui.atlasButton.checked and restored.shown() is p.atlas and not ui.linkCheckBox.checked


def test_what_was_chosen_for_a_tool_is_there_and_shown(restored, facts):
    import slicer
    import slicer.util

    from host.saved_scene import TOOL, tool_facts
    from SparseVolumeReconstructionLib.geometry import InputError

    assert tool_facts(restored) == facts["tool"] and facts["tool"][2] == ["Stack", "Inside", 6.5]
    form = restored.tools[TOOL]
    restored.host.click(form.toolSection)
    table = form.toolInputs
    assert [table.item(row, 0).text() for row in range(2)] == ["Body", "Stack"]
    assert table.cellWidget(1, 1).currentText == "Inside" and table.cellWidget(1, 2).value == 6.5
    use = restored.panel.presenter.tools[TOOL]
    inside = slicer.util.getNode("Inside")
    for mask in ("", inside.GetID()):
        use.set_field(1, "mask", mask)
        assert use.inputs[1].values == {"mask": mask, "thickness_mm": 6.5}
    slicer.mrmlScene.RemoveNode(inside)
    with pytest.raises(InputError, match="gone"):
        use.start()
    use.remove(0)
    assert [each.node.GetName() for each in use.inputs] == ["Stack"]


def test_the_result_can_be_explored(restored, facts):
    import slicer

    from host.saved_scene import digest

    result = restored.result
    assert {role: node.GetName() for role, node in result.roles.items()} == facts["roles"]
    assert result.provenance == facts["provenance"] and digest(result.mean) == facts["mean"]
    assert "observed" in restored.ui.noticeLabel.text
    restored.host.click(restored.ui.atlasButton)
    slider = restored.ui.sampleSlider
    assert (slider.minimum, slider.maximum, slider.value) == (0, 2, 1) and restored.shown() is result.current
    for number, expected in enumerate(facts["samples"]):
        slider.value = number
        restored.host.process(0.05)
        assert digest(restored.shown()) == expected, number
    restored.host.click(restored.ui.compareButton)
    (chart,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    assert chart.GetNumberOfPlotSeriesNodes() == 3 and not restored.status.error


def test_the_same_run_gives_the_same(restored):
    import slicer.util

    old, before = restored.result.mean, voxels(restored.result)
    expected = slicer.util.arrayFromVolume(old).copy()
    np.testing.assert_allclose(affine(restored.parameters.frameTransform)[:3, 3], [2, 1, -3])
    restored.apply()
    assert not restored.status.error and restored.result.mean is not old
    again = slicer.util.arrayFromVolume(restored.result.mean)
    # Grey values up to 800; a matrix that went through a file may have changed in its last bit.
    np.testing.assert_allclose([again, *voxels(restored.result)], [expected, *before], atol=1e-3)


def test_a_scene_is_added_to_contexts_that_are_there(desk, saved, facts):
    from host import scene_rules
    from host.saved_scene import tool_facts
    from host.tiny_body import add_stack

    desk.add_all(add_stack("Other"))
    load(desk, saved / "scene.mrb", clear=False)
    assert tool_facts(desk) == facts["tool"], "by the nodes' new ids"
    assert [context.volume.GetName() for context in desk.contexts[:5]] == ["Other"] * 5
    same_contexts(desk.contexts[5:], facts["contexts"])
    scene_rules.check_contexts(desk)
    assert (
        desk.parameters.name == facts["values"]["name"]
        and desk.result.mean.GetName() == facts["roles"]["mean"]
    )
    desk.host.click_cell(desk.ui.contextTable, 9, 2)
    desk.apply()
    assert not desk.status.error and scene_rules.orphans(desk.host) == []


def test_live_updates_go_on_after_loading(desk, saved, facts):
    load(desk, saved / "live.mrb")
    desk.wait()
    live = desk.result.mean
    assert desk.ui.liveCheckBox.checked and desk.result.live and not desk.status.error
    desk.host.click_cell(desk.ui.contextTable, 0, 2)
    desk.host.scroll("Green", 2)
    desk.wait()
    assert desk.result.mean is live and not desk.status.error
    same_contexts(desk.contexts[1:], facts["contexts"][1:])
