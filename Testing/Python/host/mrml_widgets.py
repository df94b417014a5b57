"""Stand-ins for the widgets that know the scene, and the loader of .ui files that makes them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import ClassVar

import slicer
import vtk
from PySide6 import QtCore, QtUiTools, QtWidgets

from . import ctk_widgets, qtstyle
from .qtstyle import qt

Property, Signal = QtCore.Property, QtCore.Signal
SCENE_SIGNAL = "mrmlSceneChanged(vtkMRMLScene*)"
SCENE_EVENTS = (
    "NodeAddedEvent",
    "NodeRemovedEvent",
    "EndCloseEvent",
    "EndImportEvent",
    "EndBatchProcessEvent",
)


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that hands the scene on to those that its .ui file connects."""

    IS_STAND_IN = True
    mrmlSceneChanged = Signal(object)
    SIGNATURES: ClassVar = {SCENE_SIGNAL: "mrmlSceneChanged(PyObject)"}

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self):
        """The scene, or None."""
        return self._scene

    def setMRMLScene(self, scene) -> None:
        """Show another scene."""
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLSortFilterProxyModel:
    """Which nodes a selector does not offer, besides those of other types."""

    __slots__ = ("_changed", "_hidden")

    def __init__(self, changed):
        self._hidden, self._changed = (), changed

    @property
    def hiddenNodeIDs(self) -> tuple[str, ...]:
        """IDs of nodes that are not offered."""
        return self._hidden

    @hiddenNodeIDs.setter
    def hiddenNodeIDs(self, identifiers) -> None:
        self._hidden = tuple(identifiers)
        self._changed()


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """A selector of nodes of the scene."""

    IS_STAND_IN = True
    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)
    SIGNATURES: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged(PyObject)",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser(PyObject)",
    }
    ACTIONS: ClassVar = {"addEnabled": "Create new", "removeEnabled": "Delete current"}

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene, self._current = None, ""
        self._types, self._attributes, self._rows, self._leaving = [], [], [], None
        self._proxy = qMRMLSortFilterProxyModel(self._fill)
        self._settings = {
            "addEnabled": True,
            "removeEnabled": True,
            "showChildNodeTypes": True,
            "selectNodeUponCreation": True,
        }
        self._combo = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self._combo.activated.connect(self._picked)
        observed = self._observed = []
        self.connect("destroyed()", lambda: _stop(observed))
        self._fill()

    # The scene
    def mrmlScene(self):
        """The scene, or None."""
        return self._scene

    def setMRMLScene(self, scene) -> None:
        """Offer the nodes of a scene from now on."""
        if scene is self._scene:
            return
        _stop(self._observed)
        self._scene = scene
        for name in SCENE_EVENTS if scene else ():
            self._observed.append(
                (scene, scene.AddObserver(getattr(slicer.vtkMRMLScene, name), self._scene_changed))
            )
        if scene:
            self._observed.append(
                (scene, scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._node_leaves))
            )
        self._fill()

    def sortFilterProxyModel(self) -> qMRMLSortFilterProxyModel:
        """The filter of the nodes."""
        return self._proxy

    def _scene_changed(self, scene, event) -> None:
        if not scene.IsBatchProcessing():
            self._leaving = None
            self._fill()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_leaves(self, scene, event, node) -> None:
        """The real widget drops the row before the node is gone."""
        if not scene.IsBatchProcessing():
            self._leaving = node
            self._fill()

    def _node_changed(self, node, event) -> None:
        place = self._combo.findData(node.GetID())
        if self._is_shown(node) != (place >= 0) or self._combo.itemText(place) != node.GetName():
            self._scene_changed(self._scene, event)

    def nodes(self) -> list:
        """The nodes that can be chosen."""
        found = (
            [node for kind in self._types for node in slicer.util.getNodesByClass(kind, self._scene)]
            if self._scene
            else []
        )
        for node in set(found) - {thing for thing, _ in self._observed}:
            self._observed.append((node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._node_changed)))
        return [node for node in dict.fromkeys(found) if self._is_shown(node)]

    def _is_shown(self, node) -> bool:
        if node is self._leaving or node.GetID() in self._proxy.hiddenNodeIDs:
            return False
        if node.GetScene() is None or (node.GetHideFromEditors() and not self._settings.get("showHidden")):
            return False
        if not self._settings["showChildNodeTypes"] and node.GetClassName() not in self._types:
            return False
        wanted = [(name, value) for kind, name, value in self._attributes if node.IsA(kind)]
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for name, value in wanted
        )

    # The choice
    def currentNode(self):
        """The chosen node, or None."""
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node) -> None:
        """Choose a node; one that is not offered, or None, chooses none."""
        self._choose(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, identifier: str) -> None:
        """Choose a node by its ID."""
        self._choose(identifier or "")

    def addAttribute(self, kind: str, name: str, value: str | None = None) -> None:
        """Of the nodes of a class offer only those that have an attribute (with this value)."""
        self._attributes.append((kind, name, value))
        self._fill()

    def addNode(self, kind: str | None = None):
        """Make a node, as the user does, and choose it."""
        node = self._scene.AddNewNodeByClass(kind or self._types[0], self._settings.get("baseName", ""))
        for name, value in [(name, value) for a_kind, name, value in self._attributes if node.IsA(a_kind)]:
            node.SetAttribute(name, value)
        self._fill()
        self.nodeAddedByUser.emit(node)
        if self._settings["selectNodeUponCreation"]:
            self._choose(node.GetID())
        return node

    def removeCurrentNode(self) -> None:
        """Remove the chosen node from the scene."""
        if self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())

    def _fill(self) -> None:
        nodes, before = self.nodes(), self._rows
        self._rows = [node.GetID() for node in nodes]
        self._combo.clear()
        if self._settings.get("noneEnabled"):
            self._combo.addItem(self._settings.get("noneDisplay") or "None", "")
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
        for name, words in self.ACTIONS.items():
            if self._scene and self._settings.get(name) and self._types:
                self._combo.addItem(f"{words} {self._scene.GetTagByClassName(self._types[0])}", name)
        fallback = nodes[0].GetID() if nodes and not self._settings.get("noneEnabled") else ""
        if (
            self._rows and self._current in before and self._current not in self._rows
        ):  # Qt goes on to what takes the row's place
            fallback = self._rows[min(before.index(self._current), len(self._rows) - 1)]
            self._choose(fallback)
        else:
            self._choose(self._current or fallback)

    def _choose(self, identifier: str) -> None:
        place = self._combo.findData(identifier)
        offered = place >= 0 and identifier not in self.ACTIONS
        self._combo.currentIndex = (
            place if offered else self._combo.findData("") if self._settings.get("noneEnabled") else -1
        )
        identifier = identifier if offered else ""
        if not identifier and self._current and not self._settings.get("noneEnabled") and self.nodes():
            identifier = self.nodes()[0].GetID()
            self._combo.currentIndex = self._combo.findData(identifier)
        if identifier != self._current:
            self._current = identifier
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(identifier)

    def _picked(self, place: int) -> None:
        data = self._combo.itemData(place)
        if data == "addEnabled":
            self.addNode()
        elif data == "removeEnabled":
            self.removeCurrentNode()
        else:
            self._choose(data or "")

    # Properties
    def _set_types(self, types) -> None:
        self._types = [name for name in types if name]
        self._fill()

    def _setting(name: str, kind=bool):
        def change(self, value) -> None:
            self._settings[name] = value
            self._fill()

        return Property(kind, lambda self: self._settings.get(name, kind()), change)

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    currentNodeID = Property(str, lambda self: self._current, setCurrentNodeID)
    nodeCount = Property(int, lambda self: len(self.nodes()))
    noneEnabled, addEnabled, removeEnabled = (
        _setting("noneEnabled"),
        _setting("addEnabled"),
        _setting("removeEnabled"),
    )
    editEnabled, renameEnabled, showHidden = (
        _setting("editEnabled"),
        _setting("renameEnabled"),
        _setting("showHidden"),
    )
    showChildNodeTypes, selectNodeUponCreation = (
        _setting("showChildNodeTypes"),
        _setting("selectNodeUponCreation"),
    )
    baseName, noneDisplay = _setting("baseName", str), _setting("noneDisplay", str)


