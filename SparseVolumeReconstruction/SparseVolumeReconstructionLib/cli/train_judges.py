"""Commands that train judges of frames, contrasts and mirror images, once slices are read and placed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..priors.systems import all_systems
from .display import shown_progress
from .options import Command, file_to_write, options, strict
from .train import CARD, cohorts_option, id_of, strip_option

MIRROR_EXAMPLES = (
    "train mirror-judge --cohort scanner-1 --cohort scanner-2 --strip -,dlmuse --base brain-t1 "
    "--out mirror-judge.safetensors"
)
FRAME_EXAMPLES = "train frame-judge --cohort heads --strip dlmuse --base brain-t1 --out judgements.json"
CONTRAST_EXAMPLES = "train contrast-judge --cohort brains --cohort heads --out judgements.json"
JUDGEMENTS = (
    click.option(
        "--reader",
        type=Path,
        metavar="FILE",
        help="what ./run train head-reader made (the reader that comes with the program)",
    ),
    click.option(
        "--out",
        required=True,
        type=Path,
        metavar="FILE",
        help="the .json file of judges to write; others that are in it stay",
    ),
    click.option("--data", default="not stated", metavar="TEXT", help="where the data come from"),
    strict,
)
base_option = click.option(
    "--base", required=True, metavar="ID", help="the model in whose space frames are found, e.g. brain-t1"
)


@click.command(
    "mirror-judge", cls=Command, help=all_systems()["mirror-judge"].summary, examples=MIRROR_EXAMPLES
)
@cohorts_option
@base_option
@strip_option
@click.option("--out", required=True, type=Path, metavar="FILE", help="the .safetensors file to write")
@options(CARD)
def mirror_judge(cohorts, base, strip, out, model_id, split, strict, **facts):
    """Fit what warns of left and right that were exchanged; a cohort is a scanner."""
    from ..data.subjects import read_split
    from ..training.facts import CardFacts
    from ..training.readers.mirrored import train_mirror_judge as fit
    from ..zoo.store import ModelStore

    file_to_write(out)
    card = CardFacts(model_id or id_of(out.stem), **facts)
    words = tuple("" if word == "-" else word for word in strip)
    prior = ModelStore().load(base, "cpu")
    with shown_progress(strict=strict) as progress:
        fit(list(cohorts), prior, words, out, card, read_split(split) if split else None, progress)
    print(out)


@click.command("frame-judge", cls=Command, help=all_systems()["frame-judge"].summary, examples=FRAME_EXAMPLES)
@cohorts_option
@base_option
@strip_option
@click.option("--people", type=Path, metavar="FILE", help="JSON file [names] of those to learn from (all)")
@options(JUDGEMENTS)
def frame_judge(cohorts, base, strip, people, reader, out, data, strict):
    """Fit the probability that a frame is right."""
    from ..training.readers.frames import train_frame_judge as fit
    from ..zoo.store import ModelStore

    file_to_write(out)
    names = json.loads(people.read_text(encoding="utf-8")) if people else None
    words = tuple("" if word == "-" else word for word in strip)
    prior = ModelStore().load(base, "cpu")
    with shown_progress(strict=strict) as progress:
        print(fit(list(cohorts), prior, _reader(reader), words, out, names, {"fitted on": data}, progress))
    print(out)


@click.command(
    "contrast-judge", cls=Command, help=all_systems()["contrast-judge"].summary, examples=CONTRAST_EXAMPLES
)
@cohorts_option
@options(JUDGEMENTS)
def contrast_judge(cohorts, reader, out, data, strict):
    """Fit what tells the contrast of slices in words."""
    from ..training.readers.judges import train_contrast_judge as fit

    file_to_write(out)
    with shown_progress(strict=strict) as progress:
        print(fit(list(cohorts), _reader(reader), out, {"fitted on": data}, progress))
    print(out)


def _reader(path: Path | None):
    """The reader in a file, or the one that the extension brings."""
    from ..alignment.head import HeadReader, head_reader
    from ..alignment.reader import read_reader

    return HeadReader(*read_reader(path)) if path else head_reader()
