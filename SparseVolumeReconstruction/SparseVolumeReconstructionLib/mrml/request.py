"""From nodes to a request: what the process that computes is asked, and the files that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..geometry import Grid, InputError, Volume, first_problem
from ..geometry.image import to_image
from ..geometry.io import write_affine
from .loaded import check_against_files, check_is_no_result
from .nodes import affine_of, file_stem, volume_of, world_grid
from .reslice import plane_grid, reslice_plane
from .segments import mask_of


@dataclass(frozen=True)
class Context:
    """Slices of one volume node: some, all, or a plane of it.

    Attributes:
        node: the volume node.
        indices: along its third index axis; None, without a plane: all of them.
        plane: 4x4 SliceToRAS in world RAS (mm), instead of indices.
        thickness_mm: None: the spacing between slices, or the voxel size along the plane's normal, at most
            5 mm, is assumed.
        body: volume node of the body that the slices show, where that is not `node`; slices of one body are
            in common units.
    """

    node: Any
    indices: tuple[int, ...] | None = None
    plane: np.ndarray | None = None
    thickness_mm: float | None = None
    body: Any = None


@dataclass(frozen=True)
class ReconstructionInputs:
    """What to reconstruct, in nodes; see ReconstructionRequest for the fields of the same name.

    Attributes:
        contexts: none for the prior itself.
        frame: "auto", "registered", a 4x4 array from patient to canonical RAS (mm) as in a request and its
            result, or a linear transform node of the scene, which places the atlas on the patient.
        like: a volume node on whose grid the results come.
        mask: a segmentation or volume node that is above 0 in the brain.
    """

    prior: str
    contexts: tuple[Context, ...] = ()
    frame: Any = "auto"
    like: Any = None
    spacing_mm: float | None = None
    outputs: tuple[str, ...] = ("mean", "std", "template")
    samples: int = 0
    draws: str | None = None
    seed: int = 0
    covariate: float | None = None
    device: str = "auto"
    keep_observed: bool = True
    fast: bool = False
    intensity: dict | None = None
    show_as: str = "own"
    mask: object | None = None
    name: str = "Reconstruction"


def build_request(inputs: ReconstructionInputs, folder: Path, output: Path) -> dict:
    """Write the contexts of `inputs` into `folder` and return the request as plain data.

    Args:
        folder: exists; holds all files that the process reads.
        output: where the process writes the result; not compressed within `folder`.

    Returns:
        The fields of a ReconstructionRequest.

    Raises:
        InputError: for a node that cannot be used, or a field out of its range.
    """
    from pydantic import ValidationError

    from ..reconstruction.request import ReconstructionRequest

    names = names_of([context.body or context.node for context in inputs.contexts])
    pixel_mm = (inputs.spacing_mm or 0.0) if inputs.fast else 0.0
    fields: dict[str, Any] = {
        "prior": inputs.prior,
        "contexts": [
            write_context(context, name, folder / f"context-{n}", pixel_mm)
            for n, (context, name) in enumerate(zip(inputs.contexts, names, strict=True))
        ],
        "frame": inputs.frame if isinstance(inputs.frame, str) else _write_frame(inputs.frame, folder),
        "like": _write_grid(world_grid(inputs.like), folder) if inputs.like is not None else None,
        "outputs": list(inputs.outputs),
        "output": str(output),
        "compress": folder
        not in output.parents,  # what is read back at once and then deleted need not be small
    }
    if inputs.mask is not None:
        fields["mask"] = str(folder / "mask.nrrd")
        sitk.WriteImage(to_image(mask_of(inputs.mask)), fields["mask"], useCompression=True)
    same = (
        "spacing_mm",
        "samples",
        "draws",
        "seed",
        "covariate",
        "device",
        "keep_observed",
        "fast",
        "intensity",
        "show_as",
    )
    try:
        request = ReconstructionRequest(**fields, **{name: getattr(inputs, name) for name in same})
    except ValidationError as error:
        raise InputError(f"{first_problem(error)}.") from error
    return request.model_dump()


def build_question(inputs: ReconstructionInputs, folder: Path) -> dict:
    """Write the contexts of `inputs` into `folder` and return a question about them, as plain data.

    Returns:
        The fields of a Question; what the question is comes from who asks.

    Raises:
        InputError: as `build_request`.
    """
    request = build_request(inputs, folder, folder / "result")
    return {name: request[name] for name in ("prior", "contexts", "frame", "covariate", "mask", "device")}


def slice_grids(inputs: ReconstructionInputs) -> list[Grid]:
    """Where the slices of all contexts that are planes lie, one slice each, world RAS.

    Raises:
        InputError: for a plane that misses its volume.
    """
    return [
        plane_grid(world_grid(context.node), context.plane, context.thickness_mm, context.node.GetName())
        for context in inputs.contexts
        if context.plane is not None
    ]


def build_mask_request(stacks: list, prior: str, folder: Path) -> dict:
    """Write volume nodes into `folder` and return the request for the brain in their slices, as plain data.

    Args:
        stacks: the volume nodes, of one visit.
        prior: id of the model.
        folder: exists; the masks are to be written there, too.

    Raises:
        InputError: for a node that cannot be used.
    """
    named = enumerate(zip(stacks, names_of(stacks), strict=True))
    contexts = [write_context(Context(node), name, folder / f"stack-{n}", 0.0) for n, (node, name) in named]
    outputs = [str(folder / f"mask-{n}.nrrd") for n in range(len(stacks))]
    return {"prior": prior, "stacks": contexts, "outputs": outputs}


def names_of(nodes: list) -> list[str]:
    """A name for every node, in order; nodes of the same name get a number, because one name is one body."""
    alike: dict[str, dict[str, int]] = {}
    numbers = [
        alike.setdefault(node.GetName(), {}).setdefault(node.GetID(), len(alike[node.GetName()]) + 1)
        for node in nodes
    ]
    return [
        node.GetName() if n == 1 else f"{node.GetName()} ({n})"
        for node, n in zip(nodes, numbers, strict=True)
    ]


def write_context(context: Context, name: str, folder: Path, pixel_mm: float = 0.0) -> dict:
    """One NRRD file per context, called like its node, in a folder of its own.

    Returns the fields of a SliceSpec.

    pixel_mm: smallest pixel of a plane.
    """
    check_is_no_result(context.node)
    notices = check_against_files(context.node)
    volume, thickness = volume_of(context.node), context.thickness_mm
    if context.plane is not None:
        if context.indices is not None:
            raise InputError(f"{name}: slice indices and a plane were given; choose one of them.")
        volume = reslice_plane(volume, context.plane, thickness, name, pixel_mm)
    folder.mkdir()
    path = folder / f"{file_stem(name)}.nrrd"
    sitk.WriteImage(to_image(volume), str(path))
    indices = None if context.indices is None else list(context.indices)
    return {
        "path": str(path),
        "slices": indices,
        "thickness_mm": thickness,
        "source": name,
        "notices": list(notices),
    }


def _write_frame(frame, folder: Path) -> str:
    """The file of a 4x4 array, or of a transform node that places the atlas: patient to canonical."""
    given = isinstance(frame, np.ndarray)
    matrix, name = (frame, "frame") if given else (affine_of(frame), frame.GetName())
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise InputError(
            f"{name}: the transform is singular or not finite; expected one that places the whole atlas on "
            "the patient."
        )
    write_affine(matrix if given else np.linalg.inv(matrix), folder / "frame.h5")
    return str(folder / "frame.h5")


def _write_grid(grid: Grid, folder: Path) -> str:
    """A file that carries the geometry of a grid; its voxels are empty."""
    sitk.WriteImage(
        to_image(Volume(np.zeros(grid.shape_kji, np.uint8), grid)),
        str(folder / "like.nrrd"),
        useCompression=True,
    )
    return str(folder / "like.nrrd")
