"""Commands and options. The parsers import nothing heavy, so that --help is instant."""

from __future__ import annotations

import argparse
import math

from .. import __version__
from ..experiments.base import EXPERIMENTS
from ..priors.systems import System, all_systems, trained_systems
from . import commands


class _Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message):
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def number(text: str) -> float:
    """A finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def numbers(text: str) -> list[int]:
    """Whole numbers from 0, separated by commas."""
    values = [int(word) for word in text.split(",")]
    if min(values) < 0:
        raise ValueError
    return values


def positive(text: str) -> int:
    """A whole number above 0."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def above_0(text: str) -> float:
    """A finite number above 0."""
    if (value := number(text)) <= 0:
        raise ValueError
    return value


def not_negative(text: str) -> float:
    """A finite number, 0 or more."""
    if (value := number(text)) < 0:
        raise ValueError
    return value


def port(text: str) -> int:
    """A port: 0 to 65535."""
    if not 0 <= int(text) <= 65535:
        raise ValueError
    return int(text)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `command` of its result is the function to call with the result."""
    parser = _Parser(prog="./run", description="See a whole body from a few slices.")
    parser.add_argument("--version", action="version", version=__version__)
    words = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_reconstruct, _evaluate, _models, _train, _experiment, _benchmark, _worker, _demo, _web):
        add(words)
    return parser


def _add(words, name: str, command, summary: str, examples: str) -> argparse.ArgumentParser:
    epilog = "examples:\n" + "\n".join(f"  ./run {line}" for line in examples.strip().splitlines())
    parser = words.add_parser(name, help=summary, description=summary, epilog=epilog)
    parser.set_defaults(command=command)
    return parser


def _add_strict(parser) -> None:
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first warning, before anything is written"
    )


def _add_device(parser) -> None:
    parser.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu or cuda:0")


def _reconstruct(words) -> None:
    examples = """
reconstruct --prior brain-t1 --context head.nii.gz:40,70,100 --samples 16 --output out
reconstruct --prior brain-t1 --context axial.nrrd --context sagittal.nrrd --like head.nii.gz --output out
reconstruct --prior fetal-t2 --context dicom-folder:8,11,14 --gestational-age 29.5 --spacing 0.8 --output out
reconstruct --prior brain-t1 --samples 4 --seed 7 --output out        (no context: the model itself)"""
    add = _add(
        words,
        "reconstruct",
        commands.reconstruct,
        "Dense volume, uncertainty, samples and template from slices.",
        examples,
    ).add_argument
    add("--prior", required=True, metavar="ID", help="the model (see ./run models)")
    slices = (
        "observed slices of a volume, a 2D image with geometry or a DICOM folder (FOLDER#3: series 3 of it); "
        "k1,k2,... are indices from 0 "
        "along its third index axis"
    )
    add(
        "--context",
        action="append",
        default=[],
        metavar="FILE[:k1,k2,...]",
        help=f"{slices}, all if left out; may be repeated",
    )
    frame = (
        "auto (found from the slices), registered (patient space is the model's space), or a file with "
        "the affine transform"
    )
    add("--frame", default="auto", help=f"{frame} from patient to model space")
    where = words.choices["reconstruct"].add_mutually_exclusive_group()
    where.add_argument("--like", metavar="VOLUME", help="output on the grid of this volume")
    where.add_argument(
        "--spacing", type=number, metavar="MM", help="output isotropic at this spacing in patient RAS (1 mm)"
    )
    add(
        "--thickness",
        type=number,
        metavar="MM",
        help="slice thickness of all contexts (as their headers state, else the spacing, up to 5 mm)",
    )
    outputs = "mean, std, template, and atlas (the model without slices, on its own grid)"
    add(
        "--outputs",
        default="mean,std,template",
        metavar="NAME[,NAME...]",
        help=f"what to make besides samples: {outputs}; all but the last if left out",
    )
    add("--samples", type=int, default=0, metavar="N", help="posterior samples (0)")
    add("--seed", type=int, default=0, metavar="S", help="the same seed gives the same samples (0)")
    add(
        "--gestational-age",
        type=number,
        metavar="WEEKS",
        help="for fetal models; inferred from the slices if left out",
    )
    add("--alter-observed", action="store_true", help="do not reproduce the observed pixels in the mean")
    _add_device(words.choices["reconstruct"])
    _add_strict(words.choices["reconstruct"])
    add(
        "--json-progress",
        action="store_true",
        help='print {"step", "fraction", "remaining_s"} as JSON lines on stdout',
    )
    add(
        "--output",
        required=True,
        metavar="DIR",
        help="folder for the volumes (.nrrd), frame.h5 and result.json",
    )


def _evaluate(words) -> None:
    examples = """
