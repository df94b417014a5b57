"""Merging simulated stacks: how near every slice is to the truth, and the volume, from each first volume."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..data.landmarks import rigid
from ..evaluation.metrics import masked_mean, pearson, psnr, ssim_map
from ..geometry import InputError, Volume
from ..geometry.io import read_volume
from ..geometry.resample import resample
from ..priors.base import Prior
from ..priors.device import device_name, resolve_device
from ..progress import Progress
from ..svr.first_volume import agreement, by_template, template_from
from ..svr.search import LEVELS, Found, find_motion
from ..svr.simulate import NOISE, Scan, Simulated, simulate
from ..svr.volume import merged_volume
from .base import Setting
from .findings import Cell, Findings, Table
from .kept import ROWS, Row, finished, keep

MOTIONS = ((0.0, 0.0), (5.0, 5.0), (10.0, 15.0), (20.0, 30.0))  # mm and degrees, up to
AVERAGE, TEMPLATE, EVIDENCE = "(a) stacks as they lie", "(b) template of 4 slices", "(c) by evidence"
Key = tuple[str, float, float, int]
_KEY = ("body", "mm", "degrees", "seed")
_CONTEXTS = 4
_SPACING_MM = 0.8
_NEAR_MM = 2.0
_LEVEL, _WIDTH = 0.9, 1.645  # of the intervals, and their half width in standard deviations
COLUMNS = (
    "TRE mm",
    "TRE median mm",
    "within 2 mm",
    "SSIM in brain",
    "NCC",
    "PSNR dB",
    "coverage 90%",
    "seconds",
)


@dataclass(frozen=True)
class Case:
    """One simulation: of which body, up to how many mm and degrees it moves, and the seed of that."""

    path: Path
    motion: tuple[float, float]
    seed: int

    @property
    def body(self) -> str:
        """Name of the template."""
        return self.path.name.removesuffix(".nii.gz")

    @property
    def key(self) -> Key:
        """What tells its rows from those of others."""
        return (self.body, *self.motion, self.seed)


def simulated(setting: Setting) -> Findings:
    """Templates kept apart from the model, three moving stacks each, at four amounts of motion.

    Every finished simulation is kept in OUT/rows.jsonl, and not made again.
    """
    from ..zoo import ModelStore

    device = resolve_device(setting.device)
    prior = ModelStore().load("fetal-t2", str(device))
    cases = cases_of(setting)
    done = finished(setting.out / ROWS, _KEY)
    for number, case in enumerate(cases):
        part = setting.progress.part(number / len(cases), (number + 1) / len(cases))
        if case.key not in done:
            done[case.key] = rows_of(case, prior, device, part)
            keep(done[case.key], setting.out / ROWS)
    rows = [row for case in cases for row in done[case.key]]
    return Findings(
        "svr-simulated",
        "Merging simulated moving stacks",
        "How near is every slice to where the body was, and the volume to the body?",
        [_table("Three orthogonal stacks", rows, "first"), *_tables_of_bodies(rows)],
        [],
        _notes(sorted({case.body for case in cases}), sorted({row["device"] for row in rows})),
    )


def cases_of(setting: Setting) -> list[Case]:
    """All simulations, one seed after the other. Raises InputError where there are no templates."""
    names = [f"{name}.nii.gz" for name in setting.models.split["test"]]
    places = [folder / name for name in names for folder in setting.data.values()]
    paths = [path for path in places if path.is_file()][: setting.subjects]
    if not paths:
        folders = " and ".join(map(str, setting.data.values()))
        raise InputError(
            f"{folders}: no template of the test split is there; expected {names[0]} and others."
        )
    return [Case(path, motion, seed) for seed in range(setting.seeds) for motion in MOTIONS for path in paths]


def rows_of(case: Case, prior: Prior | None, device: torch.device, progress: Progress) -> list[Row]:
    """One row for each first volume: what it is of, COLUMNS, and the agreement of slices with the volume."""
    about = dict(zip(_KEY, case.key, strict=True))
    scores = merges(body_of(case.path), prior, case.motion, seed=case.seed, device=device, progress=progress)
    return [
        {
            **about,
            "first": first,
            **dict(zip(COLUMNS, map(float, score.values), strict=True)),
            "agreement": score.agreement,
            "device": device_name(device),
        }
        for first, score in scores
    ]


def _table(title: str, rows: list[Row], by: str) -> Table:
    """Means of rows that have the motion and one more thing in common."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row['mm']:g} mm, {row['degrees']:g}°: {row[by]}", []).append(row)
    cells: list[list[Cell]] = [
        [name, len(each), *(float(np.mean([row[column] for row in each])) for column in COLUMNS)]
        for name, each in groups.items()
    ]
    return Table(title, ["motion up to", "simulations", *COLUMNS], cells)


def _tables_of_bodies(rows: list[Row]) -> list[Table]:
    chosen = [row for row in rows if row["first"] == EVIDENCE]
    return [_table("By evidence, each body", chosen, "body")] if chosen else []


@dataclass(frozen=True)
class Score:
    """What is measured of one merge, in the order of COLUMNS; coarse_s: until evidence could choose."""

    values: tuple[float, ...]
    agreement: float
    coarse_s: float


def body_of(path: Path) -> Volume:
    """A template in [0, 1], 0 outside."""
    volume = read_volume(path)
    top = np.percentile(volume.array[volume.array > 0], 99.9)
    return Volume(np.clip(volume.array / top, 0, 1).astype(np.float32), volume.grid)


