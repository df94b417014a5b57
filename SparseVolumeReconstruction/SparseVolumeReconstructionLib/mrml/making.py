"""From nodes to requests for what is no reconstruction of slices: merges of stacks and others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import slicer

from ..geometry import InputError, Volume
from ..geometry.image import to_image
from ..geometry.io import write_affine, write_text
from .fingerprints import digest
from .i18n import _
from .loaded import check_against_files
from .nodes import affine_of, volume_of
from .request import Context, names_of, write_context
from .results import ATTRIBUTE, ResultNodes
from .segments import mask_of

_SOURCE = f"{ATTRIBUTE}Source"  # role of the references from a result's main node to what it was made of
_MADE_OF = f"{ATTRIBUTE}MadeOf"  # attribute of that node: the fingerprint of what was merged


@dataclass(frozen=True)
class Making:
    """What an operation of the computing process is to make of nodes.

    Attributes:
        operation: its name.
        build: writes the nodes into a folder that exists, and returns the request as plain data; what is made
            is to be written to that folder's `result`. Raises InputError for nodes that cannot be used.
        name: begins the names of the result's nodes.
        sources: the nodes.
        same_units: whether the result has the grey values of the first of them.
        made_of: fingerprint of what is merged; "" where nothing is.
        device: that computes, as a request takes it.
    """

    operation: str
    build: Callable[[Path], dict[str, Any]]
    name: str
    sources: tuple
    same_units: bool = True
    made_of: str = ""
    device: str = "auto"


@dataclass(frozen=True)
class StackInput:
    """A volume node to be merged.

    Attributes:
        mask: segmentation or volume node, above 0 in what moves as one; None: all of it.
        thickness_mm: of its slices; None: the spacing.
        without: numbers of slices, along the third index axis, that are left out of the volume.
    """

    node: Any
    mask: Any = None
    thickness_mm: float | None = None
    without: frozenset[int] = frozenset()


def fingerprint(stacks: tuple[StackInput, ...]) -> str:
    """What stands for voxels, places, masks and thicknesses of stacks as they are now. Raises InputError."""
    found = sha256()
    for stack in stacks:
        found.update(f"{stack.thickness_mm}, {stack.mask is not None}".encode())
        for part in (volume_of(stack.node), *([mask_of(stack.mask)] if stack.mask is not None else [])):
            found.update(digest(part).encode())
    return found.hexdigest()


def earlier_slices(result: ResultNodes | None, made_of: str) -> list[dict[str, Any]] | None:
    """The slices of a result that is a merge of what a fingerprint stands for; else None."""
    if result is None or result.main.GetAttribute(_MADE_OF) != made_of:
        return None
    slices: list[dict[str, Any]] = result.provenance["slices"]
    return slices


def merge_request(
    stacks: tuple[StackInput, ...],
    prior: str,
    spacing_mm: float,
    folder: Path,
    earlier: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write stacks and masks into `folder` and return the fields of an SvrRequest.

    Args:
        stacks: 1 to 12.
        prior: "auto", "none" or the id of a model.
        spacing_mm: of the voxels of the volume.
        folder: exists.
        earlier: the slices of a merge of the same stacks and masks, from which this one goes on.

    Raises:
        InputError: for a node that cannot be used, and where only some stacks have a mask.
    """
    masked = [stack for stack in stacks if stack.mask is not None]
    if masked and len(masked) < len(stacks):
        bare = next(stack.node.GetName() for stack in stacks if stack.mask is None)
        raise InputError(
            _("{name} has no mask, others have one; choose a mask for every stack, or for none.").format(
                name=bare
            )
        )
    names = names_of([stack.node for stack in stacks])
    specs = []
    for n, (stack, name) in enumerate(zip(stacks, names, strict=True)):
        context = Context(stack.node, thickness_mm=stack.thickness_mm)
        specs.append(write_context(context, name, folder / f"stack-{n}"))
    if earlier is not None:
        (folder / "earlier").mkdir()
        write_text(json.dumps(earlier), folder / "earlier" / "poses.json")
    return {
        "stacks": specs,
        "masks": [_write_mask(stack.mask, folder / f"mask-{n}.nrrd") for n, stack in enumerate(masked)],
        "prior": prior,
        "spacing_mm": spacing_mm,
        "exclude": [
            {"stack": n, "slices": sorted(stack.without)}
            for n, stack in enumerate(stacks, 1)
            if stack.without
        ],
        "continue_from": str(folder / "earlier") if earlier is not None else None,
        "output": str(folder / "result"),
    }