evaluate --prior brain-t1 --cohort heads --frame registered --contexts 1,3,4,5,9 --json scores.json
evaluate --prior brain-t1,my-model --cohort heads --frame patient --contexts 3 --json scores.json --report scores.html"""  # noqa: E501
    summary = "Measure priors and baselines on the volumes of a folder."
    add = _add(words, "evaluate", commands.evaluate, summary, examples).add_argument
    add("--prior", required=True, type=lambda text: text.split(","), metavar="ID[,ID...]", help="the models")
    add("--cohort", required=True, metavar="DIR", help="folder of volumes, one per subject")
    add(
        "--frame",
        required=True,
        choices=("registered", "patient"),
        help="registered: the protocol of the papers; patient: own grid, frame found",
    )
    add(
        "--contexts",
        required=True,
        type=numbers,
        metavar="n1,n2,...",
        help="numbers of observed slices, e.g. 1,3,4,5,9",
    )
    add("--json", required=True, metavar="FILE", help="where to write the scores")
    add("--report", metavar="FILE.html", help="where to write a report with pictures")
    _add_device(words.choices["evaluate"])
    _add_strict(words.choices["evaluate"])


def _models(words) -> None:
    examples = "models\nmodels verify\nmodels import my-model.safetensors\nmodels remove my-model"
    parser = _add(words, "models", commands.models_list, "List, verify, import or remove models.", examples)
    actions = parser.add_subparsers(metavar="ACTION")
    _add(actions, "list", commands.models_list, "All models.", "models list")
    _add(
        actions,
        "verify",
        commands.models_verify,
        "Check every weights file against its SHA-256.",
        "models verify",
    )
    importer = _add(
        actions, "import", commands.models_import, "Add a model.", "models import my-model.safetensors"
    )
    importer.add_argument(
        "file", metavar="FILE", help="a .safetensors file with a model card, as ./run train writes it"
    )
    remover = _add(
        actions, "remove", commands.models_remove, "Delete an imported model.", "models remove my-model"
    )
    remover.add_argument("id", metavar="ID")


def _train(words) -> None:
    examples = """
