"""Where single slices lie: the posterior over poses, and MRNGAN's localisers asked the same slices."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..analysis.locate import LEVEL, PosePosterior, pose_posterior
from ..analysis.patient import exact
from ..geometry import Grid, Plane, Volume
from ..geometry.resample import resample
from ..observation import Slice
from ..priors.mrngan.prior import MrnganPrior
from .base import Setting
from .findings import Cell, Findings, Table
from .localisers import NAMES, trained_networks
from .models import GAUSSIAN
from .questions import CUT_MM, Person, anatomy_heights, cut, registered_people

_FIFTHS = 5
_EACH = 3  # slices of each kind and person
_SHOWN = 0.1  # canonical units
_POSTERIOR = "posterior"
_OWN, _REGISTERED = "as scanned", "registered in its plane"


@dataclass(frozen=True)
class _Found:
    """A height that was found: mm above the true one, whether in the right fifth, processor seconds."""

    off_mm: float
    same_fifth: bool
    seconds: float


@dataclass(frozen=True, eq=False)
class _Localisers:
    """Networks by kind, and the stack whose slices they know.

    middle: (x, y), mm, of what the cohort's mean shows of heads seen from above.
    """

    networks: dict[str, Callable[[torch.Tensor], torch.Tensor]]
    grid: Grid
    middle: np.ndarray

    @classmethod
    def of(cls, setting: Setting) -> _Localisers | None:
        """None where MRNGAN is left out. Raises InputError where only its prior was kept."""
        prior = setting.models.several(["mrngan"]).get("mrngan")
        if prior is None:
            return None
        assert isinstance(prior, MrnganPrior)
        grid = prior.evaluation_grid
        middle = _middle(prior.space.atlas.amax(0).numpy(), grid.ijk_to_ras[np.ix_([0, 1, 3], [0, 1, 3])])
        return cls(dict(trained_networks(setting.models).localisers()), grid, middle)

    def asked(self, kind: str, image: Slice, to_patient: np.ndarray) -> tuple[float, float]:
        """Height (canonical mm) of an axial slice, and the processor seconds that took.

        Args:
            kind: of network.
            image: patient mm.
            to_patient: 4x4 from canonical to patient mm; what leads out of the slice's plane does not count.
        """
        start = time.process_time()
        matrix = self.grid.ijk_to_ras
        flat = np.eye(4)
        flat[:3, :3] -= np.outer(image.plane.normal, image.plane.normal)
        flat[:3, 3] = image.plane.normal * (image.plane.normal @ image.plane.centre)
        one = Grid((1, *self.grid.shape_kji[1:]), matrix)
        source = Volume(image.pixels[None], Grid((1, *image.plane.shape_ji), image.plane.ij_to_ras))
        pixels = resample(source, one, flat @ to_patient).array
        with torch.no_grad():
            place = float(self.networks[kind](torch.as_tensor(pixels).clamp(0, 1))[0])
        height = matrix[2, 3] + place * (self.grid.shape_kji[0] - 1) * matrix[2, 2]
        return float(height), time.process_time() - start

    def moved(self, image: Slice) -> np.ndarray:
        """4x4, canonical to patient: shifted in its plane, middle onto middle; nothing else is known."""
        matrix = np.eye(4)
        matrix[:2, 3] = _middle(image.pixels, image.plane.ij_to_ras[np.ix_([0, 1, 3], [0, 1, 3])])
        matrix[:2, 3] -= self.middle
        return matrix


def _middle(pixels: np.ndarray, ij_to_mm: np.ndarray) -> np.ndarray:
    """Middle (2,) of the box around what pixels (rows, columns) show, mm by a 3x3 matrix."""
    rows, columns = np.nonzero(pixels > _SHOWN)
    at = [(columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2, 1.0]
    return np.asarray((ij_to_mm @ at)[:2])


def located(setting: Setting) -> Findings:
    """Single slices whose place is found: errors, and how often the region holds the truth."""
    prior = exact(setting.models.get(GAUSSIAN))
    model, heights = prior.alignment_model(), anatomy_heights(prior)
    localisers = _Localisers.of(setting)
    measured: dict[str, list[tuple[float, ...]]] = {"axial": [], "any orientation": []}
    by_height: dict[tuple[str, str], list[_Found]] = {}
    for person in registered_people(setting, prior):
        generator = np.random.default_rng(sum(map(ord, person.name)))
        for kind, rows in list(measured.items()) * _EACH:
            image = _random_slice(person, generator, kind == "axial")
            start = time.process_time()
            posterior = pose_posterior([image], model, setting.progress.quiet())
            seconds = time.process_time() - start
            rows.append(_errors(posterior, image, person))
            if kind == "axial":
                found = _heights(posterior, seconds, person, image, localisers, heights)
                for key, one in found.items():
                    by_height.setdefault(key, []).append(one)
    tables = [_regions(measured), _compared(by_height)]
    notes = [f"{name} was left out: {why}." for name, why in setting.models.left_out.items()]
    return Findings(
        "locate",
        "Where a single slice lies",
        "How far off is the most probable place, and does the region hold the true one as often as it says?",
        tables,
        [],
        notes,
    )


def _errors(posterior: PosePosterior, image: Slice, person: Person) -> tuple[float, ...]:
    """Distance from the truth, that along the slice's normal, the region, probability of the first mode."""
    true = np.linalg.inv(person.matrix)
    best = posterior.modes[0].patient_to_canonical
    normal = person.matrix[:3, :3].T @ image.plane.normal
    moved = posterior.points @ (best - true)[:3, :3].T + (best - true)[:3, 3]
    off = abs(float(moved.mean(0) @ normal) / float(np.linalg.norm(normal)))
    return posterior.apart_mm(true), off, posterior.region_mm, posterior.modes[0].probability


