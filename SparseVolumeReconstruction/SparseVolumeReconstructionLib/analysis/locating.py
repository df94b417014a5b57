"""./run locate: a request answered with the modes of where its slices lie."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from ..alignment.align import Alignment
from ..alignment.gain import in_common_units, rough_gains
from ..alignment.intensity import MonotoneMap
from ..geometry import InputError
from ..geometry.io import write_text
from ..progress import Progress
from ..reconstruction.provenance import provenance
from ..reconstruction.run import Clock, look_at
from ..zoo.store import ModelStore
from .locate import LEVEL, Mode, PosePosterior, pose_posterior
from .patient import seconds_since, told_of
from .request import LocateRequest


def run_locate(request: LocateRequest, store: ModelStore, progress: Progress) -> dict[str, Any]:
    """Find where slices may lie, and write it as JSON where the request names a file.

    Args:
        request: the slices.
        store: has the model.
        progress: told of steps and warnings, asked whether to stop.

    Returns:
        {"files": {"json": path}, "result": content of the file}.

    Raises:
        InputError: wrong input.
        Cancelled: when asked to stop.
    """
    progress.update("loading the model", 0.0)
    clock = Clock()
    model, wanted = store.find(request.prior), request.reconstruction()
    prior = store.load(model, request.device)
    seen = look_at(wanted, prior, progress, clock)
    for warning in seen.warnings:
        progress.warn(warning)
    slices = seen.contrasts.for_prior
    if not slices:
        raise InputError("only slices can be located; give at least one --context that is one.")
    start = time.perf_counter()
    found = pose_posterior(
        in_common_units(slices, rough_gains(slices)),
        prior.alignment_model(),
        progress,
        covariate=request.covariate,
        oriented=request.orientation == "stated",
    )
    clock.seconds["locate"] = seconds_since(start)
    best = Alignment(found.modes[0].patient_to_canonical, MonotoneMap.identity(), None, None, {})
    said = provenance(wanted, prior, [*seen.slices], best, seen.contrasts, seen.warnings)
    kept = {name: said[name] for name in ("notice", "software", "contexts", "contrast", "warnings")}
    answer = kept | told_of(request, model, prior, clock) | posed(found)
    if request.output:
        write_text(json.dumps(answer, indent=2, sort_keys=True) + "\n", request.output)
    progress.finish()
    return {"files": {"json": request.output} if request.output else {}, "result": answer}


def posed(found: PosePosterior) -> dict[str, Any]:
    """A distribution over poses, JSON-ready; mm are those of the model's space."""
    return {
        "modes": [_told(mode) for mode in found.modes],
        "region": {
            "level": LEVEL,
            "mm": round(found.region_mm, 2),
            "deg": round(found.region_deg, 2),
            "around": "the first mode",
        },
    }


def _told(mode: Mode) -> dict[str, Any]:
    return {
        "probability": round(mode.probability, 4),
        "patient_to_canonical": np.round(mode.patient_to_canonical, 6).tolist(),
        "region": {"level": LEVEL, "mm": round(mode.region_mm, 2), "deg": round(mode.region_deg, 2)},
    }
