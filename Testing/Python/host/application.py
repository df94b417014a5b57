"""What `slicer.app`, `slicer.modules` and the layout manager are in the host. What is not here raises."""

from __future__ import annotations

import types
from pathlib import Path

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from SparseVolumeReconstructionLib.mrml.bundle import save_bundle
from SparseVolumeReconstructionLib.mrml.scene import headless_scene

from .segment_editor import SegmentEditorPanel

LOGICS = {
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
}
STORED = (".mrb", ".mrml")


class Module:
    """An entry of `slicer.modules`."""

    def __init__(self, name: str, path: str = "", logic=None, widget=None):
        self.name, self.title, self.path, self._logic, self._widget = name, name, path, logic, widget

    def logic(self):
        """The module's logic."""
        return self._logic

    def widgetRepresentation(self):
        """The widget that holds the panel."""
        return self._widget


class ModuleManager(QtCore.QObject):
    """Knows the modules by name and tells when one is unloaded."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)

    def module(self, name: str):
        """A module, or None."""
        return getattr(slicer.modules, name.lower(), None)


class SliceWidget:
    """What the layout manager calls the widget of a slice view."""

    def __init__(self, view):
        self._view = view

    def sliceLogic(self):
        """The logic of the view."""
        return self._view.logic

    def mrmlSliceNode(self):
        """The node of the view's plane."""
        return self._view.node

    def mrmlSliceCompositeNode(self):
        """The node of the volumes in the view."""
        return self._view.composite

    def sliceView(self):
        """The view itself."""
        return self

    def renderWindow(self):
        """What the view is drawn into."""
        return self._view.window

    def forceRender(self) -> None:
        """Render now."""
        self._view.refresh()

    def scheduleRender(self) -> None:
        """Render soon."""
        self._view.schedule()


class ThreeDWidget:
    """What the layout manager calls the widget of the 3D view."""

    def __init__(self, view):
        self._view = view

    def threeDView(self):
        """The view itself."""
        return self

    def mrmlViewNode(self):
        """The node of the view."""
        return self._view.node

    def forceRender(self) -> None:
        """Render now."""
        self._view.refresh()

    def resetFocalPoint(self) -> None:
        """Look at everything."""
        self._view.reset_camera()

    def scheduleRender(self) -> None:
        """Render soon."""
        self._view.schedule()


class PlotWidget:
    """A plot view, which the host does not draw."""

    def __init__(self, node):
        self._node = node

    def mrmlPlotViewNode(self):
        """The node that says which chart is shown."""
        return self._node


class LayoutManager:
    """Finds the views, as in the application.

    The host has four views, shows those that the layout has, and draws no tables and plots.
    """

    threeDViewCount, tableViewCount = 1, 0

    def __init__(self, scene, application_logic):
        self._logic, self._scene, self.slices, self.three_d = application_logic, scene, {}, None
        self._layout_logic = slicer.vtkMRMLLayoutLogic()

    def show_views(self, slices: dict, three_d) -> None:
        """Take the views that there are, and choose the layout of four views."""
        self.slices, self.three_d = slices, three_d
        self._layout_logic.SetMRMLScene(self._scene)
        self._layout_logic.GetLayoutNode().AddObserver(vtk.vtkCommand.ModifiedEvent, self._map_views)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def _map_views(self, *_) -> None:
        """Mark and show the views that the layout has."""
        nodes = self._layout_logic.GetViewNodes()
        mapped = {nodes.GetItemAsObject(place).GetID() for place in range(nodes.GetNumberOfItems())}
        for view in (*self.slices.values(), self.three_d):
            view.node.SetMappedInLayout(view.node.GetID() in mapped)
            view.setVisible(view.node.GetID() in mapped)

    def close(self) -> None:
        """Let go of the scene."""
        self._layout_logic.GetLayoutNode().RemoveObservers(vtk.vtkCommand.ModifiedEvent)
        self._layout_logic.SetMRMLScene(None)

    def _plots(self) -> list:
        return slicer.util.getNodesByClass("vtkMRMLPlotViewNode", self._scene)

    def sliceViewNames(self) -> tuple[str, ...]:
        """Names of the slice views."""
        return tuple(self.slices)

    def sliceWidget(self, name: str):
        """The widget of a slice view, or None."""
        return SliceWidget(self.slices[name]) if name in self.slices else None

    def threeDWidget(self, place: int):
        """The widget of the 3D view."""
        return ThreeDWidget(self.three_d) if place == 0 else None

    def plotWidget(self, place: int):
        """The widget of a plot view of the layout, or None."""
        return PlotWidget(self._plots()[place]) if place < self.plotViewCount else None

    @property
    def plotViewCount(self) -> int:
        """How many plot views the layouts so far had."""
        return len(self._plots())

    def mrmlSliceLogics(self):
        """Logics of the slice views."""
        return self._logic.GetSliceLogics()

    @property
    def layout(self) -> int:
        """Number of the layout."""
        return self._layout_logic.GetLayoutNode().GetViewArrangement()

    def setLayout(self, layout: int) -> None:
        """Choose a layout."""
        self._layout_logic.GetLayoutNode().SetViewArrangement(layout)

    def resetSliceViews(self) -> None:
        """Fit all slice views to what they show."""
        for view in self.slices.values():
            view.logic.FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        """Look at everything in 3D."""
        self.three_d.reset_camera()


