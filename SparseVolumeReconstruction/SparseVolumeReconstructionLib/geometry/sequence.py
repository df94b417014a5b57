"""Samples as a Slicer volume sequence (.seq.nrrd)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from .errors import InputError
from .grid import Grid


def write_sequence(
    samples: np.ndarray, grid: Grid, path: Path, compress: bool = True, texts: dict[str, str] | None = None
) -> None:
    """Write samples as a Slicer volume sequence (.seq.nrrd).

    Args:
        samples: (n, K, J, I).
        grid: of every one of them.
        path: the file.
        compress: smaller files, more time.
        texts: that the header says, by their keys.

    Raises:
        OSError: when it cannot be written.
    """
    import nrrd  # the panel opens before this package is installed

    directions = np.vstack([np.full(3, np.nan), grid.ijk_to_ras[:3, :3].T])
    header = {
        "type": "float",
        "dimension": 4,
        "space": "right-anterior-superior",
        "space directions": directions,
        "space origin": grid.ijk_to_ras[:3, 3],
        "kinds": ["list", "domain", "domain", "domain"],
        "labels": ["sample", "", "", ""],
        "axis 0 index type": "numeric",
        "axis 0 index values": " ".join(str(n) for n in range(len(samples))),
        "encoding": "gzip" if compress else "raw",
        **(texts or {}),
    }
    nrrd.write(
        str(path),
        np.ascontiguousarray(samples.transpose(0, 3, 2, 1)),
        header,
        index_order="F",
        compression_level=1,
    )
    _blank_date(path)


def _blank_date(path: Path) -> None:
    """Overwrite the comment in which pynrrd writes the date, so that the same result has the same bytes."""
    with open(path, "r+b") as file:
        start = file.read(4096)
        date = re.search(rb"^# on [^\n]*", start, re.MULTILINE)
        if date:
            file.seek(date.start())
            file.write(b"#" + b" " * (len(date[0]) - 1))


def read_sequence(path: Path) -> np.ndarray:
    """Samples (n, K, J, I) of a Slicer volume sequence. Raises InputError."""
    import nrrd

    try:
        values, _header = nrrd.read(str(path), index_order="C")
    except (OSError, ValueError, KeyError, nrrd.NRRDError) as error:
        raise InputError(f"{path}: cannot be read as a sequence of volumes; reconstruct again.") from error
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))
