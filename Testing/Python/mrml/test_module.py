"""The scripted module file loads where Slicer loads it: with ScriptedLoadableModule, and neither qt nor torch
at import.
"""

import subprocess
import sys
import textwrap

STUB = """
    import sys, types
    import slicer
    stub = types.ModuleType("slicer.ScriptedLoadableModule")
    for name in ("", "Widget", "Logic", "Test"):
        made = type("ScriptedLoadableModule" + name, (), {"__init__": lambda self, parent=None: setattr(self, "parent", parent)})
        setattr(stub, made.__name__, made)
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = lambda text: text
    sys.modules.update({stub.__name__: stub, i18n.__name__: i18n})
    connected = []
    slicer.app = types.SimpleNamespace(connect=lambda signal, slot: connected.append(signal))
    import SparseVolumeReconstruction as module
"""  # noqa: E501


def run(script: str, environment) -> str:
    command = [sys.executable, "-c", textwrap.dedent(STUB) + textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.strip()


def test_it_imports_without_qt_torch_and_what_slicer_does_not_bring(library_environment):
    names = ["qt", "ctk", "torch", "pydantic", "nrrd", "skimage", "matplotlib"]
    assert run(f"print([name for name in {names} if name in sys.modules])", library_environment) == "[]"


def test_the_module_has_the_classes_that_slicer_looks_for(library_environment):
    script = """
        parent = types.SimpleNamespace()
        module.SparseVolumeReconstruction(parent)
        assert all(hasattr(module, "SparseVolumeReconstruction" + end) for end in ("", "Widget", "Logic", "Test"))
        print(parent.title, parent.categories, connected)
    """  # noqa: E501
    assert (
        run(script, library_environment)
        == "Sparse Volume Reconstruction ['Image Synthesis'] ['startupCompleted()']"
    )