train structured-gaussian --cohort heads --out my-model.safetensors
train structured-gaussian --cohort knees --out knee-pd.safetensors --anatomy knee --modality "PD MRI" --rank 40
train structured-gaussian --cohort templates --augment 20 --covariate "age:years:age([0-9]+)" --out child-t1.safetensors
train slice-vae --cohort heads --config slice-vae-64-cpu --out runs/slice-vae"""  # noqa: E501
    parser = _add(words, "train", None, "Fit a model to a folder of volumes.", examples)
    systems = parser.add_subparsers(metavar="SYSTEM", required=True)
    gaussian = _add(
        systems,
        "structured-gaussian",
        commands.train,
        "Low-rank Gaussian with a correlated residual; 20 to 500 volumes.",
        examples,
    )
    add = gaussian.add_argument
    add(
        "--cohort",
        required=True,
        action="append",
        metavar="DIR",
        help="folder of volumes, one per subject; may be repeated",
    )
    add("--out", required=True, metavar="FILE", help="the .safetensors file to write")
    add("--rank", type=int, default=40, metavar="N", help="number of modes (40)")
    add("--spacing-mm", type=float, default=2.0, metavar="MM", help="voxel size of the canonical grid (2)")
    add(
        "--reference",
        metavar="FILE",
        help="volume or subject that is the canonical space, or mni152 (a median subject if left out)",
    )
    add(
        "--protocol-slices",
        type=int,
        metavar="K",
        help="axial slices of the evaluation protocol (1 mm apart if left out)",
    )
    augment = (
        "random relatives (deformation, size, contrast, shading) of every volume: one number, or one "
        "per cohort (0)"
    )
    add("--augment", type=numbers, default=[0], metavar="N[,N...]", help=augment)
    covariate = "a number in every file name that the mean follows, e.g. gestational_age:weeks:GA([0-9]+)"
    add("--covariate", metavar="NAME:UNIT:REGEX", help=covariate)
    add("--knot-step", type=float, default=2.0, metavar="STEP", help="distance of the covariate's knots (2)")
    add(
        "--any-orientation",
        action="store_true",
        help="the patients' orientation in the scanner says nothing (fetuses, specimens)",
    )
    add(
        "--no-mirror",
        dest="mirror",
        action="store_false",
        help="anatomy without left-right symmetry: do not add mirror images",
    )
    add(
        "--interval-margin",
        type=float,
        default=1.0,
        metavar="F",
        help="factor on the cross-validated interval widths (1)",
    )
    add("--seed", type=int, default=0, metavar="S")
    _add_card(gaussian)
    _add_strict(gaussian)
    for system in trained_systems().values():
        _train_deep(systems, system)
    _train_segmentation(systems)


def _train_deep(systems, system: System) -> None:
    name, kind = system.id, system.variants[0]
    start = f"train {name} --cohort heads --config {kind}-64-cpu --out runs/{kind}"
    example = f"{start}\n{start} --resume"
    parser = _add(systems, name, commands.train_deep, system.summary, example)
    parser.set_defaults(system=name)
    _add_run(parser, "folder of volumes, one per subject; may be repeated", action="append")
    _add_card(parser)
    _add_strict(parser)


def _train_segmentation(systems) -> None:
    start = (
        "train segmentation --cohort label-maps --config segmentation-64-cpu --out runs/brain-segmentation"
    )
    summary = all_systems()["segmentation"].summary
    parser = _add(systems, "segmentation", commands.train_segmentation, summary, f"{start}\n{start} --resume")
    parser.set_defaults(system="segmentation")
    _add_run(parser, "folder of label maps with FreeSurfer's numbers, one per person")
    _add_card(parser)


def _add_run(parser, cohort: str, **several) -> None:
    add = parser.add_argument
    add("--cohort", required=True, metavar="DIR", help=cohort, **several)
    add("--config", required=True, metavar="FILE", help="YAML file, or the name of a shipped configuration")
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for checkpoints, log.csv, tensorboard and the weights file",
    )
    add("--resume", action="store_true", help="continue the run in --out where it was stopped")


def _add_card(parser) -> None:
    add = parser.add_argument
    add("--licence", default="not stated", help="licence of the data, for the card")
    add("--data", default="not stated", help="where the data come from, for the card")
    add("--limits", default="", help="what users must know, for the card")
    add("--id", default=None, metavar="ID", help="id of the model (the name of --out)")
    add("--anatomy", default="unknown", help="what is shown, e.g. brain")
    add("--modality", default="unknown", help="how it was imaged, e.g. T1w MRI")
    add(
        "--split",
        metavar="FILE",
        help="JSON file {fit: [...], test: [...]} of subject names (by chance if left out)",
    )


def _experiment(words) -> None:
    examples = """
