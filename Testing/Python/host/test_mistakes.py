"""Mistakes in a panel do not go unnoticed in the host."""

import ast
import inspect
import re

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # a module is loaded for every kind of mistake


@pytest.mark.parametrize(("label", "words"), [("fail", "the slot failed"), ("fail in vtk", "Could not open")])
def test_errors_in_slots_and_in_vtk_are_caught(host, small, label, words):
    host.type(small.ui.labelEdit, label)
    host.click(small.ui.goButton)
    with pytest.raises(AssertionError, match=words):
        host.check()


def test_errors_in_observers_are_caught(host, small):
    small.parameters.colour = "blue"
    small.parameters.parameterNode.SetParameter("shape", "ROUNDISH")
    with pytest.raises(AssertionError, match="ROUNDISH"):
        host.check()
    small.parameters.parameterNode.SetParameter("shape", "ROUND")


def test_leaving_the_host_fails_for_errors(host_class, module_file):
    with pytest.raises(AssertionError, match="the slot failed"), host_class() as host:
        small = host.load(module_file())
        small.parameters.label = "fail"
        host.click(small.ui.goButton)


MISTAKES = [
    lambda p: p.ui.goButton.text(),
    lambda p: setattr(p.ui.goButton, "txt", "x"),
    lambda p: setattr(p.ui.goButton, "text", 5),
    lambda p: setattr(p.ui.goButton, "width", 5),
    lambda p: setattr(p.ui.countBox, "value", 2.5),
    lambda p: p.ui.goButton.connect("clicked(int)", print),
    lambda p: p.ui.goButton.connect("pushed()", print),
    lambda p: p.ui.goButton.connect("clicked()", "print"),
    lambda p: p.ui.shapeBox.connect("currentIndexChanged(QString)", print),
    lambda p: p.ui.volumeSelector.connect("currentNodeChanged(PyObject)", print),
    lambda p: p.ui.volumeSelector.setNodeTypes(["vtkMRMLModelNode"]),
    lambda p: setattr(p.ui.volumeSelector, "noneAllowed", True),
    lambda p: p.ui.goButton.parent().goButton,
    lambda p: setattr(p.parameters, "count", 10),
    lambda p: setattr(p.parameters, "count", None),
    lambda p: setattr(p.parameters, "weight", np.float32(0.5)),
    lambda p: setattr(p.parameters, "colour", "green"),
    lambda p: setattr(p.parameters, "label", 3),
    lambda p: setattr(p.parameters, "volume", p.parameters.parameterNode),
    lambda p: p.parameters.connectParametersToGui({"counts": p.ui.countBox}),
    lambda p: p.parameters.connectParametersToGui({"count": p.ui.weightSlider}),
    lambda p: p.parameters.connectParametersToGui({"label": p.ui.colourBox}),
    lambda p: p.parameters.connectParametersToGui({"active": p.ui.section}),
]


def test_mistakes_raise(host, small):
    unnoticed = []
    for mistake in MISTAKES:
        try:
            mistake(small)
            unnoticed.append(inspect.getsource(mistake))
        except (AttributeError, TypeError, ValueError, RuntimeError):
            pass
    assert unnoticed == []


@pytest.mark.parametrize(
    "change",
    [
        {"form": ("noneEnabled", "noneAllowed")},
        {"form": ("QLineEdit", "QLineEditor")},
        {"form": (">count<", ">counts<")},
        {"form": ("QSpinBox", "QDoubleSpinBox")},
        {"code": ("count: Annotated[int, WithinRange(1, 9)] = 3", "default: int = 3")},
        {"code": ("volume: slicer.vtkMRMLScalarVolumeNode", "volume: slicer.vtkMRMLScalarVolumeNode | None")},
        {"code": ("label: str", "label: bytes")},
        {"code": ("WithinRange(0, 1), ", "")},
        {"code": ("UI/Small.ui", "UI/Smaller.ui")},
    ],
)
def test_mistakes_in_a_module_raise(host_class, module_file, change):
    with pytest.raises(Exception, match=r"."), host_class() as host:
        host.load(module_file(**change))


SCOPED = re.compile(r"\b(qt|ctk)(\.[A-Z]\w+){3}")


def beyond_pythonqt(tree: ast.Module) -> list[str]:
    """What PySide6 takes and PythonQt does not: named arguments of Qt, scoped enumerations, context managers
    of Qt.
    """
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("qt.", "ctk."))
    ]
    managers = [
        item.context_expr for node in ast.walk(tree) if isinstance(node, ast.With) for item in node.items
    ]
    wrong = [call for call in calls if call.keywords or call in managers]
    return [ast.unparse(node) for node in wrong] + [match[0] for match in SCOPED.finditer(ast.unparse(tree))]


def test_the_panel_asks_nothing_that_pythonqt_has_not(repository):
    files = [*(repository / "SparseVolumeReconstruction").rglob("mrml/**/*.py")]
    assert (
        files
        and [
            found for file in files for found in beyond_pythonqt(ast.parse(file.read_text(encoding="utf-8")))
        ]
        == []
    )
    assert (
        len(
            beyond_pythonqt(
                ast.parse(
                    "qt.QLabel(text='a')\nqt.Qt.AlignmentFlag.AlignLeft\nwith qt.QSignalBlocker(w): pass"
                )
            )
        )
        == 3
    )
