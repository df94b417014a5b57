"""./run attenuation."""

from __future__ import annotations

from pathlib import Path

import click

from ..data.attenuation import KINDS
from .display import shown_progress
from .options import Command

EXAMPLES = """
attenuation --labels freesurfer --cohort synthseg --output heads
train structured-gaussian --cohort heads --rigid --spacing-mm 4 --rank 24 --out head-xray.safetensors"""


@click.command(cls=Command, examples=EXAMPLES)
@click.option(
    "--cohort",
    required=True,
    type=Path,
    metavar="DIR",
    help="folder of label maps of whole heads",
)
@click.option(
    "--labels",
    required=True,
    type=click.Choice(list(KINDS)),
    metavar="KIND",
    help="whose numbers they have: freesurfer or brainweb",
)
@click.option("--output", required=True, type=Path, metavar="DIR", help="folder for the volumes")  # fmt: skip
def attenuation(cohort, labels, output):
    """Volumes as CT would show them, made from label maps, for models of radiographs."""
    from ..data.attenuation import attenuation as made
    from ..data.cohort import list_cohort
    from ..geometry.io import read_volume, write_volume

    files = list_cohort(cohort, skip=()).files
    output.mkdir(parents=True, exist_ok=True)
    with shown_progress() as progress:
        for done, (name, file) in enumerate(files.items()):
            progress.update(name, done / len(files))
            volume = made(read_volume(file, warn=progress.warn), labels, name)
            write_volume(volume, output / f"{name.replace('_seg', '')}.nii.gz")  # no label map any more
    print(output)
