"""Steps of the user that can be taken back: what the list of context slices was before each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import slicer

from ..mrml.contexts import ContextSlice, context_slices, file_context, remove_context
from ..mrml.results import ATTRIBUTE

MAX_STEPS = 100


@dataclass(frozen=True)
class _Kept:
    """A context as it was. The nodes are held, so that a context that was removed comes back as itself."""

    node: Any
    display: Any
    volume_id: str
    attributes: tuple[tuple[str, str], ...]


@dataclass
class _Step:
    what: str
    before: tuple[_Kept, ...]
    part_of: object


class Undo:
    """The states of the scene's contexts before each of the last MAX_STEPS steps."""

    def __init__(self):
        self._steps: list[_Step] = []

    @property
    def what(self) -> str:
        """The step that `back` takes back, in words; "" where there is none."""
        return self._steps[-1].what if self._steps else ""

    @contextmanager
    def step(self, what: str, part_of: object = None) -> Iterator[None]:
        """What is done inside is one step, if it changes anything.

        Args:
            what: in words, e.g. "slice removed".
            part_of: steps that follow one another and are part of the same object count as one.
        """
        if part_of is not None and self._steps and self._steps[-1].part_of is part_of:
            yield
            return
        before = _look()
        try:
            yield
        finally:
            if _look() != before:
                self._steps = [*self._steps, _Step(what, before, part_of)][-MAX_STEPS:]

    def back(self) -> None:
        """Make the contexts what they were before the last step.

        Slices of volumes that are gone stay away.
        """
        if self._steps:
            _put(self._steps.pop().before)

    def forget(self, volume_id: str | None = None) -> None:
        """No step leads back to slices of a volume that is gone; None: no step leads back at all."""
        if volume_id is None:
            self._steps = []
        for step in self._steps:
            step.before = tuple(each for each in step.before if each.volume_id != volume_id)


def _look() -> tuple[_Kept, ...]:
    return tuple(_kept(context) for context in context_slices())


def _kept(context: ContextSlice) -> _Kept:
    node, volume = context.node, context.volume
    names = sorted(name for name in node.GetAttributeNames() if name.startswith(ATTRIBUTE))
    attributes = tuple((name, node.GetAttribute(name)) for name in names)
    return _Kept(node, node.GetDisplayNode(), volume.GetID() if volume else "", attributes)


def _put(state: tuple[_Kept, ...]) -> None:
    scene = slicer.mrmlScene
    state = [each for each in state if scene.GetNodeByID(each.volume_id) is not None]
    wanted = [each.node for each in state]
    for context in context_slices():
        if context.node not in wanted:
            remove_context(context)
    following = None
    for each in reversed(state):
        if each.node.GetScene() is None:
            scene.AddNode(each.display)
            if following is None:
                scene.AddNode(each.node)
            else:
                scene.InsertBeforeNode(following, each.node)  # the rows keep their order
            each.node.SetAndObserveDisplayNodeID(each.display.GetID())
            file_context(ContextSlice(each.node))
        for name, value in each.attributes:
            each.node.SetAttribute(name, value)
        following = each.node
