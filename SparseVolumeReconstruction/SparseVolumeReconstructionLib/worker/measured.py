"""What measurements of whole processes share: a scan that needs no data, and what processes hold."""

from __future__ import annotations

import os
from pathlib import Path

from ..geometry import Volume
from ..geometry.io import read_volume, write_volume
from .client import WorkerClient

_MIB = 2**20


def mean_as_scan(client: WorkerClient, prior: str, spacing_mm: float, path: Path) -> Volume:
    """The mean of a prior, written as a file that does not say that it was inferred: it plays the scan.

    Args:
        client: does the reconstruction.
        prior: id of the model.
        spacing_mm: of the voxels.
        path: of the file; the result's folder, "mean", comes beside it.

    Returns:
        What was written, in the units of the prior.

    Raises:
        InputError: for an unknown prior, and where nothing can be written.
    """
    asked = {"prior": prior, "frame": "registered", "spacing_mm": spacing_mm, "outputs": ["mean"]}
    made = client.run({**asked, "output": str(path.with_name("mean"))})
    mean = read_volume(made["files"]["mean.nrrd"])
    write_volume(mean, path)
    return mean


def resident_mib(pid: int | None) -> float | None:
    """Resident memory of a process in MiB; None where there is none or the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def open_files(pid: int | None) -> int:
    """How many files, sockets and pipes a process has open; 0 where the system does not tell."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def family(pid: int) -> list[int]:
    """Ids of a process and of all that descend from it; of itself alone where the system does not tell."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it has just ended
    found = [pid]
    for each in found:  # which grows meanwhile
        found += [child for child, parent in parents.items() if parent == each]
    return found