class CoreIOManager:
    """Reads and writes what `slicer.util.load...` and `save...` ask for."""

    def fileType(self, path) -> str:
        """Kind of a file by its name."""
        return "SceneFile" if str(path).endswith(STORED) else "VolumeFile"

    def fileWriterFileType(self, node, *_) -> str:
        """Kind of file of a node."""
        return "NodeFile"

    def loadNodes(self, kind: str, properties: dict, loaded, messages=None) -> bool:
        """Read a scene or a volume."""
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return bool(slicer.mrmlScene.ReadFromMRB(path, bool(properties.get("clear"))))
        if kind != "VolumeFile":
            raise NotImplementedError(f"The host does not load {kind}.")
        node = (
            slicer.app.applicationLogic()
            .GetModuleLogic("Volumes")
            .AddArchetypeVolume(path, properties.get("name") or Path(path).stem)
        )
        if node is not None:
            loaded.AddItem(node)
        return node is not None

    def saveNodes(self, kind: str, properties: dict, messages=None) -> bool:
        """Write the scene or one node."""
        path = str(properties["fileName"])
        if kind == "SceneFile":
            save_bundle(slicer.mrmlScene, path)
            return True
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        storage = node.CreateDefaultStorageNode()
        storage.SetFileName(path)
        return bool(storage.WriteData(node))


class ApplicationSignals(QtCore.QObject):
    """Signals of `slicer.app`; a test sends those it needs."""

    startupCompleted = QtCore.Signal()


class Application:
    """`slicer.app`; what is not here is what QApplication has."""

    applicationName, majorVersion, minorVersion, revision = "Slicer", 5, 13, "host"

    def __init__(self, scene, application_logic, temporary_path: str, testing: bool):
        self._scene, self._logic, self.temporaryPath, self._testing = (
            scene,
            application_logic,
            temporary_path,
            testing,
        )
        self._modules, self._io, self._layout = (
            ModuleManager(),
            CoreIOManager(),
            LayoutManager(scene, application_logic),
        )
        self.signals = ApplicationSignals()
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, temporary_path)
        self._settings = QtCore.QSettings("test-host", "test-host")

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(QtWidgets.QApplication.instance(), name)

    def connect(self, signature: str, slot) -> bool:
        """Call `slot` at a signal of the application."""
        return self.signals.connect(signature, slot)

    def applicationLogic(self):
        """The application's logic."""
        return self._logic

    def mrmlScene(self):
        """The scene."""
        return self._scene

    def layoutManager(self) -> LayoutManager:
        """Finds the views."""
        return self._layout

    def moduleManager(self) -> ModuleManager:
        """Finds the modules."""
        return self._modules

    def coreIOManager(self) -> CoreIOManager:
        """Reads and writes."""
        return self._io

    ioManager = coreIOManager

    def userSettings(self) -> QtCore.QSettings:
        """Settings of the user; here they last as long as the host."""
        return self._settings

    settings = userSettings

    def testingEnabled(self) -> bool:
        """Whether questions are answered with yes, and messages are logged, instead of shown."""
        return self._testing

    def processEvents(self, *_) -> None:
        """Let Qt work."""
        QtWidgets.QApplication.processEvents()

    def pauseRender(self) -> None:
        """The host renders on demand only."""

    resumeRender = pauseRender


def make_application(testing: bool) -> Application:
    """Make a new scene and an application about it the current ones: `slicer.mrmlScene`, `slicer.app`,
    `slicer.modules`.
    """
    scene = headless_scene()
    logic, temporary_path = slicer.app.applicationLogic(), slicer.app.temporaryPath
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    logics = {
        name: logic.GetModuleLogic(name)
        for name in ("Volumes", "Sequences", "Transforms", "SubjectHierarchy")
    }
    logic.SetModuleLogic("Colors", logic.GetColorLogic())  # reading a volume asks for it
    for name, cls in LOGICS.items():
        logics[name] = module_logic = getattr(slicer, cls)()  # the application's logic does not own it
        if hasattr(module_logic, "SetModuleShareDirectory"):
            module_logic.SetModuleShareDirectory(temporary_path)
        module_logic.SetMRMLScene(scene)
        module_logic.SetMRMLApplicationLogic(logic)
        logic.SetModuleLogic(name, module_logic)
    slicer.modules = types.SimpleNamespace(
        **{name.lower(): Module(name, logic=one) for name, one in logics.items()}
    )
    slicer.modules.segmenteditor = Module("SegmentEditor", widget=SegmentEditorPanel())
    slicer.app = Application(scene, logic, temporary_path, testing)
    return slicer.app
