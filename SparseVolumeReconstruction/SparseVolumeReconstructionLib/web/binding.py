"""What is chosen, between the page and the presenter's parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from enum import Enum

import slicer

from ..geometry import InputError
from ..workflow.choices import NODES, RANGES, Choices

PREFIX = "p_"
_LONGEST_TEXT = 200


class WatchedChoices(Choices):
    """Choices that tell the name of one that becomes another."""

    _tell: Callable[[str], None] = staticmethod(lambda name: None)

    def __init__(self, on_change: Callable[[str], None]):
        super().__init__()
        self.__dict__["_tell"] = on_change

    def __setattr__(self, name: str, value: object) -> None:
        before = getattr(self, name)
        super().__setattr__(name, value)
        if before is not value and before != value:
            self._tell(name)


def to_page(choices: Choices) -> dict[str, object]:
    """Every choice as a value that the page can hold: enums by value, nodes by id ("" for none)."""
    return {PREFIX + field.name: plain(field.name, getattr(choices, field.name)) for field in fields(Choices)}


def plain(name: str, value: object) -> object:
    """A choice as a value that the page can hold: see `to_page`."""
    if name in NODES:
        return value.GetID() if value is not None else ""
    return value.value if isinstance(value, Enum) else value


def from_page(name: str, value: object) -> object:
    """The choice that a value from the page means; what comes from a page is not trusted.

    Args:
        name: of the choice.
        value: any; numbers out of range are taken to the nearest end of it, long texts are cut.

    Raises:
        InputError: for a value of another kind.
    """
    if name in NODES:
        node = slicer.mrmlScene.GetNodeByID(str(value)) if value else None
        if value and (node is None or not node.IsA(NODES[name])):
            raise InputError("what was chosen is not in the scene any more; choose another.")
        return node
    default = getattr(Choices(), name)
    if isinstance(default, Enum):
        try:
            return type(default)(value)
        except ValueError:
            raise InputError(
                f'{name}: "{str(value)[:40]}" is not one of '
                f"{', '.join(member.value for member in type(default))}."
            ) from None
    if isinstance(default, bool):
        return bool(value)
    if isinstance(default, str):
        return str(value)[:_LONGEST_TEXT]
    return _number(name, value, type(default))


def _number(name: str, value: object, kind: type) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f'{name}: "{str(value)[:40]}" is no number.')
    low, high = RANGES[name]
    return kind(min(max(number, low), high))
