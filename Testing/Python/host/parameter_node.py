"""A stand-in for slicer.parameterNodeWrapper: typed members of a parameter node, tied to widgets."""

from __future__ import annotations

import logging
import types
import typing
import weakref

import slicer
import vtk

from . import parameter_gui, parameter_types
from .parameter_types import Default, kind_of
from .qtstyle import qt

SlicerParameterNamePropertyName = "SlicerParameterName"


def parameterNodeWrapper(classtype=None):
    """Class decorator: annotated members become parameters of the parameter node that the constructor is
    given.
    """
    return _wrap if classtype is None else _wrap(classtype)


def _wrap(cls: type) -> type:
    parameters = {}
    for name, declared in typing.get_type_hints(cls, include_extras=True).items():
        kind, notes = kind_of(declared)
        defaults = [note for note in notes if isinstance(note, Default)]
        if hasattr(cls, name):
            default = Default(getattr(cls, name))
        else:
            notes = [note for note in notes if note not in defaults]
            default = defaults[0] if defaults else Default(kind.default)
        if notes:
            logging.warning("Unused annotations: %s", notes)
        parameters[name] = types.SimpleNamespace(name=name, kind=kind, default=default, declared=declared)
        setattr(cls, name, _member(name))
    for name, value in {"allParameters": parameters, "_is_parameter_node_wrapper": True, **METHODS}.items():
        if hasattr(cls, name):
            raise ValueError(f"A parameter node wrapper cannot have a member {name!r}: the name is taken.")
        setattr(cls, name, value)
    cls.__init__ = _initialise
    return cls


def _member(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def _initialise(self, parameterNode, prefix: str | None = None) -> None:
    assert parameterNode is not None
    self.parameterNode, self._prefix = parameterNode, prefix or ""
    self._values, self._writing, self._guis, self._next_tag, self._updating = {}, set(), {}, 0, False
    for parameter in self.allParameters.values():
        self._values[parameter.name] = _read(self, parameter)
    this = weakref.ref(self)
    tag = parameterNode.AddObserver(
        vtk.vtkCommand.ModifiedEvent, lambda caller, event: this() and _refresh(this())
    )
    weakref.finalize(self, parameterNode.RemoveObserver, tag).atexit = False


def _read(self, parameter):
    """The value in the node; the default is written when there is none."""
    name = self._prefix + parameter.name
    if not parameter.kind.is_in(self.parameterNode, name):
        parameter.kind.write(self.parameterNode, name, parameter.default.value)
    return parameter.kind.read(self.parameterNode, name)


def _refresh(self) -> None:
    for parameter in self.allParameters.values():
        if parameter.name not in self._writing:
            self._values[parameter.name] = _read(self, parameter)


def _parameter(self, name: str):
    if name not in self.allParameters:
        raise ValueError(f"No parameter {name!r}; there are {list(self.allParameters)}.")
    return self.allParameters[name]


def _get_value(self, name: str):
    return self._values[_parameter(self, name).name]


def _set_value(self, name: str, value) -> None:
    parameter = _parameter(self, name)
    self._writing.add(name)
    try:
        with slicer.util.NodeModify(self.parameterNode):
            parameter.kind.write(self.parameterNode, self._prefix + name, value)
            self._values[name] = parameter.kind.read(self.parameterNode, self._prefix + name)
    finally:
        self._writing.discard(name)


def _connect_parameters(self, mapping: dict) -> int:
    for name in mapping:
        _parameter(self, name)
    connectors = {
        name: parameter_gui.make_connector(widget, self.allParameters[name].declared)
        for name, widget in mapping.items()
    }
    tag = self._next_tag
    self._next_tag += 1
    self._guis[tag] = connectors
    for name, connector in connectors.items():
        connector.write(self.getValue(name))
        connector.on_changed(_taker(self, name, connector))
    self.AddObserver(
        vtk.vtkCommand.ModifiedEvent, lambda caller, event: _show(self)
    )  # never removed, as in the application
    return tag


def _taker(self, name: str, connector):
    def take() -> None:
        with slicer.util.NodeModify(self):
            if not self._updating:
                self.setValue(name, connector.read())

    return take


def _show(self) -> None:
    if self._updating:
        return
    self._updating = True
    try:
        with slicer.util.NodeModify(self):
            for connectors in self._guis.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
    finally:
        self._updating = False


def _connect_gui(self, gui) -> None:
    """Tie all widgets that carry the name of a parameter; like the application, it does not return
    the tag.
    """
    widgets = gui.findChildren(qt.QWidget) if isinstance(gui, qt.QWidget) else vars(gui).values()
    named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
    _connect_parameters(self, {name: widget for name, widget in named.items() if name})


def _disconnect_gui(self, tag) -> None:
    for connector in self._guis.pop(tag, {}).values():
        connector.on_changed(None)


METHODS = {
    "default": lambda self, name: _parameter(self, name).default,
    "isCached": lambda self, name: bool(_parameter(self, name)),
    "dataType": classmethod(lambda cls, name: _parameter(cls, name).declared),
    "getValue": _get_value,
    "setValue": _set_value,
    "connectGui": _connect_gui,
    "connectParametersToGui": _connect_parameters,
    "disconnectGui": _disconnect_gui,
    "StartModify": lambda self: self.parameterNode.StartModify(),
    "EndModify": lambda self, was_modifying: self.parameterNode.EndModify(was_modifying),
    "AddObserver": lambda self, event, callback, priority=0.0: self.parameterNode.AddObserver(
        event, callback, priority
    ),
    "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
    "Modified": lambda self: self.parameterNode.Modified(),
}

module = types.ModuleType("slicer.parameterNodeWrapper")
for name in ("Default", "Validator", "NotNone", "IsInstance", "WithinRange", "Minimum", "Maximum", "Choice"):
    setattr(module, name, getattr(parameter_types, name))
module.Decimals, module.SingleStep = parameter_gui.Decimals, parameter_gui.SingleStep
module.parameterNodeWrapper = parameterNodeWrapper
module.SlicerParameterNamePropertyName = SlicerParameterNamePropertyName
module.isParameterNodeWrapper = lambda thing: getattr(thing, "_is_parameter_node_wrapper", False)
