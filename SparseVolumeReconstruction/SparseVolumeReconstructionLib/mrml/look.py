"""How the volumes of a result should appear: like the scan that they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Look:
    """How results should appear.

    Attributes:
        window, level: grey values as on the input, None for those of the values themselves.
        sibling: a node beside which the folder is put in the subject hierarchy.
    """

    window: float | None = None
    level: float | None = None
    sibling: Any = None

    @classmethod
    def like(cls, node) -> Look:
        """The look of an input volume node."""
        display = node.GetDisplayNode()
        if display is None or not hasattr(display, "GetWindow"):
            return cls(sibling=node)
        return cls(display.GetWindow(), display.GetLevel(), node)

    def apply(self, node) -> None:
        """Give a volume node's display the window and level, where there are any."""
        if self.window is not None:
            node.GetDisplayNode().SetAutoWindowLevel(False)
            node.GetDisplayNode().SetWindowLevel(self.window, self.level)