def _heights(
    posterior: PosePosterior,
    seconds: float,
    person: Person,
    image: Slice,
    localisers: _Localisers | None,
    heights: tuple[float, float],
) -> dict[tuple[str, str], _Found]:
    """Of one axial slice, by who was asked and how it was shown."""
    middle = [*posterior.points.mean(0), 1.0]
    true = np.linalg.inv(person.matrix)
    best = posterior.modes[0].patient_to_canonical
    said = {(_POSTERIOR, _OWN): (float((best @ middle)[2]), seconds)}
    for kind in localisers.networks if localisers else ():
        assert localisers
        for shown, to_patient in ((_OWN, localisers.moved(image)), (_REGISTERED, person.matrix)):
            said[NAMES[kind], shown] = localisers.asked(kind, image, to_patient)
    at = float((true @ middle)[2])
    low, high = heights
    fifth = [int(_FIFTHS * (z - low) / (high - low)) for z in (at, *(z for z, _ in said.values()))]
    return {
        key: _Found(z - at, same == fifth[0], took)
        for (key, (z, took)), same in zip(said.items(), fifth[1:], strict=True)
    }


def _regions(measured: dict[str, list[tuple[float, ...]]]) -> Table:
    rows: list[list[Cell]] = []
    for kind, values in measured.items():
        error, off, region, probability = np.array(values).T
        held = float((error <= region).mean())
        rows.append([kind, *(float(np.median(v)) for v in (error, off, region)), held])
        rows[-1].append(float(probability.mean()))
    header = [
        "slice",
        "median error, mm",
        "along the normal, mm",
        "median region, mm",
        f"held by {LEVEL:.0%}",
        "probability of the first mode",
    ]
    note = (
        f"{len(measured['axial'])} slices of each kind, {_EACH} of each test person, in their own position; "
        f"where the files say left, front and top is used. The region is that of {LEVEL:.0%}. Errors are "
        "root mean squares over the pixels, in the model's space, against the affine registration of the "
        "whole volume."
    )
    return Table("Single slices", header, rows, note)


def _compared(by_height: dict[tuple[str, str], list[_Found]]) -> Table:
    rows: list[list[Cell]] = []
    for (who, shown), found in by_height.items():
        off = np.abs([one.off_mm for one in found])
        same = sum(one.same_fifth for one in found)
        seconds = float(np.median([one.seconds for one in found]))
        rows.append([who, shown, float(np.median(off)), float(off.max()), same, f"{seconds:.2g}"])
    header = ["who", "shown", "median error, mm", "largest, mm", "right fifth", "processor seconds"]
    note = (
        "How high the same axial slices lie, all of them; error: of the height of the slice's middle in the "
        "model's space. Right fifth: slices in the right fifth of the anatomy's height. The networks are "
        "those of MRNGAN, trained on registered stacks; they know one number, the posterior the whole pose. "
        f"{_OWN}: tilted and shifted as the head lay, the middle of what is shown onto the middle of heads; "
        f"{_REGISTERED}: where each pixel lies, but for the height, is taken from the registration."
    )
    return Table("The same axial slices, asked of localisers", header, rows, note)


def _random_slice(person: Person, generator: np.random.Generator, axial: bool) -> Slice:
    """A slice through the brain, at chance; patient mm."""
    grid = person.volume.grid
    points = np.argwhere(person.volume.array > 0.05)[:, ::-1] @ grid.ijk_to_ras[:3, :3].T
    points = points + grid.ijk_to_ras[:3, 3]
    normal = np.array([0.0, 0.0, 1.0]) if axial else generator.normal(size=3)
    normal /= np.linalg.norm(normal)
    low, high = np.quantile(points @ normal, [0.02, 0.98])
    at = low + (high - low) * generator.uniform(0.2, 0.85 if axial else 0.8)
    centre = points.mean(0) + (at - points.mean(0) @ normal) * normal
    first = np.cross([0, 0, 1.0] if abs(normal[2]) < 0.9 else [0, 1.0, 0], normal)
    first /= np.linalg.norm(first)
    size = int(1.3 * np.ptp(points, axis=0).max() / CUT_MM)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([CUT_MM * first, CUT_MM * np.cross(normal, first), normal], 1)
    matrix[:3, 3] = centre - matrix[:3, :2] @ [(size - 1) / 2, (size - 1) / 2]
    plane = Plane((size, size), matrix, 1.0)
    return cut(person.volume, plane, plane, person.name)
