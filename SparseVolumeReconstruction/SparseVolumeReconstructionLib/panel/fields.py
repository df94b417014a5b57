"""Widgets for the fields of tools, made from the table of them."""

from __future__ import annotations

from collections.abc import Callable

import ctk
import qt

from ..workflow.presenter import Presenter
from ..workflow.tools import Field


class FieldWidget:
    """The widget of one field.

    Args:
        field: what there is to choose.
        presenter: knows what there is now.
        on_choice: called with a value when the user chose one.

    Attributes:
        widget: belongs to whoever puts it into a layout or table.
    """

    def __init__(self, field: Field, presenter: Presenter, on_choice: Callable[[object], object]):
        self._field, self._presenter, self._on_choice = field, presenter, on_choice
        self._menu: list[tuple[str, str]] = []
        self.widget = {"choice": self._combo, "number": self._spin, "file": self._path}[field.kind]()
        self.widget.setToolTip(field.tip)

    def show(self, value) -> None:
        """Show a value, and the menu as it is now."""
        widget = self.widget
        widget.blockSignals(True)
        if self._field.kind == "choice":
            self._fill(value)
        elif self._field.kind == "number":
            if widget.value != value:  # setting it anew would undo what is being typed
                widget.value = value
        elif widget.currentPath != value:
            widget.currentPath = value
        widget.blockSignals(False)

    def _fill(self, value) -> None:
        menu = self._field.menu(self._presenter)
        if menu != self._menu:
            self._menu = menu
            self.widget.clear()
            self.widget.addItems([text for _key, text in menu])
        keys = [key for key, _text in menu]
        self.widget.currentIndex = keys.index(value) if value in keys else -1

    def _combo(self):
        combo = qt.QComboBox()
        combo.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(8)
        combo.connect("activated(int)", lambda row: self._on_choice(self._menu[row][0]))
        return combo

    def _spin(self):
        spin, field = qt.QDoubleSpinBox(), self._field
        spin.setDecimals(field.decimals)
        spin.setRange(field.low, field.high)
        spin.setSingleStep(field.step)
        if field.at_low:
            spin.setSpecialValueText(field.at_low)
        spin.setKeyboardTracking(False)
        spin.connect("valueChanged(double)", lambda value: self._on_choice(value))
        return spin

    def _path(self):
        edit = ctk.ctkPathLineEdit()
        edit.filters = ctk.ctkPathLineEdit.Files
        edit.connect("currentPathChanged(QString)", lambda path: self._on_choice(path))
        return edit
