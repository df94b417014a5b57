"""./run demo."""

from __future__ import annotations

import click

from .display import shown_progress
from .options import Command


@click.command(cls=Command, examples="demo\ndemo --input head.nii.gz --output my-demo")
@click.option("--input", metavar="FILE", help="a head of your own (T1w MRI) instead of the MNI152 template")
@click.option("--output", default="demo-output", metavar="DIR", help="folder to write (demo-output)")
@click.option("--prior", default="brain-t1", metavar="ID", help="the model (brain-t1)")
def demo(input, output, prior):
    """Reconstruct a real head from 4 of its slices."""
    from ..mrml.demo import main

    with shown_progress() as progress:
        main(input, output, prior, progress)
