"""What a merge of stacks writes: volumes, poses, provenance and a report, all or none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import Volume
from ..geometry.io import write_volume, written_whole
from ..geometry.nifti import write_four_dimensions
from ..reconstruction.result import write_sequence

FORMATS = ("nrrd", "nii.gz")
_SAMPLES = {"nrrd": "samples.seq.nrrd", "nii.gz": "samples.nii.gz"}
VOLUMES = ("volume", "std", "seen")
OTHERS = ("poses.json", "result.json", "report.html")
ALL_FILES = (*(f"{v}.{f}" for v in VOLUMES for f in FORMATS), *_SAMPLES.values(), *OTHERS)


@dataclass(frozen=True, eq=False)
class SvrResult:
    """One result; None is what was not asked for.

    Attributes:
        volume, std, seen: on one grid, patient RAS mm, units of the first stack; seen: uint8, 1 where a slice
            reaches.
        samples: (n, K, J, I) float32 on that grid.
        poses: one entry for every slice, JSON-ready.
        provenance: JSON-ready.
        report: HTML.
    """

    volume: Volume | None
    std: Volume | None
    seen: Volume
    samples: np.ndarray | None
    poses: list[dict[str, Any]] | None
    provenance: dict[str, Any]
    report: str


def write_svr(result: SvrResult, directory: str | Path, image_format: str = "nrrd") -> dict[str, str]:
    """Write all files of a result into a folder, all or none; returns {name: path}.

    Args:
        image_format: "nrrd" or "nii.gz".

    Raises:
        InputError: the folder cannot be written or the disk is full.
    """
    with written_whole(directory, ALL_FILES) as folder:
        for name in VOLUMES:
            if (volume := getattr(result, name)) is not None:
                write_volume(volume, folder / f"{name}.{image_format}")
        if result.samples is not None:
            path = folder / _SAMPLES[image_format]
            grid = result.seen.grid
            if image_format == "nrrd":
                write_sequence(result.samples, grid, path)
            else:
                write_four_dimensions(result.samples, grid, path)
        if result.poses is not None:
            _write_json(result.poses, folder / "poses.json")
        _write_json(result.provenance, folder / "result.json")
        (folder / "report.html").write_text(result.report, encoding="utf-8")
    return {name: str(Path(directory) / name) for name in ALL_FILES if (Path(directory) / name).exists()}


def _write_json(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
