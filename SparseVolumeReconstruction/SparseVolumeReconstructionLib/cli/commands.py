"""What each command does. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from ..geometry import InputError
from ..reconstruction.request import ReconstructionRequest
from .context import build_request
from .display import shown_progress


def reconstruct(args: Namespace) -> None:
    """Write the files of one reconstruction. Raises InputError."""
    request = build_request(args)
    from ..reconstruction.run import run_request
    from ..zoo import ModelStore

    with shown_progress(args.json_progress, args.strict) as progress:
        done = run_request(request, ModelStore(), progress)
    if not args.json_progress:
        print("\n".join(done["files"].values()))


def evaluate(args: Namespace) -> None:
    """Write the scores, and the report if asked for. Raises InputError."""
    if not Path(args.cohort).is_dir():
        raise InputError(
            f"{args.cohort}: no such folder; --cohort expects a folder of volumes, one per subject."
        )
    for target in filter(None, (args.json, args.report)):
        if not Path(target).absolute().parent.is_dir():
            raise InputError(f"{target}: the folder to write into does not exist.")
    from ..evaluation.protocol import evaluate as run_protocol
    from ..evaluation.protocol import write_json
    from ..evaluation.report import write_report
    from ..zoo import ModelStore

    with shown_progress(strict=args.strict) as progress:
        scores = run_protocol(
            args.prior,
            Path(args.cohort),
            args.frame,
            args.contexts,
            ModelStore(),
            progress,
            device=args.device,
        )
    if args.report:
        write_report(scores, Path(args.report))
    write_json(scores, args.json)
    print(args.json)


def models_list(args: Namespace) -> None:
    """Print one line per model."""
    from ..zoo import ModelStore

    store = ModelStore()
    for entry in store.entries():
        card = entry.card
        facts = (
            f"{card.system} {card.version}, {entry.bytes / 1e6:.1f} MB, "
            f"{'embedded' if store.is_embedded(card.id) else 'imported'}"
        )
        print(f"{card.id:<20} {card.title} ({card.anatomy}, {card.modality}; {facts})")


def models_verify(args: Namespace) -> None:
    """Print which weights files are whole. Raises InputError naming all that are not."""
    from ..zoo import ModelStore

    store, broken = ModelStore(), []
    for entry in store.entries():
        try:
            store.verify(entry.card.id)
            print(f"{entry.card.id}: ok")
        except InputError as error:
            broken.append(str(error))
    if broken:
        raise InputError(" ".join(broken))


def models_import(args: Namespace) -> None:
    """Add a model to the user's models. Raises InputError."""
    from ..zoo import ModelStore

    print(f"{ModelStore().import_file(Path(args.file)).card.id}: imported")


def models_remove(args: Namespace) -> None:
    """Delete a model of the user. Raises InputError."""
    from ..zoo import ModelStore

    ModelStore().remove(args.id)
    print(f"{args.id}: removed")


def train(args: Namespace) -> None:
    """Fit a structured Gaussian and write its weights file. Raises InputError."""
    from ..data.subjects import CovariateRule, read_split
    from ..training.structured_gaussian import TrainingOptions
    from ..training.structured_gaussian import train as fit

    same = (
        "anatomy",
        "modality",
        "licence",
        "data",
        "limits",
        "rank",
        "spacing_mm",
        "protocol_slices",
        "reference",
        "mirror",
    )
    same += ("any_orientation", "knot_step", "interval_margin", "seed")
    options = TrainingOptions(
        model_id=args.id or Path(args.out).stem,
        split=read_split(Path(args.split)) if args.split else None,
        augment=tuple(args.augment),
        covariate=CovariateRule.parse(args.covariate) if args.covariate else None,
        **{name: getattr(args, name) for name in same},
    )
    with shown_progress(strict=args.strict) as progress:
        fit([Path(folder) for folder in args.cohort], Path(args.out), options, progress)
    print(args.out)


def train_deep(args: Namespace) -> None:
    """Train a deep prior and write its weights file. Raises InputError."""
    from ..training.deep import train_deep as fit

    setting = _training(args)
    with shown_progress(strict=args.strict) as progress:
        path = fit([Path(folder) for folder in args.cohort], *setting, progress)
    if path:
        print(path)


def _training(args: Namespace) -> tuple:
    """Configuration, folder, whether to resume, facts for the card and split, as trainings take them.

    Raises InputError.
    """
    from ..data.subjects import read_split
    from ..training.loop.config import read_config
    from ..training.structured_gaussian import CardFacts

    config, out = read_config(args.config), Path(args.out)
    if config.system != args.system:
        raise InputError(f"{args.config}: made for {config.system}; this is ./run train {args.system}.")
    words = {name: getattr(args, name) for name in ("anatomy", "modality", "licence", "data", "limits")}
    facts = CardFacts((args.id or out.name).lower(), **words, config=Path(args.config).stem)
    return config, out, args.resume, facts, read_split(Path(args.split)) if args.split else None


