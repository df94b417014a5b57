"""Merging stacks of bodies of which nothing is known: what it gains over interpolating and averaging them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..evaluation.metrics import masked_mean, psnr, ssim_map
from ..geometry import Grid, InputError, Volume
from ..geometry.io import read_volume
from ..geometry.resample import resample
from ..priors.device import device_name, resolve_device
from ..progress import Progress
from ..svr.search import find_motion
from ..svr.simulate import NOISE, Scan, Simulated, simulate
from ..svr.volume import merged_volume
from .base import Setting
from .findings import Cell, Findings, Table
from .kept import ROWS, Row, finished, keep
from .merging import registration_errors

MOTION = (3.0, 3.0)  # mm and degrees, up to
SCAN = Scan(pixel_mm=1.5, thickness_mm=4.0)
_BODY_MM = 1.5  # voxels of the truth, and of what is made
_KEY = ("kind", "body")
_SUBJECTS = 3  # of each folder, where no number is asked for
# T1w grey values of BrainWeb's labels: background, fluid, grey and white matter, fat, muscle, skin, skull,
# vessels, around fat, dura, marrow
_GREY = np.array([0, 0.2, 0.55, 0.8, 1.0, 0.45, 0.6, 0.08, 0.35, 0.7, 0.25, 0.9], np.float32)
COLUMNS = (
    *("merged dB", "mean of stacks dB", "B-spline of one stack dB", "gain over the mean dB"),
    *("gain over one stack dB", "SSIM merged", "SSIM mean", "SSIM one stack", "TRE mm", "within 2 mm"),
)


@dataclass(frozen=True)
class Kind:
    """How files of one folder become bodies in [0, 1], 0 outside.

    Attributes:
        scale: of their lengths; small animals are made as large as heads.
        grey: values of labels; None where the files are images.
        floor: of images, what is less is air.
    """

    scale: float
    grey: np.ndarray | None
    floor: float = 0.0


KINDS = {
    "heads": Kind(1.0, _GREY),
    "specimens": Kind(6.0, None, 0.04),
}


def gains(setting: Setting) -> Findings:
    """Three orthogonal stacks of bodies of every folder, merged without a model; one simulation of each.

    Every finished one is kept in OUT/rows.jsonl, and not made again.
    """
    device = resolve_device(setting.device)
    work = [(name, path) for name in setting.data for path in _files(setting, name)]
    done = finished(setting.out / ROWS, _KEY)
    rows: list[Row] = []
    for number, (name, path) in enumerate(work):
        part = setting.progress.part(number / len(work), (number + 1) / len(work))
        key = (name, _body_name(path))
        if key not in done:
            done[key] = [row_of(name, path, number, device, part)]
            keep(done[key], setting.out / ROWS)
        rows += done[key]
    return Findings(
        "svr-without-model",
        "Merging moving stacks without a model",
        "What does merging gain over averaging the stacks and over interpolating the best one?",
        [_table(name, [row for row in rows if row["kind"] == name]) for name in setting.data],
        [],
        [*_notes(), f"Computed by {' and '.join(sorted({row['device'] for row in rows}))}."],
    )


def row_of(kind: str, path: Path, seed: int, device: torch.device, progress: Progress) -> Row:
    """What COLUMNS say of one body of a folder, one of KINDS."""
    values = scores(body_of(path, KINDS[kind]), seed, device, progress)
    about = {"kind": kind, "body": _body_name(path), "seed": seed, "device": device_name(device)}
    return about | dict(zip(COLUMNS, map(float, values), strict=True))


def _body_name(path: Path) -> str:
    return path.name.removesuffix(".nii.gz")


def _table(name: str, rows: list[Row]) -> Table:
    cells: list[list[Cell]] = [[row["body"], *(row[column] for column in COLUMNS)] for row in rows]
    mean = [float(np.mean([row[column] for row in rows])) for column in COLUMNS]
    return Table(f"{len(rows)} {name}", ["body", *COLUMNS], [*cells, ["mean", *mean]])


def _files(setting: Setting, name: str) -> list[Path]:
    """The first files of a folder. Raises InputError where there are none."""
    paths = sorted(setting.data[name].glob("*.nii.gz"))[: setting.subjects or _SUBJECTS]
    if not paths:
        raise InputError(f"{setting.data[name]}: has no file *.nii.gz; expected {name}.")
    return paths


def body_of(path: Path, kind: Kind) -> Volume:
    """A body on voxels of about 1.5 mm along R, A and S."""
    volume = read_volume(path)
    array = volume.array
    if kind.grey is not None:
        array = kind.grey[np.clip(array.astype(int), 0, len(kind.grey) - 1)]
    array = array / max(float(np.percentile(array[array > 0], 99.9)), 1e-6)
    array = np.where(array > kind.floor, np.clip(array, 0, 1), 0).astype(np.float32)
    matrix = np.diag([kind.scale, kind.scale, kind.scale, 1.0]) @ volume.grid.ijk_to_ras
    large = Volume(array, Grid(array.shape, matrix))
    body = resample(large, Grid.covering(large.grid.corners_ras(), _BODY_MM))
    return Volume(np.where(body.array > 0.02, body.array, 0).astype(np.float32), body.grid)


def interpolated(given: Simulated, stack: int, grid: Grid) -> np.ndarray:
    """One stack as it lies, cubic between its slices, (K, J, I) on a grid."""
    own = [s for s in given.slices if s.stack == stack]
    planes = [s.image.plane for s in own]
    matrix = planes[0].ij_to_ras.copy()
    last = own[-1].place - own[0].place
    matrix[:3, 2] = (planes[-1].centre - planes[0].centre) / last
    array = np.zeros((last + 1, *planes[0].shape_ji), np.float32)
    for s in own:
        array[s.place - own[0].place] = np.where(s.mask, s.image.pixels, 0)
    return resample(Volume(array, Grid(array.shape, matrix)), grid, antialias=False, cubic=True).array


def scores(body: Volume, seed: int, device: torch.device | str, progress: Progress) -> tuple[float, ...]:
    """All of COLUMNS, of one simulation; what is made is scaled by one factor, and moved as a whole."""
    given = simulate(body, SCAN, *MOTION, spoiled=0.0, seed=seed)
    found = find_motion(given.slices, seed=seed, device=device, progress=progress.part(0, 0.6))
    errors, to_truth = registration_errors(given, found)
    part = progress.part(0.6, 1.0)
    merged = merged_volume(given.slices, found, _BODY_MM, device=device, progress=part)
    ours = resample(merged.mean, body.grid, np.linalg.inv(to_truth), antialias=False).array
    stacks = [interpolated(given, n, body.grid) for n in range(len(SCAN.axes))]
    made = [ours, np.mean(stacks, 0), max(stacks, key=lambda one: _psnr(body, one))]
    levels = [_psnr(body, each) for each in made]
    alike = [masked_mean(ssim_map(body.array, _scaled(body, each)), body.array > 0) for each in made]
    gains = (levels[0] - levels[1], levels[0] - levels[2])
    return (*levels, *gains, *alike, float(errors.mean()), float((errors < 2).mean()))


def _scaled(body: Volume, made: np.ndarray) -> np.ndarray:
    return made * float((made * body.array).sum() / max(float((made**2).sum()), 1e-12))


def _psnr(body: Volume, made: np.ndarray) -> float:
    return psnr(body.array, _scaled(body, made))


def _notes() -> list[str]:
    return [
        f"Three orthogonal stacks, {SCAN.pixel_mm:g} x {SCAN.pixel_mm:g} x {SCAN.thickness_mm:g} mm, box "
        f"profile, noise {NOISE:g} of the range, gains of slices with 5% spread, none spoiled. The body lies "
        f"elsewhere in every slice, independently, by up to {MOTION[0]:g} mm and {MOTION[1]:g} degrees.",
        "Heads are label maps in T1w grey values; specimens are CT images whose lengths are six times "
        "theirs, so that slices of 4 mm make sense.",
        "Every volume is scaled by one factor, and the merged one moved as a whole to where the body is; "
        "PSNR over the whole box. One stack: cubic B-spline between its slices, of the three the best. SSIM: "
        "7 x 7 of axial slices, mean in the body. TRE: mean distance of a slice's pixels from the truth.",
    ]
