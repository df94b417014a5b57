"""Time and memory of merging stacks: the usual size, and the growth with stacks and voxels."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from ..geometry import Grid, Volume
from ..priors.device import resolve_device
from ..progress import Progress
from ..svr.search import find_motion
from ..svr.simulate import Scan, simulate
from ..svr.volume import merged_volume
from .benchmark import peak_mib

_BODY_MM = 82.0  # 25 slices of 3.3 mm
_VOXEL_MM = 1.2
Row = dict[str, float | None]


@dataclass(frozen=True)
class Merge:
    """What is merged: so many stacks of slices of `thickness_mm`, to voxels of `spacing_mm`."""

    stacks: int
    thickness_mm: float
    spacing_mm: float

    @property
    def name(self) -> str:
        """In a table."""
        return f"{self.stacks} stacks of {self.thickness_mm:g} mm to {self.spacing_mm:g} mm"


USUAL = Merge(3, 3.3, 0.8)
MERGES = (
    USUAL,
    *(Merge(stacks, 6.6, 2.4) for stacks in (1, 3, 6, 12)),
    *(Merge(3, 6.6, spacing) for spacing in (1.6, 1.2, 0.8)),
)


def merge_benchmark(
    progress: Progress, merges: Sequence[Merge] = MERGES, device: str = "cpu"
) -> dict[str, Row]:
    """Merge simulated stacks of a body of 82 mm that moves by up to 5 mm and 5 degrees.

    Each in a process of its own. device: that computes.

    Returns:
        Of each merge: slices, voxels, motion_s and volume_s (seconds), peak_mib (None where not known).
    """
    rows = {}
    spawn = multiprocessing.get_context("spawn")
    for number, merge in enumerate(merges):
        progress.update(f"merging {merge.name}", number / len(merges))
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            rows[merge.name] = pool.submit(_measure, merge, device).result()
    return rows


def _measure(merge: Merge, device: str) -> Row:
    where = resolve_device(device)
    axes = tuple(2 - n % 3 for n in range(merge.stacks))
    scan = Scan(merge.thickness_mm / 3, merge.thickness_mm, axes)
    slices = simulate(_body(), scan, 5.0, 5.0).slices
    start = time.perf_counter()
    found = find_motion(slices, device=where)
    between = time.perf_counter()
    merged = merged_volume(slices, found, merge.spacing_mm, device=where)
    return {
        "slices": len(slices),
        "voxels": merged.mean.grid.size,
        "motion_s": between - start,
        "volume_s": time.perf_counter() - between,
        "peak_mib": peak_mib(),
    }


def _body() -> Volume:
    """A ball of soft blobs, 0 outside, in [0, 1]."""
    size = int(_BODY_MM / _VOXEL_MM) + 6
    grid = Grid.centred((size, size, size), _VOXEL_MM, (0.0, 0.0, 0.0))
    blobs = gaussian_filter(np.random.default_rng(0).standard_normal(grid.shape_kji), 4.0 / _VOXEL_MM)
    inside = (np.linalg.norm(grid.points_ras(), axis=1) < _BODY_MM / 2).reshape(grid.shape_kji)
    grey = np.clip(0.5 + 0.15 * blobs / blobs.std(), 0.05, 1)
    return Volume(np.where(inside, grey, 0).astype(np.float32), grid)


def merge_table(rows: dict[str, Row]) -> str:
    """The benchmark as text."""
    lines = [f"{'merging':<34}{'slices':>8}{'voxels':>10}{'motion':>10}{'volume':>10}{'peak memory':>13}"]
    for name, row in rows.items():
        peak = f"{row['peak_mib']:.0f} MiB" if row["peak_mib"] else "unknown"
        times = f"{row['motion_s']:>8.1f} s{row['volume_s']:>8.1f} s"
        lines.append(f"{name:<34}{row['slices']:>8}{row['voxels']:>10}{times}{peak:>13}")
    return "\n".join(lines)
