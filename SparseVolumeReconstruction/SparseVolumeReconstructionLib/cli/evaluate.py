"""./run evaluate."""

from __future__ import annotations

from pathlib import Path

import click

from ..geometry import InputError
from .display import shown_progress
from .options import Command, device, draws, file_to_write, numbers, positive, strict, words

EXAMPLES = (
    "evaluate --prior brain-t1 --cohort heads --frame registered --contexts 1,3,4,5,9 --json scores.json\n"
    "evaluate --prior brain-t1,my-model --cohort heads --frame patient --contexts 3 --json scores.json "
    "--report scores.html\n"
    "evaluate --prior brain-t1 --cohort patients --modality flair --frame registered --contexts 4 --json "
    "flair.json"
)


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--prior", "priors", required=True, type=words, metavar="ID[,ID...]", help="the models")
@click.option("--cohort", required=True, type=Path, metavar="DIR", help="folder of volumes, one per subject")
@click.option(
    "--frame",
    required=True,
    type=click.Choice(["registered", "patient"]),
    help="registered: the protocol of the papers; patient: own grid, frame found",
)
@click.option(
    "--contexts",
    required=True,
    type=numbers,
    metavar="n1,n2,...",
    help="numbers of observed slices, e.g. 1,3,4,5,9",
)
@click.option(
    "--modality",
    type=click.Choice(["t1w", "t2w", "flair", "pdw"]),
    help="which volumes of the folder, where names tell it (_T2w, _FLAIR, ...; files without are taken "
    "for it); the model's own if left out, or the only one that there is, or as the slices show it",
)
@click.option(
    "--strip",
    metavar="WORD",
    help="whole heads: the brain is what is not 0 in the label map SUBJECT_WORD beside each; with --frame "
    "patient the slices that are given show the whole head",
)
@click.option("--json", required=True, type=Path, metavar="FILE", help="where to write the scores")
@click.option("--report", type=Path, metavar="FILE.html", help="where to write a report with pictures")
@click.option(
    "--samples",
    type=positive,
    default=16,
    metavar="N",
    help="posterior samples scored per subject and number of slices (16); of 40 or more the quantiles, too",
)
@draws
@device
@strict
def evaluate(priors, cohort, frame, contexts, json, report, strict, **how):
    """Measure priors and baselines on the volumes of a folder."""
    if not cohort.is_dir():
        raise InputError(f"{cohort}: no such folder; --cohort expects a folder of volumes, one per subject.")
    for target in filter(None, (json, report)):
        file_to_write(target)
    from ..evaluation.protocol import evaluate as run_protocol
    from ..evaluation.protocol import write_json
    from ..evaluation.report import write_report
    from ..zoo import ModelStore

    with shown_progress(strict=strict) as progress:
        scores = run_protocol(priors, cohort, frame, contexts, ModelStore(), progress, **how)
    if report:
        write_report(scores, report)
    write_json(scores, json)
    print(*filter(None, (json, report)), sep="\n")
