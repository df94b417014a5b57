"""PythonQt's manners on the classes of PySide6, stricter than PythonQt where a mistake would go unnoticed
there.

Qt properties are read and written as attributes; `connect("clicked(bool)", slot)` takes exact signatures;
slots get as many arguments as they take; an attribute or signal that does not exist raises. The classes are
changed in place, once in a process, so that objects made by Qt itself have the manners, too.
"""

from __future__ import annotations

import functools
import inspect
import types

import shiboken6
from PySide6 import QtCore, QtGui, QtTest, QtUiTools, QtWidgets

QObject = QtCore.QObject
SIGNAL = QtCore.QMetaMethod.MethodType.Signal
METHODS = ("sizeHint", "minimumSizeHint")  # Qt asks Python classes for these by name: they stay methods
PYSIDE_ONLY = (
    "Signal",
    "SignalInstance",
    "Slot",
    "Property",
    "ClassInfo",
    "QEnum",
    "QFlag",
    "QtCore",
    "QtGui",
    "QtWidgets",
)
STRICT_TYPES = {"QString": str, "int": int, "double": (int, float), "bool": (bool, int)}
_get, _busy = QObject.__getattribute__, set()
_alive: list[QObject] = []


def keep(thing: QObject) -> QObject:
    """Hold the Python half of an object for as long as Qt holds the other half, which would go on
    without it.
    """
    if not any(other is thing for other in _alive):
        _alive.append(thing)
    return thing


def let_go() -> None:
    """Drop the Python halves of objects that Qt has deleted."""
    _alive[:] = [thing for thing in _alive if shiboken6.isValid(thing)]


@functools.cache
def properties(cls: type) -> dict[str, QtCore.QMetaProperty]:
    """Qt properties of a class by name."""
    meta = cls.staticMetaObject
    found = {meta.property(i).name(): meta.property(i) for i in range(meta.propertyCount())}
    return {name: kind for name, kind in found.items() if name not in METHODS}


@functools.cache
def signals(cls: type) -> dict[str, list[str]]:
    """Signatures of the signals of a class by name, e.g. {"clicked": ["clicked(bool)", "clicked()"]}."""
    found: dict[str, list[str]] = {}
    meta = cls.staticMetaObject
    for method in (meta.method(i) for i in range(meta.methodCount())):
        if method.methodType() == SIGNAL:
            found.setdefault(method.name().data().decode(), []).append(
                method.methodSignature().data().decode()
            )
    return found


def exact_signature(cls: type, signature: str) -> str:
    """A signal's signature as Qt knows it; stand-ins list those of the real class in SIGNATURES.

    Raises ValueError when the class has no such signal.
    """
    normal = QtCore.QMetaObject.normalizedSignature(signature.strip()).data().decode()
    aliases = {
        alias: real for base in cls.__mro__ for alias, real in vars(base).get("SIGNATURES", {}).items()
    }
    known = [
        one for one in signals(cls).get(normal.partition("(")[0], []) if one not in aliases.values()
    ] + list(aliases)
    if normal not in known:
        raise ValueError(f"{cls.__name__} has no signal {signature!r}; known are {known}.")
    return aliases.get(normal, normal)


def taken_arguments(slot) -> int | None:
    """How many arguments of a signal a slot takes; None for all."""
    function = getattr(slot, "__func__", slot)
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_argcount - (function is not slot)


class BoundSignal:
    """What `widget.clicked` is: it can be connected, disconnected and emitted."""

    def __init__(self, sender: QObject, name: str):
        aliases = {
            real: alias
            for base in type(sender).__mro__
            for alias, real in vars(base).get("SIGNATURES", {}).items()
        }
        longest = max(signals(type(sender))[name], key=lambda text: text.count(",") + ("()" not in text))
        self._sender, self._signature, self._name = sender, aliases.get(longest, longest), name

    def connect(self, slot) -> bool:
        """Call `slot` at each signal."""
        return connect(self._sender, self._signature, slot)

    def disconnect(self, slot=None) -> bool:
        """Call `slot`, or any slot that was connected from Python, no more."""
        return disconnect(self._sender, self._signature, slot)

    def emit(self, *arguments) -> None:
        """Send the signal."""
        _get(self._sender, self._name).emit(*arguments)

    __call__ = emit


