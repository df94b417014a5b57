"""What must hold of the scene and the panel whatever a user did."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import slicer
import slicer.util
import vtk

from SparseVolumeReconstructionLib.mrml.results import ATTRIBUTE, ResultNodes

from .desk import REMOVE, USED, VIEW


def scene_nodes(kind: str = "vtkMRMLNode") -> list:
    """All nodes of a class."""
    return slicer.util.getNodesByClass(kind)


def own_nodes(host, kind: str = "vtkMRMLNode") -> list:
    """The nodes of a class that were not there when the host started."""
    added = set(host.nodes())
    return [node for node in scene_nodes(kind) if node.GetID() in added]


def word(node, name: str) -> str | None:
    """One of the attributes that the module gives to its nodes."""
    return node.GetAttribute(f"{ATTRIBUTE}{name}")


def parts_of(node) -> list:
    """Display and storage nodes of a node."""
    parts = []
    if node.IsA("vtkMRMLDisplayableNode"):
        parts += [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        parts += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    return [part for part in parts if part is not None]


def orphans(host) -> list[str]:
    """Names of nodes without the node for which they are there."""
    used = {part.GetID() for node in scene_nodes() for part in parts_of(node)}
    parts = [*own_nodes(host, "vtkMRMLDisplayNode"), *own_nodes(host, "vtkMRMLStorageNode")]
    alone = [part for part in parts if part.GetID() not in used]
    alone += [node for node in own_nodes(host) if word(node, "Role") == "quality" and not _has_mean(node)]
    return [f"{node.GetID()} {node.GetName()}" for node in alone]


def _has_mean(quality) -> bool:
    mark = word(quality, "Result")
    return any(
        word(node, "Result") == mark and word(node, "Role") == "mean"
        for node in scene_nodes("vtkMRMLScalarVolumeNode")
    )


def delete(node) -> None:
    """Remove a node as the Data module does: what only this node uses goes with it."""
    parts, hierarchy = (
        parts_of(node),
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene),
    )
    if item := hierarchy.GetItemByDataNode(node):
        hierarchy.RemoveItem(item, False, False)
    slicer.mrmlScene.RemoveNode(node)
    for part in parts:
        if part.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(part)


def check_contexts(desk) -> None:
    """Rows, contexts and nodes are one to one; each has a volume and is drawn."""
    table, contexts = desk.ui.contextTable, desk.contexts
    marked = [node for node in scene_nodes("vtkMRMLModelNode") if word(node, "Role") == "context"]
    assert [context.node for context in contexts] == marked and table.rowCount == len(marked)
    for number, context in enumerate(contexts):
        assert context.volume is not None and slicer.mrmlScene.IsNodePresent(context.volume), (
            context.node.GetName()
        )
        assert context.node.GetDisplayNode() is not None, context.node.GetName()
        item = table.item(number, USED)
        assert desk.row(number)[VIEW].split()[0] == context.view and desk.row(number)[REMOVE]
        assert (item.checkState().name == "Checked") == context.enabled
        if context.problem() is None:
            shown = [f"{context.offset_mm:.2f}", f"{context.thickness_mm:.2f}"]
            assert [text.split()[0] for text in desk.row(number)[3:5]] == shown
    chosen, moving = desk.panel.presenter.contexts.selected, desk.panel.presenter.contexts.moving
    assert chosen is None or chosen in contexts
    assert moving in (None, chosen) and [n for n in range(len(contexts)) if "⇕" in desk.row(n)[VIEW]] == [
        n for n, context in enumerate(contexts) if context == moving
    ]
    taken = [observed[1:3] for observed in map(type(contexts[0]).observed, contexts)] if contexts else []
    assert len(set(taken)) == len(taken), "one plane counts twice"


def check_results() -> None:
    """Every node of a result leads to its result, whose nodes are there."""
    for node in scene_nodes():
        if word(node, "Result") is None or word(node, "Role") == "quality":
            continue
        result = ResultNodes.of(node)
        assert result is not None, node.GetName()
        assert all(slicer.mrmlScene.IsNodePresent(one) for one in result.nodes)


def check_temporary_folders(desk) -> None:
    """Nothing that a request needed lies about once it has its answer."""
    left = [path.name for path in Path(slicer.app.temporaryPath).glob("svr-*")]
    assert desk.panel.presenter.runner.busy or not left, left


def fingerprint(volume) -> str:
    """Changes when voxels or geometry of a volume node change."""
    digest = hashlib.sha256(slicer.util.arrayFromVolume(volume).tobytes())
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    digest.update(slicer.util.arrayFromVTKMatrix(matrix).tobytes())
    return digest.hexdigest()


def is_alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
