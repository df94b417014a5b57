"""The template of a result for the tools of the field.

NIfTI files in patient space, and the command line of each tool.

What the tools can do with a template was read in their sources:

SVRTK (tools/reconstruct.cc, Reconstruction::StackRegistrations): `-template` is the target to which all
stacks are registered and, with `-svr_only`, the first volume to which slices are; `-mask` lies in the
template's space, and crops the first stack before any registration. Without `-thickness` twice the spacing is
assumed. NeSVoR (nesvor/cli/parsers.py and io.py, the versions with `--scanner-space`): no option takes a
template or any other first volume, so its grey values are of no use there; its mask is. `--volume-mask` is
applied to every stack before registration, `--sample-mask` says where the result is sampled, and
`--scanner-space` keeps both valid, because the result is otherwise in the space of SVoRT's atlas. NiftyMIC
(niftymic/application/reconstruct_volume.py, 0.8): `--reference` with `--reference-mask` is the target of the
registration of the stacks, the first volume and the space of the result. `--template` of
niftymic_run_reconstruction_pipeline is not: a finished volume is registered to it, and masks of all stacks
are required there.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..geometry import InputError, Volume, file_errors
from ..geometry.io import write_text, write_volume
from ..reconstruction.images import DESCRIPTION

SVRTK, NESVOR, NIFTYMIC = "SVRTK", "NeSVoR", "NiftyMIC"
_NOTES = {
    SVRTK: "The template is the registration target and the first volume. Run it in an empty folder: it "
    "writes its logs where it runs.",
    NESVOR: "It takes no template: only the mask guides it. SVoRT knows fetal brains only; elsewhere add "
    "--registration stack.",
    NIFTYMIC: "The template is the registration target, the first volume and the space of the result. A "
    "single stack is not "
    "registered to it as a whole: give two or more.",
}
_PLACEHOLDERS = (
    "No stacks were given: replace stack-1.nii.gz ... by your files and THICKNESS-1 ... by "
    "their slice thickness in mm."
)


@dataclass(frozen=True)
class Stack:
    """One input stack: its NIfTI file, and its slice thickness in mm (the excited slice, without the gap)."""

    path: str | Path
    thickness_mm: float

    def __post_init__(self):
        if not str(self.path).endswith((".nii", ".nii.gz")):
            raise InputError(
                f"{self.path}: SVRTK, NeSVoR and NiftyMIC read NIfTI; save the stack as .nii.gz."
            )
        if not (np.isfinite(self.thickness_mm) and self.thickness_mm > 0):
            raise InputError(f"{self.path}: slice thickness {self.thickness_mm} mm; expected more than 0.")


@dataclass(frozen=True)
class Handover:
    """What was written.

    Attributes:
        commands: a command line for a POSIX shell for each tool.
        notes: one line on each.
    """

    template: Path
    mask: Path
    commands: dict[str, str]
    notes: dict[str, str]


def write_handover(
    template: Volume, mask: Volume, stacks: Iterable[Stack], folder: str | Path, resolution_mm: float = 0.8
) -> Handover:
    """Write template.nii.gz, template_mask.nii.gz (0 and 1) and commands.txt into `folder`.

    The folder is made if need be.

    Args:
        template: in patient space.
        mask: on the same grid; a voxel is inside where it is above 0.
        stacks: none gives command lines with marked placeholders.
        folder: where to write.
        resolution_mm: isotropic voxel size of what the tools shall reconstruct.

    Returns:
        The paths that were written, and the command lines, which hold absolute paths.

    Raises:
        InputError: where the mask does not fit or is empty, and where the folder cannot be written.
    """
    inside = (mask.array > 0).astype(np.uint8)
    if not mask.grid.same_as(template.grid):
        raise InputError(
            f"mask: {mask.grid.shape_kji} voxels elsewhere than the template's {template.grid.shape_kji}; "
            "expected one grid."
        )
    if not inside.any():
        raise InputError("mask: no voxel is inside; expected the mask of the template's anatomy.")
    if not (np.isfinite(resolution_mm) and resolution_mm > 0):
        raise InputError(f"resolution {resolution_mm} mm; expected more than 0.")
    stacks, folder = list(stacks), Path(folder).absolute()
    paths = folder / "template.nii.gz", folder / "template_mask.nii.gz"
    with file_errors(f"{folder}: the template could not be written"):
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(template, paths[0], note=DESCRIPTION)
        write_volume(Volume(inside, template.grid), paths[1])
    commands, notes = _commands(paths, stacks, folder, f"{resolution_mm:g}"), _notes(stacks)
    write_text(
        "\n".join(f"# {tool}: {notes[tool]}\n{command}\n" for tool, command in commands.items()),
        folder / "commands.txt",
    )
    return Handover(*paths, commands, notes)


def _notes(stacks: list[Stack]) -> dict[str, str]:
    return _NOTES if stacks else {tool: f"{_PLACEHOLDERS} {note}" for tool, note in _NOTES.items()}


def _commands(paths: tuple[Path, Path], stacks: list[Stack], folder: Path, resolution: str) -> dict[str, str]:
    """The command line of each tool, one option a line. paths: of template and mask."""
    template, mask = map(str, paths)
    files = [str(Path(stack.path).absolute()) for stack in stacks] or [f"stack-{n}.nii.gz" for n in (1, 2, 3)]
    thickness = [f"{stack.thickness_mm:g}" for stack in stacks] or [f"THICKNESS-{n}" for n in (1, 2, 3)]
    output = {tool: str(folder / f"{tool.lower()}.nii.gz") for tool in _NOTES}
    return {
        SVRTK: _lines(
            ["mirtk", "reconstruct", output[SVRTK], str(len(files)), *files],
            ["-template", template],
            ["-mask", mask],
            ["-thickness", *thickness],
            ["-resolution", resolution],
            ["-svr_only"],
        ),
        NESVOR: _lines(
            ["nesvor", "reconstruct"],
            ["--input-stacks", *files],
            ["--thicknesses", *thickness],
            ["--volume-mask", mask],
            ["--sample-mask", mask],
            ["--scanner-space"],
            ["--output-resolution", resolution],
            ["--output-volume", output[NESVOR]],
        ),
        NIFTYMIC: _lines(
            ["niftymic_reconstruct_volume"],
            ["--filenames", *files],
            ["--slice-thicknesses", *thickness],
            ["--reference", template],
            ["--reference-mask", mask],
            ["--isotropic-resolution", resolution],
            ["--output", output[NIFTYMIC]],
        ),
    }


def _lines(*parts: list[str]) -> str:
    return " \\\n  ".join(shlex.join(part) for part in parts)