def connect(sender: QObject, signature: str, slot) -> bool:
    """Call `slot` at each signal of this signature. Raises ValueError for a signal that does not exist."""
    if not callable(slot):
        raise TypeError(f"{signature}: {slot!r} cannot be called.")
    exact, taken = exact_signature(type(sender), signature), taken_arguments(slot)

    def relay(*arguments):
        slot(*arguments[:taken])

    if not QObject.connect(sender, QtCore.SIGNAL(exact), relay):
        raise RuntimeError(f"{type(sender).__name__}.{signature} could not be connected.")
    sender.__dict__.setdefault("_connections", []).append((exact, slot, relay))
    keep(sender)
    return True


def disconnect(sender: QObject, signature: str, slot=None) -> bool:
    """Undo `connect`; True if there was something to undo."""
    exact = exact_signature(type(sender), signature)
    connections = sender.__dict__.get("_connections", [])
    ending = [entry for entry in connections if entry[0] == exact and (slot is None or entry[1] == slot)]
    for entry in ending:
        connections.remove(entry)
        QObject.disconnect(sender, QtCore.SIGNAL(exact), entry[2])
    return bool(ending)


def _get_attribute(self, name: str):
    if name.startswith("_"):
        return _get(self, name)
    if name in ("connect", "disconnect"):
        return types.MethodType(connect if name == "connect" else disconnect, self)
    name = "objectName" if name == "name" else name
    cls = type(self)
    if name in properties(cls):
        return _get_property(self, name)
    if name in signals(cls):
        return BoundSignal(self, name)
    return _get(self, name)


def _get_property(self, name: str):
    key = (id(self), name)
    if key in _busy:  # Qt looks for a Python method of this name that would be the getter
        return _get(self, name)
    _busy.add(key)
    try:
        return QObject.property(self, name)
    finally:
        _busy.discard(key)


def _set_attribute(self, name: str, value) -> None:
    cls = type(self)
    name = "objectName" if name == "name" else name
    if name in properties(cls):
        _set_property(self, name, value)
    elif name.startswith("_") or not (
        cls.__module__.startswith("PySide6") or getattr(cls, "IS_STAND_IN", False)
    ):
        self.__dict__[name] = value  # a class made in Python may carry attributes of its own
    elif isinstance(value, QObject) and value.objectName == name:
        # the loader of PySide6 makes the named children attributes of a form; that of the application does
        # not
        pass
    else:
        raise AttributeError(f"{cls.__name__} has no property {name!r}.")


def _set_property(self, name: str, value) -> None:
    kind = properties(type(self))[name]
    if not kind.isWritable():
        raise AttributeError(f"{type(self).__name__}.{name} is read-only.")
    value = list(value) if isinstance(value, tuple) else value
    wanted = STRICT_TYPES.get(kind.typeName())
    if (wanted and not isinstance(value, wanted)) or not QObject.setProperty(self, name, value):
        raise ValueError(
            f"Property {name!r} of type {kind.typeName()} does not accept {value!r} ({type(value).__name__})."
        )


def make_qt() -> types.ModuleType:
    """Give all classes of PySide6 the manners and return the module `qt`, in which they all are."""
    module = types.ModuleType("qt")
    for source in (QtCore, QtGui, QtWidgets, QtUiTools, QtTest):
        for name in dir(source):
            if not name.startswith("_") and name not in PYSIDE_ONLY:
                value = getattr(source, name)
                setattr(module, name, value)
                if isinstance(value, type) and issubclass(value, QObject):
                    value.__setattr__ = _set_attribute
    QObject.__getattribute__ = _get_attribute
    QObject.className = lambda self: type(self).__name__
    QObject.delete = lambda self: self.deleteLater()
    return module


qt = make_qt()