def merges(
    body: Volume,
    prior: Prior | None,
    motion: tuple[float, float],
    *,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Progress,
) -> list[tuple[str, Score]]:
    """Scores from each first volume, and from the one that evidence chose.

    Args:
        body: in [0, 1], 0 outside.
        prior: of the template; only the stacks as they lie if None.
        motion: mm and degrees, up to.
        seed: of the motion.
        device: that computes.
        progress: asked whether to stop.
    """
    given = simulate(body, Scan(), *motion, still=_CONTEXTS, seed=seed)
    search = partial(find_motion, given.slices, device=device)
    scores: list[tuple[str, Score]] = []
    names = (AVERAGE,) if prior is None else (AVERAGE, TEMPLATE)
    for number, name in enumerate(names):
        part = progress.part(number / len(names), (number + 1) / len(names))
        start = time.perf_counter()
        if prior is not None and name == TEMPLATE:
            template = template_from([given.slices[n] for n in given.still], prior, progress.quiet())
            coarse = by_template(given.slices, template, seed=0, device=device, progress=part.part(0, 0.3))
        else:
            coarse = search(levels=LEVELS[:1], progress=part.part(0, 0.3))
        coarse_s = time.perf_counter() - start
        found = search(known=coarse, levels=LEVELS[1:], progress=part.part(0.3, 0.7))
        values = measured(body, given, found, device, part.part(0.7, 1.0))
        seconds = time.perf_counter() - start
        scores.append((name, Score((*values, seconds), agreement(given.slices, coarse), coarse_s)))
    if prior is None:
        return scores
    chosen = max((score for _, score in scores), key=lambda each: each.agreement)
    both_s = chosen.values[-1] + sum(score.coarse_s for _, score in scores) - chosen.coarse_s
    return [*scores, (EVIDENCE, replace(chosen, values=(*chosen.values[:-1], both_s)))]


def measured(
    body: Volume, given: Simulated, found: Found, device: torch.device | str, progress: Progress
) -> tuple[float, ...]:
    """All of COLUMNS but seconds; both bodies are brought together by one rigid movement first."""
    errors, to_truth = registration_errors(given, found)
    good = ~given.spoiled
    merged = merged_volume(given.slices, found, _SPACING_MM, device=device, progress=progress)
    back = np.linalg.inv(to_truth)
    mean, std = (resample(v, body.grid, back, antialias=False).array for v in (merged.mean, merged.std))
    brain = body.array > 0
    unit = float((mean[brain] * body.array[brain]).sum() / (mean[brain] ** 2).sum())
    mean, std = mean * unit, std * unit
    inside = np.abs(mean - body.array) <= _WIDTH * std
    return (
        float(errors[good].mean()),
        float(np.median(errors[good])),
        float((errors[good] < _NEAR_MM).mean()),
        masked_mean(ssim_map(body.array, mean), brain),
        pearson(body.array[brain], mean[brain]),
        psnr(body.array, mean),
        float(inside[brain].mean()),
    )


def registration_errors(given: Simulated, found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance (S,) in mm of a slice's pixels from the truth, after one rigid movement of all of them.

    Returns:
        The distances, and the movement (4x4) from the body that was found to the true one: of slices that
        are not spoiled, without those that are far off.
    """
    local = [s.image.plane.points_ras()[s.mask.ravel()][::5] for s in given.slices]
    placed = [_moved(p, m) for p, m in zip(local, found.poses.numpy(), strict=True)]
    truth = [_moved(p, m) for p, m in zip(local, given.poses, strict=True)]
    use = ~given.spoiled
    for _ in range(6):
        chosen = np.flatnonzero(use)
        matrix = rigid(
            np.concatenate([placed[n] for n in chosen]), np.concatenate([truth[n] for n in chosen])
        )
        pairs = zip(placed, truth, strict=True)
        errors = np.array([np.linalg.norm(_moved(a, matrix) - b, axis=1).mean() for a, b in pairs])
        use = ~given.spoiled & (errors <= 2 * np.median(errors[~given.spoiled]) + 1e-3)
    return errors, matrix


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _notes(names: list[str], devices: list[str]) -> list[str]:
    scan = Scan()
    return [
        f"Bodies: {', '.join(names)}, kept apart from the fit of fetal-t2. Means of simulations, "
        f"each with another seed. Computed by {' and '.join(devices)}.",
        f"Three orthogonal stacks, {scan.pixel_mm:g} x {scan.pixel_mm:g} x {scan.thickness_mm:g} mm, box "
        f"profile, noise {NOISE:g} of the range, gains of slices with 5% spread, 10% of slices spoiled "
        "(signal lost in the slice or a band of it, or two places at once). The body lies elsewhere in every "
        "slice, independently: uniform angle and distance up to those of the row, any axis and direction.",
        f"The template is the posterior mean of fetal-t2 given {_CONTEXTS} slices of the first stack that "
        "did not move; they are among the slices of all rows. Evidence: how well slices agree with the "
        "volume after the coarsest level; it also says whether (b) searches near by or far around.",
        "TRE: mean distance of a slice's pixels from the truth after one rigid movement of the whole, over "
        "slices that are not spoiled. The volume is scaled by one factor. SSIM: 7 x 7 of axial slices, mean "
        "in the brain. NCC in the brain, PSNR over the whole box. Coverage: voxels of the brain within 1.645 "
        "standard deviations. Seconds of (c): with both searches at the coarsest level.",
    ]
