"""Stand-ins for the CTK widgets that panels use.

Names, properties and signals are CTK's; what is not listed here is not there.
"""

from __future__ import annotations

import types

from PySide6 import QtCore, QtGui, QtWidgets

from . import qtstyle  # noqa: F401 - its manners are used below

Property, Signal = QtCore.Property, QtCore.Signal
HEADER = 26


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A titled section of which the contents can be hidden."""

    IS_STAND_IN = True
    contentsCollapsed = Signal(bool)

    def __init__(self, *arguments):
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        super().__init__(arguments[-1] if arguments and not isinstance(arguments[-1], str) else None)
        self.text, self.checkable, self.checked = text, True, True
        self._hidden: list[QtWidgets.QWidget] = []
        self.setContentsMargins(0, HEADER, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.connect("toggled(bool)", lambda opened: self._show_contents(opened))

    def _show_contents(self, opened: bool) -> None:
        if opened:
            for child in self._hidden:
                child.show()
            self._hidden = []
        else:
            self._hidden = [
                child
                for child in self.children()
                if isinstance(child, QtWidgets.QWidget) and not child.isHidden()
            ]
            for child in self._hidden:
                child.hide()
        self.setMaximumHeight(16777215 if opened else HEADER)
        self.updateGeometry()
        self.contentsCollapsed.emit(not opened)

    def _set_collapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = Property(bool, lambda self: not self.checked, _set_collapsed)

    def childEvent(self, event) -> None:
        """What comes into a collapsed section later is hidden, too."""
        super().childEvent(event)
        child = event.child()
        if (
            event.polished()
            and not self.checked
            and isinstance(child, QtWidgets.QWidget)
            and child not in self._hidden
        ):
            self._hidden.append(child)
            child.hide()

    def hitButton(self, position) -> bool:
        """Only the title can be clicked."""
        return position.y() < HEADER

    def sizeHint(self):
        """Room for the title and, when open, for the contents."""
        inner = self.layout().totalSizeHint() if self.layout() and self.checked else QtCore.QSize(0, HEADER)
        title = self.fontMetrics().horizontalAdvance(self.text) + 2 * HEADER
        return QtCore.QSize(max(inner.width(), title), max(inner.height(), HEADER))

    def minimumSizeHint(self):
        """As small as its layout can be."""
        inner = (
            self.layout().totalMinimumSize() if self.layout() and self.checked else QtCore.QSize(0, HEADER)
        )
        return QtCore.QSize(inner.width(), max(inner.height(), HEADER))

    def paintEvent(self, event) -> None:
        """Draw the title and a frame about the contents."""
        painter = QtGui.QPainter(self)
        painter.setPen(self.palette.mid().color())
        if self.checked:
            painter.drawRect(0, HEADER // 2, self.width - 1, self.height - HEADER // 2 - 1)
        painter.setBrush(self.palette.button())
        painter.drawRect(0, 0, self.width - 1, HEADER - 4)
        painter.setPen(self.palette.buttonText().color())
        arrow = "▾" if self.checked else "▸"
        painter.drawText(
            QtCore.QRect(6, 0, self.width - 12, HEADER - 4), QtCore.Qt.AlignVCenter, f"{arrow}  {self.text}"
        )
        painter.end()


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider of decimal numbers with a spin box."""

    IS_STAND_IN = True
    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._slider, self._spin = (
            QtWidgets.QSlider(QtCore.Qt.Horizontal, self),
            QtWidgets.QDoubleSpinBox(self),
        )
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)
        self._minimum, self._maximum, self._step, self._page, self._decimals, self._value = (
            0.0,
            99.0,
            1.0,
            10.0,
            2,
            0.0,
        )
        self._showing = False
        self._show()
        self._slider.valueChanged.connect(self._slid)
        self._spin.valueChanged.connect(self._typed)

    def _show(self) -> None:
        self._showing = True
        self._spin.decimals, self._spin.singleStep = self._decimals, self._step
        self._spin.setRange(self._minimum, self._maximum)
        self._spin.value = self._value
        self._slider.setRange(0, round((self._maximum - self._minimum) / self._step))
        self._slider.value = round((self._value - self._minimum) / self._step)
        self._showing = False

    def _slid(self, position: int) -> None:
        if not self._showing:
            self.setValue(self._minimum + position * self._step)

    def _typed(self, value: float) -> None:
        if not self._showing:
            self.setValue(value)

    def setValue(self, value: float) -> None:
        """Take a value, within the range, and tell when it is new."""
        old, self._value = self._value, min(max(float(value), self._minimum), self._maximum)
        self._show()
        if self._value != old:
            self.valueChanged.emit(self._value)

    def _limited(attribute: str, kind=float):
        def change(self, value) -> None:
            setattr(self, attribute, value)
            self._maximum = max(self._minimum, self._maximum)
            self.setValue(self._value)

        return Property(kind, lambda self: getattr(self, attribute), change)

    minimum, maximum, singleStep, pageStep = (
        _limited("_minimum"),
        _limited("_maximum"),
        _limited("_step"),
        _limited("_page"),
    )
    decimals = _limited("_decimals", int)
    value = Property(float, lambda self: self._value, setValue)
    suffix = Property(
        str, lambda self: self._spin.suffix, lambda self, text: setattr(self._spin, "suffix", text)
    )
    prefix = Property(
        str, lambda self: self._spin.prefix, lambda self, text: setattr(self._spin, "prefix", text)
    )
    tracking = Property(
        bool, lambda self: self._slider.tracking, lambda self, on: setattr(self._slider, "tracking", on)
    )
    spinBoxVisible = Property(
        bool, lambda self: not self._spin.isHidden(), lambda self, on: self._spin.setVisible(on)
    )


