"""./run svr."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import ValidationError

from ..geometry import InputError, first_problem
from .context import parse_context
from .options import Command, above_0, image_format, json_progress, number, positive, strict, words

EXAMPLES = """
svr --stack axial.nii.gz --stack coronal.nii.gz --stack sagittal.nii.gz --output merged
svr --stack run-1.nii.gz:3.3 --stack run-2.nii.gz:3.3 --mask mask-1.nii.gz --mask mask-2.nii.gz --output out
svr --stack a.nrrd --stack b.nrrd --prior fetal-t2 --outputs volume,std,poses,samples --output out"""


@click.command(cls=Command, examples=EXAMPLES)
@click.option(
    "--stack",
    "stacks",
    multiple=True,
    required=True,
    metavar="FILE[:MM]",
    help="a stack of parallel slices (a file or DICOM folder) and, if wanted, their thickness in mm; may be "
    "repeated, 1 to 12 times",
)
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="FILE",
    help="above 0 in what moves as one: one for all stacks, or one for each in their order; without any, "
    "fetal brains are found",
)
@click.option(
    "--prior",
    default="auto",
    metavar="auto|ID|none",
    help="model whose posterior is tried as the first volume (see ./run models); auto: fetal-t2 where fetal "
    "brains are seen, else none; none: the stacks as they lie",
)
@click.option("--spacing", type=above_0, default=0.8, metavar="MM", help="of the voxels of the volume (0.8)")
@click.option(
    "--outputs",
    type=words,
    default="volume,std,poses",
    metavar="NAME[,NAME...]",
    help="what to write: volume, std, poses (these if left out), samples",
)
@click.option("--samples", type=positive, default=4, metavar="N", help="how many samples, if wanted (4)")
@click.option("--seed", type=int, default=0, metavar="S", help="the same seed gives the same result (0)")
@image_format
@strict
@json_progress
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    help="folder for volumes, poses.json, result.json, report.html",
)
def svr(stacks, masks, spacing, output, strict, json_progress, **same):
    """One volume from stacks of slices of a body that moved."""
    from ..svr.request import SvrRequest
    from .display import shown_progress

    try:
        request = SvrRequest(
            stacks=[_stack(text) for text in stacks],
            masks=[str(Path(path).absolute()) for path in masks],
            spacing_mm=spacing,
            output=str(Path(output).absolute()),
            **same,
        )
    except ValidationError as error:
        raise InputError(f"{first_problem(error)}.") from error
    from ..svr.run import run_svr
    from ..zoo import ModelStore

    with shown_progress(json_progress, strict) as progress:
        done = run_svr(request, ModelStore(), progress)
    if not json_progress:
        print("\n".join(done["files"].values()))


def _stack(text: str):
    """FILE or FILE:MM as a stack. Raises InputError."""
    head, colon, tail = text.rpartition(":")
    if not colon or Path(text).exists():
        return parse_context(text)
    try:
        return parse_context(head, number(tail))
    except click.BadParameter as error:
        raise InputError(
            f'"{tail}" in "{text}" is no slice thickness; expected millimetres, as in {head}:3.3.'
        ) from error
