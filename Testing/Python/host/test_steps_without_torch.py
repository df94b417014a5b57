"""The panel's own process needs no torch: it opens without it, says what is missing, and never imports it
where it is there.

Nor does it need any other package that the application does not bring: at the first run all of them are
missing.
"""

import subprocess

import pytest

pytestmark = pytest.mark.slow

START = """
import sys
import types
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
gone = set({gone!r})
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in gone:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.split(".")[0] in gone else found(name, package)
"""  # noqa: E501
FIRST_RUN = (
    "torch",
    "pydantic",
    "pydantic_core",
    "platformdirs",
    "safetensors",
    "nrrd",
    "skimage",
)  # the application brings scipy
RUN = """
    desk.add_all(desk.sample())
    desk.open_sections()
    host.choose(ui.frameModeBox, "Already registered")
    desk.quick(samples="1")
    desk.apply()
    assert desk.result.mean is not None, desk.status
    host.click(ui.verifyButton)
    host.choose(ui.layerBox, "Sample")
    assert "torch" not in sys.modules
"""
MISSING = """
    words = "Some Python packages are needed to compute: PyTorch (about 200 MB; for a GPU up to 3 GB)."
    assert ui.missingLabel.isVisible() and ui.missingLabel.text == words, ui.missingLabel.text
    assert ui.installButton.isVisible() and ui.installButton.enabled
    for reason in (ui.applyButton.toolTip, ui.reasonLabel.text):
        assert "Python packages are missing: PyTorch" in reason, reason
    assert not ui.applyButton.enabled and ui.reasonLabel.isVisible()
    desk.add_all(desk.sample())
    host.click(ui.addRedButton)
    assert len(desk.contexts) == 4 and desk.ui.countLabel.text == "4 of 4 slices used"
    host.click_cell(ui.contextTable, 0, 1)
    host.click(ui.liveCheckBox)
    assert desk.panel.logic.client._process is None, "a computing process was started"
    host.answers = [True]
    host.click(ui.installButton)
    assert "extension PyTorch, which is not installed yet" in host.questions[-1] and "restarted" in host.questions[-1]
    assert ui.missingLabel.isVisible() and not ui.applyButton.enabled
    for label in (ui.errorLabel, ui.priorNote):
        assert label.isVisible() and "Install the extension PyTorch" in label.text and "restart" in label.text, label.text
    host.application.extensionsManagerModel = lambda: manager
    manager = types.SimpleNamespace(installExtensionFromServer=lambda *asked: installed.append(asked) or True)
    installed, host.answers = [], [True]
    host.click(ui.installButton)
    assert installed == [("PyTorch", False, True)] and "Restart the application" in ui.priorNote.text, ui.priorNote.text
"""  # noqa: E501
ALL_MISSING = """
    import subprocess, slicer.util
    text, said, asked = ui.missingLabel.text, [], []
    for name in ("PyTorch", "5 small ones", "pydantic", "platformdirs", "safetensors", "pynrrd", "scikit-image", "MB"):
        assert name in text, text
    assert "skimage" not in text and ui.priorBox.enabled and ui.priorBox.count >= 4, ui.priorBox.count
    host.click(ui.aboutSection)
    assert "OpenNeuro" in ui.cardBrowser.plainText and "No module" not in ui.cardBrowser.plainText
    assert not ui.verifyButton.enabled and not ui.importButton.enabled and not ui.removeButton.enabled
    desk.add_all(desk.sample())
    host.choose(ui.priorBox, next(t for t in map(ui.priorBox.itemText, range(ui.priorBox.count)) if "fetal-t2" in t))
    assert ui.covariateCheckBox.isVisible() and desk.parameters.prior == "fetal-t2"

    def pip(requirements):
        asked.append(requirements)
        said.append((ui.priorNote.text, ui.priorNote.isVisible(), ui.installButton.enabled))
        if requirements == ["scikit-image>=0.22"]:
            raise subprocess.CalledProcessError(1, "pip")
        gone.discard(requirements[0].split(">")[0])

    slicer.util.pip_install = pip
    host.answers = [False]
    host.click(ui.installButton)
    assert asked == [] and not ui.priorNote.isVisible()
    host.answers = [True]
    host.click(ui.installButton)
    assert said[0] == ("Installing pydantic (1 of 5)...", True, False), said
    assert asked[-1] == ["scikit-image>=0.22"] and len(asked) == 5
    for label in (ui.errorLabel, ui.priorNote):
        assert label.isVisible() and "scikit-image could not be installed" in label.text and "network" in label.text, label.text
    assert ui.installButton.enabled and "pydantic" not in ui.missingLabel.text and "scikit-image" in ui.missingLabel.text
"""  # noqa: E501


def run(python, environment, repository, before, body):
    """Run code with the panel in a Python of its own."""
    paths = [str(repository / "SparseVolumeReconstruction"), str(repository / "Testing" / "Python")]
    code = START.format(paths=paths, before=before, body=body)
    return subprocess.run(
        [python, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("before", "body"),
    [
        pytest.param("", RUN, id="with torch"),
        pytest.param(BLOCK.format(gone=["torch"]), MISSING, id="without torch"),
        pytest.param(BLOCK.format(gone=FIRST_RUN), ALL_MISSING, id="first run"),
    ],
)
def test_the_panel_needs_no_torch(host_class, python, library_environment, repository, before, body):
    done = run(python, library_environment, repository, before, body)
    assert done.returncode == 0, done.stderr


def test_the_rule_can_be_broken(host_class, python, library_environment, repository):
    done = run(
        python, library_environment, repository, "", '    import torch\n    assert "torch" not in sys.modules'
    )
    assert done.returncode == 1 and "AssertionError" in done.stderr
