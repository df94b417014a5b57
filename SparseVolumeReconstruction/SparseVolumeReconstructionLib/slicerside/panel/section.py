"""What the sections of the panel share."""

from __future__ import annotations

from collections.abc import Callable

import slicer.util

from ...geometry import InputError
from ..workflow.presenter import Presenter


class Section:
    """One collapsible part of the panel, from its own .ui file.

    Subclasses name the file, connect its widgets in `wire`, and show the presenter's state in `refresh`.
    """

    FILE = ""

    def __init__(self, presenter: Presenter, resource_path: Callable[[str], str]):
        self.presenter = presenter
        self.widget = slicer.util.loadUI(resource_path(f"UI/{self.FILE}"))
        self.ui = slicer.util.childWidgetVariables(self.widget)

    def before_parameters(self) -> None:
        """What has to be set at the widgets before the parameters are connected to them."""

    def wire(self) -> None:
        """Connect the widgets; called once the parameters are connected."""

    def refresh(self) -> None:
        """Show what the presenter knows."""

    def close(self) -> None:
        """Let go of what outlives the widgets."""

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do what the user asked for; wrong input becomes the panel's message. True where it was done."""
        try:
            action()
        except InputError as error:
            self.presenter.runner.report(error)
            return False
        self.presenter.runner.dismiss()
        return True
