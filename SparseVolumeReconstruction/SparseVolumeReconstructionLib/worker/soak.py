"""Whether processes stay as they were, however many reconstructions they have done."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..geometry import InputError
from ..progress import Progress
from .client import WorkerClient
from .measured import mean_as_scan, open_files, resident_mib

WARM, WINDOW = 50, 20
SPACING_MM = 4.0  # of the results


@dataclass(frozen=True)
class Soak:
    """What was seen of the processes that did reconstructions.

    Attributes:
        memory_mib: their resident memory after every reconstruction.
        descriptors: the files that they had open then.
        left: files in their folder of temporary files at the end.
        seconds: all reconstructions together.
        who: did them.
    """

    memory_mib: list[float]
    descriptors: list[int]
    left: list[str]
    seconds: float
    who: str = "one process"

    @property
    def growth(self) -> float:
        """Memory at the end by that after the first WARM reconstructions, minus 1: medians of WINDOW each."""
        then = self.memory_mib[WARM : WARM + WINDOW]
        return statistics.median(self.memory_mib[-WINDOW:]) / statistics.median(then) - 1.0


def soak(prior: str, count: int, device: str, progress: Progress) -> Soak:
    """Do reconstructions in one process, each of other slices, into the same folder.

    Args:
        prior: id of the model; its own mean is the scan, with a known frame.
        count: how many, at least WARM + 2 * WINDOW.
        device: "auto", "cpu", "cuda:0".
        progress: told of every one.

    Raises:
        InputError: for too few, and where the system does not tell what a process holds.
    """
    require(count)
    with TemporaryDirectory() as folder, temporary_files(Path(folder) / "temporary") as temporary:
        asked = {"prior": prior, "frame": "registered", "spacing_mm": SPACING_MM, "samples": 1}
        asked["device"] = device
        with closing(WorkerClient()) as client:
            start = time.monotonic()
            memory, descriptors = _run(client, asked, Path(folder), count, progress)
            seconds = time.monotonic() - start
            left = [path.name for path in temporary.rglob("*")]
        left += sorted(
            {path.name for path in Path(folder).iterdir()} - {"scan.nrrd", "mean", "out", temporary.name}
        )
    progress.finish()
    return Soak(memory, descriptors, left, seconds)


def require(count: int) -> None:
    """Raise InputError for too few reconstructions, and where nothing can be measured."""
    if count < WARM + 2 * WINDOW:
        raise InputError(f"--soak {count}: expected at least {WARM + 2 * WINDOW}.")
    if resident_mib(os.getpid()) is None:
        raise InputError("--soak: this system does not tell what a process holds; run it on Linux.")


def _run(
    client: WorkerClient, asked: dict[str, Any], folder: Path, count: int, progress: Progress
) -> tuple[list[float], list[int]]:
    """Memory (MiB) and the number of open files after every reconstruction."""
    mean = mean_as_scan(client, asked["prior"], SPACING_MM, folder / "scan.nrrd")
    scan = str(folder / "scan.nrrd")
    depth = mean.grid.shape_kji[0]
    memory, descriptors = [], []
    for n in range(count):
        moving = depth // 4 + 1 + n % max(1, depth // 2 - 1)  # as a view that is scrolled
        slices = [depth // 4, moving, depth // 4 * 3]
        request = {"contexts": [{"path": scan, "slices": slices}], "outputs": ["mean", "std"]}
        client.run({**asked, **request, "output": str(folder / "out")})
        memory.append(resident_mib(client.pid) or 0.0)
        descriptors.append(open_files(client.pid))
        progress.update(f"{n + 1} of {count} reconstructions", (n + 1) / count)
    return memory, descriptors


@contextmanager
def temporary_files(folder: Path) -> Iterator[Path]:
    """A folder in which processes that are started meanwhile put their temporary files."""
    folder.mkdir()
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def soak_table(result: Soak) -> str:
    """What was seen, as text."""
    memory, files = result.memory_mib, result.descriptors
    curve = " ".join(f"{memory[n]:.0f}" for n in range(WARM, len(memory), max(1, (len(memory) - WARM) // 8)))
    return (
        f"{len(memory)} reconstructions in {result.who}, {result.seconds / len(memory):.3f} s each: memory "
        f"{memory[WARM]:.0f} MiB after {WARM}, {memory[-1]:.0f} MiB at the end, most {max(memory):.0f} MiB: "
        f"{result.growth:+.2%} (from then on: {curve})\n"
        f"open files: {files[WARM]} then, {files[-1]} at the end; temporary files left: {len(result.left)}"
    )
