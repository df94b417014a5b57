"""What was chosen for a tool, as a node of the scene: it is saved with it, and gone with it."""

from __future__ import annotations

import json
from typing import Any

import slicer

_CLASS = "vtkMRMLScriptedModuleNode"
_OPTIONS, _FIELDS, _INPUT = "options", "fields", "input"
_GONE = "gone"  # kept in place of a node's id, which a reference has as long as there is the node


class ToolChoices:
    """Options, and volume nodes with values of their own; nodes that leave the scene leave these, too.

    Args:
        tool: its name.
    """

    def __init__(self, tool: str):
        self._tag = f"SparseVolumeReconstruction.{tool}"

    @property
    def options(self) -> dict[str, Any]:
        """Those that were chosen, JSON-ready."""
        return self._read(_OPTIONS) or {}

    def keep_options(self, values: dict[str, Any]) -> None:
        """In place of those that were chosen; JSON-ready."""
        self._made().SetParameter(_OPTIONS, json.dumps(values))

    @property
    def inputs(self) -> list[tuple[Any, dict[str, Any]]]:
        """Volume nodes with the values of each; a value that names a node names it by its present id."""
        found = []
        for number, values in enumerate(self._read(_FIELDS) or []):
            volume = self._node.GetNodeReference(f"{_INPUT}{number}")
            roles = {name: self._node.GetNodeReferenceID(f"{_INPUT}{number}.{name}") for name in values}
            if volume is not None:
                found.append((volume, values | {name: known for name, known in roles.items() if known}))
        return found

    def keep_inputs(self, inputs: list[tuple[Any, dict[str, Any]]]) -> None:
        """In place of those that were chosen; as `inputs`."""
        node = self._made()
        kept: list[dict[str, Any]] = []
        modified = node.StartModify()
        node.RemoveNodeReferenceIDs(None)
        for number, (volume, values) in enumerate(inputs):
            node.SetNodeReferenceID(f"{_INPUT}{number}", volume.GetID())
            named = [name for name, value in values.items() if _is_id(value)]
            for name in named:
                node.SetNodeReferenceID(f"{_INPUT}{number}.{name}", values[name])
            kept.append(values | dict.fromkeys(named, _GONE))
        node.SetParameter(_FIELDS, json.dumps(kept))
        node.EndModify(modified)

    def forget(self) -> None:
        """Let nothing be chosen."""
        if self._node is not None:
            slicer.mrmlScene.RemoveNode(self._node)

    @property
    def _node(self):
        return slicer.mrmlScene.GetSingletonNode(self._tag, _CLASS)

    def _made(self):
        """The node, made when there is none."""
        if self._node is None:
            node = slicer.mrmlScene.CreateNodeByClass(_CLASS)
            node.UnRegister(None)
            node.SetSingletonTag(self._tag)
            node.SetName(self._tag)
            slicer.mrmlScene.AddNode(node)
        return self._node

    def _read(self, name: str) -> Any:
        """What was kept; None where nothing was."""
        text = self._node.GetParameter(name) if self._node is not None else ""
        return json.loads(text) if text else None


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and slicer.mrmlScene.GetNodeByID(value) is not None
