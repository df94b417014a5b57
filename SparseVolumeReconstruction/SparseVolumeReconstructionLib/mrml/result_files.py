"""What is shown of a result folder, as arrays: read in a thread, without touching the scene."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..geometry import InputError, Volume
from ..geometry.io import read_volume
from ..reconstruction.result import MASKS as WRITTEN_MASKS
from ..reconstruction.result import TISSUE_VOLUMES, VOLUMES
from ..reconstruction.result import read_result as read_result_folder
from .look import WHOLE_SHARE

MASKS = (*WRITTEN_MASKS, "outline", "seen", "lost")
RECONSTRUCT = "reconstruct"
OPERATION = "operation"
"""What of the computing process made a result, as a word of its provenance; without it, RECONSTRUCT."""
_WRITTEN_AS = {"volume": "mean"}  # by a merge of stacks
TISSUES = tuple(name for name in TISSUE_VOLUMES if not name.endswith("_std"))
_ANATOMY = 0.15  # of the way from an atlas' lowest value to its brightest ones, where anatomy begins
_STEP = 7  # every so many voxels are enough to find a window


@dataclass(frozen=True, eq=False)
class ResultFiles:
    """The content of a result folder, as arrays.

    Attributes:
        provenance: content of result.json.
        volumes: {role: Volume}, masks as uint8, the outline of an atlas among them.
        samples: (n, K, J, I) float32 on the grid of `observed`, None without any.
        frame: 4x4, places the atlas on the patient (RAS, mm); None where no atlas was placed.
        windows: {role: (window, level)} in which a volume can be seen.
    """

    provenance: dict
    volumes: dict[str, Volume]
    frame: np.ndarray | None
    samples: np.ndarray | None = None
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)


def read_result(directory: str | Path, private: Path | None = None) -> ResultFiles:
    """A folder written by a reconstruction, with what is needed to show it.

    Args:
        directory: the folder.
        private: a temporary folder, of which the provenance says nothing: files are given relative to it.

    Raises:
        InputError: where a file is missing or damaged.
    """
    result = read_result_folder(directory)
    roles = [role for role in VOLUMES if role != "reprojection"]  # that one lies on no patient
    volumes = {role: getattr(result, role) for role in roles if getattr(result, role) is not None}
    volumes |= result.tissues
    if "atlas" in volumes:
        volumes["outline"] = _anatomy(volumes["atlas"])
    frame = np.linalg.inv(result.patient_to_canonical)
    return ResultFiles(
        _without(private, result.provenance), volumes, frame, result.samples, _windows(volumes)
    )


def read_made(files: dict[str, str], operation: str, private: Path | None = None) -> ResultFiles:
    """What another operation than a reconstruction wrote, with what is needed to show it.

    Args:
        files: {name: path} as the operation answers; images as NRRD.
        operation: its name. Of slices that it placed, the provenance has all under "slices".
        private: as in `read_result`.

    Raises:
        InputError: where a file is missing or damaged.
    """
    if "result.json" not in files:
        raise InputError(f"{operation}: no result.json among what was written; run it again.")
    volumes = {
        _WRITTEN_AS.get(name, name): read_volume(path)
        for name, path in ((Path(path).stem, path) for path in files.values() if path.endswith(".nrrd"))
        if ".seq" not in name
    }
    said = {**json.loads(Path(files["result.json"]).read_text(encoding="utf-8")), OPERATION: operation}
    if "poses.json" in files:
        said["slices"] = json.loads(Path(files["poses.json"]).read_text(encoding="utf-8"))
    for role in volumes.keys() & {"seen", "lost"}:
        volumes[role] = Volume((volumes[role].array > 0).astype(np.uint8), volumes[role].grid)
    return ResultFiles(_without(private, said), volumes, None, None, _windows(volumes))


def _without(private: Path | None, provenance: dict) -> dict:
    """The provenance, with files of the private folder relative to it."""
    if private is None:
        return provenance
    return json.loads(json.dumps(provenance).replace(json.dumps(f"{private}{os.sep}")[1:-1], ""))


def _windows(volumes: dict[str, Volume]) -> dict[str, tuple[float, float]]:
    return {
        role: WHOLE_SHARE if role in TISSUES else window_of(volume.array, spread=role.endswith("std"))
        for role, volume in volumes.items()
        if role not in MASKS
    }


def _anatomy(atlas: Volume) -> Volume:
    """1 where an atlas shows anatomy, 0 elsewhere."""
    low, high = float(atlas.array.min()), float(np.percentile(atlas.array, 99.5))
    return Volume((atlas.array > low + _ANATOMY * (high - low)).astype(np.uint8), atlas.grid)


def window_of(array: np.ndarray, spread: bool = False) -> tuple[float, float]:
    """Window and level of voxels (K, J, I): all but the extremes.

    Args:
        array: some of its values are looked at.
        spread: of standard deviations: from 0 to the 99.5th percentile of what is above 0.
    """
    some = array.reshape(-1)[::_STEP]
    if spread:
        some = some[some > 0]
        top = float(np.percentile(some, 99.5)) if some.size else 1.0
        return top, top / 2
    low, high = np.percentile(some, (0.1, 99.9)) if some.size else (0.0, 1.0)
    return float(max(high - low, 1e-6)), float(high + low) / 2