experiment 000-exp1 --cohort heads --out results/000-exp1 --models runs
experiment 000-exp1 --cohort heads --out results/000-exp1 --models runs --scale gpu --no-training"""
    parser = _add(
        words,
        "experiment",
        None,
        "Make the tables and figures of a paper again, beside the printed numbers.",
        examples,
    )
    names = parser.add_subparsers(metavar="NAME", required=True)
    for name, experiment in EXPERIMENTS.items():
        folders = " ".join(f"--{option} DIR" for option in experiment.data)
        one = _add(
            names,
            name,
            commands.experiment,
            experiment.summary,
            f"experiment {name} {folders} --out results/{name}",
        )
        one.set_defaults(name=name)
        add = one.add_argument
        for option, holds in experiment.data.items():
            add(f"--{option}", required=True, metavar="DIR", help=holds)
        add(
            "--out",
            required=True,
            metavar="DIR",
            help="folder for report.html, report.md, findings.json and pictures",
        )
        add("--models", metavar="DIR", help="where models are looked for and trained (OUT/models)")
        sizes = "which shipped configurations to train with: tiny (a trial on bodies of any kind), cpu or gpu"
        add("--scale", choices=("tiny", "cpu", "gpu"), default="cpu", help=f"{sizes} (cpu)")
        add("--no-training", action="store_true", help="leave out systems that have no model, and name them")
        add(
            "--split",
            metavar="FILE",
            help="JSON file {fit: [...], test: [...]} of subject names (the shipped one)",
        )
        add(
            "--samples",
            type=positive,
            metavar="N",
            help="posterior samples scored per case (8; on a GPU 100)",
        )
        add("--subjects", type=positive, metavar="N", help="use only the first N test subjects")
        _add_device(one)


def _benchmark(words) -> None:
    parser = _add(
        words,
        "benchmark",
        commands.benchmark,
        "Time and memory on this machine.",
        "benchmark\nbenchmark --prior brain-t1 --device cpu",
    )
    parser.add_argument("--prior", default="brain-t1", metavar="ID", help="the model (brain-t1)")
    parser.add_argument(
        "--runs", type=int, default=7, metavar="N", help="repetitions, of which the median is shown (7)"
    )
    _add_device(parser)


def _worker(words) -> None:
    summary = "The process that computes: requests and results as JSON lines on stdin and stdout."
    _add(words, "worker", commands.worker, summary, "worker")


def _demo(words) -> None:
    parser = _add(
        words,
        "demo",
        commands.demo,
        "Reconstruct a real head from 4 of its slices.",
        "demo\ndemo --input head.nii.gz --output my-demo",
    )
    parser.add_argument(
        "--input", metavar="FILE", help="a head of your own (T1w MRI) instead of the MNI152 template"
    )
    parser.add_argument(
        "--output", default="demo-output", metavar="DIR", help="folder to write (demo-output)"
    )
    parser.add_argument("--prior", default="brain-t1", metavar="ID", help="the model (brain-t1)")


def _web(words) -> None:
    examples = """
web                                     (prints an address; open it in a browser on this machine)
web --input head.nii.gz --port 8080
web --host 0.0.0.0                      (for others: the address that is printed has a token in it, made for this run)
web --sessions 8 --host 0.0.0.0 --token-file token.txt     (eight people, each with a scene and a process of their own)
web --allow-host svr.example.org        (behind a proxy on this machine, which speaks TLS: Docs/serving.md)"""  # noqa: E501
    summary = (
        "The browser edition: the panel and the four views of 3D Slicer as a page, with no Slicer installed."
    )
    add = _add(words, "web", commands.web, summary, examples).add_argument
    add(
        "--input",
        metavar="FILE",
        help="a scan (NIfTI, NRRD or a DICOM folder) to begin with; others can be uploaded in the page",
    )
    add(
        "--lesson",
        metavar="FILE",
        help="a lesson that was saved in the page; every visitor is offered it (Docs/teaching.md)",
    )
    add("--port", type=port, default=8080, metavar="N", help="port to listen on; 0: any that is free (8080)")
    add(
        "--host",
        default="127.0.0.1",
        metavar="H",
        help="address to listen on (127.0.0.1: this machine alone); any other has a token",
    )
    token = (
        "file that holds what visitors have to know, which is part of the printed address; else the "
        "variable SVR_TOKEN, or a random one"
    )
    add("--token-file", metavar="FILE", help=token)
    names = "name by which browsers call the server, such as that of a proxy; may be repeated"
    add("--allow-host", action="append", default=[], metavar="NAME", help=names)
    several = (
        "people who can work at the same time, each with processes of their own, about 1.5 GB and "
        "--memory (1)"
    )
    add("--sessions", type=positive, default=1, metavar="N", help=several)
    add("--memory", type=above_0, default=1.5, metavar="GB", help="voxels that one session may hold (1.5)")
    idle = "minutes without use until a session ends and what is in it is forgotten; 0: never (120)"
    add("--idle-minutes", type=not_negative, default=120.0, metavar="N", help=idle)
    add("--browser", action="store_true", help="open the page in this machine's browser")
