"""A batch from beginning to end: a cluster, every case on it, a page over all of them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..geometry import InputError
from ..geometry.io import write_text
from ..progress import Progress
from .cases import Case
from .derivatives import Derivatives
from .page import page
from .recipe import Recipe
from .task import run_case

LOCAL = "local"
_KEPT_BYTES = 2**30
_OF_PROCESSES = {  # torch computes on one thread; Dask sees to that
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": 1,
    "MALLOC_TRIM_THRESHOLD_": _KEPT_BYTES,  # Dask's own makes the system clear pages anew for every array
    "MALLOC_MMAP_THRESHOLD_": _KEPT_BYTES,
}
_RETRIES = 10  # a case is tried again so often when the worker that has it dies
_WAIT_S = 30.0


def run_batch(
    cases: list[Case],
    recipe: Recipe,
    out: Path,
    source: str,
    progress: Progress,
    scheduler: str = LOCAL,
    workers: int | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Do all cases; one that fails stops no other.

    Args:
        cases: at least one.
        recipe: what is done with each.
        out: the derivatives folder; all workers must see it, and the cases' files, under the same path.
        source: the data set or table.
        progress: told of every case, asked whether to stop.
        scheduler: "local", or the address of a Dask scheduler, "tcp://host:8786".
        workers: processes of the local cluster; if None one for each GPU, or without GPUs as many as
            processors and memory allow.
        resume: leave alone what is done already, of the same inputs by the same recipe.

    Returns:
        {"report": path, "done": n, "kept": n, "failed": n}.

    Raises:
        InputError: the scheduler cannot be reached or was lost; what is done stays done.
        Cancelled: when asked to stop.
    """
    derivatives = Derivatives(out)
    derivatives.prepare(source)
    records: dict[str, dict[str, Any]] = {}
    started = time.monotonic()
    with _cluster(scheduler, workers, recipe) as client:
        _do_all(client, cases, recipe, derivatives, resume, records, progress)
    if scheduler == LOCAL:
        derivatives.clear_attempts()
    seconds = time.monotonic() - started
    text = page(cases, records, derivatives, recipe, seconds)
    report = derivatives.folder / "cohort.html"
    write_text(text, report)
    counts = {
        word: sum(said["status"] == word for said in records.values()) for word in ("done", "kept", "failed")
    }
    progress.finish()
    return {"report": str(report), "seconds": round(seconds, 2), **counts}


def fitting_workers(memory_gb: float) -> int:
    """How many workers of so many GB the processors and the free memory of this machine allow; at least 1."""
    import psutil  # comes with distributed

    free_gb = psutil.virtual_memory().available / 2**30
    return max(1, min(os.cpu_count() or 1, int(free_gb // memory_gb)))


def _do_all(
    client: Any,
    cases: list[Case],
    recipe: Recipe,
    derivatives: Derivatives,
    resume: bool,
    records: dict[str, dict[str, Any]],
    progress: Progress,
) -> None:
    """Submit every case and collect the records as they come."""
    from distributed import as_completed

    folder = str(derivatives.folder)
    futures = {
        client.submit(run_case, case, recipe, folder, resume, pure=False, retries=_RETRIES): case
        for case in cases
    }
    progress.update(f"0 of {len(cases)} cases", 0.0)
    for future in as_completed(list(futures)):
        case = futures[future]
        if future.status == "finished":
            records[case.name] = future.result()
        elif client.status != "running":
            raise InputError("the Dask scheduler was lost; what is done stays done: continue with --resume.")
        else:  # its workers died again and again
            why = str(future.exception()).splitlines()[0]
            records[case.name] = {"case": case.name, "status": "failed", "error": why}
            derivatives.record(case, records[case.name])
        said = records[case.name]
        if said["status"] == "failed":
            progress.warn(f"{case.name}: {said['error']}")
        progress.update(f"{len(records)} of {len(cases)} cases", len(records) / len(cases))


@contextmanager
def _cluster(scheduler: str, workers: int | None, recipe: Recipe) -> Iterator[Any]:
    """A client of a cluster of this machine, or of the one at an address. Raises InputError."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError(
            "./run batch needs the package distributed; install it (pip install distributed)."
        ) from error
    dask.config.set({"distributed.scheduler.allowed-failures": _RETRIES})
    dask.config.set({f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in _OF_PROCESSES.items()})
    if scheduler != LOCAL:
        try:
            client = Client(scheduler, timeout=_WAIT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"--scheduler {scheduler}: no Dask scheduler answers there; expected local, or an address as "
                "tcp://host:8786."
            ) from error
        with client:
            yield client
        return
    from . import gpus

    found = [] if recipe.options.get("device") == "cpu" else gpus.visible_gpus()
    fitting = fitting_workers(recipe.memory_gb)
    with (
        LocalCluster(
            n_workers=workers or (min(fitting, len(found)) if found else fitting),
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        if found:
            client.register_plugin(gpus.OneGpu(found))
        yield client
