"""./run train: one command per system."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from ..geometry import InputError
from ..priors.card import MODEL_ID
from ..priors.systems import System, all_systems, trained_systems
from .display import shown_progress
from .options import Command, Group, checked, numbers, options, positive, split, strict, words

GAUSSIAN_EXAMPLES = (
    "train structured-gaussian --cohort heads --out my-model.safetensors\n"
    "train structured-gaussian --cohort knees --out knee-pd.safetensors --anatomy knee --modality "
    '"PD MRI" --rank 40\n'
    'train structured-gaussian --cohort templates --augment 20 --covariate "age:years:age([0-9]+)" '
    "--out child-t1.safetensors\n"
    "train structured-gaussian --cohort mouse-heads --landmarks 1,16 --spacing-mm 0.4 --rank 30 "
    "--out mouse-xray.safetensors"
)
EXAMPLES = (
    f"{GAUSSIAN_EXAMPLES}\ntrain slice-vae --cohort heads --config slice-vae-64-cpu --out runs/slice-vae"
)
_SEGMENTATION = (
    "train segmentation --cohort label-maps --config segmentation-64-cpu --out runs/brain-segmentation"
)
SEGMENTATION_EXAMPLES = f"{_SEGMENTATION}\n{_SEGMENTATION} --resume"
HEAD_EXAMPLES = (
    "train head-reader --cohort ixi --cohort synthseg --labels dlmuse,freesurfer --config head-reader-cpu "
    "--out runs/head-reader"
)
FETAL_EXAMPLES = "train fetal-reader --cohort atlas --config fetal-reader-cpu --out runs/fetal-reader"
_REFINER = "train refiner --base brain-t1 --cohort heads --config refiner-64-cpu --out runs/refiner"
_FLOW = "train flow --base brain-t1 --cohort heads --config flow-64-gpu --out runs/flow"
_XRAY = (
    "train xray-cnn --base mouse-xray --cohort mouse-heads --config xray-cnn-64-cpu --out runs/mouse-xray-cnn"
)
_SYNTHESIS = "train synthesis --cohort visits --config pix2pix-2mm-cpu --out runs/t1"
SYNTHESIS_EXAMPLES = f"{_SYNTHESIS}\n{_SYNTHESIS} --resume"
model_id_text = checked(str, "a-z, 0-9 and -", lambda text: bool(re.match(MODEL_ID, text)))
CARD = (
    click.option("--licence", default="not stated", metavar="TEXT", help="licence of the data, for the card"),
    click.option(
        "--data", default="not stated", metavar="TEXT", help="where the data come from, for the card"
    ),
    click.option("--limits", default="", metavar="TEXT", help="what users must know, for the card"),
    click.option(
        "--id",
        "model_id",
        type=model_id_text,
        metavar="ID",
        help="id of the model: a-z, 0-9 and - (made of the name of --out)",
    ),
    click.option("--anatomy", default="unknown", metavar="WORD", help="what is shown, e.g. brain"),
    click.option("--modality", default="unknown", metavar="WORD", help="how it was imaged, e.g. T1w MRI"),
    split,
    strict,
)
RUN = (
    click.option(
        "--config", required=True, metavar="FILE", help="YAML file, or the name of a shipped configuration"
    ),
    click.option(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder for checkpoints, log.csv, tensorboard and the weights file",
    ),
    click.option("--resume", is_flag=True, help="continue the run in --out where it was stopped"),
)

cohorts_option = click.option(
    "--cohort",
    "cohorts",
    required=True,
    type=Path,
    multiple=True,
    metavar="DIR",
    help="folder of volumes, one per subject; may be repeated",
)
strip_option = click.option(
    "--strip",
    type=words,
    default="-",
    metavar="WORD[,WORD...]",
    help="whole heads: set to 0 what is 0 in the label map SUBJECT_WORD beside each volume; one word, or one "
    "per cohort, - for none (-)",
)
match_option = click.option(
    "--match",
    is_flag=True,
    help="several scanners: bring the grey values of all cohorts to those of the first",
)


class Systems(Group):
    """A command for every system that declares itself; those of the common loop are made when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the systems."""
        return list(all_systems())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a system; None for an unknown one."""
        own, system = super().get_command(ctx, name), trained_systems().get(name)
        return _deep_command(system) if system and not own else own


@click.group(cls=Systems, subcommand_metavar="SYSTEM", examples=EXAMPLES)
def train():
    """Fit a model to a folder of volumes."""