def _stop(observed: list) -> None:
    while observed:
        thing, tag = observed.pop()
        thing.RemoveObserver(tag)


CLASSES = {cls.__name__: cls for cls in (qMRMLWidget, qMRMLNodeComboBox)}


class QUiLoader(QtUiTools.QUiLoader):
    """Makes widgets of .ui files, those of CTK and of the scene, too.

    A class or a property that does not exist raises.
    """

    def createWidget(self, class_name: str, parent=None, name: str = ""):
        """One widget; called by Qt."""
        made = {**ctk_widgets.CLASSES, **CLASSES}.get(class_name)
        if made is None:
            return super().createWidget(class_name, parent, name)
        widget = qtstyle.keep(made(parent))
        widget.setObjectName(name)
        return widget

    def load(self, file, parent=None):
        """The widget of an open .ui file."""
        root = ElementTree.fromstring(bytes(file.readAll().data()))
        scene_connections = [one for one in root.iter("connection") if one.findtext("signal") == SCENE_SIGNAL]
        for connections in root.iter("connections"):
            for one in scene_connections:
                if one in list(connections):
                    connections.remove(one)
        _check(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(f"The .ui file could not be loaded: {self.errorString()}")
        named = {
            child.objectName: child
            for child in [widget, *widget.findChildren(QtCore.QObject)]
            if child.objectName
        }
        for one in scene_connections:
            sender, receiver = named[one.findtext("sender")], named[one.findtext("receiver")]
            sender.connect(SCENE_SIGNAL, receiver.setMRMLScene)
        return qtstyle.keep(widget)


def _check(root) -> None:
    for element in root.iter("widget"):
        name = element.get("class")
        cls = ctk_widgets.CLASSES.get(name) or CLASSES.get(name) or getattr(qt, name, None)
        if cls is None and name != "Line":
            raise RuntimeError(f".ui file: no widget class {name}.")
        for item in element.findall("property"):
            known = qtstyle.properties(cls) if cls else {item.get("name")}
            if item.get("stdset") != "0" and item.get("name") not in known:
                raise RuntimeError(
                    f".ui file: {name} {element.get('name')!r} has no property {item.get('name')!r}."
                )


qt.QUiLoader = QUiLoader
