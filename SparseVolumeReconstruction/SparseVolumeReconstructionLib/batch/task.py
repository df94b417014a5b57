"""One case from beginning to end, in whichever process Dask has chosen."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
import traceback
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from .. import __version__
from ..evaluation.benchmark import peak_mib
from ..geometry import InputError, Volume, first_problem
from ..geometry.io import read_volume
from ..progress import Progress
from ..synthesis.models import weights_of
from ..zoo.store import ModelStore
from ..zoo.weights import sha256
from .cases import Case
from .derivatives import Derivatives
from .picture import mosaic
from .recipe import FILES, Recipe, Request


@functools.cache
def _store() -> ModelStore:
    """One for each process: models stay loaded between cases."""
    return ModelStore()


def run_case(case: Case, recipe: Recipe, folder: str, resume: bool) -> dict[str, Any]:
    """Do one case, unless it is done already, and keep what is known of it.

    Args:
        case: which.
        recipe: what is done with it.
        folder: of the derivatives.
        resume: leave a case alone whose results are there, made of the same inputs by the same recipe.

    Returns:
        Its record: name, status ("done", "failed" or "kept"), error, seconds, and what is known of the
        result. An error of the case is in the record, never raised.
    """
    derivatives = Derivatives(Path(folder))
    started = time.perf_counter()
    said: dict[str, Any] = {"case": case.name, "status": "failed"}
    staging = derivatives.staging(case, uuid.uuid4().hex[:8])
    try:
        request = _request(case, recipe, staging)
        said["digest"] = digest_of(case, recipe, request)
        if resume and derivatives.is_done(case, said["digest"]):
            return derivatives.known(case) | {"status": "kept"}
        result = _RUNS[recipe.operation](request)
        score, picture = _look_at(case, staging)
        said |= {**_known_of(result), **score}
        facts = {"Sources": _files(case, recipe), "InputDigest": said["digest"], **score}
        placed = derivatives.place(case, staging, facts)
        sizes = {name: (derivatives.folder / name).stat().st_size for name in placed}
        said |= {"status": "done", "files": sizes, **_cost(started)}
        derivatives.record(case, said, picture)
    except Exception as error:  # of whatever kind: the other cases go on
        known = isinstance(error, InputError)
        said["error"] = str(error) if known else f"{type(error).__name__}: {error}"
        if not known:
            said["traceback"] = traceback.format_exc()
        said |= _cost(started)
        derivatives.record(case, said)
    return said


def _request(case: Case, recipe: Recipe, staging: Path) -> Request:
    fields: dict[str, Any] = {**recipe.options, **case.given, "output": str(staging), "format": "nii.gz"}
    if recipe.operation == "evaluate":
        if case.truth is None:
            raise InputError(f"{case.name}: has no truth to be scored against.")
        fields.setdefault("like", case.truth)
    try:
        return recipe.request.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"{case.name}: {first_problem(error)}.") from error


def _reconstruct(request: Any) -> dict[str, Any]:
    from ..reconstruction.run import run_request

    return run_request(request, _store(), Progress())


def _merge(request: Any) -> dict[str, Any]:
    from ..svr.run import run_svr

    return run_svr(request, _store(), Progress())


def _synthesize(request: Any) -> dict[str, Any]:
    from ..synthesis.run import run_synthesis

    return run_synthesis(request, Progress())


_RUNS = {"reconstruct": _reconstruct, "evaluate": _reconstruct, "svr": _merge, "synthesize": _synthesize}


def _files(case: Case, recipe: Recipe) -> list[str]:
    """Paths of the scans of a case."""
    given = case.given.get(FILES[recipe.operation], [])
    return list(given.values()) if isinstance(given, dict) else [each["path"] for each in given]


def digest_of(case: Case, recipe: Recipe, request: Request) -> str:
    """Of the contents of a case's files, the recipe, the model and the version; not of dates and places.

    Raises:
        InputError: for a file that is not there, and for an unknown model.
    """
    fields = request.model_dump(exclude={"output"})
    found = hashlib.sha256(f"{__version__} {recipe.operation}".encode())
    paths = [*_files(case, recipe), *([case.truth] if case.truth else [])]
    paths += [str(fields[name]) for name in ("mask", "like") if fields.get(name)]
    paths += [str(path) for path in fields.get("masks") or []]
    paths += [fields["frame"]] if fields.get("frame") not in (None, "auto", "registered") else []
    for path in paths:
        _add_content(found, Path(path))
    told = json.dumps(fields, sort_keys=True)
    for path in paths:
        told = told.replace(json.dumps(path)[1:-1], "")
    found.update(told.encode())
    if recipe.operation == "synthesize":
        _add_content(found, weights_of(fields["model"]))
    elif fields.get("prior") not in (None, "auto", "none"):
        found.update(_store().find(fields["prior"]).entry.sha256.encode())
    return found.hexdigest()


def _add_content(found: Any, path: Path) -> None:
    """Add the bytes of a file, or of all files of a folder in the order of their names."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder.")
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in (file for file in files if file.is_file()):
        found.update(sha256(file).encode())


def _known_of(done: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of a result."""
    result = done["result"]
    return {
        "warnings": result.get("warnings", []),
        "frame_probability": result.get("frame_probability"),
    }


def _look_at(case: Case, folder: Path) -> tuple[dict[str, float], bytes | None]:
    """Scores against the truth, where there is one, and a mosaic of mean and standard deviation."""
    shown = [name for name in ("mean", "volume", "template", "std") if (folder / f"{name}.nii.gz").is_file()]
    volumes = {name: read_volume(folder / f"{name}.nii.gz") for name in shown}
    score = _scores(volumes["mean"], case.truth) if case.truth and "mean" in volumes else {}
    return score, mosaic(volumes) if volumes else None


def _scores(mean: Volume, path: str) -> dict[str, float]:
    """SSIM and PSNR (dB) of the whole volume; the truth's 99.9th percentile is 1."""
    from ..evaluation.metrics import psnr, slice_ssim, ssim_map

    truth = read_volume(path)
    if not truth.grid.same_as(mean.grid):
        raise InputError(f"{path}: is the truth, but lies on another grid than the result (see like).")
    top = float(np.percentile(truth.array, 99.9)) or 1.0
    there, made = (np.clip(array / top, 0, 1) for array in (truth.array, mean.array))
    return {
        "ssim": round(float(slice_ssim(ssim_map(there, made)).mean()), 4),
        "psnr": round(psnr(there, made), 3),
    }


def _cost(started: float) -> dict[str, Any]:
    """Seconds of the case, when it ended, the most memory that its process has held so far, and its GPU."""
    peak = peak_mib()
    return {
        "seconds": round(time.perf_counter() - started, 3),
        "ended": round(time.time(), 3),
        "peak_mb": peak and round(peak),
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
