"""What the sections of the panel share."""

from __future__ import annotations

import re
from collections.abc import Callable

import slicer.util

from ..geometry import InputError
from ..mrml import views
from ..workflow.presenter import Presenter

# Readable on the light and on the dark style of the application.
LOOKS = {
    "error": "background: #fdecea; color: #7f1d1d; border: 1px solid #c62828; border-radius: 3px; padding: "
    "3px;",
    "warning": "background: #fff4d6; color: #5c3d00; border: 1px solid #e0a800; border-radius: 3px; padding: "
    "3px;",
    "said": "background: #e6f2ea; color: #14532d; border: 1px solid #2e7d32; border-radius: 3px; padding: "
    "3px;",
}
_PIECES = re.compile(r"[^/\\]{1,30}[/\\]?|[/\\]")


def breakable(text: str) -> str:
    """The text with places where a label may break long paths and names.

    They would make the panel wider otherwise.
    """
    return " ".join(
        "\u200b".join(_PIECES.findall(word)) if len(word) > 30 else word for word in text.split(" ")
    )


class Section:
    """One collapsible part of the panel, from its own .ui file.

    Subclasses name the file, connect its widgets in `wire`, and show the presenter's state in `refresh`. NOTE
    names the label that says, beside the control that was used, what became of the last action.

    Args:
        presenter: what the user can do, and what is so.
        resource_path: place of a file of Resources.
    """

    FILE, NOTE = "", ""

    def __init__(self, presenter: Presenter, resource_path: Callable[[str], str]):
        self.presenter, self._said = presenter, None
        self.widget = slicer.util.loadUI(resource_path(f"UI/{self.FILE}"))
        self.ui = slicer.util.childWidgetVariables(self.widget)

    def before_parameters(self) -> None:
        """What has to be set at the widgets before the parameters are connected to them."""

    def wire(self) -> None:
        """Connect the widgets; called once the parameters are connected."""

    def refresh(self) -> None:
        """Show what the presenter knows."""

    def leave(self) -> None:
        """Another module is shown."""

    def close(self) -> None:
        """Let go of what outlives the widgets."""

    @classmethod
    def offer_scans(cls, selector) -> None:
        """Let a selector of volumes offer none that was generated: what was inferred was not observed."""
        cls.offer_only(selector, lambda node: node.GetAttribute(views.ROLE) is None)

    @staticmethod
    def offer_only(selector, wanted: Callable[[object], bool]) -> None:
        """Let a selector of volumes offer those of which `wanted` is true."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        hidden = [node.GetID() for node in volumes if not wanted(node)]
        shown = selector.sortFilterProxyModel()
        if selector.currentNodeID in hidden:
            selector.setCurrentNode(None)
        if list(shown.hiddenNodeIDs) != hidden:
            shown.hiddenNodeIDs = hidden

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do what the user asked for; wrong input becomes the panel's message, here too.

        True where it was done.
        """
        runner = self.presenter.runner
        before = runner.status
        try:
            action()
        except InputError as error:
            runner.report(error)
            self._said = runner.status
            return False
        runner.dismiss()
        if runner.status is not before and not runner.running:
            self._said = runner.status
        return True

    def say(self, text: str) -> None:
        """Show a message as the panel's and beside the control that was used."""
        self.presenter.runner.say(text)
        self._said = self.presenter.runner.status

    def show_note(self):
        """Show what became of the action that was made here, for as long as nothing else was said.

        Returns the label if it is new.
        """
        if not self.NOTE:
            return None
        status, label = self.presenter.runner.status, getattr(self.ui, self.NOTE)
        before = label.text if label.visible else ""
        say_it(label, status.error or status.text, "error" if status.error else "said", status is self._said)
        return label if label.visible and label.text != before else None


def say_it(label, text: str, look: str, shown: bool = True) -> None:
    """Write a message into a label, in the colours of its kind, or hide the label.

    Args:
        label: a Qt label.
        text: the label is hidden where it is empty.
        look: a key of LOOKS.
        shown: False hides the label, too.
    """
    label.visible = shown and bool(text)
    label.text = breakable(text)
    if label.styleSheet != LOOKS[look]:
        label.styleSheet = LOOKS[look]
