"""The module's own panel in the test host, and what a person does with it again and again."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import slicer
import slicer.util
from PySide6 import QtCore, QtTest, QtWidgets

MODULE = Path(__file__).resolve().parents[3] / "SparseVolumeReconstruction" / "SparseVolumeReconstruction.py"
USED, VIEW, ORIENTATION, OFFSET, THICKNESS, REMOVE = range(6)
NORMALS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}


class Desk:
    """The panel `panel` in `host`.

    `ui` has the widgets of its sections by name, `tools` those of the sections of tools by the tool's name.
    """

    def __init__(self, host):
        self.host, self.ui, self.tools = host, types.SimpleNamespace(), {}
        self.take(host.load(MODULE))

    def take(self, widget) -> None:
        """Use the panel of a module's widget, which may have been reloaded."""
        self.panel = widget.panel
        for section in self.panel.sections:
            if hasattr(section, "use"):
                self.tools[section.use.tool.name] = section.ui
            else:
                vars(self.ui).update(vars(section.ui))

    # Read only
    @property
    def contexts(self) -> list:
        """The context slices of the scene."""
        return list(self.panel.presenter.contexts)

    @property
    def parameters(self):
        """What is stored in the scene."""
        return self.panel.parameters

    @property
    def status(self):
        """What the panel tells the user."""
        return self.panel.presenter.runner.status

    @property
    def result(self):
        """The chosen result."""
        return self.panel.presenter.explorer.result

    def row(self, number: int) -> list[str]:
        """The texts of a row of the table."""
        return [self.ui.contextTable.item(number, column).text() for column in range(6)]

    def shown(self, view: str = "Red"):
        """Foreground volume of a view, or None."""
        identity = self.host.views[view].composite.GetForegroundVolumeID()
        return slicer.mrmlScene.GetNodeByID(identity) if identity else None

    # Before a test, and waiting
    def clear(self) -> None:
        """An empty scene, with the views and the sections of the panel as they were at the start."""
        self.wait()
        slicer.mrmlScene.Clear(0)
        for name, orientation in NORMALS.items():
            self.host.views[name].node.SetOrientation(orientation)
        self.open_sections()
        self.host.process(0.05)
        self.host.check()

    def open_sections(self) -> None:
        """Open what is folded."""
        for section in self.sections():
            section.collapsed = False

    def sections(self) -> list:
        """The collapsible sections."""
        return [one for one in vars(self.ui).values() if one.className() == "ctkCollapsibleButton"]

    def sample(self):
        """Load the bundled sample of four slices."""
        from SparseVolumeReconstructionLib.mrml.sample_data import load_sparse_brain

        return self.show(load_sparse_brain())

    def noise(self, name: str = "Noise", shape=(40, 50, 60), spacing: float = 3.0):
        """A dense volume of noise about the origin, shown in all views; shape in k, j, i."""
        array = np.random.default_rng(0).normal(100, 30, shape).astype(np.float32)
        matrix = np.diag([spacing, spacing, spacing, 1.0])
        matrix[:3, 3] = -spacing * (np.array(shape[::-1]) - 1) / 2
        node = slicer.util.addVolumeFromArray(array, ijkToRAS=matrix, name=name)
        node.CreateDefaultDisplayNodes()
        return self.show(node)

    def show(self, volume):
        """Let all views show a volume."""
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self.host.process(0.05)
        return volume

    def wait(self, seconds: float = 300.0) -> None:
        """Until nothing is computed any more, however busy the machine is; what went wrong fails the test."""
        self.host.wait_until(lambda: not self.panel.presenter.runner.busy, seconds)
        self.host.process(0.05)
        self.host.check()

    # What a person does
    def add_all(self, volume) -> None:
        """Take every slice of a sparse volume."""
        self.host.choose(self.ui.allSelector, volume.GetName())
        self.host.click(self.ui.useAllButton)

    def edit_cell(self, row: int, column: int, text: str) -> None:
        """Double-click a cell of the table, type, press Return."""
        table = self.ui.contextTable
        place = self.host.cell(table, row, column)
        arguments = (table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, place)
        QtTest.QTest.mouseClick(*arguments)
        QtTest.QTest.mouseDClick(*arguments)
        editor = table.findChild(QtWidgets.QLineEdit)
        assert editor is not None, f"cell {row}, {column} cannot be edited"
        QtTest.QTest.keyClick(editor, QtCore.Qt.Key_A, QtCore.Qt.ControlModifier)
        QtTest.QTest.keyClick(editor, QtCore.Qt.Key_Delete)
        QtTest.QTest.keyClicks(editor, text)
        QtTest.QTest.keyClick(editor, QtCore.Qt.Key_Return)
        self.host.process()  # Qt takes the text over
        self.host.process(0.02)  # the panel answers

    def tick_cell(self, row: int) -> None:
        """Click the check box of a row."""
        self.tick(self.ui.contextTable, row, USED)

    def tick(self, table, row: int, column: int) -> None:
        """Click the check box of a cell of a table."""
        cell = table.visualItemRect(table.item(row, column))
        box = table.style().subElementRect(
            QtWidgets.QStyle.SE_ItemViewItemCheckIndicator, self._option(table, cell), table
        )
        QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, box.center())
        self.host.process(0.02)

    @staticmethod
    def _option(table, cell):
        option = QtWidgets.QStyleOptionViewItem()
        option.initFrom(table)
        option.rect = cell
        option.features |= QtWidgets.QStyleOptionViewItem.HasCheckIndicator
        return option

    def quick(self, spacing: str = "4", samples: str = "2", mean_alone: bool = False) -> None:
        """Type a coarse grid and few samples, or ask for the mean alone, so that a run takes a second."""
        self.host.type(self.ui.spacingSpinBox, spacing)
        self.host.type(self.ui.samplesSpinBox, "0" if mean_alone else samples)
        for box in (self.ui.stdCheckBox, self.ui.templateCheckBox):
            if mean_alone and box.checked:
                self.host.click(box)

    def apply(self) -> None:
        """Click Apply and wait for the result."""
        self.host.click(self.ui.applyButton)
        self.wait()
