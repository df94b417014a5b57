"""./run next-plane, locate and surprise: questions to the posterior of some slices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from ..geometry import InputError, first_problem
from .context import parse_context
from .display import shown_progress
from .options import (
    Command,
    device,
    file_to_write,
    json_progress,
    number,
    options,
    positive,
    strict,
)

_PRIOR = click.option("--prior", required=True, metavar="ID", help="the model (see ./run models)")
_CONTEXTS = click.option(
    "--context",
    "contexts",
    multiple=True,
    metavar="FILE[:k1,k2,...]",
    help="observed slices, as in ./run reconstruct; may be repeated",
)
_FRAME = click.option(
    "--frame",
    default="auto",
    metavar="FRAME",
    help="auto (found from the slices), registered, or a file, as in ./run reconstruct",
)
_COMMON = (
    click.option("--mask", metavar="VOLUME", help="above 0 in the brain; found in the slices if left out"),
    click.option(
        "--thickness", type=number, metavar="MM", help="slice thickness of all contexts (as files state)"
    ),
    click.option("--gestational-age", "covariate", type=number, metavar="WEEKS", help="for fetal models"),
    device,
    strict,
    json_progress,
)


def _ask(
    model: type,
    run: Callable[..., dict[str, Any]],
    *,
    strict: bool,
    json_progress: bool,
    thickness: float | None,
    contexts: tuple[str, ...],
    frame: str = "auto",
    **wanted,
) -> dict[str, Any]:
    """What a question's `run` answers to the options. Raises InputError."""
    from ..zoo import ModelStore

    files = {"mask", "roi"} & wanted.keys()
    wanted |= {name: str(Path(wanted[name]).absolute()) for name in files if wanted[name]}
    try:
        request = model(
            contexts=[parse_context(text, thickness) for text in contexts],
            frame=frame if frame in ("auto", "registered") else str(Path(frame).absolute()),
            **wanted,
        )
    except ValidationError as error:
        raise InputError(f"{first_problem(error)}.") from error
    with shown_progress(json_progress, strict) as progress:
        return run(request, ModelStore(), progress)


_json_file = click.option(
    "--json", "file", required=True, type=Path, metavar="FILE", help="where to write the answer"
)

NEXT_PLANE_EXAMPLES = """
next-plane --prior brain-t1 --context head.nii.gz:60 --json next.json
next-plane --prior brain-t1 --context head.nii.gz:60 --among orthogonal --roi lesion.nrrd --json next.json"""


@click.command("next-plane", cls=Command, examples=NEXT_PLANE_EXAMPLES)
@options((_PRIOR, _CONTEXTS, _FRAME))
@click.option(
    "--among",
    type=click.Choice(["any", "orthogonal", "stack"]),
    default="any",
    help="planes of any orientation (any), axial, sagittal and coronal ones (orthogonal), or those parallel "
    "to the first context (stack)",
)
@click.option("--roi", metavar="VOLUME", help="above 0 where it matters; the whole anatomy if left out")
@click.option(
    "--count", type=positive, default=3, metavar="N", help="alternatives, and planes of the sequence (3)"
)
@options(_COMMON)
@_json_file
def next_plane(file, **wanted):
    """Which plane to scan next: the one that leaves the least uncertainty."""
    from ..analysis.planning import run_next_plane
    from ..analysis.request import NextPlaneRequest

    output = str(file_to_write(file))
    answer = _ask(NextPlaneRequest, run_next_plane, output=output, **wanted)["result"]
    if wanted["json_progress"]:
        return
    for kind, planes in (("instead", answer["planes"]), ("in turn", answer["sequence"])):
        for number_, plane in enumerate(planes, 1):
            at = ", ".join(f"{value:.0f}" for value in plane["origin"])
            along = ", ".join(f"{value:.2f}" for value in plane["normal"])
            print(
                f"{kind} {number_}: {plane['orientation']} through ({at}) mm along ({along}), takes "
                f"{100 * plane['gain']:.1f} % of the variance left"
            )
    print(output)


LOCATE_EXAMPLES = """
locate --prior brain-t1 --context slice.nii.gz --json where.json
locate --prior brain-t1 --context photo.nrrd --orientation unknown --json where.json"""


@click.command(cls=Command, examples=LOCATE_EXAMPLES)
@options((_PRIOR, _CONTEXTS))
@click.option(
    "--orientation",
    type=click.Choice(["stated", "unknown"]),
    default="stated",
    help="whether the files tell left, front and top of the body, as those of scanners do (stated), or "
    "nothing is taken from them (unknown)",
)
@options(_COMMON)
@_json_file
def locate(file, **wanted):
    """Where slices lie in the anatomy: places with their probabilities, and a region."""
    from ..analysis.locating import run_locate
    from ..analysis.request import LocateRequest

    answer = _ask(LocateRequest, run_locate, output=str(file_to_write(file)), **wanted)["result"]
    if wanted["json_progress"]:
        return
    for number_, mode in enumerate(answer["modes"], 1):
        print(f"{number_}: {100 * mode['probability']:.1f} %, {_within(mode['region'])}")
    print(f"90 %: {_within(answer['region'])} of the first")
    print(file)


SURPRISE_EXAMPLES = """
surprise --prior brain-t1 --context head.nii.gz:40,55,70,85,100 --output surprise"""


@click.command(cls=Command, examples=SURPRISE_EXAMPLES)
@options((_PRIOR, _CONTEXTS, _FRAME))
@options(_COMMON)
@click.option("--output", required=True, metavar="DIR", help="folder for surprise.nrrd and surprise.json")
def surprise(output, **wanted):
    """How improbable what the slices show is; most lesions are not found."""
    from ..analysis.request import SurpriseRequest
    from ..analysis.surprising import run_surprise

    done = _ask(SurpriseRequest, run_surprise, output=str(Path(output).absolute()), **wanted)
    if wanted["json_progress"]:
        return
    for one in done["result"]["slices"]:
        at = ", ".join(f"{value:.0f}" for value in one["peak"]["ras"])
        peak = f"({at}) mm (p = {one['peak']['p']:.1g})"
        print(f"{one['name']}: {one['surprising_mm2']:.0f} mm2 stand out; most improbable is {peak}")
    print("\n".join(done["files"].values()))


def _within(region: dict[str, Any]) -> str:
    return f"within {region['mm']:.1f} mm and {region['deg']:.1f} degrees"
