"""./run synthesize."""

from __future__ import annotations

from pathlib import Path

import click

from ..data.bids import WRITTEN
from ..geometry import InputError
from .display import shown_progress
from .options import Command, device, image_format, json_progress, strict

EXAMPLES = """
synthesize --model runs/t1/t1.safetensors --input FLAIR=flair.nii.gz --input T2=t2.nii.gz --output out
synthesize --model brain-flair-to-t1 --input FLAIR=flair.nii.gz --adapt others --output out"""
_CONTRASTS = {word.upper(): name for name, written in WRITTEN.items() for word in (name, written)}


@click.command(cls=Command, examples=EXAMPLES)
@click.option(
    "--model",
    required=True,
    metavar="ID",
    help="a network of the extension, or a file (.safetensors) that ./run train synthesis made",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="CONTRAST=FILE",
    help="a scan of the head (T1, T2, FLAIR, PD); skull-stripped, background 0; may be repeated",
)
@click.option(
    "--adapt",
    type=Path,
    metavar="DIR",
    help="other scans of your own scanner in the contrasts of the input, three or more of each: its grey "
    "values are matched to those that the network learned of, where a check does not speak against it (not "
    "always for the better); OUTPUT/adapted.safetensors is then the model for further scans",
)
@click.option(
    "--output", required=True, type=Path, metavar="DIR", help="folder for mean, std and result.json"
)
@image_format
@device
@strict
@json_progress
def synthesize(model, inputs, adapt, output, strict, json_progress, **same):
    """A contrast that was not scanned, from others of the same head; inferred, not for diagnosis."""
    from ..synthesis.request import SynthesisRequest
    from ..synthesis.run import run_synthesis

    request = SynthesisRequest(
        model=str(Path(model).absolute()) if Path(model).suffix else model,
        inputs=_parsed(inputs),
        adapt=str(adapt.absolute()) if adapt else None,
        output=str(output.absolute()),
        **same,
    )
    with shown_progress(json_progress, strict) as progress:
        answer = run_synthesis(request, progress)
    if not json_progress:
        print(*answer["files"].values(), sep="\n")


def _parsed(inputs: tuple[str, ...]) -> dict[str, str]:
    """{contrast: path} of CONTRAST=FILE. Raises InputError."""
    found: dict[str, str] = {}
    for text in inputs:
        word, _, path = text.partition("=")
        contrast = _CONTRASTS.get(word.upper())
        if contrast is None or not path:
            raise InputError(
                f"--input {text}: expected CONTRAST=FILE with one of {', '.join(WRITTEN.values())}."
            )
        if contrast in found:
            raise InputError(f"--input {text}: {WRITTEN[contrast]} was given already.")
        found[contrast] = str(Path(path).absolute())
    return found
