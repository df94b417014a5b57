"""The panel's own process needs no torch: it opens without it, says what is missing, and never imports it where it is there."""

import subprocess

import pytest

START = """
import sys
sys.path[:0] = {paths!r}
{before}
from host.desk import Desk
from host.harness import Host

with Host() as host:
    desk = Desk(host)
    ui = desk.ui
{body}
"""
BLOCK = """
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Block())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.split(".")[0] == "torch" else found(name, package)
"""
RUN = """
    desk.add_all(desk.sample())
    host.choose(ui.frameModeBox, "Already registered")
    desk.quick(samples="1")
    desk.apply()
    assert desk.result.mean is not None, desk.status
    host.click(ui.verifyButton)
    host.choose(ui.layerBox, "Sample")
    assert "torch" not in sys.modules
"""
MISSING = """
    assert ui.missingLabel.isVisible() and "torch" in ui.missingLabel.text, ui.missingLabel.text
    assert ui.installButton.isVisible() and ui.installButton.enabled
    for reason in (ui.applyButton.toolTip, ui.reasonLabel.text):
        assert "Missing Python packages: torch" in reason, reason
    assert not ui.applyButton.enabled and ui.reasonLabel.isVisible()
    desk.add_all(desk.sample())
    host.click(ui.addRedButton)
    assert len(desk.contexts) == 5 and desk.ui.countLabel.text == "5 of 5 slices used"
    host.click_cell(ui.contextTable, 0, 1)
    host.click(ui.liveCheckBox)
    assert desk.panel.logic.client._process is None, "a computing process was started"
    host.click(ui.installButton)
    assert ui.missingLabel.isVisible() and not ui.applyButton.enabled
    assert ui.errorLabel.isVisible() and "PyTorch extension" in ui.errorLabel.text
"""


def run(python, environment, repository, before, body):
    """Run code with the panel in a Python of its own."""
    paths = [str(repository / "SparseVolumeReconstruction"), str(repository / "Testing" / "Python")]
    code = START.format(paths=paths, before=before, body=body)
    return subprocess.run([python, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("before", "body"), [pytest.param("", RUN, id="with torch"), pytest.param(BLOCK, MISSING, id="without torch")])
def test_the_panel_needs_no_torch(host_class, python, library_environment, repository, before, body):
    done = run(python, library_environment, repository, before, body)
    assert done.returncode == 0, done.stderr


def test_the_rule_can_be_broken(host_class, python, library_environment, repository):
    done = run(python, library_environment, repository, "", '    import torch\n    assert "torch" not in sys.modules')
    assert done.returncode == 1 and "AssertionError" in done.stderr
