"""./run experiment: one command per experiment, with the options of the data it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ..experiments.base import EXPERIMENTS, Experiment, Setting
from ..geometry import InputError
from .display import shown_progress
from .options import Group, device, options, positive

EXAMPLES = """
experiment 000-exp1 --cohort heads --out results/000-exp1 --models runs
experiment 000-exp1 --cohort heads --out results/000-exp1 --models runs --scale gpu --no-training"""
OPTIONS = (
    click.option(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder for report.html, report.md, findings.json and pictures",
    ),
    click.option(
        "--models", type=Path, metavar="DIR", help="where models are looked for and trained (OUT/models)"
    ),
    click.option(
        "--scale",
        type=click.Choice(["tiny", "cpu", "gpu"]),
        default="cpu",
        help="which shipped configurations to train with: tiny (a trial on bodies of any kind), cpu or gpu "
        "(cpu)",
    ),
    click.option("--no-training", is_flag=True, help="leave out systems that have no model, and name them"),
    click.option(
        "--split",
        type=Path,
        metavar="FILE",
        help="JSON file {fit: [...], test: [...]} of subject names (the shipped one)",
    ),
    click.option(
        "--samples",
        type=positive,
        metavar="N",
        help="posterior samples scored per case (8; on a GPU 100)",
    ),
    click.option("--subjects", type=positive, metavar="N", help="use only the first N test subjects"),
    device,
)


@click.group(cls=Group, subcommand_metavar="NAME", examples=EXAMPLES)
def experiment():
    """Make the tables and figures of a paper again, beside the printed numbers."""


def _seeds(chosen: Experiment) -> list[Callable]:
    if not chosen.seeds:
        return []
    told = f"simulations of each body ({chosen.seeds}); finished ones in OUT are not made again"
    return [click.option("--seeds", type=positive, default=chosen.seeds, metavar="N", help=told)]


def _add(name: str, chosen: Experiment) -> None:
    folders = [
        click.option(f"--{option}", required=True, type=Path, metavar="DIR", help=holds)
        for option, holds in chosen.data.items()
    ]
    given = "".join(f"--{option} DIR " for option in chosen.data)
    example = f"experiment {name} {given}--out results/{name}"

    @experiment.command(name, help=chosen.summary, examples=example)
    @options(folders)
    @options(OPTIONS)
    @options(_seeds(chosen))
    def _command(**words):
        _run(chosen, {option: words.pop(option.replace("-", "_")) for option in chosen.data}, **words)


for _name, _experiment in EXPERIMENTS.items():
    _add(_name, _experiment)


def _run(
    chosen: Experiment,
    data: dict[str, Path],
    *,
    out: Path,
    models: Path | None,
    scale: str,
    no_training: bool,
    split: Path | None,
    samples: int | None,
    subjects: int | None,
    device: str,
    seeds: int = 1,
) -> None:
    """Run one experiment and write what it found. Raises InputError."""
    for option, folder in data.items():
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; --{option} expects a {chosen.data[option]}.")
    from ..data.subjects import read_split
    from ..experiments.models import POPULATIONS, Models, default_samples
    from ..experiments.report import write_findings

    population = POPULATIONS[chosen.population]
    with shown_progress() as progress:
        trained = Models(
            models or out / "models",
            population,
            [data[option] for option in chosen.fit],
            read_split(split or population.split),
            scale,
            device,
            not no_training,
            progress.part(0, 0.5),
        )
        setting = Setting(
            data,
            out,
            device,
            trained,
            scale == "tiny",
            progress.part(0.5, 1),
            samples or default_samples(device),
            subjects,
            seeds,
        )
        report = write_findings(chosen.function()(setting), setting)
    print(report)
