"""First volumes for slice-to-volume reconstruction.

The average of three moving stacks against templates from four still slices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..data.cohort import brain_mask
from ..data.registration import on_grid
from ..evaluation import figures
from ..evaluation.cases import Case
from ..evaluation.pictures import orthogonal
from ..evaluation.scores import score_mean
from ..geometry import Grid, Volume
from ..observation import Slice
from ..svr.average import gaussian_average
from ..svr.motion import acquire, random_translations, stack_planes
from .base import Setting
from .comparison import Measured
from .findings import Cell, Figure, Table

CONTEXTS = 4
MOTIONS_MM = (0.0, 5.0, 10.0)
_KEYS = {
    "ssim": "SSIM",
    "ssim_excluding_contexts": "SSIM, other slices",
    "ssim_in_brain": "SSIM, foreground",
    "cc_volume": "CC",
}
_PRINTED = {"Gaussian average, 10 mm (printed)": 0.297, "BRUNO from 4 slices (printed)": 0.679}


@dataclass(frozen=True)
class Scan:
    """How a body is scanned, in mm.

    Square pixels and thickness of the slices, which have no gaps, and the voxels of the body.
    """

    pixel_mm: float
    thickness_mm: float
    body_mm: float


CLINICAL, TINY = Scan(1.125, 3.3, 1.0), Scan(4.0, 6.6, 4.0)  # clinical: that of fetal scans


@dataclass(frozen=True)
class Motion:
    """What the motion experiment adds to its findings."""

    table: Table
    figure: Figure
    notes: list[str]


def motion_findings(setting: Setting, measured: Measured, shown: str) -> Motion:
    """Averages of simulated stacks of every test subject beside the templates that were measured.

    Args:
        setting: a tiny one has a coarser scan, and the largest motion alone.
        measured: with pictures from CONTEXTS slices; their subjects are scanned.
        shown: subject of the figure.
    """
    scan = TINY if setting.tiny else CLINICAL
    fine = measured.reference.grid.with_spacing(scan.body_mm)
    subjects = list(measured.scores.pictures[CONTEXTS])
    matrices = measured.cohort.registered(measured.reference, subjects)
    found: dict[float, list[dict[str, float]]] = {
        motion: [] for motion in MOTIONS_MM[-1 if setting.tiny else 0 :]
    }
    averages: dict[str, np.ndarray] = {}
    for number, name in enumerate(subjects):
        setting.progress.update(f"{name}: moving stacks", 0.9 + 0.1 * number / len(subjects))
        volume = measured.cohort.volume(name)
        body = Volume(on_grid(volume, fine, matrices[name]), fine)
        truth = Volume(on_grid(volume, measured.grid, matrices[name]), measured.grid)
        case = Case(name, truth, brain_mask(truth.array), (0, truth.grid.shape_kji[0]))
        for motion in found:
            stacks = moving_stacks(body, scan, motion, seed=number)
            average = gaussian_average([image for stack in stacks for image in stack], measured.grid).array
            found[motion].append(score_mean(case, case.positions(CONTEXTS), average).values)
        if name == shown:
            averages = {
                "one moving stack": gaussian_average(stacks[0], measured.grid).array,
                "average of three": average,
            }
    return Motion(_table(measured, found), _figure(measured, averages, shown), [_note(scan)])


def moving_stacks(body: Volume, scan: Scan, max_mm: float, seed: int) -> list[list[Slice]]:
    """An axial, a coronal and a sagittal stack of thick slices.

    Args:
        body: background 0, on a grid along R, A and S.
        max_mm: the body is elsewhere for every slice, by up to so much along each axis; at most 10, or its
            margin is cut.
        seed: of the motion.
    """
    corners = body.grid.corners_ras()
    stacks = []
    field = Grid.covering(np.concatenate([corners - MOTIONS_MM[-1], corners + MOTIONS_MM[-1]]), scan.body_mm)
    for axis in (2, 1, 0):
        planes = stack_planes(field, axis, scan.pixel_mm, scan.thickness_mm, scan.thickness_mm)
        stacks.append(acquire(body, planes, random_translations(len(planes), max_mm, 3 * seed + axis)))
    return stacks


def _table(measured: Measured, found: dict[float, list[dict[str, float]]]) -> Table:
    rows: list[list[Cell]] = [
        [
            f"Gaussian average of three stacks, motion of up to {motion:g} mm",
            *(float(np.mean([v[key] for v in values])) for key in _KEYS),
        ]
        for motion, values in found.items()
    ]
    for name in (name for name in measured.scores if name != "_about"):
        rows.append(
            [f"template from 4 slices: {name}", *(measured.value(name, CONTEXTS, key) for key in _KEYS)]
        )
    rows += [[name, value, None, None, None] for name, value in _PRINTED.items()]
    return Table("First volumes for slice-to-volume reconstruction", ["first volume", *_KEYS.values()], rows)


def _figure(measured: Measured, averages: dict[str, np.ndarray], subject: str) -> Figure:
    picture = measured.scores.pictures[CONTEXTS][subject]
    views = picture.views | {name: orthogonal(array, picture.at) for name, array in averages.items()}
    names = ["truth", *averages, *measured.systems]
    png = figures.mosaic(replace(picture, views=views), names)
    return Figure(
        "First volumes",
        png,
        f"{subject}; motion of up to {MOTIONS_MM[-1]:g} mm. Lines: the four slices of the templates.",
    )


def _note(scan: Scan) -> str:
    most = f"{MOTIONS_MM[-1]:g} mm"
    return (
        f"Motion: three stacks (pixels of {scan.pixel_mm:g} mm, slices {scan.thickness_mm:g} mm thick "
        "without gaps); the body is "
        f"translated for every slice by a random amount, uniform between -{most} and {most} along each axis. "
        "The paper says only "
        "“10mm of random motion in translation only”. No slice of an average counts as observed; templates "
        "show their four slices. "
        "Lengths are those of the registered bodies."
    )