def experiment(args: Namespace) -> None:
    """Run one experiment and write what it found. Raises InputError."""
    from ..experiments.base import EXPERIMENTS, Setting

    chosen = EXPERIMENTS[args.name]
    data = {option: Path(getattr(args, option.replace("-", "_"))) for option in chosen.data}
    for option, folder in data.items():
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; --{option} expects a {chosen.data[option]}.")
    from ..data.subjects import read_split
    from ..experiments.models import POPULATIONS, Models, default_samples
    from ..experiments.report import write_findings

    out, population = Path(args.out), POPULATIONS[chosen.population]
    samples = args.samples or default_samples(args.device)
    split = read_split(Path(args.split) if args.split else population.split)
    with shown_progress() as progress:
        cohorts, folder = (
            [data[option] for option in chosen.fit],
            Path(args.models) if args.models else out / "models",
        )
        models = Models(
            folder,
            population,
            cohorts,
            split,
            args.scale,
            args.device,
            not args.no_training,
            progress.part(0, 0.5),
        )
        setting = Setting(
            data,
            out,
            args.device,
            models,
            args.scale == "tiny",
            progress.part(0.5, 1),
            samples,
            args.subjects,
        )
        report = write_findings(chosen.function()(setting), setting)
    print(report)


def train_segmentation(args: Namespace) -> None:
    """Train the segmentation network and write its weights file. Raises InputError."""
    from ..training.segmentation.train import train_segmentation as fit

    setting = _training(args)
    with shown_progress() as progress:
        path = fit(Path(args.cohort), *setting, progress)
    if path:
        print(path)


def benchmark(args: Namespace) -> None:
    """Print time and memory. Raises InputError."""
    from ..evaluation.benchmark import benchmark as measure
    from ..evaluation.benchmark import table
    from ..worker import WorkerClient
    from ..zoo import ModelStore

    if args.runs < 1:
        raise InputError(f"--runs {args.runs}: expected at least 1.")
    with TemporaryDirectory() as folder, closing(WorkerClient()) as client, shown_progress() as progress:
        small = ReconstructionRequest(
            prior=args.prior, frame="registered", spacing_mm=8, device=args.device, output=f"{folder}/out"
        )
        request = small.model_dump()
        result = measure(
            args.prior,
            ModelStore(),
            progress,
            device=args.device,
            round_trip=lambda: client.run(request),
            runs=args.runs,
        )
    print(table(result))
    print(_live_table(args.prior))
    print(_page_table(args.prior))


def _live_table(prior_id: str) -> str:
    """The latency of the panel's live updates, where the viewer's core is installed."""
    try:
        from ..mrml import live_benchmark
    except ImportError:
        return "live update: not measured; it needs slicer-core"
    return live_benchmark.table(live_benchmark.live_latency(prior_id))


def _page_table(prior_id: str) -> str:
    """How quick the browser edition is, where it and a browser are installed."""
    try:
        from ..web import benchmark as page

        return page.table(page.page_speed(prior_id))
    except (ImportError, InputError) as error:
        return f"page: not measured; {error}"


def worker(args: Namespace) -> None:
    """Answer requests until stdin closes."""
    from ..worker.server import main

    sys.exit(main())


def demo(args: Namespace) -> None:
    """Write the demo's folder. Raises InputError."""
    from ..mrml.demo import main

    with shown_progress() as progress:
        main(args, progress)


def web(args: Namespace) -> None:
    """Serve the browser edition until interrupted. Raises InputError."""
    try:
        from ..web.options import Options
        from ..web.server import serve
    except ImportError as error:
        raise InputError(
            f"the browser edition needs more packages ({error.name} is missing): ./run web installs them."
        ) from error
    given = Path(args.input).absolute() if args.input else None
    lesson = Path(args.lesson).absolute() if args.lesson else None
    common = {
        "lesson": lesson,
        "browser": args.browser,
        "sessions": args.sessions,
        "allow_hosts": tuple(args.allow_host),
    }
    limits = {"idle_minutes": args.idle_minutes, "memory_gb": args.memory}
    serve(Options(args.host, args.port, _token(args.token_file), given, **common, **limits))


def _token(file: str | None) -> str | None:
    """What visitors have to know, from a file or the environment: words of a command can be seen by everybody
    on the machine.
    """
    if file is None:
        return os.environ.pop("SVR_TOKEN", "").strip() or None
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(
            f"--token-file {file}: cannot be read; expected a text file that holds the token."
        ) from error
    if not token:
        raise InputError(f"--token-file {file}: is empty; expected the token in it.")
    return token
