"""./run reconstruct."""

from __future__ import annotations

import click

from .context import build_request
from .display import shown_progress
from .options import Command, device, draws, image_format, json_progress, like, number, strict, words

EXAMPLES = """
reconstruct --prior brain-t1 --context head.nii.gz:40,70,100 --samples 16 --output out
reconstruct --prior brain-t1 --context axial.nrrd --context sagittal.nrrd --like head.nii.gz --output out
reconstruct --prior fetal-t2 --context dicom-folder:8,11,14 --gestational-age 29.5 --spacing 0.8 --output out
reconstruct --prior brain-t1 --samples 4 --seed 7 --output out        (no context: the model itself)"""


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--prior", required=True, metavar="ID", help="the model (see ./run models)")
@click.option(
    "--context",
    "contexts",
    multiple=True,
    metavar="FILE[:k1,k2,...]",
    help="observed slices of a volume, a 2D image with geometry or a DICOM folder (FOLDER#3: series 3 of it)"
    "; k1,k2,... are indices from 0 along its third index axis, all if left out; may be repeated",
)
@click.option(
    "--frame",
    default="auto",
    metavar="FRAME",
    help="auto (found from the slices), registered (patient space is the model's space), or a file with the "
    "affine transform from patient to model space",
)
@like
@click.option(
    "--mask",
    metavar="VOLUME",
    help="above 0 in the brain; found in the slices if left out (see ./run mask)",
)
@click.option(
    "--spacing",
    type=number,
    metavar="MM",
    help="output isotropic at this spacing in patient RAS (1 mm); not with --like",
)
@click.option(
    "--thickness",
    type=number,
    metavar="MM",
    help="slice thickness of all contexts (as their headers state, else the spacing, up to 5 mm)",
)
@click.option(
    "--outputs",
    type=words,
    default="mean,std,template",
    metavar="NAME[,NAME...]",
    help="what to make besides samples: mean, std, template (these if left out), atlas (the model without "
    "slices, on its own grid), tissues (shares of fluid, grey and white matter, with their uncertainty)",
)
@click.option("--samples", type=int, default=0, metavar="N", help="posterior samples (0)")
@click.option("--seed", type=int, default=0, metavar="S", help="the same seed gives the same samples (0)")
@click.option(
    "--gestational-age",
    type=number,
    metavar="WEEKS",
    help="for fetal models; inferred from the slices if left out",
)
@image_format
@click.option(
    "--show-as",
    type=click.Choice(["own", "t1w", "t2w", "flair"]),
    default="own",
    help="contrast of the result: that of the slices (own), or another one, made from what they tell of the "
    "tissues if none of them show it (of a whole FLAIR, ./run synthesize makes a nearer T1w)",
)
@draws
@click.option("--alter-observed", is_flag=True, help="do not reproduce the observed pixels in the mean")
@device
@strict
@json_progress
@click.option(
    "--output", required=True, metavar="DIR", help="folder for the volumes, frame.h5 and result.json"
)
def reconstruct(strict, json_progress, **wanted):
    """Dense volume, uncertainty, samples and template from slices."""
    if wanted["like"] and wanted["spacing"] is not None:
        raise click.UsageError("--spacing is not allowed with --like")
    request = build_request(**wanted)
    from ..reconstruction.run import run_request
    from ..zoo import ModelStore

    with shown_progress(json_progress, strict) as progress:
        done = run_request(request, ModelStore(), progress)
    if not json_progress:
        print("\n".join(done["files"].values()))
