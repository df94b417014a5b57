"""A result folder as nodes of the scene, found again from any of them, and removed again."""

from __future__ import annotations

import itertools
import json
import uuid
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util

from ..geometry import Volume
from ..reconstruction.result import ATTRIBUTE
from . import hierarchy
from .look import Look, colour_node_of
from .nodes import add_transform, add_volume, set_volume
from .result_files import MASKS, OPERATION, RECONSTRUCT, ResultFiles, read_result, window_of

_NAMES = {
    "std": "sd",
    "template_mask": "template mask",
    "brain_mask": "brain mask (inferred)",
    "seen": "seen by slices",
    "lost": "may be missing",
    "csf": "fluid",
    "gm": "grey matter",
    "wm": "white matter",
    "csf_std": "fluid sd",
    "gm_std": "grey matter sd",
    "wm_std": "white matter sd",
}
_MAIN_ROLES = ("mean", "std", "observed", "template", "atlas")  # the first that there is stands for a result
SCANS = "scans"  # field of what nodes say of a result: fingerprints of the scans that it was made of
_WORDS = ("Result", "Role", "Notice", "Provenance")


@dataclass(frozen=True)
class ResultNodes:
    """The nodes of one reconstruction; None is what was not asked for, or has been deleted.

    Attributes:
        mean, std, template: scalar volumes; observed, template_mask, brain_mask: label maps (1 where
            observed, in the anatomy, in the brain of whole heads); all in world RAS, no parent transform.
        seen, lost: label maps, 1 where a slice of a merge reaches; where what was seen may be missing.
        csf, gm, wm: scalar volumes, shares 0..1 of fluid, grey and white matter in every voxel.
        csf_std, gm_std, wm_std: their standard deviations.
        samples, browser, current: sequence, its browser and the sample that is shown.
        frame: linear transform that places the atlas on the patient (canonical to patient RAS).
        atlas: scalar volume in canonical RAS whose parent transform is the frame.
        outline: label map, 1 in its anatomy, under the same transform.
        folder: subject hierarchy item, 0 without one.
        provenance: content of result.json.
    """

    provenance: dict
    folder: int = 0
    mean: Any = None
    std: Any = None
    observed: Any = None
    brain_mask: Any = None
    seen: Any = None
    lost: Any = None
    template: Any = None
    template_mask: Any = None
    csf: Any = None
    csf_std: Any = None
    gm: Any = None
    gm_std: Any = None
    wm: Any = None
    wm_std: Any = None
    atlas: Any = None
    outline: Any = None
    samples: Any = None
    browser: Any = None
    current: Any = None
    frame: Any = None

    @property
    def roles(self) -> dict[str, Any]:
        """{role: node} of all nodes that there are."""
        no_nodes = ("provenance", "folder")
        return {role: node for role, node in vars(self).items() if node is not None and role not in no_nodes}

    @property
    def nodes(self) -> list:
        """All nodes that there are."""
        return list(self.roles.values())

    @property
    def main_role(self) -> str:
        """Of the node that stands for the result: the mean where there is one."""
        return next(role for role in (*_MAIN_ROLES, *self.roles) if role in self.roles)

    @property
    def main(self):
        """The node that stands for the result."""
        return self.roles[self.main_role]

    @property
    def title(self) -> str:
        """The words with which the names of all its nodes begin."""
        role = self.main_role
        return self.main.GetName().removesuffix(f" {_NAMES.get(role, role)}")

    @property
    def live(self) -> bool:
        """True for the rough result of a live update."""
        return bool(self.provenance.get("request", {}).get("fast"))

    @property
    def operation(self) -> str:
        """What of the computing process made it, such as "reconstruct" or "svr"."""
        return self.provenance.get(OPERATION, RECONSTRUCT)

    @property
    def placed(self) -> bool:
        """False for the prior's own anatomy.

        Made without slices and without a frame, so nobody knows where the patient lies in it.
        """
        request = self.provenance.get("request", {})
        made_of_scans = bool(request.get("contexts")) or self.operation != RECONSTRUCT
        return made_of_scans or request.get("frame", "auto") != "auto"

    @property
    def found(self) -> dict:
        """Fields of ReconstructionInputs with which further requests need not search again.

        They are frame, intensity and covariate.
        """
        covariate = self.provenance["covariate"]
        return {
            "frame": np.array(self.provenance["frame"]["patient_to_canonical"]),
            "intensity": self.provenance["intensity_map"],
            "covariate": covariate and covariate["value"],
        }

    def move_atlas(self, transform) -> None:
        """Let a transform node place the atlas on the patient."""
        for node in filter(None, (self.atlas, self.outline)):
            node.SetAndObserveTransformNodeID(transform.GetID())

    @classmethod
    def of(cls, node) -> ResultNodes | None:
        """The result to which a node of the scene belongs.

        None where it belongs to none or was taken out of the scene.
        """
        # The shown sample takes its attributes from the samples.
        browser = _sequences().GetFirstBrowserNodeForProxyNode(node)
        mark = (browser or node).GetAttribute(f"{ATTRIBUTE}Result")
        if mark is None or not slicer.mrmlScene.IsNodePresent(node):
            return None
        found: dict[str, Any] = {}
        for other in _scene_nodes():
            if other.GetAttribute(f"{ATTRIBUTE}Result") == mark:
                found.setdefault(other.GetAttribute(f"{ATTRIBUTE}Role"), other)
        if "browser" in found and "samples" in found:
            found["current"] = found["browser"].GetProxyNode(found["samples"])
        roles = {f.name: found[f.name] for f in fields(cls) if f.name in found}
        folder = hierarchy.folder_with(f"{ATTRIBUTE}Result", mark)
        return cls(json.loads((browser or node).GetAttribute(f"{ATTRIBUTE}Provenance")), folder, **roles)


