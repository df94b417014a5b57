"""./run benchmark."""

from __future__ import annotations

from contextlib import closing
from tempfile import TemporaryDirectory

import click

from ..geometry import InputError
from ..reconstruction.request import ReconstructionRequest
from .display import shown_progress
from .options import Command, device, positive


@click.command(
    cls=Command,
    examples="benchmark --prior brain-t1 --device cpu\nbenchmark --soak 2000\n"
    "benchmark --soak 500 --visitors 8",
)
@click.option("--prior", default="brain-t1", metavar="ID", help="the model (brain-t1)")
@click.option(
    "--runs", type=int, default=7, metavar="N", help="repetitions, of which the median is shown (7)"
)
@click.option(
    "--soak",
    type=positive,
    metavar="N",
    help="instead: whether N reconstructions in one process leave memory, open files or temporary files",
)
@click.option(
    "--visitors",
    type=positive,
    metavar="N",
    help="with --soak: they are done in the page, by N visitors at once (about 1 GB each)",
)
@device
def benchmark(prior, runs, soak, visitors, device):
    """Time and memory on this machine."""
    if visitors and not soak:
        raise InputError("--visitors: goes with --soak N.")
    if soak:
        return print(_soak_table(prior, soak, visitors, device))
    from ..evaluation.benchmark import benchmark as measure
    from ..evaluation.benchmark import of_rays, table
    from ..evaluation.merge_benchmark import merge_benchmark, merge_table
    from ..worker import WorkerClient
    from ..zoo import ModelStore

    if runs < 1:
        raise InputError(f"--runs {runs}: expected at least 1.")
    with TemporaryDirectory() as folder, closing(WorkerClient()) as client, shown_progress() as progress:
        small = ReconstructionRequest(
            prior=prior, frame="registered", spacing_mm=8, device=device, output=f"{folder}/out"
        )
        request = small.model_dump()
        store = ModelStore()
        result = measure(
            prior,
            store,
            progress,
            device=device,
            round_trip=lambda: client.run(request),
            runs=runs,
        )
        about_slices = not of_rays(store.find(prior).entry.card)
        merges = merge_benchmark(progress, device=device) if about_slices else {}
    print(table(result))
    if about_slices:
        print(merge_table(merges))
        print(_live_table(prior))
        print(_page_table(prior))


def _soak_table(prior: str, count: int, visitors: int | None, device: str) -> str:
    from ..worker import soak

    with shown_progress() as progress:
        if not visitors:
            return soak.soak_table(soak.soak(prior, count, device, progress))
        try:
            from ..web.soak import web_soak
        except ImportError as error:
            raise InputError(f"--visitors: {error.name} is missing: ./run web installs it.") from error
        return soak.soak_table(web_soak(prior, count, visitors, progress))


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
