"""The panel: all sections over one presenter, refreshed together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import qt
import slicer.util
import vtk
from slicer.util import VTKObservationMixin

from ..mrml.logic import SparseVolumeReconstructionLogic
from ..workflow.choices import forget
from ..workflow.presenter import Presenter
from ..workflow.requirements import missing_packages
from .contexts import ContextSection
from .explore import ExploreSection
from .frame import FrameSection
from .outputs import OutputSection
from .parameters import Parameters
from .prior import PriorSection
from .run import RunSection
from .scrolled import Scrolled
from .section import Section
from .template import TemplateSection
from .tools import ToolSection

SHORTCUT = "Ctrl+Shift+C"
_POLL_MS = 20


class Panel(VTKObservationMixin):
    """Builds the sections into a layout.

    `close` ends everything that it started.

    Args:
        layout: of a Qt widget, a box.
        logic: closed with the panel.
        parameter_node: returns the scene's parameter node, made when missing.
        resource_path: place of a file of Resources.
    """

    def __init__(
        self,
        layout,
        logic: SparseVolumeReconstructionLogic,
        parameter_node: Callable,
        resource_path: Callable[[str], str],
    ):
        super().__init__()
        self._parameter_node = parameter_node
        self._tag = None
        self.logic = logic
        self.parameters = Parameters(parameter_node())
        self.presenter = Presenter(self.parameters, logic, self.schedule)
        self.sections: list[Section] = []
        self._root = qt.QWidget()
        layout.addWidget(self._root, 1)
        column = qt.QVBoxLayout(self._root)
        column.setContentsMargins(0, 0, 0, 0)
        self._scrolled = Scrolled()
        self._result = None
        column.addWidget(self._scrolled.area, 1)
        for section in (
            ContextSection,
            PriorSection,
            FrameSection,
            OutputSection,
            RunSection,
            ExploreSection,
            *(partial(ToolSection, use) for use in self.presenter.tools.values()),
            TemplateSection,
        ):
            self.sections.append(section(self.presenter, resource_path))
            add = column.addWidget if section is RunSection else self._scrolled.add
            add(self.sections[-1].widget)
        self._dirty, self._poll = self._timer(0, self.refresh), self._timer(_POLL_MS, self._poll_worker)
        self._loaded = self._timer(0, self._read_parameters)
        for once in (self._dirty, self._loaded):
            once.setSingleShot(True)
        self._connect()
        self.leave()
        self.refresh()

    def schedule(self, *_args) -> None:
        """Refresh soon, once for many changes."""
        self._dirty.start()

    def refresh(self) -> None:
        """Bring all sections up to date."""
        self._keep_parameter_node()
        for section in self.sections:
            section.refresh()
            self._scrolled.reveal(section.show_note())
            if isinstance(section, ExploreSection):
                self._show_new_result(section)
        self._scrolled.fit_width()
        if self.presenter.runner.busy and not self._poll.active:
            self._poll.start()

    def enter(self) -> None:
        """The panel is shown.

        Its shortcut and live updates are on, and the computing process starts, so that it is warm in time.
        """
        if not missing_packages():
            self.logic.client.start()
        self._shortcut.enabled = True
        self.presenter.enter()
        self.refresh()

    def leave(self) -> None:
        """The panel is not shown: it follows what happens to its nodes and does nothing by itself."""
        self._shortcut.enabled = False
        for section in self.sections:
            section.leave()
        self.presenter.leave()

    def close(self) -> None:
        """Let go of the scene, the timers and the computing process."""
        for timer in (self._dirty, self._poll, self._loaded):
            timer.stop()
        self._scrolled.close()
        self.removeObservers()
        self.parameters.disconnectGui(self._tag)
        for section in self.sections:
            section.close()
        self.presenter.close()
        self.logic.close()
        self._shortcut.deleteLater()
        self._root.deleteLater()
        self.sections = []

    def _show_new_result(self, section: ExploreSection) -> None:
        """What a finished job has made can be looked at: scroll to where that is done.

        Live results do not move the panel.
        """
        result = self.parameters.result
        if result is not self._result and result is not None and self.presenter.runner.status.finished:
            self._scrolled.reveal(section.ui.exploreContents)
        self._result = result

    def _folded(self, section, folded: bool) -> None:
        """What was opened is brought into view; what it needs may be wider."""
        self._scrolled.reveal(None if folded else section)
        self.schedule()

    def _timer(self, interval_ms: int, slot):
        timer = qt.QTimer(self._root)
        timer.setInterval(interval_ms)
        timer.connect("timeout()", slot)
        return timer

    def _connect(self) -> None:
        """Parameters to widgets, scene and shortcut to the panel."""
        widgets = {}
        for section in self.sections:
            for widget in slicer.util.findChildren(section.widget):
                if widget.inherits("qMRMLNodeComboBox"):
                    widget.setMRMLScene(slicer.mrmlScene)
                if widget.inherits("ctkCollapsibleButton"):
                    widget.connect(
                        "contentsCollapsed(bool)", lambda folded, one=widget: self._folded(one, folded)
                    )
                if name := widget.property("SlicerParameterName"):
                    widgets[name] = widget
        for section in self.sections:
            section.before_parameters()
        self._tag = self.parameters.connectParametersToGui(widgets)
        for section in self.sections:
            section.wire()
        modified = vtk.vtkCommand.ModifiedEvent
        after_the_wrapper = -1.0
        self.addObserver(
            self.parameters.parameterNode, modified, self._parameters_changed, priority=after_the_wrapper
        )
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._scene_closes)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.schedule)
        before_the_selectors = 1.0
        leaving = slicer.mrmlScene.NodeAboutToBeRemovedEvent
        self.addObserver(slicer.mrmlScene, leaving, self._node_leaves, priority=before_the_selectors)
        for event in (slicer.mrmlScene.EndCloseEvent, slicer.mrmlScene.EndImportEvent):
            self.addObserver(slicer.mrmlScene, event, self._scene_changed)
        self._shortcut = qt.QShortcut(qt.QKeySequence(SHORTCUT), slicer.util.mainWindow() or self._root)
        self._shortcut.connect(
            "activated()", lambda: self.sections[0].attempt(self.presenter.contexts.add_hovered)
        )

    def _parameters_changed(self, *_args) -> None:
        if not slicer.mrmlScene.IsClosing() and not slicer.mrmlScene.IsImporting():
            self.presenter.runner.dismiss()  # what was refused is being put right
            self.presenter.parameters_changed()
            self.schedule()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _node_leaves(self, scene, _event, node) -> None:
        """Where a node was chosen that is deleted, nothing is chosen.

        Its selector would take the neighbour, which nobody meant.
        """
        if not scene.IsClosing():
            forget(self.parameters, node)

    def _scene_closes(self, *_args) -> None:
        """Nothing that is computed or said now belongs into the next scene."""
        self.presenter.runner.drop_live()
        if self.presenter.runner.busy:
            self.logic.close()
        self.presenter.runner.say("")

    def _scene_changed(self, *_args) -> None:
        """After a scene was closed or loaded."""
        self._keep_parameter_node()
        self._parameter_node()  # a closed scene has wiped what marks it as the module's
        self._loaded.start()

    def _read_parameters(self) -> None:
        """Once all of a scene is loaded.

        The parameters were read before the nodes that they name were there.
        """
        for _again in range(2):  # the first time the wrapper tells the widgets before it has read the node
            self.parameters.parameterNode.Modified()

    def _keep_parameter_node(self) -> None:
        """The user can delete it like any other node; what is chosen stays, so it comes back."""
        if self.parameters.parameterNode.GetScene() is None:
            slicer.mrmlScene.AddNode(self.parameters.parameterNode)

    def _poll_worker(self) -> None:
        self.presenter.runner.poll()
        if not self.presenter.runner.busy:
            self._poll.stop()
