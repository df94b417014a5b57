"""./run surprise: a request answered with a map of what is improbable in its slices."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import InputError, Volume
from ..geometry.io import write_volume, written_whole
from ..observation import Slice
from ..observation.base import observed_voxels
from ..progress import Progress
from ..reconstruction.extent import covering
from ..reconstruction.images import DESCRIPTION
from ..zoo.store import ModelStore
from .patient import Patient, seconds_since, understood
from .request import SurpriseRequest
from .surprise import RATE, NullDistribution, SliceScore, discoveries, replaced, scores

FILES = ("surprise.nrrd", "surprise.json")
_SPACING_MM = 1.0
# |score| of pixels of 15 healthy people (donors of brain-t1), nine axial slices each, times 1.1 for frames
# that are found from slices; see Docs/analysis.md.
HEALTHY = NullDistribution(
    (0.742, 1.438, 1.883, 2.301, 2.856, 3.274, 3.748, 4.330, 4.838, 5.356, 6.494, 7.030),
    (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001),
)
_HEALTHY_ALONE = (0.767, 0.100)  # mean and standard deviation over their slices


def run_surprise(request: SurpriseRequest, store: ModelStore, progress: Progress) -> dict[str, Any]:
    """Compare slices with what is expected of them, and write the result folder, all of it or nothing.

    Args:
        request: the slices.
        store: has the model.
        progress: told of steps and warnings, asked whether to stop.

    Returns:
        {"files": {name: path}, "result": content of surprise.json}.

    Raises:
        InputError: wrong input.
        Cancelled: when asked to stop.
    """
    patient = understood(request, store, progress)
    progress.update("comparing slices", 0.5)
    start = time.perf_counter()
    slices = [one for one in patient.observations if isinstance(one, Slice)]
    anatomy = patient.prior.anatomy_mask.cpu().numpy()
    scored = scores(patient.field(), anatomy, slices, progress.check)
    if not scored:
        raise InputError("the slices show too little of the anatomy to be judged; pick others.")
    volume, said = judged(scored, patient)
    said["seconds"] = patient.said["seconds"] | {"surprise": seconds_since(start)}
    answer = patient.said | said
    progress.update("writing", 0.95)
    files = _write(volume, answer, Path(request.output))
    progress.finish()
    return {"files": files, "result": answer}


def judged(scored: list[SliceScore], patient: Patient) -> tuple[Volume, dict[str, Any]]:
    """The map of surprise on a patient grid, and what is said of it, JSON-ready.

    The map is -log10 of the p-value where a slice was observed, negative where it is darker than expected,
    and 0 elsewhere.
    """
    p = [HEALTHY.p_values(one.pixels) for one in scored]
    limit = discoveries(np.concatenate([values[one.inside] for values, one in zip(p, scored, strict=True)]))
    back = np.linalg.inv(patient.known.alignment.patient_to_canonical)
    maps, told = [], []
    for values, one in zip(p, scored, strict=True):
        signed = np.where(one.inside, -np.log10(values) * np.sign(one.pixels), 0.0)
        image = replaced(one, signed).transformed(back)
        maps.append(image)
        told.append(_told(image, one, values, limit))
    grid = covering(patient.prior, patient.known.alignment.patient_to_canonical, _SPACING_MM)
    _, array = observed_voxels(maps, grid)
    said = {
        "false_discovery_rate": RATE,
        "threshold": round(float(-np.log10(limit)), 3) if limit else None,
        "surprising_share": round(float(np.mean([one["surprising_share"] for one in told])), 5),
        "slices": told,
    }
    return Volume(array, grid), said


def _told(image: Slice, one: SliceScore, p: np.ndarray, limit: float) -> dict[str, Any]:
    """What is said of a slice; places in patient RAS mm."""
    surprising = one.inside & (p <= limit)
    row, column = np.unravel_index(int(np.where(one.inside, np.abs(one.pixels), 0).argmax()), p.shape)
    peak = image.plane.ij_to_ras @ [column, row, 0, 1]
    mean, spread = _HEALTHY_ALONE
    return {
        "name": image.name,
        "root_mean_square_given_the_others": None if np.isnan(one.alone) else round(one.alone, 3),
        "standard_deviations_above_healthy": None
        if np.isnan(one.alone)
        else round((one.alone - mean) / spread, 2),
        "surprising_share": round(float(surprising.sum() / one.inside.sum()), 5),
        "surprising_mm2": round(float(surprising.sum() * np.prod(image.plane.spacing_ij)), 1),
        "peak": {
            "ras": np.round(peak[:3], 1).tolist(),
            "score": round(float(one.pixels[row, column]), 2),
            "p": float(f"{p[row, column]:.3g}"),
        },
    }


def _write(volume: Volume, answer: dict[str, Any], folder: Path) -> dict[str, str]:
    """All files of the answer into its folder, all or none. Raises InputError."""
    with written_whole(folder, FILES, told=FILES[1]) as staging:
        write_volume(volume, staging / FILES[0], note=DESCRIPTION)
        (staging / FILES[1]).write_text(json.dumps(answer, indent=2, sort_keys=True) + "\n")
    return {name: str(folder / name) for name in FILES}
