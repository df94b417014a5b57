"""Time and memory of a prior: the protocol's size, and the growth with contexts and voxels."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..alignment.radiographs import UNKNOWN, place
from ..geometry import Grid, Volume
from ..geometry.resample import resample
from ..observation.rays import radiograph_of, unplaced
from ..observation.slices import slice_of
from ..observation.views import VIEWS, half_directions
from ..priors.base import Posterior
from ..priors.card import ModelCard
from ..progress import Progress
from ..zoo.store import ModelStore
from .cases import as_array, context_positions

CONTEXTS, RADIOGRAPHS = (1, 2, 4, 7, 10), (1, 2, 3)
SIZES, CUBES = (64, 96, 128, 160, 192), (64, 128)  # of slices and of radiographs
PROTOCOL_CONTEXTS = 4
SAMPLES = 16
SAMPLE_COUNTS, RAY_SAMPLE_COUNTS = (1, 16, 64), (1, 16)
RUNS = 7
_RAY_NOISE = 0.005


def benchmark(
    prior_id: str,
    store: ModelStore,
    progress: Progress,
    *,
    device: str = "auto",
    round_trip: Callable[[], object] | None = None,
    contexts: tuple[int, ...] | None = None,
    sizes: tuple[int, ...] | None = None,
    sample_counts: tuple[int, ...] | None = None,
    runs: int = RUNS,
) -> dict:
    """Measure warm calls, each setting in a fresh process, medians of `runs` calls.

    A prior of CT is given radiographs, any other one axial slices.

    Seconds and MiB. Every row has voxels, contexts, condition_mean_s, sample_s (one sample), loaded_mib
    (before) and peak_mib; rows with several samples also samples_N_s (all at once), those of radiographs
    condition_mean_std_s.

    Args:
        contexts: numbers of slices or radiographs (CONTEXTS, RADIOGRAPHS).
        sizes: voxels along a side (SIZES, CUBES).
        sample_counts: numbers of samples (SAMPLE_COUNTS, RAY_SAMPLE_COUNTS).
        round_trip: one small request to a warm worker (given by the caller, who owns the worker).

    Returns:
        JSON-ready numbers.

    Raises:
        InputError: for an unknown prior.
    """
    store.verify(prior_id)
    rays = of_rays(store.find(prior_id).entry.card)
    sizes = sizes or (CUBES if rays else SIZES)
    sample_counts = sample_counts or (RAY_SAMPLE_COUNTS if rays else SAMPLE_COUNTS)
    settings = settings_of(rays, contexts or (RADIOGRAPHS if rays else CONTEXTS), sizes, sample_counts)
    rows = {}
    for step, (name, (size, count, samples)) in enumerate(settings.items()):
        progress.update(f"measuring {name}", step / (len(settings) + 1))
        rows[name] = _apart(_measure, store.user_dir, prior_id, device, size, count, samples, runs)
    result = {
        "prior": prior_id,
        "runs": runs,
        "machine": _machine(),
        "rows": rows,
        "growth": _growth(
            rows,
            [name for name in settings if name.endswith(("contexts", "radiographs"))],
            [f"{n}^3 voxels" for n in sizes],
            [f"{n} samples" for n in sample_counts],
        ),
    }
    if rays:
        progress.update("measuring the search for views", len(settings) / (len(settings) + 1))
        result["views_s"] = _apart(_views, store.user_dir, prior_id, device, runs)
    if round_trip:
        progress.update("measuring the worker", len(settings) / (len(settings) + 1))
        result["worker_round_trip_s"] = median_seconds(round_trip, runs)
    return result


def _apart(measure: Callable[..., Any], *arguments: object) -> Any:
    """What a function gives in a process of its own, whose memory is its alone."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def settings_of(
    rays: bool, counts: tuple[int, ...], sizes: tuple[int, ...], samples: tuple[int, ...]
) -> dict[str, tuple[int | None, int, int]]:
    """Voxels along a side (None: of the protocol), number of observations and of samples, by what is told.

    Args:
        rays: radiographs are given, one where their number does not vary; else slices.
        counts: numbers of observations.
        sizes: voxels along each side.
        samples: numbers of samples.
    """
    word, usual = ("radiographs", 1) if rays else ("contexts", PROTOCOL_CONTEXTS)
    settings: dict[str, tuple[int | None, int, int]] = {"protocol": (None, usual, SAMPLES)}
    settings |= {f"{n} {word}": (None, n, 1) for n in counts}
    settings |= {f"{n}^3 voxels": (n, usual, 1) for n in sizes}
    return settings | {f"{n} samples": (None, usual, n) for n in samples}


def of_rays(card: ModelCard) -> bool:
    """Whether what a prior is given are radiographs."""
    return "CT" in card.modality


