"""How slicer.parameterNodeWrapper ties parameters to widgets: which widget shows which type, and what the
rules do to the widget.
"""

from __future__ import annotations

import dataclasses
import enum
import logging

import slicer

from .ctk_widgets import ctk
from .mrml_widgets import qMRMLNodeComboBox
from .parameter_types import Choice, Maximum, Minimum, WithinRange, split
from .qtstyle import qt


@dataclasses.dataclass
class Decimals:
    """Decimals that a widget shows."""

    value: int


@dataclasses.dataclass
class SingleStep:
    """Step of a widget."""

    value: float


class Connector:
    """One widget that shows one parameter by one of its Qt properties."""

    def __init__(self, widget, signal: str, attribute: str):
        self.widget, self._signal, self._attribute, self._callback = widget, signal, attribute, None

    def on_changed(self, callback) -> None:
        """Call `callback` when the user or a script changes the widget; None to stop."""
        stopping, self._callback = callback is None, callback
        signal = getattr(self.widget, self._signal)
        signal.disconnect(self._changed) if stopping else signal.connect(self._changed)

    def _changed(self) -> None:
        if self._callback:
            self._callback()

    def read(self):
        """The widget's value."""
        return getattr(self.widget, self._attribute)

    def write(self, value) -> None:
        """Show a value."""
        setattr(self.widget, self._attribute, value)


class ListConnector(Connector):
    """A combo box of given values; it is filled with their labels."""

    def __init__(self, widget, values: list, labels: list[str]):
        super().__init__(widget, "currentIndexChanged", "currentIndex")
        self._values = values
        widget.clear()
        for label in labels:
            widget.addItem(label)

    def read(self):
        """The chosen value."""
        return self._values[self.widget.currentIndex]

    def write(self, value) -> None:
        """Choose a value. Raises ValueError when it is not among the items."""
        if value not in self._values:
            raise ValueError(f"{value!r} is none of {self._values}.")
        self.widget.currentIndex = self._values.index(value)


class TextConnector(Connector):
    """A text edit, as plain text."""

    def read(self) -> str:
        """The text."""
        return self.widget.toPlainText()

    def write(self, value: str) -> None:
        """Show a text."""
        self.widget.setPlainText(value)


class NodeConnector(Connector):
    """A node selector."""

    def __init__(self, widget, kind: type):
        super().__init__(widget, "currentNodeChanged", "")
        widget.nodeTypes = (kind().GetClassName(),)

    def read(self):
        """The chosen node."""
        return self.widget.currentNode()

    def write(self, value) -> None:
        """Choose a node."""
        self.widget.setCurrentNode(value)


def _first(notes, kind: type):
    return next((note for note in notes if isinstance(note, kind)), None)


def _numeric(widget, notes, unlimited) -> Connector:
    decimals, step, within = _first(notes, Decimals), _first(notes, SingleStep), _first(notes, WithinRange)
    if decimals is not None:
        widget.decimals = decimals.value
    if step is not None:
        widget.singleStep = step.value
    lowest, highest = _first(notes, Minimum), _first(notes, Maximum)
    if not (within or (lowest and highest)) and isinstance(widget, qt.QSlider | ctk.ctkSliderWidget):
        raise RuntimeError(f"{widget.name}: a slider needs a range.")
    widget.minimum = within.minimum if within else lowest.minimum if lowest else unlimited[0]
    widget.maximum = within.maximum if within else highest.maximum if highest else unlimited[1]
    return Connector(widget, "valueChanged", "value")


def make_connector(widget, declared) -> Connector:
    """Tie a widget to a declared type.

    Raises RuntimeError when this widget cannot show it: the exact class counts.
    """
    kind, notes = split(declared)
    cls = type(widget)
    if kind is bool and cls is qt.QCheckBox:
        return Connector(widget, "stateChanged", "checked")
    if kind is bool and cls is qt.QPushButton:
        if not widget.checkable:
            logging.warning("Making push button %s checkable.", widget.name)
            widget.checkable = True
        return Connector(widget, "toggled", "checked")
    if kind is int and cls in (qt.QSlider, qt.QSpinBox):
        return _numeric(widget, notes, (-(2**31), 2**31 - 1))
    if kind is float and cls in (qt.QDoubleSpinBox, ctk.ctkSliderWidget):
        return _numeric(widget, notes, (float("-inf"), float("inf")))
    if kind in (int, float, str, bool) and cls is qt.QComboBox:
        choice = _first(notes, Choice)
        if choice is None:
            raise RuntimeError(f"{widget.name}: a combo box of {kind.__name__} needs a Choice.")
        return ListConnector(widget, list(choice.choices), [str(one) for one in choice.choices])
    if cls is qt.QComboBox and issubclass(kind, enum.Enum):
        label = getattr(kind, "label", lambda member: member.name)
        return ListConnector(widget, list(kind), [label(member) for member in kind])
    if kind is str and cls is qt.QLineEdit:
        return Connector(widget, "textChanged", "text")
    if kind is str and cls is qt.QTextEdit:
        return TextConnector(widget, "textChanged", "")
    if cls is qMRMLNodeComboBox and isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return NodeConnector(widget, kind)
    raise RuntimeError(f"{cls.__name__} {widget.name!r} cannot show a parameter of type {declared}.")
