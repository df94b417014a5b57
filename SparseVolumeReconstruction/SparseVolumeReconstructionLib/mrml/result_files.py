"""The files of a result as arrays, read without touching the scene.

In a thread, while the front end goes on.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..geometry import InputError, Volume
from ..geometry.io import read_affine, read_volume

VOLUMES = ("mean", "std", "observed", "brain_mask", "template", "template_mask", "atlas")
MASKS = ("observed", "brain_mask", "template_mask", "outline")
_ANATOMY = 0.15  # of the way from an atlas' lowest value to its brightest ones, where anatomy begins
_STEP = 7  # every so many voxels are enough to find a window


@dataclass(frozen=True, eq=False)
class ResultFiles:
    """The content of a result folder, as arrays.

    Attributes:
        provenance: content of result.json.
        volumes: {role: Volume}, masks as uint8, the outline of an atlas among them.
        samples: (n, K, J, I) float32 on the grid of `observed`, None without any.
        frame: 4x4, places the atlas on the patient (RAS, mm).
        windows: {role: (window, level)} in which a volume can be seen.
    """

    provenance: dict
    volumes: dict[str, Volume]
    frame: np.ndarray
    samples: np.ndarray | None = None
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)


def read_result(directory: str | Path, private: Path | None = None) -> ResultFiles:
    """Read a folder written by a reconstruction.

    Args:
        private: a temporary folder, of which the provenance says nothing: files are given relative to it.

    Raises:
        InputError: where a file is missing or damaged.
    """
    directory = Path(directory)
    try:
        text = (directory / "result.json").read_text(encoding="utf-8")
        provenance = json.loads(text.replace(json.dumps(f"{private}{os.sep}")[1:-1], "") if private else text)
    except (OSError, ValueError) as error:
        raise InputError(f"{directory / 'result.json'}: cannot be read; reconstruct again.") from error
    volumes = {role: read_volume(directory / f"{role}.nrrd") for role in _written(provenance, directory)}
    volumes |= {
        role: Volume(volumes[role].array.astype(np.uint8), volumes[role].grid)
        for role in MASKS
        if role in volumes
    }
    if "atlas" in volumes:
        volumes["outline"] = _anatomy(volumes["atlas"])
    windows = {
        role: window_of(volume.array, spread=role == "std")
        for role, volume in volumes.items()
        if role not in MASKS
    }
    frame = np.linalg.inv(read_affine(directory / "frame.h5"))
    samples = _read_samples(directory / "samples.seq.nrrd") if provenance["request"].get("samples") else None
    return ResultFiles(provenance, volumes, frame, samples, windows)


def _anatomy(atlas: Volume) -> Volume:
    """1 where an atlas shows anatomy, 0 elsewhere."""
    low, high = float(atlas.array.min()), float(np.percentile(atlas.array, 99.5))
    return Volume((atlas.array > low + _ANATOMY * (high - low)).astype(np.uint8), atlas.grid)


def window_of(array: np.ndarray, spread: bool = False) -> tuple[float, float]:
    """Window and level of voxels (K, J, I): all but the extremes.

    For a spread from 0 to the 99.5th percentile of what is not 0.
    """
    some = array.reshape(-1)[::_STEP]
    if spread:
        some = some[some > 0]
        top = float(np.percentile(some, 99.5)) if some.size else 1.0
        return top, top / 2
    low, high = np.percentile(some, (0.1, 99.9)) if some.size else (0.0, 1.0)
    return float(max(high - low, 1e-6)), float(high + low) / 2


def _written(provenance: dict, directory: Path) -> list[str]:
    """The volumes that a result with this provenance has; the brain only where slices showed whole heads."""
    request = provenance.get("request", {})
    outputs = request.get("outputs", [])
    observed = request.get("samples") or {"mean", "std"} & set(outputs)
    there = {
        *outputs,
        *(["observed"] if observed else []),
        *(["template_mask"] if "template" in outputs else []),
        *(["brain_mask"] if observed and (directory / "brain_mask.nrrd").is_file() else []),
    }
    return [role for role in VOLUMES if role in there]


def _read_samples(path: Path) -> np.ndarray:
    import nrrd  # the panel opens before this package is installed

    try:
        values, _header = nrrd.read(str(path), index_order="C")
    except (OSError, ValueError, KeyError, nrrd.NRRDError) as error:
        raise InputError(f"{path}: cannot be read as a sequence of volumes; reconstruct again.") from error
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))