def _measure(
    user_dir: Path, prior_id: str, device: str, size: int | None, count: int, samples: int, runs: int
) -> dict:
    """One setting in its own process.

    Size None: the protocol's grid, else size^3 voxels over the same box.
    """
    prior = ModelStore(user_dir).load(prior_id, device)
    own = prior.evaluation_grid
    body = Volume(as_array(prior.condition([], grid=own).sample([0]))[0], own)
    grid = own if size is None else own.with_spacing(own.spacing_ijk * own.shape_kji[::-1] / size)
    given = _given(body, grid, count, of_rays(prior.card))
    loaded = peak_mib()

    def condition() -> Posterior:  # on new ones: nothing is kept of them
        return prior.condition([replace(one) for one in given], grid=grid)

    seconds = median_seconds(lambda: as_array(condition().mean()), runs)
    row: dict[str, float | None] = {"voxels": grid.size, "contexts": count, "condition_mean_s": seconds}
    if of_rays(prior.card):
        row["condition_mean_std_s"] = median_seconds(lambda: _mean_and_std(condition()), runs)
    posterior = prior.condition(given, grid=grid)
    seconds = median_seconds(lambda: as_array(posterior.sample(list(range(samples)))), min(3, runs))
    row |= {"sample_s": seconds / samples, "loaded_mib": loaded, "peak_mib": peak_mib()}
    return row | ({f"samples_{samples}_s": seconds} if samples > 1 else {})


def _mean_and_std(posterior: Posterior) -> None:
    as_array(posterior.mean())
    as_array(posterior.std())


def _views(user_dir: Path, prior_id: str, device: str, runs: int) -> dict[str, float]:
    """Seconds until a named and an unknown view are found, in a process of its own."""
    prior = ModelStore(user_dir).load(prior_id, device)
    body = Volume(as_array(prior.condition([]).sample([0]))[0].clip(0), prior.grid)
    seen = radiograph_of(body, np.array(VIEWS["side"]), max(prior.grid.shape_kji), _RAY_NOISE)
    model, still = prior.alignment_model(), np.eye(4)
    words = ("side", UNKNOWN)
    calls = (partial(place, unplaced(seen, view), model, still, lambda: None) for view in words)
    return {view: median_seconds(call, runs) for view, call in zip(words, calls, strict=True)}


def _given(body: Volume, grid: Grid, count: int, rays: bool) -> list:
    """Axial contexts, or radiographs, of a sample of the prior itself: no data is needed."""
    volume = body if grid is body.grid else resample(body, grid)
    if rays:
        pixels = max(grid.shape_kji)
        return [radiograph_of(volume, each, pixels, _RAY_NOISE) for each in half_directions(count)]
    return [slice_of(volume, k) for k in context_positions(count, grid.shape_kji[0])]


def median_seconds(call: Callable[[], object], runs: int) -> float:
    """Median seconds of `runs` calls after one warm call.

    Args:
        call: must wait for what it computes.
        runs: at least 1.
    """
    call()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def peak_mib() -> float | None:
    """Largest resident memory of this process so far in MiB; None where the system does not tell.

    Linux keeps the parent's peak in ru_maxrss of a child, so its own VmHWM is read there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(
            int(line.split()[1]) / 1024
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return None


def _machine() -> dict:
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _growth(rows: dict, *series: list[str]) -> dict:
    """Ratios of the last to the first setting of each series of rows, measured in the same run."""
    growth = {}
    for names in series:
        first, last = rows[names[0]], rows[names[-1]]
        growth[f"{names[0]} -> {names[-1]}"] = {
            key: last[key] / first[key]
            for key in ("condition_mean_s", "condition_mean_std_s", "sample_s", "peak_mib")
            if first.get(key) and last.get(key)
        }
    return growth


def table(result: dict) -> str:
    """The benchmark as text."""
    machine = result["machine"]
    lines = [
        f"{result['prior']}: medians of {result['runs']} warm calls, {machine['threads']} threads, torch "
        f"{machine['torch']}",
        f"{'':<16}{'given':>9}{'voxels':>10}{'condition + mean':>18}{'and sd':>10}{'one sample':>12}"
        f"{'peak memory':>13}",
    ]
    for name, row in result["rows"].items():
        peak = f"{row['peak_mib']:.0f} MiB" if row["peak_mib"] else "unknown"
        both = row.get("condition_mean_std_s")
        deviation = f"{both:>8.3f} s" if both else f"{'':>10}"
        lines.append(
            f"{name:<16}{row['contexts']:>9}{row['voxels']:>10}{row['condition_mean_s']:>16.3f} "
            f"s{deviation}{row['sample_s']:>10.3f} s{peak:>13}"
        )
    lines.append(
        f"{SAMPLES} samples at the protocol's size: {result['rows']['protocol'][f'samples_{SAMPLES}_s']:.2f} "
        "s"
    )
    for name, ratios in result["growth"].items():
        lines.append(
            f"growth {name}: "
            + ", ".join(f"{key.removesuffix('_s').replace('_', ' ')} x{r:.2f}" for key, r in ratios.items())
        )
    if "views_s" in result:
        lines.append("views: " + ", ".join(f"{view} {s:.2f} s" for view, s in result["views_s"].items()))
    if "worker_round_trip_s" in result:
        lines.append(f"worker round trip: {result['worker_round_trip_s']:.3f} s")
    return "\n".join(lines)
