"""Stand-ins for slicer.ScriptedLoadableModule and slicer.i18n, and for the widget that holds a scripted
module's panel.
"""

from __future__ import annotations

import logging
import os
import types
import unittest

import slicer
from PySide6 import QtCore, QtWidgets

from . import parameter_node
from .mrml_widgets import CLASSES
from .qtstyle import qt


class ScriptedLoadableModule:
    """What the application knows of a module."""

    def __init__(self, parent):
        self.parent, self.moduleName = parent, type(self).__name__
        icon = self.resourcePath(f"Icons/{self.moduleName}.png")
        if os.path.isfile(icon):
            parent.icon = qt.QIcon(icon)

    def resourcePath(self, name: str) -> str:
        """Path of a file in the module's Resources."""
        return os.path.join(os.path.dirname(self.parent.path), "Resources", name)


class ScriptedLoadableModuleWidget:
    """Base of a module's panel."""

    def __init__(self, parent=None):
        if parent is None:
            raise TypeError("The host gives the panel its parent.")
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode, self.parent, self.layout = False, parent, parent.layout()
        slicer.app.moduleManager().connect(
            "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
        )

    def resourcePath(self, name: str) -> str:
        """Path of a file in the module's Resources."""
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", name)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect(
                "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
            )

    def setup(self) -> None:
        """Build the panel."""

    def cleanup(self) -> None:
        """Let go of everything."""

    def enter(self) -> None:
        """The module is shown."""

    def exit(self) -> None:
        """The module is left."""


class ScriptedLoadableModuleLogic:
    """Base of a module's logic."""

    def __init__(self, parent=None):
        super().__init__()
        self.moduleName, self.isSingletonParameterNode = type(self).__name__.removesuffix("Logic"), True

    def getParameterNode(self):
        """The parameter node of the module, made when there is none."""
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.AddNode(self.createParameterNode())
        elif node.GetAttribute("ModuleName") != self.moduleName:  # closing a scene removes it
            node.SetAttribute("ModuleName", self.moduleName)
        return node

    def createParameterNode(self):
        """A new parameter node that is not in the scene yet."""
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of a module's self test."""

    def delayDisplay(self, message: str, *_) -> None:
        """Log what is being tested."""
        logging.info(message)

    def runTest(self) -> None:
        """Run the tests."""


class qSlicerScriptedLoadableModuleWidget(QtWidgets.QWidget):
    """Holds a panel and calls its setup, enter and exit, as the application does."""

    IS_STAND_IN = True

    def __init__(self, make_panel, parent=None):
        super().__init__(parent)
        self._make_panel, self._panel, self._entered = make_panel, None, False
        self.setLayout(qt.QVBoxLayout())

    def mrmlScene(self):
        """The scene."""
        return slicer.mrmlScene

    def self(self):
        """The panel."""
        return self._panel

    def reload(self) -> None:
        """Make the panel from the module as it is now."""
        self._panel = self._make_panel(self)
        self._panel.setup()
        if self._entered:
            self._panel.enter()

    def enter(self) -> None:
        """Show the module."""
        self._entered = True
        self._panel.enter()

    def exit(self) -> None:
        """Leave the module."""
        self._entered = False
        self._panel.exit()


class qSlicerScriptedLoadableModule:
    """Type of scripted modules; the host has no use for it but `slicer.util` compares with it."""


base = types.ModuleType("slicer.ScriptedLoadableModule")
base.__all__ = [
    "ScriptedLoadableModule",
    "ScriptedLoadableModuleLogic",
    "ScriptedLoadableModuleTest",
    "ScriptedLoadableModuleWidget",
]
for name in base.__all__:
    setattr(base, name, globals()[name])
i18n = types.ModuleType("slicer.i18n")
i18n.tr = lambda text: QtCore.QCoreApplication.translate("SparseVolumeReconstruction", text)
i18n.translate = QtCore.QCoreApplication.translate

MODULES = {module.__name__: module for module in (base, i18n, parameter_node.module)}
TYPES = {
    **CLASSES,
    **{cls.__name__: cls for cls in (qSlicerScriptedLoadableModuleWidget, qSlicerScriptedLoadableModule)},
}
