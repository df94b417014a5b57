"""Runs a scripted module's real panel beside real views, and uses it as a person does.

    with Host() as host:
        panel = host.load("SparseVolumeReconstruction/SparseVolumeReconstruction.py")
        host.click(panel.ui.applyButton)
        host.picture("panel.png")

Exceptions in slots and observers, and errors of VTK and Qt, are collected in `host.errors`; leaving the
`with` block raises if there are any.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtTest, QtWidgets

from . import application, ctk_widgets, scripted
from .qtstyle import let_go, qt
from .views import SLICES, SliceView, ThreeDView
from .window import HostWindow

FILE_DIALOGS = ("getOpenFileName", "getSaveFileName", "getExistingDirectory")
QT_NOISE = ("propagateSizeHints", "QFont", "qt.qpa")


class Host:
    """The test host. `views` has the four views by name, `scene` the scene, `panel` the module's panel.

    `files` are the answers to the next file dialogs: what the user would choose, "" to cancel. `answers` are
    those to the next questions, True for OK; `questions` has what was asked.
    """

    def __init__(self, testing: bool = True):
        self.testing, self.errors, self.files, self.panel = testing, [], [], None
        self.answers, self.questions = [], []
        self._names: list[str] = []

    def __enter__(self) -> Host:
        self.qapplication = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["test-host"])
        self.qapplication.setOrganizationName("test-host")
        self.qapplication.setStyle("Fusion")
        self._install()
        self.application = application.make_application(self.testing)
        self.scene, logic = slicer.mrmlScene, self.application.applicationLogic()
        vtk.vtkOutputWindow.GetInstance().AddObserver(vtk.vtkCommand.ErrorEvent, self._vtk_error)
        self.views = {name: SliceView(self.scene, logic, name) for name in SLICES}
        self.views["3D"] = ThreeDView(self.scene, logic)
        self.application.layoutManager().show_views(
            {name: self.views[name] for name in SLICES}, self.views["3D"]
        )
        self.window = HostWindow(self.views, self.select)
        self.window.resize(1600, 1000)
        self.window.show()
        self.process()
        self._own_nodes = set(self._all_nodes())
        return self

    def __exit__(self, kind, value, trace) -> None:
        try:
            for name in list(self._names):
                self.unload(name)
            self.window.close()
            self.application.layoutManager().close()
            for view in self.views.values():
                view.close_view()
            self.window.deleteLater()
            self.process()
            self.scene.Clear(1)
        finally:
            self._uninstall()
        if kind is None:
            self.check()

    # The scene
    def _all_nodes(self) -> list[str]:
        return [self.scene.GetNthNode(place).GetID() for place in range(self.scene.GetNumberOfNodes())]

    def nodes(self) -> list[str]:
        """IDs of the nodes that were not there when the host started."""
        return [identifier for identifier in self._all_nodes() if identifier not in self._own_nodes]

    # Errors
    def check(self) -> None:
        """Raise AssertionError when anything went wrong since the last check."""
        errors, self.errors[:] = "\n".join(self.errors), []
        if errors:
            raise AssertionError(errors)

    def _exception(self, kind, value, trace) -> None:
        self.errors.append("".join(traceback.format_exception(kind, value, trace)))

    @vtk.calldata_type(vtk.VTK_STRING)
    def _vtk_error(self, caller, event, text: str) -> None:
        self.errors.append(text)

    def _qt_message(self, kind, context, text: str) -> None:
        if kind != QtCore.QtMsgType.QtDebugMsg and not any(
            noise in text or noise in str(context.category) for noise in QT_NOISE
        ):
            self.errors.append(f"Qt: {text}")

    def _chosen_file(self, *_) -> str:
        if not self.files:
            raise AssertionError("A file dialog opened, but the test has put no answer into host.files.")
        return str(self.files.pop(0))

    def _asked(self, text: str, *_, **__) -> bool:
        """A question with the buttons OK and Cancel."""
        self.questions.append(text)
        if not self.answers:
            raise AssertionError(
                f"A question was asked, but the test has put no answer into host.answers: {text}"
            )
        if self.qapplication.overrideCursor() is not None:
            raise AssertionError(f"A question was asked under an hourglass: {text}")
        return bool(self.answers.pop(0))

    # What is put into the interpreter and taken out again
    def _install(self) -> None:
        modules = {"qt": qt, "ctk": ctk_widgets.ctk, **scripted.MODULES}
        self._replaced = {name: sys.modules.get(name) for name in modules}
        sys.modules.update(modules)
        self._slicer = dict(vars(slicer))
        for name, thing in {**scripted.TYPES, **scripted.MODULES}.items():
            setattr(slicer, name.rpartition(".")[2], thing)
        for name in FILE_DIALOGS:  # PythonQt gives the path alone, PySide6 a tuple
            setattr(qt.QFileDialog, name, staticmethod(self._chosen_file))
        self._confirm, slicer.util.confirmOkCancelDisplay = slicer.util.confirmOkCancelDisplay, self._asked
        self._hook, sys.excepthook = sys.excepthook, self._exception
        self._message_handler = QtCore.qInstallMessageHandler(self._qt_message)

    def _uninstall(self) -> None:
        sys.excepthook, slicer.util.confirmOkCancelDisplay = self._hook, self._confirm
        QtCore.qInstallMessageHandler(self._message_handler)
        for name, module in self._replaced.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        for name in set(vars(slicer)) - set(self._slicer):
            delattr(slicer, name)
        vars(slicer).update(self._slicer)

    # Modules
    def load(self, path: str | Path, show: bool = True):
        """Load a scripted module from its file, build its panel and return it; shown at the left unless told
        otherwise.
        """
        path = Path(path).resolve()
        name = path.stem
        entry = application.Module(name, str(path))
        setattr(slicer.modules, name.lower(), entry)
        self._names.append(name)
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        entry.about = types.SimpleNamespace(
            path=str(path), name=name, title=name, dependencies=[], categories=[]
        )
        getattr(module, name)(entry.about)
        entry._widget = scripted.qSlicerScriptedLoadableModuleWidget(
            lambda parent: self._make_panel(name, parent), self.window
        )
        entry._widget.hide()
        entry._widget.reload()
        if show:
            self.select(name)
        self.process()
        return self.panel

    def _make_panel(self, name: str, parent):
        self.panel = getattr(sys.modules[name], f"{name}Widget")(parent)
        setattr(slicer.modules, f"{name}Widget", self.panel)
        return self.panel

    def reload(self, name: str | None = None):
        """Reload a module as the application's Reload button does, and return the new panel."""
        slicer.util.reloadScriptedModule(name or self._names[-1])
        self.process()
        return self.panel

    def unload(self, name: str) -> None:
        """Unload a module as the application does when it ends."""
        if getattr(self, "_shown", None) == name:
            self.select("")
        self.application.moduleManager().moduleAboutToBeUnloaded.emit(name)
        entry = vars(slicer.modules).pop(name.lower())
        vars(slicer.modules).pop(f"{name}Widget", None)
        self._names.remove(name)
        sys.modules.pop(name, None)
        self.panel = None
        if entry.widgetRepresentation() is not None:
            entry.widgetRepresentation().deleteLater()
        del entry
        self.process()
        let_go()
        gc.collect()

    def select(self, name: str) -> None:
        """Show a module's panel, and leave the one shown before; "" shows none."""
        old, self._shown = getattr(self, "_shown", ""), name
        if old:
            getattr(slicer.modules, old.lower()).widgetRepresentation().exit()
        widget = getattr(slicer.modules, name.lower()).widgetRepresentation() if name else None
        self.window.show_panel(widget)
        if widget is not None:
            widget.enter()
        self.process()

    # What a person does
    def process(self, seconds: float = 0.0) -> None:
        """Let Qt work, also on what is to be deleted, for at least some seconds."""
        until = time.monotonic() + seconds
        while True:
            self.qapplication.processEvents()
            self.qapplication.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
            if time.monotonic() >= until:
                return
            time.sleep(0.005)

    def wait_until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Let Qt work until the condition is true. Raises TimeoutError, with the errors so far."""
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise TimeoutError("\n".join([f"not true after {seconds} s", *self.errors]))
            self.process(0.01)

    def click(self, widget, place: tuple[int, int] | None = None) -> None:
        """Click a widget with the left button, in its middle (a check box: on the box).

        Raises when a person could not.
        """
        self._require_usable(widget)
        if place is None and isinstance(
            widget, QtWidgets.QCheckBox | QtWidgets.QRadioButton | ctk_widgets.ctkCollapsibleButton
        ):
            place = (10, min(widget.height // 2, 12))
        position = QtCore.QPoint(*place) if place else widget.rect.center()
        QtTest.QTest.mouseClick(widget, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, position)
        self.process()

    def key(self, widget, *keys: str) -> None:
        """Press keys in a widget, e.g. "Ctrl+A", "Down", "Return"."""
        self._require_usable(widget)
        widget.setFocus()
        for one in keys:
            QtTest.QTest.keySequence(widget, QtGui.QKeySequence(one))
        self.process()

    def type(self, widget, text: str) -> None:
        """Replace the text of a line edit or spin box, and press Return."""
        self.key(widget, "Ctrl+A")
        QtTest.QTest.keyClicks(getattr(widget, "lineEdit", lambda: widget)() or widget, text)
        self.key(widget, "Return")

    def choose(self, combo, text: str) -> None:
        """Choose the item of a combo box or node selector that has this text.

        Raises ValueError when there is none.
        """
        inner = combo if isinstance(combo, QtWidgets.QComboBox) else combo.findChild(QtWidgets.QComboBox)
        self._require_usable(inner)
        place = inner.findText(text)
        if place < 0:
            raise ValueError(
                f"{combo.name} has no item {text!r}; it has "
                f"{[inner.itemText(i) for i in range(inner.count)]}."
            )
        inner.setFocus()
        step = "Down" if place > inner.currentIndex else "Up"
        if isinstance(combo, QtWidgets.QComboBox):
            self.key(inner, *[step] * abs(place - inner.currentIndex))
        else:  # each step through a node selector would choose a node
            inner.currentIndex = place
            inner.activated.emit(place)
        self.process()

    def cell(self, table, row: int, column: int) -> QtCore.QPoint:
        """Middle of a cell of a table, in pixels of its viewport."""
        return table.visualItemRect(table.item(row, column)).center()

    def click_cell(self, table, row: int, column: int) -> None:
        """Click a cell of a table."""
        self._require_usable(table)
        QtTest.QTest.mouseClick(
            table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, self.cell(table, row, column)
        )
        self.process()

    def _require_usable(self, widget) -> None:
        if not widget.isVisible():
            raise AssertionError(f"{widget.className()} {widget.name!r} is not visible.")
        if not widget.isEnabled():
            raise AssertionError(f"{widget.className()} {widget.name!r} is disabled: {widget.toolTip}")
        for area in self.window.findChildren(QtWidgets.QScrollArea)[
            ::-1
        ]:  # from the innermost to the outermost
            if area.widget() is not None and area.widget().isAncestorOf(widget):
                area.ensureWidgetVisible(widget)

    # Views
    def scroll(self, name: str, steps: int) -> None:
        """Turn the mouse wheel over a view; negative steps turn it back."""
        view = self.views[name]
        middle = QtCore.QPointF(view.width / 2, view.height / 2)
        for _ in range(abs(steps)):
            turn = QtCore.QPoint(0, 120 if steps > 0 else -120)
            arguments = (QtCore.Qt.NoButton, QtCore.Qt.NoModifier, QtCore.Qt.NoScrollPhase, False)
            wheel = QtGui.QWheelEvent(middle, view.mapToGlobal(middle), QtCore.QPoint(), turn, *arguments)
            self.qapplication.sendEvent(view, wheel)
        self.process()

    def point(self, name: str, across: float = 0.5, down: float = 0.5) -> None:
        """Move the mouse over a view, to fractions of its width and height."""
        view = self.views[name]
        for other in self.views.values():
            if other is not view:
                self.qapplication.sendEvent(other, QtCore.QEvent(QtCore.QEvent.Leave))
        place = QtCore.QPointF(across * view.width, down * view.height)
        self.qapplication.sendEvent(view, QtGui.QEnterEvent(place, place, view.mapToGlobal(place)))
        arguments = (QtCore.Qt.NoButton, QtCore.Qt.NoButton, QtCore.Qt.NoModifier)
        self.qapplication.sendEvent(
            view, QtGui.QMouseEvent(QtCore.QEvent.MouseMove, place, view.mapToGlobal(place), *arguments)
        )
        self.process()

    def picture(self, path: str | Path, size: tuple[int, int] = (1600, 1000)):
        """Write a picture of panel and views, `size` pixels (width, height), marked as the test host's;
        returns the QImage.
        """
        return self.window.take_picture(path, size)
