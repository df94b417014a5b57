"""The main window of the host: the panel at the left, four views at the right."""

from __future__ import annotations

from pathlib import Path

from PySide6 import QtCore, QtGui, QtWidgets

from . import qtstyle  # noqa: F401 - its manners are used below
from .ctk_widgets import ctkCollapsibleButton

PLACES = {"Red": (0, 0), "1": (0, 1), "Green": (1, 0), "Yellow": (1, 1)}
PANEL_WIDTH = 500
NARROWEST = 0  # a dock becomes no narrower than its widget can be


class ModuleSelector:
    """Chooses the module that is shown."""

    def __init__(self, select):
        self._select, self.selectedModule = select, ""

    def selectModule(self, name: str) -> None:
        """Show a module, or none."""
        self._select(name)
        self.selectedModule = name


class ModulePanel(QtWidgets.QScrollArea):
    """qSlicerModulePanel: help, the module's widget and a spacer in a scroll area.

    It never scrolls sideways. As in the application the module is at least as wide as its size hint, and the
    panel by a scroll bar wider.
    """

    IS_STAND_IN = True

    def __init__(self):
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
        contents = QtWidgets.QWidget()
        self._column = QtWidgets.QVBoxLayout(contents)
        help_section = ctkCollapsibleButton("Help and Acknowledgement")
        help_section.setLayout(QtWidgets.QVBoxLayout())
        help_section.collapsed = True
        help_section.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Fixed)
        self._column.addWidget(help_section)
        self._column.addSpacerItem(
            QtWidgets.QSpacerItem(0, 0, QtWidgets.QSizePolicy.Minimum, QtWidgets.QSizePolicy.MinimumExpanding)
        )
        self.setWidget(contents)
        self._module, self._asked = None, PANEL_WIDTH

    def show_module(self, widget, owner) -> None:
        """Put a module's widget in the place of the one that is shown; `owner` keeps what is not shown; None
        shows none.
        """
        if self._module is not None:
            self._module.removeEventFilter(self)
            self._column.removeWidget(self._module)
            self._module.hide()
            self._module.setParent(owner)
        self._module = widget
        if widget is not None:
            widget.layout().setContentsMargins(0, 0, 0, 0)
            self._column.insertWidget(1, widget, 1)
            widget.setSizePolicy(QtWidgets.QSizePolicy.Minimum, widget.sizePolicy.verticalPolicy())
            widget.show()
            widget.installEventFilter(self)
        self.fit()

    def eventFilter(self, watched, event) -> bool:
        """The module has another size or layout: so has the panel."""
        if event.type() in (QtCore.QEvent.Resize, QtCore.QEvent.LayoutRequest):
            self.fit()
        return False

    def minimumSizeHint(self) -> QtCore.QSize:
        """As wide as the module, and a scroll bar."""
        width = self.widget().minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()
        return QtCore.QSize(width, super().minimumSizeHint().height())

    def ask(self, width: int) -> None:
        """Drag the edge of the dock: it becomes so wide, but no narrower than it can be."""
        self._asked = width
        self.fit()

    def fit(self) -> None:
        """Take the width that was asked for, or the least."""
        self.setFixedWidth(max(self._asked, self.minimumSizeHint().width()))


class HostWindow(QtWidgets.QMainWindow):
    """Panel and views side by side."""

    def __init__(self, views: dict, select):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = ModuleSelector(select)
        self._panel = ModulePanel()
        centre = QtWidgets.QWidget()
        layout = QtWidgets.QHBoxLayout(centre)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.addWidget(self._panel)
        grid = QtWidgets.QGridLayout()
        grid.setSpacing(2)
        for view in views.values():
            grid.addWidget(view, *PLACES[view.view_name])
        for place in (0, 1):
            grid.setRowStretch(place, 1)
            grid.setColumnStretch(place, 1)
        layout.addLayout(grid, 1)
        self.setCentralWidget(centre)
        self._views = views

    def moduleSelector(self) -> ModuleSelector:
        """Chooses the module that is shown."""
        return self._selector

    def show_panel(self, widget) -> None:
        """Put a panel into the left part, or take it out for None."""
        self._panel.show_module(widget, self)

    def set_panel_width(self, width: int) -> int:
        """Make the panel so wide, or as narrow as it can be; returns the width that it has then, in
        pixels.
        """
        self._panel.ask(width)
        QtWidgets.QApplication.processEvents()
        return self._panel.width

    def take_picture(self, path: str | Path, size: tuple[int, int]) -> QtGui.QImage:
        """Write the whole window as a picture of `size` pixels (width, height), marked as the test host's;
        returns it.
        """
        self.resize(*size)
        QtWidgets.QApplication.processEvents()
        for view in self._views.values():
            view.refresh()
        QtWidgets.QApplication.processEvents()
        image = self.grab().toImage()
        painter = QtGui.QPainter(image)
        corner = QtCore.QRect(size[0] - 90, size[1] - 26, 84, 20)
        painter.fillRect(corner, QtGui.QColor(255, 255, 255, 220))
        painter.setPen(QtGui.QColor("black"))
        painter.drawText(corner, QtCore.Qt.AlignCenter, "test host")
        painter.end()
        if not image.save(str(path)):
            raise OSError(f"{path}: the picture could not be written.")
        return image