@train.command(examples=GAUSSIAN_EXAMPLES)
@cohorts_option
@click.option("--out", required=True, type=Path, metavar="FILE", help="the .safetensors file to write")
@click.option("--rank", type=int, default=40, metavar="N", help="number of modes (40)")
@click.option(
    "--spacing-mm", type=float, default=2.0, metavar="MM", help="voxel size of the canonical grid (2)"
)
@click.option(
    "--reference",
    metavar="FILE",
    help="volume or subject that is the canonical space, or mni152 (a median subject if left out)",
)
@click.option(
    "--protocol-slices",
    type=int,
    metavar="K",
    help="axial slices of the evaluation protocol (1 mm apart if left out)",
)
@click.option(
    "--augment",
    type=numbers,
    default="0",
    metavar="N[,N...]",
    help="random copies (deformation, size, contrast, shading) of every volume: one number, or one per "
    "cohort (0)",
)
@strip_option
@click.option(
    "--tissues",
    type=int,
    default=0,
    metavar="RANK",
    help="T1w brains: fit fields of fluid, grey and white matter as well, by which slices of any contrast "
    "are understood; so many loadings each (0: none)",
)
@match_option
@click.option(
    "--covariate",
    metavar="NAME:UNIT:REGEX",
    help="a number in every file name that the mean follows, e.g. gestational_age:weeks:GA([0-9]+)",
)
@click.option(
    "--knot-step", type=float, default=2.0, metavar="STEP", help="distance of the covariate's knots (2)"
)
@click.option(
    "--any-orientation",
    is_flag=True,
    help="the patients' orientation in the scanner says nothing (fetuses, specimens)",
)
@click.option(
    "--no-mirror",
    "mirror",
    is_flag=True,
    flag_value=False,
    default=True,
    help="anatomy without left-right symmetry: do not add mirror images",
)
@click.option(
    "--interval-margin",
    type=float,
    default=1.0,
    metavar="F",
    help="factor on the cross-validated interval widths (1)",
)
@click.option(
    "--landmarks",
    type=checked(lambda text: text.split(","), "FRONT,TOP, two labels", lambda pair: len(pair) == 2),
    metavar="FRONT,TOP",
    help="specimens in any pose: align them by the landmarks in VOLUME.mrk.json beside each; labels of the "
    "one at the front and the one at the top. Intervals and quality are then those of radiographs",
)
@click.option("--rigid", is_flag=True, help="the same for volumes in patient axes, such as CT of heads")
@click.option("--voxels", type=positive, default=64, metavar="N", help="of that cube, along a side (64)")
@click.option("--seed", type=int, default=0, metavar="S", help="the same seed gives the same model (0)")
@options(CARD)
def structured_gaussian(cohorts, out, model_id, split, augment, strip, covariate, landmarks, strict, **same):
    """Low-rank Gaussian with a correlated residual; 20 to 500 volumes."""
    from ..data.landmarks import Directions
    from ..data.subjects import CovariateRule, read_split
    from ..priors.structured_gaussian.training import TrainingOptions
    from ..priors.structured_gaussian.training import train as fit

    settings = TrainingOptions(
        model_id=model_id or id_of(out.stem),
        split=read_split(split) if split else None,
        augment=tuple(augment),
        strip=tuple("" if word == "-" else word for word in strip),
        covariate=CovariateRule.parse(covariate) if covariate else None,
        landmarks=Directions(*landmarks) if landmarks else None,
        **same,
    )
    with shown_progress(strict=strict) as progress:
        fit(list(cohorts), out, settings, progress)
    print(out)


def _deep_command(system: System) -> click.Command:
    kind = system.variants[0]
    start = f"train {system.id} --cohort heads --config {kind}-64-cpu --out runs/{kind}"

    @click.command(system.id, cls=Command, help=system.summary, examples=f"{start}\n{start} --resume")
    @cohorts_option
    @options(RUN)
    @options(CARD)
    def _command(cohorts, strict, **words):
        from ..training.deep import train_deep as fit

        _run(fit, list(cohorts), strict, _training(system.id, **words))

    return _command


@train.command(
    help=all_systems()["segmentation"].summary,
    examples=SEGMENTATION_EXAMPLES,
)
@click.option(
    "--cohort",
    required=True,
    type=Path,
    metavar="DIR",
    help="folder of label maps with FreeSurfer's numbers, one per person",
)
@options(RUN)
@options(CARD)
def segmentation(cohort, strict, **words):
    """Train the network of the realistic atlas score."""
    from ..training.segmentation.train import train_segmentation as fit

    _run(fit, cohort, strict, _training("segmentation", **words))


@train.command("head-reader", help=all_systems()["head-reader"].summary, examples=HEAD_EXAMPLES)
@cohorts_option
@click.option(
    "--labels",
    type=words,
    default="freesurfer",
    metavar="KIND[,KIND]",
    help="what a cohort holds: label maps with the numbers of freesurfer or brainweb, or T1w heads with "
    "maps of dlmuse beside them; one for all, or one per cohort (freesurfer)",
)
@options(RUN)
@options(CARD)
def head_reader(cohorts, labels, strict, **setting):
    """Train the network that finds brains in slices of heads."""
    from ..training.readers.train import train_reader

    fit = partial(train_reader, kinds=labels)
    _run(fit, list(cohorts), strict, _training("head-reader", **setting))


