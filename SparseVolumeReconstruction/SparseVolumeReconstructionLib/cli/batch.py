"""./run batch."""

from __future__ import annotations

from pathlib import Path

import click

from ..geometry import InputError
from .context import parse_context
from .display import shown_progress
from .options import Command, json_progress, positive

EXAMPLES = """
batch --table cases.csv --recipe recipe.yaml --out derivatives
batch --bids data-set --recipe recipe.yaml --out derivatives --resume
batch --bids data-set --recipe recipe.yaml --out derivatives --scheduler tcp://login-node:8786"""


@click.command(cls=Command, examples=EXAMPLES)
@click.option(
    "--table",
    type=Path,
    metavar="FILE.csv",
    help="a row for each case: case, context (or stack, input; several with ; between), truth, and options",
)
@click.option("--bids", type=Path, metavar="DIR", help="instead of a table: a BIDS data set")
@click.option(
    "--recipe",
    required=True,
    type=Path,
    metavar="FILE.yaml",
    help="what is done with every case (Docs/batch.md)",
)
@click.option(
    "--out", required=True, type=Path, metavar="DIR", help="folder of BIDS derivatives, and cohort.html"
)
@click.option(
    "--scheduler",
    default="local",
    metavar="local|ADDRESS",
    help="processes of this machine (local), or a Dask scheduler, as tcp://host:8786",
)
@click.option(
    "--workers", type=positive, metavar="N", help="processes of local (as processors and memory allow)"
)
@click.option(
    "--resume", is_flag=True, help="keep what is done already, of the same inputs by the same recipe"
)
@json_progress
def batch(table, bids, recipe, out, json_progress, **how):
    """Reconstruct, merge, synthesize or evaluate a whole cohort, on many processors or machines."""
    from ..batch.cases import cases_of_bids, cases_of_table
    from ..batch.derivatives import Derivatives
    from ..batch.recipe import read_recipe
    from ..batch.run import run_batch

    if (table is None) == (bids is None):
        raise click.UsageError("give either --table or --bids")
    known = read_recipe(recipe)
    if bids:
        Derivatives(out).check_is_not_source(bids)
        cases = cases_of_bids(bids, known)
    else:
        cases = cases_of_table(table, known, parse_context)
    with shown_progress(json_progress) as progress:
        done = run_batch(cases, known, out, str(bids or table), progress, **how)
    if not json_progress:
        print(f"{done['done']} done, {done['kept']} kept, {done['failed']} failed in {done['seconds']:g} s")
        print(done["report"])
    if done["failed"]:
        raise InputError(f"{done['failed']} of {len(cases)} cases failed; {done['report']} says why.")