class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for the path of a file or folder."""

    IS_STAND_IN = True
    Dirs, Files = 0x001, 0x002
    currentPathChanged = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._line, self._filters, self._names = QtWidgets.QLineEdit(self), 0, []
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        self._line.textChanged.connect(lambda text: self.currentPathChanged.emit(text))

    def setCurrentPath(self, path: str) -> None:
        """Show a path."""
        self._line.text = path

    currentPath = Property(str, lambda self: self._line.text, setCurrentPath)
    filters = Property(int, lambda self: self._filters, lambda self, value: setattr(self, "_filters", value))
    nameFilters = Property(
        "QStringList", lambda self: self._names, lambda self, names: setattr(self, "_names", names)
    )


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for no choice."""

    IS_STAND_IN = True
    defaultText = Property(
        str, lambda self: self.placeholderText, lambda self, text: setattr(self, "placeholderText", text)
    )


class ctkCheckableComboBox(QtWidgets.QComboBox):
    """A combo box of items that can be checked."""

    IS_STAND_IN = True
    checkedIndexesChanged = Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self.model().connect("itemChanged(QStandardItem*)", lambda item: self.checkedIndexesChanged.emit())

    def addItem(self, text: str, data=None) -> None:
        """Add an item that is not checked."""
        super().addItem(text, data)
        item = self.model().item(self.count - 1)
        item.setCheckable(True)
        item.setCheckState(QtCore.Qt.Unchecked)

    def addItems(self, texts) -> None:
        """Add several."""
        for text in texts:
            self.addItem(text)

    def setCheckState(self, index, state) -> None:
        """Check or uncheck the item of a model index."""
        self.model().itemFromIndex(index).setCheckState(state)

    def checkedIndexes(self) -> list:
        """Model indexes of the checked items."""
        items = [self.model().item(row) for row in range(self.count)]
        return [item.index() for item in items if item.checkState() == QtCore.Qt.Checked]


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message box that can be switched off by the user."""

    IS_STAND_IN = True
    dontShowAgainVisible = Property(bool, lambda self: False, lambda self, on: None)


CLASSES = {
    cls.__name__: cls
    for cls in (
        ctkCollapsibleButton,
        ctkSliderWidget,
        ctkPathLineEdit,
        ctkComboBox,
        ctkCheckableComboBox,
        ctkMessageBox,
    )
}
ctk = types.ModuleType("ctk")
vars(ctk).update(CLASSES)
