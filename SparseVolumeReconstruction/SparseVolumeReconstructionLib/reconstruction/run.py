"""A request from beginning to end: load the prior, reconstruct, write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from ..progress import Progress
from ..zoo.store import ModelStore
from .reconstruct import reconstruct
from .request import ReconstructionRequest
from .result import write_result


def run_request(request: ReconstructionRequest, store: ModelStore, progress: Progress) -> dict[str, Any]:
    """Reconstruct and write the result folder; returns {"files": {name: path}, "result": content of
    result.json}.

    When a GPU runs out of memory the work is done again on the CPU and the result says so. Warnings
    are told before anything is written. Raises InputError or Cancelled.
    """
    progress.update("loading the model", 0.0)
    model = store.find(request.prior)
    try:
        prior = store.load(model, request.device)
        with _one_thread() if request.fast else nullcontext():
            result = reconstruct(request, prior, progress)
        device, warnings = str(prior.device), []
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        result = reconstruct(request, store.load(model, "cpu"), progress)
        device, warnings = "cpu", ["The GPU ran out of memory; everything was computed on the CPU instead."]
    result.provenance["prior"]["sha256"] = model.entry.sha256
    result.provenance["device"] = device
    result.provenance["warnings"] += warnings
    for warning in result.provenance["warnings"]:
        progress.warn(warning)
    progress.update("writing", 0.95)
    files = write_result(result, request.output, request.compress, request.format)
    progress.finish()
    return {"files": files, "result": result.provenance}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one thread: for many small steps, several spend more time on waiting for each
    other than they save.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
