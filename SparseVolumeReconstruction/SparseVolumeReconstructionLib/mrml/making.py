"""From nodes to requests for what is no reconstruction of slices: merges of stacks and others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SimpleITK as sitk
import slicer

from ..geometry import InputError, Volume
from ..geometry.image import to_image
from .i18n import _
from .request import Context, names_of, write_context
from .results import ATTRIBUTE, ResultNodes
from .segments import mask_of

_SOURCE = f"{ATTRIBUTE}Source"  # role of the references from a result's main node to what it was made of


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
    """

    operation: str
    build: Callable[[Path], dict[str, Any]]
    name: str
    sources: tuple
    same_units: bool = True


@dataclass(frozen=True)
class StackInput:
    """A volume node to be merged.

    Attributes:
        mask: segmentation or volume node, above 0 in what moves as one; None: all of it.
        thickness_mm: of its slices; None: the spacing.
        without: numbers of slices, along the third index axis, that are left out.
    """

    node: Any
    mask: Any = None
    thickness_mm: float | None = None
    without: frozenset[int] = frozenset()


def merge_request(
    stacks: tuple[StackInput, ...], prior: str, spacing_mm: float, folder: Path
) -> dict[str, Any]:
    """Write stacks and masks into `folder` and return the fields of an SvrRequest.

    Args:
        stacks: 1 to 12.
        prior: "auto", "none" or the id of a model.
        spacing_mm: of the voxels of the volume.
        folder: exists.

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
        count = stack.node.GetImageData().GetDimensions()[2] if stack.node.GetImageData() else 0
        kept = tuple(k for k in range(count) if k not in stack.without) if stack.without else None
        context = Context(stack.node, indices=kept, thickness_mm=stack.thickness_mm)
        specs.append(write_context(context, name, folder / f"stack-{n}"))
    return {
        "stacks": specs,
        "masks": [_write_mask(stack.mask, folder / f"mask-{n}.nrrd") for n, stack in enumerate(masked)],
        "prior": prior,
        "spacing_mm": spacing_mm,
        "output": str(folder / "result"),
    }


def _write_mask(node, path: Path) -> str:
    mask: Volume = mask_of(node)
    sitk.WriteImage(to_image(mask), str(path), useCompression=True)
    return str(path)


def tie(result: ResultNodes, sources: tuple) -> None:
    """Let a result know what it was made of; this is saved with the scene."""
    for source in sources:
        result.main.AddNodeReferenceID(_SOURCE, source.GetID())


def sources_of(result: ResultNodes) -> list:
    """The nodes that a result was made of, in their order; None in place of one that is gone."""
    main = result.main
    ids = [main.GetNthNodeReferenceID(_SOURCE, n) for n in range(main.GetNumberOfNodeReferences(_SOURCE))]
    return [slicer.mrmlScene.GetNodeByID(each) if each else None for each in ids]
