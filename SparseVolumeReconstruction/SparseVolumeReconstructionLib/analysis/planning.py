"""./run next-plane: a request answered with planes in patient millimetres."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import torch

from ..geometry import InputError, Plane, Volume
from ..geometry.io import read_volume, write_text
from ..geometry.resample import resample
from ..progress import Progress
from ..zoo.store import ModelStore
from .next_plane import Planner, Suggestion
from .patient import Patient, seconds_since, understood
from .request import NextPlaneRequest

_IN_REGION = 0.25  # share of a voxel
_NAMES = ("sagittal", "coronal", "axial")
_STRAIGHT = 0.985  # cosine of 10 degrees


def run_next_plane(request: NextPlaneRequest, store: ModelStore, progress: Progress) -> dict[str, Any]:
    """Suggest planes, and write them as JSON where the request names a file.

    Args:
        request: what was observed, and what is wanted.
        store: has the model.
        progress: told of steps and warnings, asked whether to stop.

    Returns:
        {"files": {"json": path}, "result": content of the file}.

    Raises:
        InputError: wrong input.
        Cancelled: when asked to stop.
    """
    if request.among == "stack" and not request.contexts:
        raise InputError("there is no stack without a slice of it; give --context, or another --among.")
    patient = understood(request, store, progress)
    progress.update("looking for planes", 0.5)
    answer = patient.said | suggested(request, patient, progress)
    if request.output:
        write_text(json.dumps(answer, indent=2, sort_keys=True) + "\n", request.output)
    progress.finish()
    return {"files": {"json": request.output} if request.output else {}, "result": answer}


def suggested(request: NextPlaneRequest, patient: Patient, progress: Progress) -> dict[str, Any]:
    """Alternatives for the next plane, and the best sequence, JSON-ready; see `Docs/analysis.md`."""
    start = time.perf_counter()
    normal = patient.planes[0].normal if patient.planes else None
    planner = _planner(request, patient, progress)
    before = planner.remaining
    ranked = planner.ranked(request.among, request.count, normal)
    seconds = {"setup and first suggestion": seconds_since(start)}
    sequence, left = [], [1.0]
    for number in range(request.count if request.sequence else 0):
        progress.update("looking for a sequence of planes", 0.6 + 0.35 * number / request.count)
        start = time.perf_counter()
        sequence += planner.sequence(request.among, 1, normal)
        left.append(planner.remaining / before)
        seconds["suggestion"] = seconds_since(start)
    matrix = np.linalg.inv(patient.known.alignment.patient_to_canonical)
    wanted = {"plan": _judged(request, patient, _planner(request, patient, progress))} if request.plan else {}
    return wanted | {
        "planes": [_told(one, matrix) for one in ranked],
        "sequence": [
            _told(one, matrix) | {"variance_left": round(share, 4)}
            for one, share in zip(sequence, left[1:], strict=True)
        ],
        "among": request.among,
        "region": request.roi or "anatomy",
        "seconds": patient.said["seconds"] | seconds,
    }


def _planner(request: NextPlaneRequest, patient: Patient, progress: Progress) -> Planner:
    """After the slices that are there."""
    return Planner(
        patient.field(),
        patient.prior.anatomy_mask,
        region=_region(request, patient),
        observed=patient.planes,
        check=progress.check,
    )


def _judged(request: NextPlaneRequest, patient: Patient, planner: Planner) -> list[dict[str, float]]:
    """What the planes of a plan are expected to take, one after the other, JSON-ready."""
    to_canonical = patient.known.alignment.patient_to_canonical
    before = planner.remaining
    told = []
    for one in request.plan:
        normal = np.linalg.inv(to_canonical[:3, :3]).T @ one.normal
        point = to_canonical[:3, :3] @ one.point + to_canonical[:3, 3]
        plane = planner.through(point, normal)
        gain = planner.gain(plane)
        planner.add(plane)
        told.append({"gain": round(gain, 4), "variance_left": round(planner.remaining / before, 4)})
    return told


def _region(request: NextPlaneRequest, patient: Patient) -> torch.Tensor | None:
    """Where it matters on the canonical grid, bool; None for all of the anatomy. Raises InputError."""
    if request.roi is None:
        return None
    volume = read_volume(request.roi)
    inside = Volume((volume.array > 0).astype(np.float32), volume.grid)
    back = np.linalg.inv(patient.known.alignment.patient_to_canonical)
    region = torch.as_tensor(resample(inside, patient.prior.grid, back).array > _IN_REGION)
    if not (region & patient.prior.anatomy_mask.cpu()).any():
        raise InputError(
            f"{request.roi}: no voxel above 0 lies in the anatomy; draw the region in the space of the "
            "slices."
        )
    return region


def _told(one: Suggestion, to_patient: np.ndarray) -> dict[str, Any]:
    """A suggestion in patient RAS mm, to which a scanner or a slice view can go.

    origin: middle of the plane. normal, right and down: unit vectors, in rows of the image right and down.
    size_mm: to the right and down. gain: share of the variance left that it is expected to take.
    """
    plane: Plane = one.plane.transformed(to_patient)
    right = plane.ij_to_ras[:3, 0] / plane.spacing_ij[0]
    down = np.cross(plane.normal, right)
    canonical = np.abs(one.plane.normal)
    straight = canonical.max() > _STRAIGHT
    numbers = {"origin": plane.centre, "normal": plane.normal, "right": right, "down": down}
    return {name: np.round(values, 4).tolist() for name, values in numbers.items()} | {
        "size_mm": np.round(plane.spacing_ij * plane.shape_ji[::-1], 1).tolist(),
        "orientation": _NAMES[int(canonical.argmax())] if straight else "oblique",
        "gain": round(one.gain, 4),
    }