def load_result(
    directory: str | Path,
    name: str = "Reconstruction",
    look: Look | None = None,
    into: ResultNodes | None = None,
) -> ResultNodes:
    """Load a folder written by a reconstruction as nodes called "<name> mean" and so on, in a folder `name`.

    Where the scene has nodes of that name already, the name gets a number: saved as files, no node takes the
    place of another. Nothing stays tied to the files.

    Args:
        look: None: windows as the values suggest.
        into: a result whose nodes take the new content, so that the scene stays as it is; replaced where its
            nodes are other ones.

    Raises:
        InputError: with nothing changed, where a file is missing or damaged.
    """
    return add_result(read_result(directory), name, look, into)


def add_result(
    files: ResultFiles,
    name: str = "Reconstruction",
    look: Look | None = None,
    into: ResultNodes | None = None,
) -> ResultNodes:
    """What was read of a result as nodes, as `load_result`; the nodes take the arrays themselves."""
    look = (look or Look()).of(files.provenance)
    if (
        into is not None
        and set(into.roles) == {*files.volumes, "frame"}
        and all(map(slicer.mrmlScene.IsNodePresent, into.nodes))
    ):
        return _renewed(into, files, look)
    hierarchy.node()
    before = {node.GetID() for node in _scene_nodes()}
    try:
        result = _added(files, _unique(name, into), look)
    except BaseException:
        for node in [node for node in _scene_nodes() if node.GetID() not in before]:
            slicer.mrmlScene.RemoveNode(node)
        raise
    if into is not None:
        remove_result(into)
    return result


def remove_result(result: ResultNodes, keep: tuple = ()) -> None:
    """Take a result out of the scene: its nodes, their display and storage nodes, and its folder.

    What else was put into the folder stays, too.

    Args:
        keep: nodes that stay, as nodes like any other.
    """
    kept = {node.GetID() for node in keep if node is not None}
    for node in result.nodes:
        if node.GetID() in kept:
            for word in _WORDS:
                node.RemoveAttribute(f"{ATTRIBUTE}{word}")
        elif slicer.mrmlScene.IsNodePresent(node):
            hierarchy.remove_node(node)
    hierarchy.remove_folder(result.folder)


def _renewed(result: ResultNodes, files: ResultFiles, look: Look) -> ResultNodes:
    """The same nodes with new content.

    The frame node follows only what was found: a given one may be moving in the user's hand.

    The window stays as the user left it while the values mean the same, and is that of `look` when they do
    not.
    """
    renewed = ResultNodes(files.provenance, result.folder, **result.roles)
    for role, volume in files.volumes.items():
        node = getattr(result, role)
        set_volume(node, volume, shared=True)
        if _units(files.provenance) != _units(result.provenance):
            _dress(role, node, look, files)
    if files.provenance["frame"]["found_from_slices"]:
        result.frame.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(files.frame))
    _state(renewed, result.main.GetAttribute(f"{ATTRIBUTE}Result"))
    return renewed


def _units(provenance: dict) -> tuple:
    """What decides in which units the values of a result are.

    The scan of its slices and the contrast that is shown; the model itself where there are none.
    """
    request = provenance.get("request", {})
    sources = [context.get("source") for context in request.get("contexts", [])[:1]]
    return request.get("prior"), request.get("show_as", "own"), *sources


def _unique(name: str, instead_of: ResultNodes | None) -> str:
    """The name, with a number where a node of the scene is called so already.

    The nodes of a result that goes do not count; the number is the first that is free.
    """
    going = {node.GetID() for node in instead_of.nodes} if instead_of is not None else set()
    taken = {node.GetName() for node in _scene_nodes() if node.GetID() not in going}
    words = [_NAMES.get(each.name, each.name) for each in fields(ResultNodes)]
    names = itertools.chain([name], (f"{name} ({n})" for n in itertools.count(2)))
    return next(each for each in names if not taken.intersection(_name(each, word) for word in words))


