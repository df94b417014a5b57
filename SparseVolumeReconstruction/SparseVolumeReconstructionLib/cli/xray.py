"""./run xray."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from ..geometry import InputError
from ..observation.views import VIEWS
from ..reconstruction.request import Fusion
from .context import build_request
from .display import shown_progress
from .options import Command, above_0, device, draws, image_format, json_progress, like, strict

EXAMPLES = """
xray --prior head-xray --radiograph lateral.dcm --view side --output out
xray --prior mouse-xray --radiograph a.dcm --view unknown --samples 8 --output out
xray --prior mouse-xray --radiograph a.png --view side --radiograph b.png --view top --pixel 0.1 --output out
xray --prior mouse-xray --radiograph side.png --view side --pixel 0.1 --context ct.nrrd:32 --output out"""


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--prior", required=True, metavar="ID", help="the model (see ./run models)")
@click.option(
    "--radiograph",
    "radiographs",
    required=True,
    multiple=True,
    metavar="FILE",
    help="PNG, JPEG, TIFF, DICOM (CR, DX, XA) or NRRD; may be repeated",
)
@click.option(
    "--view",
    "views",
    multiple=True,
    metavar="VIEW",
    help="front, side, top, unknown (found by evidence), or a file with the affine transform from the "
    "detector (mm from its middle: columns, rows downwards, along the rays) to the patient; one, or one per "
    "radiograph (unknown)",
)
@click.option(
    "--source-distance",
    type=above_0,
    metavar="MM",
    help="from the source to the detector (as DICOM states; else rays are parallel)",
)
@click.option(
    "--body-distance", type=above_0, metavar="MM", help="from the middle of the body to the detector (0)"
)
@click.option("--pixel", type=above_0, metavar="MM", help="pixel size of the detector (as the file states)")
@click.option(
    "--grey",
    type=click.Choice(["auto", "transparency", "absorption", "integral"]),
    default="auto",
    help="what grey values are: air is bright (transparency), bone is bright (absorption), or -ln of the "
    "transparency (integral); auto looks at the border",
)
@click.option("--open-field", type=above_0, metavar="GREY", help="grey value without a body (found)")
@click.option(
    "--gamma", type=above_0, default=1.0, metavar="G", help="grey is transparency to this power (1)"
)
@click.option(
    "--attenuation",
    type=above_0,
    metavar="PER_MM",
    help="of a voxel of the model that is 1 (10 along one side of the model's field, where that fits)",
)
@click.option(
    "--context",
    "contexts",
    multiple=True,
    metavar="FILE[:k1,k2,...]",
    help="observed slices of a volume besides, as for ./run reconstruct",
)
@click.option(
    "--frame",
    default="registered",
    metavar="FRAME",
    help="registered (patient space is the model's space), auto (found from the slices), or a file with the "
    "affine transform from patient to model space",
)
@like
@click.option(
    "--spacing", type=above_0, metavar="MM", help="output isotropic at this spacing; not with --like"
)
@click.option("--samples", type=int, default=0, metavar="N", help="posterior samples (0)")
@click.option("--seed", type=int, default=0, metavar="S", help="the same seed gives the same samples (0)")
@click.option(
    "--fusion",
    type=click.Choice(get_args(Fusion)),
    default="exact",
    help="how the mean is changed to give the radiographs: exact (as little as needed), paper (errors are "
    "shared along rays by density squared), as-printed (with the paper's formula of the error), none",
)
@image_format
@draws
@device
@strict
@json_progress
@click.option(
    "--output", required=True, metavar="DIR", help="folder for the volumes, frame.h5 and result.json"
)
def xray(strict, json_progress, radiographs, views, **wanted):
    """Dense volume, uncertainty and samples from one or more radiographs."""
    if wanted["like"] and wanted["spacing"] is not None:
        raise click.UsageError("--spacing is not allowed with --like")
    specs = _specs(radiographs, views, wanted)
    request = build_request(
        mask=None,
        thickness=None,
        gestational_age=None,
        alter_observed=False,
        outputs=["mean", "std"],
        **wanted,
    )
    request = request.model_copy(update={"contexts": [*request.contexts, *specs]})
    from ..reconstruction.run import run_request
    from ..zoo import ModelStore

    with shown_progress(json_progress, strict) as progress:
        done = run_request(request, ModelStore(), progress)
    if not json_progress:
        print("\n".join(done["files"].values()))


def _specs(radiographs: tuple[str, ...], views: tuple[str, ...], wanted: dict) -> list:
    """What the request says of the radiographs; takes their options out of `wanted`. Raises InputError."""
    from ..observation import RadiographSpec

    if len(views) not in (0, 1, len(radiographs)):
        raise InputError(
            f"{len(views)} views for {len(radiographs)} radiographs; give one --view, or one for each "
            "--radiograph."
        )
    same = {
        "source_distance_mm": wanted.pop("source_distance"),
        "body_distance_mm": wanted.pop("body_distance") or 0.0,
        "pixel_mm": wanted.pop("pixel"),
        "grey": wanted.pop("grey"),
        "open_field": wanted.pop("open_field"),
        "gamma": wanted.pop("gamma"),
        "attenuation_per_mm": wanted.pop("attenuation"),
    }
    each = views if len(views) == len(radiographs) else (views or ("unknown",)) * len(radiographs)
    return [
        RadiographSpec(path=str(Path(file).absolute()), view=_view(view), **same)
        for file, view in zip(radiographs, each, strict=True)
    ]


def _view(text: str) -> str:
    """A view's word, or the absolute path of a transform. Raises InputError."""
    if text in (*VIEWS, "unknown"):
        return text
    if not Path(text).is_file():
        raise InputError(
            f'view "{text}": expected {", ".join(VIEWS)}, unknown, or the file of an affine transform from '
            "the detector to the patient."
        )
    return str(Path(text).absolute())
