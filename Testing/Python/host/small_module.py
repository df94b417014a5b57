"""A small scripted module as it would be shipped; the host itself is tested with it."""

from __future__ import annotations

import textwrap
from pathlib import Path

MODULE = """
    import enum
    from typing import Annotated

    import ctk
    import qt
    import slicer
    import vtk
    from slicer.i18n import tr as _
    from slicer.parameterNodeWrapper import Choice, Default, WithinRange, parameterNodeWrapper
    from slicer.ScriptedLoadableModule import *
    from slicer.util import VTKObservationMixin


    class Shape(enum.Enum):
        ROUND = "r"
        FLAT = "f"

        def label(self):
            return {"r": _("Round one"), "f": _("Flat one")}[self.value]


    @parameterNodeWrapper
    class Parameters:
        volume: slicer.vtkMRMLScalarVolumeNode
        count: Annotated[int, WithinRange(1, 9)] = 3
        weight: Annotated[float, WithinRange(0, 1), Default(0.25)]
        label: str = "a"
        active: bool = True
        shape: Shape = Shape.FLAT
        colour: Annotated[str, Choice(["red", "blue"])] = "blue"
        offsets: list[float]


    class Small(ScriptedLoadableModule):
        def __init__(self, parent):
            ScriptedLoadableModule.__init__(self, parent)
            parent.title = _("Small")


    class SmallWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
        def __init__(self, parent=None):
            ScriptedLoadableModuleWidget.__init__(self, parent)
            VTKObservationMixin.__init__(self)
            self.log = []

        def setup(self):
            form = slicer.util.loadUI(self.resourcePath("UI/Small.ui"))
            self.layout.addWidget(form)
            self.ui = slicer.util.childWidgetVariables(form)
            form.setMRMLScene(slicer.mrmlScene)
            self.logic = SmallLogic()
            self.parameters = Parameters(self.logic.getParameterNode())
            widgets = [w for w in vars(self.ui).values() if w.property("SlicerParameterName")]
            self.tag = self.parameters.connectParametersToGui({w.property("SlicerParameterName"): w for w in widgets})
            self.ui.goButton.connect("clicked(bool)", self.onGo)
            self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.EndCloseEvent, self.onClosed)

        def onClosed(self, caller, event):
            self.logic.getParameterNode()
            self.log.append("closed")

        def onGo(self):
            self.log.append("go")
            if self.parameters.label == "fail":
                raise ValueError("the slot failed")
            if self.parameters.label == "fail in vtk":
                vtk.vtkImageReader2().Update()

        def enter(self):
            self.log.append("enter")

        def exit(self):
            self.log.append("exit")

        def cleanup(self):
            self.log.append("cleanup")
            self.removeObservers()
            self.parameters.disconnectGui(self.tag)


    class SmallLogic(ScriptedLoadableModuleLogic):
        pass
"""  # noqa: E501
NAME = '<property name="SlicerParameterName" stdset="0"><string>{2}</string></property>'
ROW = f'<item><widget class="{{0}}" name="{{1}}">{NAME}{{3}}</widget></item>'
WIDGETS = [
    (
        "qMRMLNodeComboBox",
        "volumeSelector",
        "volume",
        '<property name="noneEnabled"><bool>true</bool></property>',
    ),
    ("QSpinBox", "countBox", "count", ""),
    ("ctkSliderWidget", "weightSlider", "weight", ""),
    ("QLineEdit", "labelEdit", "label", ""),
    ("QCheckBox", "activeBox", "active", ""),
    ("QComboBox", "shapeBox", "shape", ""),
    ("QComboBox", "colourBox", "colour", ""),
]
FORM = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Small</class><widget class="qMRMLWidget" name="Small"><layout class="QVBoxLayout" name="layout">
<item><widget class="ctkCollapsibleButton" name="section"><property name="text"><string>Section</string></property>
<layout class="QVBoxLayout" name="inner">{rows}</layout></widget></item>
<item><widget class="QPushButton" name="goButton"><property name="text"><string>Go</string></property></widget></item>
</layout></widget><connections><connection><sender>Small</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
<receiver>volumeSelector</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>"""  # noqa: E501


def write_small_module(folder: Path, code=("", ""), form=("", "")) -> Path:
    """Write the module's file, and its form, into a folder; `code` and `form` are changes of them as (old,
    new). Returns the file.
    """
    resources = folder / "Resources" / "UI"
    resources.mkdir(parents=True, exist_ok=True)
    (resources / "Small.ui").write_text(
        FORM.format(rows="".join(ROW.format(*one) for one in WIDGETS)).replace(*form)
    )
    path = folder / "Small.py"
    path.write_text(textwrap.dedent(MODULE).replace(*code))
    return path
