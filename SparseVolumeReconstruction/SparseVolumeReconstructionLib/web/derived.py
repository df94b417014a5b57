"""What is drawn of a result beside its own volumes.

Made in another thread when it is wanted, and made anew when the result changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import slicer


class Derived:
    """Shown or not; follows the result that is looked at.

    MRML is touched in the event loop alone.

    Kinds of it say what is taken from the nodes, what is computed of that, and how it is put into `node`, the
    node that shows it (None where there is none).

    Args:
        on_change: called when the button or the picture should be drawn anew.
    """

    def __init__(self, on_change: Callable[[], None]):
        self.on, self.node = False, None
        self._on_change = on_change
        self._made_of = None
        self._task = None

    def toggle(self) -> None:
        """Show it, or no more."""
        self.on = not self.on
        self._on_change()

    def follow(self, *nodes) -> None:
        """Show what is made of these volume nodes, None for one that there is not.

        Nothing without the first.
        """
        wanted = (
            self.on
            and nodes[0] is not None
            and tuple(node and (node.GetID(), node.GetImageData().GetMTime()) for node in nodes)
        )
        if not wanted:
            self.close()
        elif wanted != self._made_of and self._task is None:
            self._made_of = wanted
            self._task = asyncio.get_running_loop().create_task(self._make(self._take(*nodes)))

    def close(self) -> None:
        """Take it out of the scene."""
        if self._task is not None:
            self._task.cancel()
        if self._there():
            slicer.mrmlScene.RemoveNode(self.node)
        self.node, self._made_of, self._task = None, None, None

    async def _make(self, taken) -> None:
        made = await asyncio.get_running_loop().run_in_executor(None, self._compute, *taken)
        self._task = None
        if not self._there():
            self.node = None
        self._put(made)
        self._on_change()  # the result may be another one by now

    def _there(self) -> bool:
        return self.node is not None and slicer.mrmlScene.IsNodePresent(self.node)
