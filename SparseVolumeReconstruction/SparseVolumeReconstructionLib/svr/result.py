"""What a merge of stacks writes: volumes, poses, provenance and a report, all or none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..geometry import Volume
from ..geometry.io import written_whole
from ..reconstruction.formats import FORMATS
from ..reconstruction.images import image_names, write_images

VOLUMES = ("volume", "std", "seen")
OTHERS = ("poses.json", "result.json", "report.html")
ALL_FILES = (*(name for each in FORMATS for name in image_names(VOLUMES, each)), *OTHERS)


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
        image_format: one of FORMATS.

    Raises:
        InputError: the folder cannot be written or the disk is full.
    """
    with written_whole(directory, ALL_FILES) as folder:
        made = {name: getattr(result, name) for name in VOLUMES}
        volumes = {name: volume for name, volume in made.items() if volume is not None}
        samples = None if result.samples is None else (result.samples, result.seen.grid)
        write_images(folder, volumes, samples, image_format, True, result.provenance)
        if result.poses is not None:
            _write_json(result.poses, folder / "poses.json")
        _write_json(result.provenance, folder / "result.json")
        (folder / "report.html").write_text(result.report, encoding="utf-8")
    return {name: str(Path(directory) / name) for name in ALL_FILES if (Path(directory) / name).exists()}


def _write_json(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
