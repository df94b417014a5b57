"""What a user does while something is computed, and what is left when the panel ends."""

import gc
import os
import signal
import weakref
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(bench, tmp_path_factory, write_weights):
    """The tiny model among the user's models."""
    from host.tiny_body import import_tiny

    import_tiny(write_weights, tmp_path_factory.mktemp("tiny"))


def body_on(desk):
    """The body in the views with a slice of each of them as context, the tiny model chosen."""
    from host.tiny_body import add_body
    from SparseVolumeReconstructionLib.workflow.choices import FrameMode

    p = desk.parameters
    p.prior, p.frameMode, p.spacing, p.samples = (
        "tiny",
        FrameMode.REGISTERED,
        5.0,
        40,
    )  # so many that it does not end at once
    volume = desk.show(add_body())
    for button in (desk.ui.addRedButton, desk.ui.addGreenButton, desk.ui.addYellowButton):
        desk.host.click(button)
    return volume


@pytest.fixture
def body(desk, tiny):
    """See `body_on`."""
    return body_on(desk)


def start(desk):
    """Click Apply and wait for the first answer of the process."""
    desk.host.click(desk.ui.applyButton)
    assert desk.ui.applyButton.text == "Cancel"
    desk.host.wait_until(lambda: desk.status.fraction > 0, 60)
    assert desk.panel.presenter.runner.running


def works(desk):
    """A run gives a result, and nothing is left over."""
    from host import scene_rules

    desk.apply()
    assert desk.result is not None and not desk.status.error, desk.status
    scene_rules.check_contexts(desk)
    scene_rules.check_results()
    scene_rules.check_temporary_folders(desk)
    assert scene_rules.orphans(desk.host) == []


def test_the_module_is_reloaded_while_a_run_is_going(desk, body):
    from host import scene_rules

    start(desk)
    pid, before = desk.panel.logic.client.pid, set(desk.host.nodes())
    desk.take(desk.host.reload())
    assert not scene_rules.is_alive(pid) and desk.panel.logic.client.pid not in (None, pid)
    desk.host.process(0.5)
    assert (
        set(desk.host.nodes()) == before and desk.ui.applyButton.text == "Apply" and len(desk.contexts) == 3
    )
    works(desk)


@pytest.mark.parametrize("live", [False, True])
def test_the_scene_is_closed_while_a_run_is_going(desk, body, live):
    import slicer

    from host.scene_rules import own_nodes, word

    if live:
        desk.host.click(desk.ui.liveCheckBox)
        assert desk.panel.presenter.runner.busy
    else:
        start(desk)
    slicer.mrmlScene.Clear(0)
    desk.host.process(1.0)
    assert not desk.panel.presenter.runner.busy and desk.ui.contextTable.rowCount == 0
    assert (
        not [node for node in own_nodes(desk.host) if word(node, "Role")]
        and desk.ui.applyButton.text != "Cancel"
    )
    body_on(desk)
    works(desk)


def test_the_input_is_deleted_while_a_run_is_going(desk, body):
    from host import scene_rules

    start(desk)
    scene_rules.delete(body)
    assert not desk.contexts
    desk.wait()
    assert desk.result.mean is not None and desk.shown() is desk.result.mean and not desk.status.error
    works(desk)


@pytest.mark.parametrize("whole", [False, True])
def test_the_live_result_is_deleted(desk, body, whole):
    from host import scene_rules
    from SparseVolumeReconstructionLib.mrml.results import remove_result

    desk.host.click(desk.ui.liveCheckBox)
    desk.host.click(desk.ui.moveButton)
    desk.wait()
    old = desk.result
    assert old.live
    desk.host.scroll("Yellow", 1)
    if whole:
        remove_result(old)
    else:
        scene_rules.delete(old.mean)
    desk.wait()
    desk.host.scroll("Yellow", 1)
    desk.wait()
    assert desk.result.live and desk.result.mean is not old.mean and desk.shown() is desk.result.mean
    desk.host.click(desk.ui.liveCheckBox)
    works(desk)


@pytest.mark.skipif(os.name == "nt", reason="kills with a signal")
def test_the_process_is_killed_during_a_run(desk, body):
    start(desk)
    os.kill(desk.panel.logic.client.pid, signal.SIGKILL)
    desk.wait()
    assert (
        desk.ui.errorFrame.isVisible()
        and "SIGKILL" in desk.ui.errorLabel.text
        and "starts again" in desk.ui.errorLabel.text
    )
    assert desk.ui.applyButton.text == "Apply" and len(desk.contexts) == 3 and desk.result is None
    works(desk)
    assert not desk.ui.errorFrame.isVisible()


def test_the_temporary_folder_is_gone(desk, body, monkeypatch, tmp_path):
    import slicer

    with monkeypatch.context() as patch:
        patch.setattr(slicer.app, "temporaryPath", str(tmp_path / "gone"))
        desk.host.click(desk.ui.applyButton)
    desk.host.check()
    assert (
        "gone" in desk.ui.errorLabel.text
        and desk.ui.errorFrame.isVisible()
        and desk.ui.applyButton.text == "Apply"
    )
    works(desk)


@pytest.mark.skipif(os.name == "nt", reason="limits the size of files as POSIX systems do")
def test_the_disk_is_full(desk, body):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        desk.host.click(desk.ui.applyButton)
        desk.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "space" in desk.ui.errorLabel.text and desk.ui.errorFrame.isVisible() and desk.result is None
    works(desk)


def test_a_comparison_goes_with_its_result(desk, body):
    import slicer

    from host import scene_rules

    desk.apply()
    desk.host.choose(desk.ui.referenceSelector, "Body")
    desk.host.click(desk.ui.compareButton)
    assert slicer.util.getNodesByClass("vtkMRMLPlotChartNode") and not desk.status.error
    scene_rules.delete(desk.result.mean)
    desk.host.process(0.05)
    desk.host.check()
    kinds = ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode")
    assert [slicer.util.getNodesByClass(kind) for kind in kinds] == [[]] * 3 and desk.result is None
    works(desk)


def test_the_parameter_node_is_deleted(desk, body):
    import slicer

    node = desk.parameters.parameterNode
    slicer.mrmlScene.RemoveNode(node)
    desk.host.process(0.1)
    assert node.GetScene() is slicer.mrmlScene and desk.parameters.prior == "tiny"
    works(desk)


def test_nothing_is_left_when_the_panel_ends(host_class, tmp_path, monkeypatch, write_weights):
    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    with host_class() as host:
        import slicer

        from host.desk import Desk
        from host.scene_rules import is_alive
        from host.tiny_body import import_tiny

        import_tiny(write_weights, tmp_path)
        desk = Desk(host)
        body_on(desk)
        desk.host.click(desk.ui.liveCheckBox)
        desk.wait()
        start(desk)
        panel, temporary = desk.panel, Path(slicer.app.temporaryPath)
        pid, presenter = panel.logic.client.pid, panel.presenter
        gone = [
            weakref.ref(one) for one in (panel, presenter, presenter.contexts, panel.logic, *panel.sections)
        ]
        count = len(host.nodes())
        host.unload("SparseVolumeReconstruction")
        assert not is_alive(pid) and not list(temporary.glob("svr-*")) and len(host.nodes()) == count
        for one in (panel, presenter, presenter.contexts):
            assert not list(one.Observations) if hasattr(one, "Observations") else not one.observers
        del desk, panel, presenter, one
        gc.collect()
        assert [type(one()).__name__ for one in gone if one() is not None] == []
        host.views["Red"].logic.SetSliceOffset(3.0)  # nobody listens any more
        slicer.mrmlScene.Clear(0)
        host.process(0.2)