@train.command("fetal-reader", help=all_systems()["fetal-reader"].summary, examples=FETAL_EXAMPLES)
@cohorts_option
@options(RUN)
@options(CARD)
def fetal_reader(cohorts, strict, **setting):
    """Train the network that finds brains in slices of fetal MRI."""
    from ..training.readers.train import train_reader

    _run(train_reader, list(cohorts), strict, _training("fetal-reader", **setting))


def _on_gaussian(function: Callable) -> Callable:
    """What a network on a structured Gaussian is trained on."""
    base = click.option(
        "--base",
        required=True,
        metavar="ID",
        help="the structured Gaussian that it is built on, e.g. brain-t1",
    )
    return options((cohorts_option, base, strip_option, match_option, *RUN, *CARD))(function)


@train.command(help=all_systems()["refiner"].summary, examples=f"{_REFINER}\n{_REFINER} --resume")
@_on_gaussian
def refiner(cohorts, base, strip, match, strict, **words):
    """Train the network that refines a posterior, on the people that the base was fitted on."""
    from ..priors.refiner.training import train_refiner as fit

    _run(fit, list(cohorts), strict, _training_on("refiner", base, strip, match, words))


@train.command(help=all_systems()["flow"].summary, examples=f"{_FLOW}\n{_FLOW} --resume")
@_on_gaussian
def flow(cohorts, base, strip, match, strict, **words):
    """Train the network that carries samples to anatomy, on the people that the base was fitted on."""
    from ..priors.flow.training import train_flow as fit

    _run(fit, list(cohorts), strict, _training_on("flow", base, strip, match, words))


def _training_on(system: str, base: str, strip: list[str], match: bool, words: dict) -> tuple:
    """As `_training`, with what a model on a structured Gaussian learns from."""
    from ..training.on_base import BaseData

    *setting, split = _training(system, **words)
    return (*setting, BaseData(base, tuple("" if word == "-" else word for word in strip), match, split))


@train.command("xray-cnn", help=all_systems()["xray-cnn"].summary, examples=f"{_XRAY}\n{_XRAY} --resume")
@cohorts_option
@click.option(
    "--base",
    required=True,
    metavar="ID",
    help="the model of radiographs that gives space, split, views and deviations, e.g. mouse-xray",
)
@options(RUN)
@options(CARD)
def xray_cnn(cohorts, base, strict, **words):
    """Train the network of radiographs on CT volumes in any orientation and of any spacing."""
    from ..priors.xray_cnn.training import train_xray as fit

    *settings, split = _training("xray-cnn", **words)
    _run(fit, list(cohorts), strict, (*settings, base, split))


@train.command(help=all_systems()["synthesis"].summary, examples=SYNTHESIS_EXAMPLES)
@click.option(
    "--cohort",
    required=True,
    type=Path,
    metavar="DIR",
    help="folder of skull-stripped scans that lie on one another, SUBJECT_T1w, SUBJECT_FLAIR ...",
)
@click.option(
    "--adapt-to",
    "target",
    type=Path,
    metavar="DIR",
    help="folder of scans of another scanner, without the contrast that is to be made: the network is "
    "carried to it by what its slices are like",
)
@options(RUN)
@options(CARD)
def synthesis(cohort, target, strict, **words):
    """Train a network that makes a missing contrast."""
    from ..synthesis.pix2pix.train import train_synthesis

    fit = partial(train_synthesis, target=target)
    _run(fit, cohort, strict, _training("synthesis", **words))


def _run(fit: Callable[..., Path | None], data: Path | list[Path], strict: bool, setting: tuple) -> None:
    """Train with the setting of `_training`; print the weights file in the one process that writes it."""
    with shown_progress(strict=strict) as progress:
        path = fit(data, *setting, progress)
    if path:
        print(path)


def id_of(name: str) -> str:
    """A model's id made of the name of a file or folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"


def _training(system: str, config: str, out: Path, resume: bool, model_id, split, **facts) -> tuple:
    """Configuration, folder, whether to resume, facts for the card and split, as trainings take them.

    Raises InputError.
    """
    from ..data.subjects import read_split
    from ..training.facts import CardFacts
    from ..training.loop.config import read_config

    settings = read_config(config)
    if settings.system != system:
        raise InputError(f"{config}: made for {settings.system}; this is ./run train {system}.")
    card = CardFacts(model_id or id_of(out.name), **facts, config=Path(config).stem)
    return settings, out, resume, card, read_split(split) if split else None
