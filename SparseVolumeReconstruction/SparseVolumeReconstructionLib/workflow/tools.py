"""A way to make a volume, as data of which every front end draws a form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..mrml.making import Making

if TYPE_CHECKING:
    from .presenter import Presenter
    from .tool_use import ToolUse

Menu = list[tuple[str, str]]


@dataclass(frozen=True)
class Field:
    """Something to choose.

    Attributes:
        name, label, tip: the last two for people.
        kind: "choice" of a menu, "number", or the path of a "file" of the user's own machine, which only the
            application offers.
        default: a value of the menu, a number, or "".
        menu: the values and their texts, as they are now.
        low, high, step, decimals: of a number.
        at_low: the text that stands for the lowest number; "" for none.
    """

    name: str
    label: str
    tip: str
    kind: Literal["choice", "number", "file"] = "choice"
    default: Any = ""
    menu: Callable[[Presenter], Menu] = lambda presenter: []
    low: float = 0.0
    high: float = 0.0
    step: float = 0.1
    decimals: int = 1
    at_low: str = ""


@dataclass(frozen=True)
class Tool:
    """One way to make a volume.

    Attributes:
        name: unique, part of ids. title, line: heading and one line of explanation.
        go, runs: the words on its button and while it runs; input: what it takes, in the singular.
        most: so many inputs at most. fields: to choose for every input. options: to choose once.
        takes: whether a volume node can be an input. guess: values of the fields of a new one.
        making: what is to be made. Raises InputError.
        in_place: whether its results lie where the inputs do, and are shown over them.
        note: what is to be known of what was chosen.
        has_slices: whether its results list slices, which can be switched off.
        masked_for: id of the model whose anatomy can be looked for in all inputs, to fill their field "mask";
            None where inputs have none.
    """

    name: str
    title: str
    line: str
    go: str
    runs: str
    input: str
    most: int
    fields: tuple[Field, ...]
    options: tuple[Field, ...]
    takes: Callable[[Any], bool]
    guess: Callable[[Any], dict[str, Any]]
    making: Callable[[ToolUse], Making]
    has_slices: bool = False
    in_place: bool = True
    note: Callable[[ToolUse], str] = lambda use: ""
    masked_for: Callable[[ToolUse], str] | None = None
    defaults: dict[str, Any] = field(init=False)

    def __post_init__(self):
        """Values of the options before any was chosen."""
        object.__setattr__(self, "defaults", {each.name: each.default for each in self.options})
