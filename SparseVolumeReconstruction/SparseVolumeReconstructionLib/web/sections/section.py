"""What the sections of the page share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..app import App

Action = Callable[..., object]


class Section:
    """One part of the page, drawn by the template NAME.html in Resources/Web.

    Its template sees what `state` returns as the variable NAME, and calls what `actions` returns as
    trigger('NAME_action', [...]). Arguments of actions come from a page, so they are not trusted.
    """

    NAME = ""

    def __init__(self, app: App):
        self.app = app
        self.presenter = app.presenter

    def actions(self) -> dict[str, Action]:
        """What can be done; wrong input is raised as InputError and shown."""
        return {}

    def state(self) -> dict:
        """What is shown: plain data."""
        return {}

    def close(self) -> None:
        """Stop what runs by itself."""


def option(value: str, label: str) -> dict[str, str]:
    """One entry of a menu."""
    return {"value": value, "label": label}
