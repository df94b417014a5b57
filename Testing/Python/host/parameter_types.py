"""How a parameter node keeps typed values: the rules of slicer.parameterNodeWrapper for the types that panels
here may use.

A value of a type that the application cannot keep raises; one that it can, but this stand-in does not, raises
NotImplementedError.
"""

from __future__ import annotations

import collections.abc
import enum
import typing

import slicer


class Default:
    """What a parameter is before anybody sets it: a value, or what `generator` makes."""

    def __init__(self, value=None, *, generator=None):
        self._value, self._generator = value, generator

    @property
    def value(self):
        """The default value."""
        return self._generator() if self._generator else self._value


class Validator:
    """A rule that values have to pass before they are kept."""

    def validate(self, value) -> None:
        """Raise when the value breaks the rule."""
        raise NotImplementedError


class NotNone(Validator):
    """Not None."""

    def validate(self, value) -> None:
        """Raise ValueError for None."""
        if value is None:
            raise ValueError("Value must not be None.")


class IsInstance(Validator):
    """None, or an instance of a class or of one of several."""

    def __init__(self, classtype):
        self.classtype = classtype

    def validate(self, value) -> None:
        """Raise TypeError for another type."""
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"{value!r} is not of type {self.classtype}.")


class WithinRange(Validator):
    """From a minimum to a maximum, both included."""

    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value) -> None:
        """Raise ValueError outside of the range."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value!r} is not within [{self.minimum}, {self.maximum}].")


class Minimum(Validator):
    """Not less than a limit."""

    def __init__(self, minimum):
        self.minimum = minimum

    def validate(self, value) -> None:
        """Raise ValueError below the limit."""
        if value < self.minimum:
            raise ValueError(f"{value!r} is less than {self.minimum}.")


class Maximum(Validator):
    """Not more than a limit."""

    def __init__(self, maximum):
        self.maximum = maximum

    def validate(self, value) -> None:
        """Raise ValueError above the limit."""
        if value > self.maximum:
            raise ValueError(f"{value!r} is more than {self.maximum}.")


class Choice(Validator):
    """One of several values."""

    def __init__(self, choices):
        self.choices = choices

    def validate(self, value) -> None:
        """Raise ValueError for any other value."""
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}.")


class Number:
    """int and float, as text."""

    def __init__(self, kind: type):
        self.kind, self.rules, self.default = (
            kind,
            [NotNone(), IsInstance((int, float) if kind is float else int)],
            0,
        )

    def write(self, node, name: str, value) -> None:
        """Keep a number."""
        node.SetParameter(name, str(value))

    def read(self, node, name: str):
        """The kept number."""
        return self.kind(node.GetParameter(name))

    def is_in(self, node, name: str) -> bool:
        """Whether a value is kept."""
        return node.HasParameter(name)

    def remove(self, node, name: str) -> None:
        """Forget the value."""
        node.UnsetParameter(name)


class Text(Number):
    """str as it is."""

    def __init__(self):
        self.kind, self.rules, self.default = str, [NotNone(), IsInstance(str)], ""


class Flag(Number):
    """bool as "True" or "False"."""

    def __init__(self):
        self.rules, self.default = [NotNone(), IsInstance(bool)], False

    def read(self, node, name: str) -> bool:
        """The kept flag."""
        return node.GetParameter(name) == "True"


class Member(Number):
    """A member of an enumeration, by its name."""

    def __init__(self, kind: type[enum.Enum]):
        self.kind, self.rules, self.default = kind, [IsInstance(kind)], next(iter(kind))

    def write(self, node, name: str, value) -> None:
        """Keep a member."""
        node.SetParameter(name, value.name)

    def read(self, node, name: str):
        """The kept member. Raises ValueError when the enumeration has no such name."""
        key = node.GetParameter(name)
        if key not in self.kind.__members__:
            raise ValueError(f"{key!r} is no name in {self.kind}.")
        return self.kind[key]


class Node(Number):
    """A node of the scene, or None, as a node reference; an empty parameter tells that it was set."""

    def __init__(self, kind: type):
        self.rules, self.default = [IsInstance(kind)], None

    def write(self, node, name: str, value) -> None:
        """Refer to a node."""
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name: str):
        """The node, or None."""
        return node.GetNodeReference(name)

    def remove(self, node, name: str) -> None:
        """Forget the node."""
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class Checked:
    """A kind of value with its own rules and those of the annotations."""

    def __init__(self, kind, rules: list[Validator]):
        self.kind, self.rules, self.default = kind, [*kind.rules, *rules], kind.default

    def __getattr__(self, name: str):
        return getattr(self.kind, name)

    def write(self, node, name: str, value) -> None:
        """Keep a value that passes all rules."""
        for rule in self.rules:
            rule.validate(value)
        self.kind.write(node, name, value)


class Items:
    """list[T]: the length as `name_len`, the items as `name_0` and so on."""

    rules: typing.ClassVar[list] = []
    default: typing.ClassVar[list] = []

    def __init__(self, item: Checked):
        self.item = item

    def is_in(self, node, name: str) -> bool:
        """Whether a list is kept."""
        return node.HasParameter(f"{name}_len")

    def write(self, node, name: str, values) -> None:
        """Keep a list; a value that breaks a rule leaves the old list."""
        old = list(self.read(node, name)) if self.is_in(node, name) else []
        with slicer.util.NodeModify(node):
            try:
                for place, value in enumerate(values):
                    self.item.write(node, f"{name}_{place}", value)
            except Exception:
                for place, value in enumerate(old):
                    self.item.write(node, f"{name}_{place}", value)
                raise
            node.SetParameter(f"{name}_len", str(len(values)))
            for place in range(len(values), len(old)):
                self.item.remove(node, f"{name}_{place}")

    def read(self, node, name: str) -> WatchedList:
        """The kept list; changing it changes the parameter."""
        return WatchedList(
            self,
            node,
            name,
            [self.item.read(node, f"{name}_{n}") for n in range(int(node.GetParameter(f"{name}_len")))],
        )


class WatchedList(collections.abc.MutableSequence):
    """A list that writes itself to its parameter when it is changed; adding lists to it makes no new one."""

    def __init__(self, kind: Items, node, name: str, values: list):
        self._kind, self._node, self._name, self._values = kind, node, name, values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place):
        return self._values[place]

    def __eq__(self, other) -> bool:
        return self._values == (other._values if isinstance(other, WatchedList) else other)

    def __setitem__(self, place, value) -> None:
        self._change(lambda values: values.__setitem__(place, value))

    def __delitem__(self, place) -> None:
        self._change(lambda values: values.__delitem__(place))

    def insert(self, place, value) -> None:
        """Put in a value."""
        self._change(lambda values: values.insert(place, value))

    def __add__(self, other):
        raise NotImplementedError("A list of a parameter node takes += but not +.")

    __radd__ = __mul__ = __rmul__ = __add__

    def _change(self, change) -> None:
        change(self._values)
        try:
            self._kind.write(self._node, self._name, self._values)
        finally:
            self._values = list(self._kind.read(self._node, self._name))


def split(declared) -> tuple[object, tuple]:
    """A declared type without its annotations, and these."""
    arguments = typing.get_args(typing.Annotated[declared, None])
    return arguments[0], arguments[1:-1]


def kind_of(declared) -> tuple[Checked, list]:
    """The kind that keeps values of a declared type, and the annotations that are no rules.

    Raises TypeError for other types.
    """
    kind, notes = split(declared)
    rules = [note for note in notes if isinstance(note, Validator)]
    return Checked(_plain(kind), rules), [note for note in notes if note not in rules]


def _plain(kind):
    if kind in (int, float):
        return Number(kind)
    if kind in (str, bool):
        return Text() if kind is str else Flag()
    if typing.get_origin(kind) is list:
        return Items(kind_of(typing.get_args(kind)[0])[0])
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return Member(kind)
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return Node(kind)
    if typing.get_origin(kind) in (dict, tuple, typing.Union):
        raise NotImplementedError(f"{kind}: the application knows it, this stand-in does not.")
    raise TypeError(f"Parameters cannot be of type {kind}.")
