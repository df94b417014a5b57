"""Folders of the subject hierarchy: what belongs together is found together in the Data module."""

from __future__ import annotations

import slicer
import vtk


def node():
    """The scene's subject hierarchy, made where there is none."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def items(parent: int, recursive: bool) -> list[int]:
    """Items below an item.

    Args:
        parent: id of an item.
        recursive: also those further below, not only its own.
    """
    found = vtk.vtkIdList()
    node().GetItemChildren(parent, found, recursive)
    return [found.GetId(n) for n in range(found.GetNumberOfIds())]


def new_folder(name: str, sibling=None, attributes: dict[str, str] | None = None) -> int:
    """A new folder, beside the data node `sibling` where that has an item.

    Args:
        sibling: None: at the top of the scene.
        attributes: of the folder's item.

    Returns:
        Id of its item.
    """
    item = node().GetItemByDataNode(sibling) if sibling is not None else 0
    folder = node().CreateFolderItem(node().GetItemParent(item) if item else node().GetSceneItemID(), name)
    for key, value in (attributes or {}).items():
        node().SetItemAttribute(folder, key, value)
    return folder


def folder_with(key: str, value: str) -> int:
    """The item whose attribute `key` is `value`; 0 without one."""
    every = items(node().GetSceneItemID(), recursive=True)
    return next((item for item in every if node().GetItemAttribute(item, key) == value), 0)


def put(data_node, folder: int) -> None:
    """Put a data node into a folder."""
    node().SetItemParent(node().GetItemByDataNode(data_node) or node().CreateItem(folder, data_node), folder)


def put_with(data_node, fellows: list, name: str, sibling) -> None:
    """Put a data node into the folder `name` in which its fellows are.

    Args:
        fellows: data nodes; where none is in a folder of that name, there is a new one.
        name: of the folder.
        sibling: data node beside which a new folder is put; None: at the top of the scene.
    """
    parents = [node().GetItemParent(item) for fellow in fellows if (item := node().GetItemByDataNode(fellow))]
    folder = next((parent for parent in parents if node().GetItemName(parent) == name), 0)
    put(data_node, folder or new_folder(name, sibling))


def remove_with(data_node) -> None:
    """Remove a data node from the scene, and the folder in which it was when nothing else is in it."""
    item = node().GetItemByDataNode(data_node)
    folder = node().GetItemParent(item) if item else 0
    forget(data_node)
    slicer.mrmlScene.RemoveNode(data_node)
    if (
        folder
        and node().GetItemLevel(folder)
        == slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyLevelFolder()
        and not items(folder, True)
    ):
        node().RemoveItem(folder)


def forget(data_node) -> None:
    """Take away the item of a data node, not the node."""
    item = node().GetItemByDataNode(data_node)
    if item:
        node().RemoveItem(item, False, False)


def remove_folder(folder: int) -> None:
    """Take away a folder if it is still there; what is left in it moves to where the folder was."""
    if folder in items(node().GetSceneItemID(), recursive=True):
        for item in items(folder, recursive=False):
            node().SetItemParent(item, node().GetItemParent(folder))
        node().RemoveItem(folder)


def remove_node(data_node) -> None:
    """Remove a node with what only it uses and its subject hierarchy item."""
    own = []
    if data_node.IsA("vtkMRMLStorableNode"):
        own += [data_node.GetNthStorageNode(n) for n in range(data_node.GetNumberOfStorageNodes())]
    if data_node.IsA("vtkMRMLDisplayableNode"):
        own += [data_node.GetNthDisplayNode(n) for n in range(data_node.GetNumberOfDisplayNodes())]
    forget(data_node)
    for each in filter(None, [data_node, *own]):
        slicer.mrmlScene.RemoveNode(each)
