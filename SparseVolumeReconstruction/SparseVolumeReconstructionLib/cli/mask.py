"""./run mask."""

from __future__ import annotations

from pathlib import Path

import click

from ..geometry import InputError
from .context import parse_context
from .options import Command

EXAMPLES = """
mask --prior fetal-t2 --context stack.nii.gz --output mask.nrrd
reconstruct --prior fetal-t2 --context stack.nii.gz:8,11,14 --mask mask.nrrd --output out   (corrected)"""


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--prior", required=True, metavar="ID", help="the model that the mask is for")
@click.option("--context", required=True, metavar="FILE", help="the stack, as in ./run reconstruct")
@click.option(
    "--compare", type=Path, metavar="VOLUME", help="another mask of the stack; prints how far the two agree"
)
@click.option(
    "--output", required=True, type=Path, metavar="FILE", help="where to write the mask, e.g. .nrrd"
)
def mask(prior, context, compare, output):
    """The brain in every slice of a stack, as a segmentation to correct."""
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: the folder to write into does not exist.")
    from ..geometry.io import read_volume, write_volume
    from ..reconstruction.stack_mask import mask_stack
    from ..zoo import ModelStore

    found = mask_stack(parse_context(context), ModelStore().find(prior).entry.card)
    other = read_volume(compare, warn=found.warnings.append) if compare else None
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    write_volume(found.volume, output)
    inside = found.slices
    count = found.volume.grid.shape_kji[0]
    print(f"brain: {found.millilitres:.0f} ml in {len(inside)} of {count} slices ({inside[0]}..{inside[-1]})")
    if found.proposed:
        print(f"least motion between slices {','.join(map(str, found.proposed))}")
    if other:
        dice, lost = found.compared(other)
        missed = ", ".join(map(str, lost)) if lost else "none"
        print(f"Dice with {compare.name}: {dice:.3f}; slices that are missed: {missed}")
    print(output)
