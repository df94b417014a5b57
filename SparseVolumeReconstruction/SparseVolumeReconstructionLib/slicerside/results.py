"""A result folder as nodes of the scene."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer

from ..geometry import InputError, Volume
from ..geometry.io import read_affine, read_volume
from .nodes import add_transform, add_volume

ATTRIBUTE = "SparseVolumeReconstruction."
_SD_COLOURS = ("vtkMRMLColorTableNodeFileInferno.txt", "vtkMRMLColorTableNodeFileViridis.txt", "vtkMRMLColorTableNodeIron")


@dataclass(frozen=True)
class Look:
    """How results should appear. window, level: grey values as on the input, None for automatic.

    sibling: a node beside which the folder is put in the subject hierarchy.
    """

    window: float | None = None
    level: float | None = None
    sibling: object | None = None

    @classmethod
    def like(cls, node) -> Look:
        """The look of an input volume node."""
        display = node.GetDisplayNode()
        if display is None or not hasattr(display, "GetWindow"):
            return cls(sibling=node)
        return cls(display.GetWindow(), display.GetLevel(), node)

    def apply(self, node) -> None:
        """Give a volume node's display the window and level."""
        if self.window is not None:
            display = node.GetDisplayNode()
            display.SetAutoWindowLevel(False)
            display.SetWindowLevel(self.window, self.level)


@dataclass(frozen=True)
class ResultNodes:
    """The nodes of one reconstruction, all in world RAS without a parent transform.

    mean, std, template: scalar volumes. observed: label map, 1 where observed. samples, browser: sequence and its browser,
    None without samples. frame: linear transform from patient to canonical RAS. folder: subject hierarchy item.
    provenance: content of result.json.
    """

    mean: object
    std: object
    observed: object
    template: object
    frame: object
    samples: object | None
    browser: object | None
    folder: int
    provenance: dict

    @property
    def nodes(self) -> list:
        """All nodes that there are."""
        named = (self.mean, self.std, self.observed, self.template, self.samples, self.browser, self.frame)
        return [node for node in named if node is not None]


def load_result(directory: str | Path, name: str = "Reconstruction", look: Look | None = None) -> ResultNodes:
    """Load a folder written by a reconstruction as nodes called "<name> mean" and so on, in a folder `name`.

    Nothing of it stays tied to the files. Raises InputError, with no node added, where a file is missing or damaged.
    """
    directory, look = Path(directory), look or Look()
    volumes = {role: read_volume(directory / f"{role}.nrrd") for role in ("mean", "std", "observed", "template")}
    frame = read_affine(directory / "frame.h5")
    try:
        provenance = json.loads((directory / "result.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{directory / 'result.json'}: cannot be read; reconstruct again.") from error
    samples, browser = _load_samples(directory / "samples.seq.nrrd", f"{name} samples", look)
    nodes = ResultNodes(
        mean=_grey(volumes["mean"], f"{name} mean", look),
        std=_sd(volumes["std"], f"{name} sd"),
        observed=_mask(volumes["observed"], f"{name} observed"),
        template=_grey(volumes["template"], f"{name} template", look),
        frame=add_transform(frame, f"{name} frame"),
        samples=samples,
        browser=browser,
        folder=_folder(name, look),
        provenance=provenance,
    )
    _describe(nodes)
    return nodes


def _grey(volume: Volume, name: str, look: Look):
    node = add_volume(volume, name)
    look.apply(node)
    return node


def _sd(volume: Volume, name: str):
    """Standard deviation in colour, from 0 to the 99.5th percentile of what is not 0."""
    node = add_volume(volume, name)
    inferred = volume.array[volume.array > 0]
    top = float(np.percentile(inferred, 99.5)) if inferred.size else 1.0
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(next(c for c in _SD_COLOURS if slicer.mrmlScene.GetNodeByID(c)))
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(top, top / 2)
    return node


def _mask(volume: Volume, name: str):
    return add_volume(Volume(volume.array.astype(np.uint8), volume.grid), name, "vtkMRMLLabelMapVolumeNode")


def _load_samples(path: Path, name: str, look: Look) -> tuple:
    """(sequence node, browser node) of a .seq.nrrd file, (None, None) where there is none."""
    if not path.exists():
        return None, None
    reader = slicer.vtkMRMLVolumeSequenceStorageNode()
    reader.SetScene(slicer.mrmlScene)
    reader.SetFileName(str(path))
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    if not reader.ReadData(sequence):
        slicer.mrmlScene.RemoveNode(sequence)
        raise InputError(f"{path}: cannot be read as a sequence of volumes; reconstruct again.")
    sequence.SetIndexName("sample")
    sequence.SetIndexUnit("")
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.app.applicationLogic().GetModuleLogic("Sequences").UpdateProxyNodesFromSequences(browser)
    proxy = browser.GetProxyNode(sequence)
    proxy.SetName(f"{name} current")
    proxy.CreateDefaultDisplayNodes()
    look.apply(proxy)
    return sequence, browser


def _folder(name: str, look: Look) -> int:
    """A new subject hierarchy folder, beside the look's sibling where that has an item."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(look.sibling) if look.sibling is not None else 0
    parent = hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()
    return hierarchy.CreateFolderItem(parent, name)


def _describe(nodes: ResultNodes) -> None:
    """Put every node into the folder and the provenance into its attributes."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    roles = {id(getattr(nodes, role)): role for role in ("mean", "std", "observed", "template", "frame", "samples", "browser")}
    text = json.dumps(nodes.provenance, sort_keys=True)
    proxies = [nodes.browser.GetProxyNode(nodes.samples)] if nodes.browser else []
    for node in [*nodes.nodes, *proxies]:
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, nodes.folder)
        else:
            hierarchy.CreateItem(nodes.folder, node)
        node.SetAttribute(f"{ATTRIBUTE}Role", roles.get(id(node), "sample"))
        node.SetAttribute(f"{ATTRIBUTE}Notice", nodes.provenance.get("notice", "Generated content. Not for diagnosis."))
        node.SetAttribute(f"{ATTRIBUTE}Provenance", text)
