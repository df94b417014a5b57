"""./run svr."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from pydantic import ValidationError

from ..geometry import InputError, first_problem
from .context import parse_context
from .options import Command, above_0, device, image_format, json_progress, number, positive, strict, words

if TYPE_CHECKING:
    from ..svr.acquisition import Acquisition
    from ..svr.request import SvrRequest

EXAMPLES = """
svr --stack axial.nii.gz --stack coronal.nii.gz --stack sagittal.nii.gz --output merged
svr --stack run-1.nii.gz:3.3 --stack run-2.nii.gz:3.3 --mask mask-1.nii.gz --mask mask-2.nii.gz --output out
svr --stack a.nrrd --stack b.nrrd --prior fetal-t2 --outputs volume,std,poses,samples --output out
svr --continue merged --exclude 2:4,7 --include 1:12 --output corrected"""


@click.command(cls=Command, examples=EXAMPLES)
@click.option(
    "--stack",
    "stacks",
    multiple=True,
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
@click.option(
    "--order",
    "orders",
    multiple=True,
    metavar="ORDER",
    help="in which slices were acquired, one for all stacks or one for each: ascending (if left out), "
    "descending, interleaved[:N] (each N-th place from the first on, 2), interleaved-even[:N] (from the "
    "second)",
)
@click.option(
    "--multiband",
    type=positive,
    default=1,
    metavar="N",
    help="so many slices were taken at once, and move together (1)",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="STACK:K[,K...]",
    help="slices to leave out of the volume: number of the stack from 1, indices as in poses.json; may be "
    "repeated",
)
@click.option(
    "--include",
    multiple=True,
    metavar="STACK:K[,K...]",
    help="slices that belong, whatever is found of them; the weights of all others are found",
)
@click.option(
    "--continue",
    "continue_from",
    metavar="DIR",
    help="an earlier merge of the same slices: its poses and weights are refined, which is quicker, and what "
    "is not given here is as it was there",
)
@click.option(
    "--spacing",
    "spacing_mm",
    type=above_0,
    default=0.8,
    metavar="MM",
    help="of the voxels of the volume (0.8)",
)
@click.option(
    "--length",
    "length_mm",
    type=above_0,
    default=5.0,
    metavar="MM",
    help="over which voxels are alike, 2 to 50 (5); 20 is smoother, for stacks of one direction",
)
@click.option(
    "--outputs",
    type=words,
    default="volume,std,poses",
    metavar="NAME[,NAME...]",
    help="what to write: volume, std, poses (these if left out), samples",
)
@click.option("--samples", type=positive, default=4, metavar="N", help="how many samples, if wanted (4)")
@click.option("--seed", type=int, default=0, metavar="S", help="the same seed gives the same result (0)")
@device
@image_format
@strict
@json_progress
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    help="folder for volumes, poses.json, result.json, report.html",
)
def svr(strict, json_progress, **given):
    """One volume from stacks of slices of a body that moved."""
    from .display import shown_progress

    if not given["stacks"] and not given["continue_from"]:
        raise click.UsageError("missing option '--stack'; expected 1 to 12 stacks, or --continue DIR")
    source = click.get_current_context().get_parameter_source
    typed = {name for name in given if source(name) is not ParameterSource.DEFAULT}
    request = _request(given, typed)
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


def _request(given: dict[str, Any], typed: set[str]) -> SvrRequest:
    """The request of all options; of a merge to continue, it has what was not typed. Raises InputError."""
    from ..svr.continued import earlier_request
    from ..svr.request import SvrRequest, as_choices

    asked = given | {
        "stacks": [_stack(text) for text in given["stacks"]],
        "masks": [str(Path(path).absolute()) for path in given["masks"]],
        "exclude": as_choices(_slices("--exclude", given["exclude"])),
        "include": as_choices(_slices("--include", given["include"])),
        "output": str(Path(given["output"]).absolute()),
    }
    acquisition = _acquisition(asked.pop("orders"), asked.pop("multiband"))
    if typed & {"orders", "multiband"}:
        typed = typed - {"orders", "multiband"} | {"acquisition"}
    asked["acquisition"] = acquisition
    try:
        if not given["continue_from"]:
            return SvrRequest(**asked)
        asked["continue_from"] = str(Path(given["continue_from"]).absolute())
        earlier = earlier_request(asked["continue_from"])
        ours = {*typed, "exclude", "include", "device"}  # it may have been merged on another machine
        request = SvrRequest(**earlier | {name: asked[name] for name in ours})
        return request.deciding(SvrRequest(**earlier).choices() | request.choices())
    except ValidationError as error:
        raise InputError(f"{first_problem(error)}.") from error


def _acquisition(orders: tuple[str, ...], multiband: int) -> list[Acquisition]:
    """One for each order; none where all is as usual. Raises click.BadParameter."""
    from ..svr.acquisition import ORDERS, Acquisition

    if not orders and multiband == 1:
        return []
    found = []
    for text in orders or ORDERS[:1]:
        order, _, step = text.partition(":")
        ok = order in ORDERS and re.fullmatch(r"[a-z-]+(:([2-9]|1\d|20))?", text)
        if not ok or (step and not order.startswith("interleaved")):
            raise click.BadParameter(
                f"{text!r}; expected {', '.join(ORDERS)}, the interleaved ones maybe with a step from 2 to "
                "20, as in interleaved:3.",
                param_hint="--order",
            )
        found.append(Acquisition(order=order, step=int(step or 2), multiband=multiband))
    return found


def _slices(option: str, texts: tuple[str, ...]) -> list[tuple[int, int]]:
    """(number of the stack, index of the slice) of texts STACK:K,K. Raises click.BadParameter."""
    found = []
    for text in texts:
        if not re.fullmatch(r"\d+:\d+(,\d+)*", text):
            raise click.BadParameter(
                f"{text!r}; expected the number of a stack from 1 and indices of its slices, as in 2:4,7.",
                param_hint=option,
            )
        stack, _, indices = text.partition(":")
        found += [(int(stack), int(index)) for index in indices.split(",")]
    return found