def _name(title: str, word: str) -> str:
    """A node's name; a title that says already what the node is stays as it is."""
    return title if title.endswith(f" {word}") else f"{title} {word}"


def _added(files: ResultFiles, name: str, look: Look) -> ResultNodes:
    mark = uuid.uuid4().hex
    nodes = {
        role: _volume_node(role, files, _name(name, _NAMES.get(role, role)), look) for role in files.volumes
    }
    if files.samples is not None:
        nodes |= _sample_nodes(files, f"{name} samples", look, _words(files.provenance, mark))
    if files.frame is not None:
        nodes["frame"] = add_transform(files.frame, f"{name} frame")
    result = ResultNodes(
        files.provenance, hierarchy.new_folder(name, look.sibling, {f"{ATTRIBUTE}Result": mark}), **nodes
    )
    if result.frame is not None:
        result.move_atlas(result.frame)
    for node in result.nodes:
        hierarchy.put(node, result.folder)
    _state(result, mark)
    return result


def _volume_node(role: str, files: ResultFiles, name: str, look: Look):
    if role in MASKS:
        return add_volume(files.volumes[role], name, "vtkMRMLLabelMapVolumeNode", shared=True)
    attributes = {f"{ATTRIBUTE}Role": role}  # selectors look at it when the node is added
    node = add_volume(
        files.volumes[role], name, attributes=attributes, shared=True, window=files.windows[role]
    )
    _dress(role, node, look, files)
    return node


def _dress(role: str, node, look: Look, files: ResultFiles) -> None:
    """Window and level of the input for grey values.

    Shares of tissues in colours from nothing to all; standard deviations from 0 to the 99.5th percentile.
    """
    if role in MASKS:
        return
    display = node.GetDisplayNode()
    if colours := colour_node_of(role):
        display.SetAndObserveColorNodeID(colours)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(*files.windows[role])
    if not colours:
        look.apply(node)


def _sample_nodes(files: ResultFiles, name: str, look: Look, words: dict[str, str]) -> dict[str, Any]:
    """Sequence, browser and shown sample, all of them and every sample with these words as attributes.

    All but the voxels is there before them, because the browser copies the shown sample at every change of
    any of these nodes.
    """
    samples = files.samples
    assert samples is not None
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    _write(sequence, "samples", words)
    sequence.SetIndexName("sample")
    sequence.SetIndexUnit("")
    for n in range(len(samples)):
        sample = slicer.vtkMRMLScalarVolumeNode()
        _write(sample, "current", words)
        sequence.SetDataNodeAtValue(sample, str(n))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{name} browser")
    _write(browser, "browser", words)
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    _sequences().UpdateProxyNodesFromSequences(browser)
    current = browser.GetProxyNode(sequence)
    current.SetName(f"{name} current")
    current.CreateDefaultDisplayNodes()
    current.GetDisplayNode().SetAutoWindowLevel(False)
    current.GetDisplayNode().SetWindowLevel(*window_of(samples[0]))
    look.apply(current)
    for n, sample in enumerate(samples):
        set_volume(sequence.GetNthDataNode(n), Volume(sample, files.volumes["observed"].grid), shared=True)
    _sequences().UpdateProxyNodesFromSequences(browser)
    return {"samples": sequence, "browser": browser, "current": current}


def _scene_nodes() -> list:
    """All nodes of the scene."""
    nodes = slicer.mrmlScene.GetNodes()
    return [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())]


def _sequences():
    return slicer.app.applicationLogic().GetModuleLogic("Sequences")


def add_to_provenance(result: ResultNodes, **more) -> None:
    """Let every node of a result say more of it: fields of result.json, JSON-ready."""
    result.provenance.update(more)
    _state(result, result.main.GetAttribute(f"{ATTRIBUTE}Result"))


def _state(result: ResultNodes, mark: str) -> None:
    """Write the result's mark, the role, notice and provenance into the attributes of every node.

    Those of samples have them.
    """
    words = _words(result.provenance, mark)
    for role in result.roles.keys() - {"samples", "browser", "current"}:
        _write(getattr(result, role), role, words)


def _words(provenance: dict, mark: str) -> dict[str, str]:
    """What every node of a result says of it, by the end of the attribute's name."""
    notice = provenance.get("notice", "Generated content. Not for diagnosis.")
    return {"Result": mark, "Notice": notice, "Provenance": json.dumps(provenance, sort_keys=True)}


def _write(node, role: str, words: dict[str, str]) -> None:
    """Give a node its attributes as one change."""
    modifying = node.StartModify()
    for word, text in {**words, "Role": role}.items():
        node.SetAttribute(f"{ATTRIBUTE}{word}", text)
    node.EndModify(modifying)