@dataclass(frozen=True)
class RadiographInput:
    """A node of one image: a radiograph.

    Attributes:
        view: "front", "side", "top", "unknown", or a linear transform node from the detector (mm from its
            middle: columns, rows downwards, along the rays) to the patient.
        pixel_mm: of the detector; None: as the file states.
    """

    node: Any
    view: Any
    pixel_mm: float | None = None


def radiograph_request(
    radiographs: tuple[RadiographInput, ...], prior: str, samples: int, folder: Path
) -> dict[str, Any]:
    """Write radiographs into `folder` and return the fields of a ReconstructionRequest.

    Args:
        radiographs: one or more of one body.
        prior: id of a model of radiographs.
        samples: how many.
        folder: exists.

    Raises:
        InputError: for a node that cannot be used.
    """
    contexts = []
    names = names_of([each.node for each in radiographs])
    for n, (each, name) in enumerate(zip(radiographs, names, strict=True)):
        view = each.view
        if not isinstance(view, str):
            view = str(folder / f"view-{n}.h5")
            write_affine(affine_of(each.view), view)
        spec = {"kind": "radiograph", "view": view, "pixel_mm": each.pixel_mm, "source": name}
        contexts.append({**spec, "path": _picture_file(each.node, folder / f"radiograph-{n}.nrrd")})
    outputs = ["mean", "std"]
    made = {
        "prior": prior,
        "contexts": contexts,
        "frame": "registered",
        "outputs": outputs,
        "samples": samples,
    }
    return {**made, "compress": False, "output": str(folder / "result")}


def _picture_file(node, path: Path) -> str:
    """The file of a node that is as it was read, with all that it states; else the node's pixels."""
    storage = node.GetStorageNode()
    read = Path((storage and storage.GetFullNameFromFileName()) or "")
    if read.is_file() and not node.GetModifiedSinceRead():
        return str(read)
    sitk.WriteImage(to_image(volume_of(node)), str(path))
    return str(path)


def contrast_request(scans: dict[str, Any], model: str, folder: Path) -> dict[str, Any]:
    """Write scans into `folder` and return the fields of a SynthesisRequest.

    Args:
        scans: {contrast: volume node} of one head, such as "flair".
        model: id of a network, or the path of its file.
        folder: exists.

    Raises:
        InputError: for a node that cannot be used.
    """
    paths = {name: str(folder / f"{name}.nrrd") for name in scans}
    for name, node in scans.items():
        check_against_files(node)
        sitk.WriteImage(to_image(volume_of(node)), paths[name])
    return {"model": model, "inputs": paths, "output": str(folder / "result")}


def _write_mask(node, path: Path) -> str:
    mask: Volume = mask_of(node)
    sitk.WriteImage(to_image(mask), str(path), useCompression=True)
    return str(path)


def tie(result: ResultNodes, making: Making) -> None:
    """Let a result know what it was made of; this is saved with the scene."""
    for source in making.sources:
        result.main.AddNodeReferenceID(_SOURCE, source.GetID())
    if making.made_of:
        result.main.SetAttribute(_MADE_OF, making.made_of)


def sources_of(result: ResultNodes) -> list:
    """The nodes that a result was made of, in their order; None in place of one that is gone."""
    main = result.main
    ids = [main.GetNthNodeReferenceID(_SOURCE, n) for n in range(main.GetNumberOfNodeReferences(_SOURCE))]
    return [slicer.mrmlScene.GetNodeByID(each) if each else None for each in ids]
