"""The section of the context slices: buttons that take them from the views, and the table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import qt

from ...geometry import InputError
from ..contexts import ContextSlice
from ..i18n import _
from .section import Section

USED, VIEW, ORIENTATION, OFFSET, THICKNESS, REMOVE = range(6)


@dataclass(frozen=True)
class _Row:
    """What a row of the table shows."""

    texts: tuple[str, ...]
    enabled: bool
    colour: tuple[float, ...]
    volume: str
    problem: str | None


class ContextSection(Section):
    """Buttons, table and live updates. Rows of the table are the contexts of the scene, in their order."""

    FILE, NOTE = "Contexts.ui", "contextsNote"

    def wire(self) -> None:
        """Connect the widgets."""
        self._rows: list[_Row] = []
        ui, contexts = self.ui, self.presenter.contexts
        for view in ("Red", "Green", "Yellow"):
            button = getattr(ui, f"add{view}Button")
            button.connect("clicked(bool)", lambda _on, view=view: self.attempt(lambda: contexts.add_from_view(view)))
        ui.addHoveredButton.connect("clicked(bool)", lambda _on: self.attempt(contexts.add_hovered))
        ui.useAllButton.connect("clicked(bool)", lambda _on: self.attempt(lambda: contexts.add_all(self.presenter.parameters.allVolume)))
        ui.removeAllButton.connect("clicked(bool)", lambda _on: contexts.clear())
        table = ui.contextTable
        table.connect("itemChanged(QTableWidgetItem*)", self._edited)
        table.connect("cellClicked(int,int)", self._clicked)
        table.connect("itemSelectionChanged()", self._selected)
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(ORIENTATION, qt.QHeaderView.Stretch)
        self._delete = qt.QShortcut(qt.QKeySequence("Delete"), table)
        self._delete.setContext(qt.Qt.WidgetShortcut)
        self._delete.connect("activated()", self._remove_selected)

    def refresh(self) -> None:
        """Fill the table from the scene where it differs, so that an open cell editor stays open."""
        contexts, table, ui = list(self.presenter.contexts), self.ui.contextTable, self.ui
        rows = [_row(context) for context in contexts]
        table.blockSignals(True)
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            if self._rows[number : number + 1] != [row]:
                self._fill(number, row)
        self._rows = rows
        chosen = self.presenter.contexts.selected
        if chosen not in contexts:
            table.clearSelection()
        elif not table.item(contexts.index(chosen), USED).isSelected():
            table.selectRow(contexts.index(chosen))
        table.blockSignals(False)
        ui.useAllButton.enabled = self.presenter.parameters.allVolume is not None
        ui.removeAllButton.enabled = bool(contexts)
        ui.countLabel.text = self._count(contexts)

    @staticmethod
    def _count(contexts: list[ContextSlice]) -> str:
        if not contexts:
            return _("No slices yet: the result would be the prior's own anatomy.")
        used = sum(context.enabled for context in contexts)
        return _("{used} of {count} slices used").format(used=used, count=len(contexts))

    def _fill(self, number: int, row: _Row) -> None:
        """Write one row; a problem is shown in red with its text as tooltip."""
        for column, text in enumerate(row.texts):
            item = qt.QTableWidgetItem(text)
            item.setFlags(_flags(column, editable=column in (OFFSET, THICKNESS) and not row.problem))
            item.setToolTip(row.problem or self._tips()[column].format(volume=row.volume))
            if row.problem:
                item.setForeground(qt.QBrush(qt.QColor("#c62828")))
            if column == USED:
                item.setCheckState(qt.Qt.Checked if row.enabled else qt.Qt.Unchecked)
            if column == VIEW:
                item.setBackground(qt.QBrush(qt.QColor(*(int(255 * part) for part in row.colour))))
                item.setForeground(qt.QBrush(qt.QColor("black")))
            self.ui.contextTable.setItem(number, column, item)

    @staticmethod
    def _tips() -> list[str]:
        return [
            _("Use this slice or leave it out"),
            _("View to which the slice belongs; it is drawn in this colour. Volume: {volume}"),
            _("Orientation of the slice. Click to let all views jump there. Volume: {volume}"),
            _("Offset along the slice's normal in mm; double-click to edit"),
            _("Slice thickness in mm; double-click to edit, clear to let the voxel size be assumed"),
            _("Remove this slice"),
        ]

    def _context(self, row: int) -> ContextSlice | None:
        contexts = list(self.presenter.contexts)
        return contexts[row] if 0 <= row < len(contexts) else None

    def _edited(self, item) -> None:
        """A cell was changed by the user; text that is no number puts the old value back."""
        context, column, text = self._context(item.row()), item.column(), item.text()
        if context is None:
            return

        def change(which: ContextSlice) -> None:
            if column == USED:
                which.set_enabled(item.checkState() == qt.Qt.Checked)
            elif column == OFFSET:
                which.set_offset(_number(text))
            else:
                which.set_thickness(_number(text) if text.strip() else None)

        self._rows = []  # the cell shows what was typed: all are written anew, once Qt is done with this one
        self.attempt(lambda: self.presenter.contexts.edit(context, change))

    def _clicked(self, row: int, column: int) -> None:
        context = self._context(row)
        if context is None:
            return
        if column == REMOVE:
            self.presenter.contexts.remove(context)
        else:
            self.attempt(lambda: self.presenter.contexts.show(context))

    def _selected(self) -> None:
        self.presenter.contexts.select(self._context(self.ui.contextTable.currentRow()))

    def _remove_selected(self) -> None:
        if self.presenter.contexts.selected is not None:
            self.presenter.contexts.remove(self.presenter.contexts.selected)


def _row(context: ContextSlice) -> _Row:
    """The row of a context; without a place it says so."""
    problem, volume = context.problem(), context.volume
    try:
        assumed = "" if context.stated_thickness_mm else _(" (assumed)")
        place = context.orientation, f"{context.offset_mm:.2f}", f"{context.thickness_mm:.2f}{assumed}"
    except InputError:
        place = _("unusable"), "", ""
    colour = context.node.GetDisplayNode().GetColor()
    return _Row(("", context.view, *place, "✕"), context.enabled, colour, volume.GetName() if volume else "", problem)


def _flags(column: int, editable: bool):
    """What a cell allows."""
    flags = qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled
    if column == USED:
        return flags | qt.Qt.ItemIsUserCheckable
    return flags | qt.Qt.ItemIsEditable if editable else flags


def _number(text: str) -> float:
    """The number at the beginning of a text such as "4.00 (assumed)". Raises InputError without one."""
    try:
        number = float(text.strip().split()[0].replace(",", "."))
    except (ValueError, IndexError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(_('"{text}" is no number; expected mm.').format(text=text))
    return number
