"""./run mask."""

from __future__ import annotations

from pathlib import Path

import click

from .context import parse_context
from .options import Command, file_to_write

EXAMPLES = """
mask --prior fetal-t2 --context stack.nii.gz --output mask.nrrd
mask --prior fetal-t2 --context a.nii.gz --context b.nii.gz --output a-mask.nrrd --output b-mask.nrrd
reconstruct --prior fetal-t2 --context stack.nii.gz:8,11,14 --mask mask.nrrd --output out   (corrected)"""


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--prior", required=True, metavar="ID", help="the model that the mask is for")
@click.option(
    "--context",
    "contexts",
    required=True,
    multiple=True,
    metavar="FILE",
    help="the stack, as in ./run reconstruct; all stacks of one visit show one brain, which may have moved",
)
@click.option(
    "--compare",
    type=Path,
    multiple=True,
    metavar="VOLUME",
    help="another mask of the stack (of each); prints how far the two agree",
)
@click.option(
    "--output",
    "outputs",
    required=True,
    type=Path,
    multiple=True,
    metavar="FILE",
    help="where to write the mask (of each), e.g. .nrrd",
)
def mask(prior, contexts, compare, outputs):
    """The brain in every slice of a stack, or of all stacks of a visit, as a segmentation to correct."""
    for name, files in (("--output", outputs), ("--compare", compare or contexts)):
        if len(files) != len(contexts):
            raise click.UsageError(f"{len(contexts)} --context, but {len(files)} {name}: give one for each")
    for output in outputs:
        file_to_write(output)
    if len({output.absolute() for output in outputs}) < len(outputs):
        raise click.UsageError(
            "two masks cannot be written to one file: give each --output a name of its own"
        )
    from ..reconstruction.stack_mask import mask_stacks
    from ..zoo import ModelStore

    card = ModelStore().find(prior).entry.card
    found = mask_stacks([parse_context(context) for context in contexts], card)
    for one, other, output in zip(found, compare or [None] * len(found), outputs, strict=True):
        _write(one, other, output)


def _write(found, compare: Path | None, output: Path) -> None:
    """Write one mask, and say what is in it."""
    from ..geometry.io import read_volume, write_volume

    other = read_volume(compare, warn=found.warnings.append) if compare else None
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    write_volume(found.volume, output)
    inside = found.slices
    count = found.volume.grid.shape_kji[0]
    print(f"brain: {found.millilitres:.0f} ml in {len(inside)} of {count} slices ({inside[0]}..{inside[-1]})")
    if found.proposed:
        print(f"least motion between slices {','.join(map(str, found.proposed))}")
    if other and compare:
        dice, lost = found.compared(other)
        missed = ", ".join(map(str, lost)) if lost else "none"
        print(f"Dice with {compare.name}: {dice:.3f}; slices that are missed: {missed}")
    print(output)
