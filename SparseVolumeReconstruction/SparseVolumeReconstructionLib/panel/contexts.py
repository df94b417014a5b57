"""The section of the context slices: buttons that take them from the views, and the table."""

from __future__ import annotations

import math
from dataclasses import dataclass

import qt

from ..geometry import InputError
from ..mrml import views
from ..mrml.contexts import MOVING_COLOUR, ContextSlice
from ..mrml.i18n import _
from ..mrml.masks import is_mask, mask_shown_scan
from ..mrml.segments import stack_of
from .section import Section
from .segment_editor import edit_segmentation

USED, VIEW, ORIENTATION, OFFSET, THICKNESS, REMOVE, MOTION = range(7)
VIEWS = ("Red", "Green", "Yellow")


@dataclass(frozen=True)
class _Row:
    """What a row of the table shows."""

    texts: tuple[str, ...]
    enabled: bool
    moving: bool
    colour: tuple[float, ...]
    volume: str
    problem: str | None
    motion: tuple[float, bool] | None = None


class ContextSection(Section):
    """Buttons, table and live updates. Rows of the table are the contexts of the scene, in their order."""

    FILE, NOTE = "Contexts.ui", "contextsNote"

    def wire(self) -> None:
        """Connect the widgets."""
        self._rows: list[_Row] = []
        ui = self.ui
        contexts = self.presenter.contexts
        self._usual = {}
        self._all_tip = ui.useAllButton.toolTip
        self._mask_tip = ui.findMaskButton.toolTip
        for view in VIEWS:
            button = getattr(ui, f"add{view}Button")
            self._usual[view] = button.toolTip
            button.connect(
                "clicked(bool)", lambda _on, view=view: self.attempt(lambda: contexts.add_from_view(view))
            )
        ui.useAllButton.connect("clicked(bool)", lambda _on: self.attempt(self._use_all))
        ui.moveButton.connect("clicked(bool)", self._move)
        ui.findMaskButton.connect("clicked(bool)", lambda _on: self.attempt(self.presenter.masks.find))
        ui.correctButton.connect("clicked(bool)", lambda _on: self._correct())
        ui.takeButton.connect("clicked(bool)", lambda _on: self.attempt(self.presenter.masks.take))
        ui.undoButton.connect("clicked(bool)", lambda _on: self.attempt(contexts.undo))
        ui.removeAllButton.connect("clicked(bool)", lambda _on: contexts.clear())
        table = ui.contextTable
        table.connect("itemChanged(QTableWidgetItem*)", self._edited)
        table.connect("cellPressed(int,int)", self._pressed)
        table.connect("cellClicked(int,int)", self._clicked)
        self._choose = qt.QTimer(self.widget)
        self._choose.setSingleShot(True)
        self._choose.connect("timeout()", self._selected)
        table.connect("itemSelectionChanged()", lambda: self._choose.start(0))
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(ORIENTATION, qt.QHeaderView.Stretch)
        header.moveSection(MOTION, REMOVE)  # the cross stays the last
        for key, action in (
            ("Delete", self._remove_selected),
            ("Ctrl+Z", lambda: self.attempt(contexts.undo)),
        ):
            shortcut = qt.QShortcut(qt.QKeySequence(key), table)
            shortcut.setContext(qt.Qt.WidgetShortcut)
            shortcut.connect("activated()", action)
            shortcut.connect(
                "activatedAmbiguously()", action
            )  # the application has the key, too; over the table it means this

    def refresh(self) -> None:
        """Fill the table from the scene where it differs, so that an open cell editor stays open."""
        contexts, ui = self.presenter.contexts, self.ui
        self.offer_scans(ui.allSelector)
        self._fill_table(list(contexts))
        for view in VIEWS:
            button, why = getattr(ui, f"add{view}Button"), views.out_of_sight(view)
            button.enabled, button.toolTip = why is None, why or self._usual[view]
        volume = self.presenter.parameters.allVolume
        ui.useAllButton.enabled = volume is not None
        ui.useAllButton.toolTip = _("Choose a volume on the left first.") if volume is None else self._all_tip
        ui.useAllButton.text = (
            _("Use as mask") if volume is not None and is_mask(volume) else _("Use all slices")
        )
        self._show_mask()
        ui.removeAllButton.enabled = len(contexts) > 0
        ui.undoButton.enabled = bool(contexts.undone)
        ui.undoButton.toolTip = _("Take back: {step} (Ctrl+Z in the table)").format(
            step=contexts.undone or _("nothing yet")
        )
        ui.moveButton.enabled = contexts.selected is not None
        ui.moveButton.checked = contexts.moving is not None
        ui.countLabel.text = self._count(list(contexts))

    def _use_all(self) -> None:
        """Take all slices of the chosen volume.

        A mask is applied to the scan that is shown, and the masked scan chosen.
        """
        parameters = self.presenter.parameters
        if parameters.allVolume is not None and is_mask(parameters.allVolume):
            parameters.allVolume = mask_shown_scan(parameters.allVolume)
        else:
            self.presenter.use_all()

    def _show_mask(self) -> None:
        """The chosen brain mask, and the slices that are proposed with it."""
        ui, masks, p = self.ui, self.presenter.masks, self.presenter.parameters
        stack = p.allVolume is not None and not is_mask(p.allVolume)
        ui.findMaskButton.enabled = stack and not self.presenter.runner.running
        ui.findMaskButton.toolTip = self._mask_tip if stack else _("Choose the stack above first.")
        ui.correctButton.enabled = masks.chosen is not None
        ui.proposalLabel.text = masks.proposal()
        ui.proposalLabel.visible = ui.takeButton.visible = bool(masks.proposed)
        ui.takeButton.enabled = bool(masks.proposed) and not masks.taken

    def _correct(self) -> None:
        """The mask in the Segment Editor, over the stack in which it was found."""
        mask = self.presenter.masks.chosen
        self.attempt(lambda: edit_segmentation(mask, stack_of(mask) or self.presenter.parameters.allVolume))

    def close(self) -> None:
        """Stop the timer."""
        self._choose.stop()

    def _fill_table(self, contexts: list[ContextSlice]) -> None:
        table = self.ui.contextTable
        chosen = self.presenter.contexts.selected
        moving, off = self.presenter.contexts.moving, self.presenter.masks.off_mm
        rows = [_row(context, context == moving, off(context)) for context in contexts]
        table.blockSignals(True)
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            if self._rows[number : number + 1] != [row]:
                self._fill(number, row)
        self._rows = rows
        table.setColumnHidden(MOTION, not any(row.motion for row in rows))
        self._mark_moving(any(row.moving for row in rows))
        if chosen not in contexts:
            table.clearSelection()
        elif not table.item(contexts.index(chosen), USED).isSelected():
            table.selectRow(contexts.index(chosen))
        table.blockSignals(False)

    def _mark_moving(self, moving: bool) -> None:
        """The chosen row is pink while its slice moves with its view."""
        palette = qt.QPalette()  # without colours of its own: the application's
        if moving:
            palette.setColor(qt.QPalette.Highlight, _colour(MOVING_COLOUR))
            palette.setColor(qt.QPalette.HighlightedText, qt.QColor("black"))
        self.ui.contextTable.setPalette(palette)

    def _count(self, contexts: list[ContextSlice]) -> str:
        if not contexts:
            return _(
                "No slices yet, so there is only the prior's own anatomy. Show a scan and press Red, Green "
                "or Yellow to take the slice "
                "of that view, or choose a volume of a few slices and press Use all slices."
            )
        used = sum(context.enabled for context in contexts)
        moving = self.presenter.contexts.moving
        text = _("{used} of {count} slices used").format(used=used, count=len(contexts))
        if moving is not None:
            row = contexts.index(moving) + 1
            text += _(". Slice {row} moves with the {view} view: scroll or turn it.").format(
                row=row, view=moving.view
            )
        return text

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
            if column == MOTION and row.motion and not row.motion[1]:
                item.setBackground(qt.QBrush(qt.QColor("#fff4d6")))
                item.setForeground(qt.QBrush(qt.QColor("#5c3d00")))
            if column == VIEW:
                item.setBackground(qt.QBrush(_colour(row.colour)))
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
            _("How far the head lay off its path through the stack when this slice was taken; amber: moved"),
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

    def _pressed(self, _row: int, column: int) -> None:
        """Ticking a box or the cross of a row does something to it and is no choice of it.

        What was chosen stays so.
        """
        if column in (USED, REMOVE):
            self._choose.stop()

    def _clicked(self, row: int, column: int) -> None:
        context = self._context(row)
        if context is None:
            return
        if column == REMOVE:
            self.presenter.contexts.remove(context)
        elif column == USED:
            self.refresh()
        else:
            self.presenter.contexts.select(context)
            self.attempt(lambda: self.presenter.contexts.show(context))

    def _selected(self) -> None:
        self.presenter.contexts.select(self._context(self.ui.contextTable.currentRow()))

    def _move(self, on: bool) -> None:
        if not self.attempt(lambda: self.presenter.contexts.move_with_view(on)):
            self.ui.moveButton.checked = False

    def _remove_selected(self) -> None:
        if self.presenter.contexts.selected is not None:
            self.presenter.contexts.remove(self.presenter.contexts.selected)


def _row(context: ContextSlice, moving: bool, motion: tuple[float, bool] | None) -> _Row:
    """The row of a context; without a place it says so."""
    problem = context.problem()
    volume = context.volume
    try:
        assumed = "" if context.stated_thickness_mm else _(" (assumed)")
        place = context.orientation, f"{context.offset_mm:.2f}", f"{context.thickness_mm:.2f}{assumed}"
    except InputError:
        place = _("unusable"), "", ""
    view = f"{context.view} ⇕" if moving else context.view
    return _Row(
        ("", view, *place, "✕", f"{motion[0]:.1f}" if motion else ""),
        context.enabled,
        moving,
        context.colour,
        volume.GetName() if volume else "",
        problem,
        motion,
    )


def _colour(rgb: tuple[float, ...]):
    return qt.QColor(*(int(255 * part) for part in rgb))


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
