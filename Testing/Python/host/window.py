"""The main window of the host: the panel at the left, four views at the right."""

from __future__ import annotations

from pathlib import Path

from PySide6 import QtCore, QtGui, QtWidgets

from . import qtstyle  # noqa: F401 - its manners are used below

PLACES = {"Red": (0, 0), "1": (0, 1), "Green": (1, 0), "Yellow": (1, 1)}
PANEL_WIDTH = 500


class ModuleSelector:
    """Chooses the module that is shown."""

    def __init__(self, select):
        self._select, self.selectedModule = select, ""

    def selectModule(self, name: str) -> None:
        """Show a module, or none."""
        self._select(name)
        self.selectedModule = name


class HostWindow(QtWidgets.QMainWindow):
    """Panel and views side by side."""

    def __init__(self, views: dict, select):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = ModuleSelector(select)
        self._panel = QtWidgets.QScrollArea()
        self._panel.setWidgetResizable(True)
        self._panel.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAsNeeded)
        self._panel.setFixedWidth(PANEL_WIDTH)
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
        old = self._panel.takeWidget()
        if old is not None:
            old.hide()
            old.setParent(self)
        if widget is not None:
            self._panel.setWidget(widget)
            widget.show()

    def take_picture(self, path: str | Path, size: tuple[int, int]) -> QtGui.QImage:
        """Write the whole window as a picture of `size` pixels (width, height), marked as the test host's; returns it."""
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
