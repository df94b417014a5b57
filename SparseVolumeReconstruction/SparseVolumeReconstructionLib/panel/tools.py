"""The sections of the tools: what each is made of, its options, its button; one class draws them all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import qt

from ..mrml.i18n import _
from ..mrml.placed import BANDS
from ..workflow.presenter import Presenter
from ..workflow.tool_use import ToolUse
from .fields import FieldWidget
from .section import Section

USED, SLICE, WEIGHT, MOVED, WHY = range(5)
_ROW = 30  # pixels of a row with widgets


class ToolSection(Section):
    """One tool of the table, folded at first.

    Args:
        use: the tool in the user's hands.
        presenter, resource_path: as in Section.
    """

    FILE, NOTE = "Tool.ui", "toolNote"

    def __init__(self, use: ToolUse, presenter: Presenter, resource_path: Callable[[str], str]):
        super().__init__(presenter, resource_path)
        self.use = use
        self.widget.text, self.ui.toolLine.text = use.tool.title, use.tool.line
        self._inputs: list[list[FieldWidget]] = []
        self._listed: list = []
        self._options: dict[str, FieldWidget] = {}
        self._rows: list = []

    def wire(self) -> None:
        """Connect the widgets, and make those of the options."""
        ui, use = self.ui, self.use
        ui.toolAddButton.connect("clicked(bool)", lambda _on: self.attempt(self._add))
        ui.toolButton.connect("clicked(bool)", lambda _on: self.attempt(use.start_or_cancel))
        ui.toolMasksButton.connect("clicked(bool)", lambda _on: self.attempt(use.find_masks))
        ui.toolMasksButton.visible = use.tool.masked_for is not None
        self._masks_tip = ui.toolMasksButton.toolTip
        ui.toolInputs.connect("cellClicked(int,int)", self._clicked)
        labels = [use.tool.input, *(field.label for field in use.tool.fields), ""]
        ui.toolInputs.setColumnCount(len(labels))
        ui.toolInputs.setHorizontalHeaderLabels(labels)
        header = ui.toolInputs.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        header.setFixedHeight(_ROW)
        ui.toolInputs.verticalHeader().visible = False
        form = qt.QFormLayout(ui.toolOptions)
        form.setContentsMargins(0, 0, 0, 0)
        for field in use.tool.options:
            made = FieldWidget(field, self.presenter, partial(self._choose_option, field.name))
            self._options[field.name] = made
            form.addRow(field.label, made.widget)
        ui.drawSlicesBox.connect("toggled(bool)", self.presenter.merged.draw)
        ui.sliceTable.connect("itemChanged(QTableWidgetItem*)", self._ticked)
        ui.sliceTable.connect("cellClicked(int,int)", self._slice_clicked)
        header = ui.sliceTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(WHY, qt.QHeaderView.Stretch)
        ui.sliceTable.verticalHeader().visible = False

    def refresh(self) -> None:
        """Show what was chosen, and what can be done."""
        ui, use = self.ui, self.use
        self._offer()
        self._fill_inputs()
        for name, made in self._options.items():
            made.show(use.values[name])
        ui.toolCard.text = note = use.note()
        ui.toolCard.visible = bool(note)
        why = use.reason()
        ui.toolButton.text = use.button()
        ui.toolButton.enabled = use.running or why is None
        ui.toolButton.toolTip = _("Stop; nothing is changed.") if use.running else why or use.tool.line
        ui.toolMasksButton.enabled = why is None
        ui.toolMasksButton.toolTip = why or self._masks_tip
        self._fill_slices()

    def _slices(self) -> list:
        """Rows of the chosen result's slices, in the section whose results have any."""
        return self.presenter.merged.rows() if self.use.tool.has_slices else []

    def _offer(self) -> None:
        """Let the selector offer what can be added."""
        offered = {node.GetID() for node in self.use.offered()}
        self.offer_only(self.ui.toolSelector, lambda node: node.GetID() in offered)

    def _add(self) -> None:
        node = self.ui.toolSelector.currentNode()
        self.use.add(node)
        self.refresh()
        following = self.use.offered()
        self.ui.toolSelector.setCurrentNode(following[0] if following else None)

    def _clicked(self, row: int, column: int) -> None:
        if column == self.ui.toolInputs.columnCount - 1:
            self.attempt(lambda: self.use.remove(row))

    def _choose_option(self, name: str, value: object) -> None:
        self.attempt(lambda: self.use.set_option(name, value))

    def _choose_field(self, node, name: str, value: object) -> None:
        nodes = [each.node for each in self.use.inputs]
        if node in nodes:
            self.attempt(lambda: self.use.set_field(nodes.index(node), name, value))

    def _fill_inputs(self) -> None:
        """Rows are made anew only when the list itself changed, so that an open menu stays open."""
        table, inputs = self.ui.toolInputs, self.use.inputs
        listed = [(each.node, each.node.GetName()) for each in inputs]
        if listed != self._listed:
            self._listed, self._inputs = listed, []
            table.setRowCount(0)
            table.setRowCount(len(inputs))
            for row, each in enumerate(inputs):
                table.setItem(row, 0, qt.QTableWidgetItem(each.node.GetName()))
                table.item(row, 0).setToolTip(each.node.GetName())
                self._inputs.append(self._row_of(table, row, each.node))
                cross = qt.QTableWidgetItem("✕")
                cross.setToolTip(_("Take it out of the list"))
                table.setItem(row, len(self.use.tool.fields) + 1, cross)
                table.setRowHeight(row, _ROW)
            table.setFixedHeight(_ROW * (len(inputs) + 1) + 4)
        table.visible = bool(inputs)
        for each, widgets in zip(inputs, self._inputs, strict=True):
            for field, made in zip(self.use.tool.fields, widgets, strict=True):
                made.show(each.values[field.name])

    def _row_of(self, table, row: int, node) -> list[FieldWidget]:
        widgets = []
        for column, field in enumerate(self.use.tool.fields, 1):
            made = FieldWidget(field, self.presenter, partial(self._choose_field, node, field.name))
            table.setCellWidget(row, column, made.widget)
            widgets.append(made)
        return widgets

    def _fill_slices(self) -> None:
        ui, merged, rows = self.ui, self.presenter.merged, self._slices()
        ui.slicesContents.visible = bool(rows)
        ui.drawSlicesBox.blockSignals(True)
        ui.drawSlicesBox.checked = merged.drawn
        ui.drawSlicesBox.blockSignals(False)
        if rows == self._rows:
            return
        table = ui.sliceTable
        table.blockSignals(True)
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            texts = ("", row.name, row.weight, row.moved, row.reason)
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(row.reason or row.name)
                if column == USED:
                    item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
                    item.setCheckState(qt.Qt.Checked if row.used else qt.Qt.Unchecked)
                if column == WEIGHT:
                    red, green, blue = (int(255 * part) for part in BANDS[row.band][1])
                    item.setBackground(qt.QBrush(qt.QColor(red, green, blue)))
                    item.setForeground(qt.QBrush(qt.QColor("black")))
                table.setItem(number, column, item)
        table.blockSignals(False)
        self._rows = rows

    def _ticked(self, item) -> None:
        row, on = item.row(), item.checkState() == qt.Qt.Checked
        if item.column() == USED:
            self._rows = []  # written anew, once Qt is done with this cell
            self.attempt(lambda: self.presenter.merged.switch(row, on))

    def _slice_clicked(self, row: int, column: int) -> None:
        if column != USED:
            self.attempt(lambda: self.presenter.merged.choose(row))
