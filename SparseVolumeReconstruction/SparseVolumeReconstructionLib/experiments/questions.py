"""What the questions to a posterior are worth: suggested planes, and what is improbable."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.stats import mannwhitneyu

from ..analysis.next_plane import Planner
from ..analysis.patient import exact
from ..analysis.surprise import RATE, SliceScore, discoveries, scores
from ..analysis.surprising import HEALTHY
from ..data.cohort import list_cohort
from ..data.registration import on_grid
from ..evaluation import metrics
from ..evaluation.cases import context_positions
from ..geometry import InputError, Plane, Volume
from ..geometry.io import read_volume
from ..observation import Slice
from ..priors.structured_gaussian.prior import StructuredGaussian
from ..progress import Progress
from ..reconstruction.patient_posterior import align_patient, condition_registered
from .base import Setting
from .findings import Cell, Findings, Table
from .models import GAUSSIAN

_COUNTS = (2, 3, 4)
_MEASURES = ("RMSE", "RMSE after gain and bias", "SSIM")
CUT_MM = 1.5  # pixels of slices
_GRID_MM, _PIXEL_MM = 3.0, 2.0
_ANATOMY, _BRAIN = 0.1, 0.02
_SLICES = 9
_LESION_SD, _MIN_PIXELS = 3.0, 20
_SMOOTH = 1.0


@dataclass(frozen=True, eq=False)
class Person:
    """volume: as scanned, [0, 1]. matrix: canonical to patient, mm."""

    name: str
    volume: Volume
    matrix: np.ndarray

    def cut(self, plane: Plane) -> Slice:
        """What a plane (canonical mm) shows of the registered volume."""
        return cut(self.volume, plane.transformed(self.matrix), plane, self.name)


def cut(volume: Volume, there: Plane, plane: Plane, name: str) -> Slice:
    """What a plane `there`, mm of the volume, shows of it, as a slice on `plane`."""
    to_ijk = volume.grid.ras_to_ijk
    ijk = there.points_ras() @ to_ijk[:3, :3].T + to_ijk[:3, 3]
    pixels = map_coordinates(volume.array, ijk[:, ::-1].T, order=1).reshape(plane.shape_ji)
    return Slice(pixels, plane, name, source=name)


def registered_people(setting: Setting, prior: StructuredGaussian) -> Iterator[Person]:
    """The test subjects of the folder, registered. Raises InputError where there is none."""
    cohort = list_cohort(setting.data["cohort"], modality=prior.card.modality)
    names = [name for name in setting.models.split["test"] if name in cohort.files][: setting.subjects]
    if not names:
        raise InputError(f"{setting.data['cohort']}: holds none of the test subjects.")
    matrices = cohort.registered(prior.reference, names, setting.progress.part(0, 0.4).update)
    for done, name in enumerate(names):
        setting.progress.update(name, 0.4 + 0.6 * done / len(names))
        if name in matrices:
            yield Person(name, cohort.volume(name), matrices[name])


def untempered(prior: StructuredGaussian) -> StructuredGaussian:
    """The same with a mean that is tempered for no slices: that of parallel ones alone would be.

    What that gains is no merit of the planes.
    """
    other = copy(prior)
    other.card = prior.card.model_copy(update={"tempering": None})
    return other


def next_planes(setting: Setting) -> Findings:
    """Planes that were suggested, against axial slices that are spread evenly."""
    prior = untempered(exact(setting.models.get(GAUSSIAN)))
    plans, expected = _plans(prior)
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {key: [] for key in plans}
    names = []
    grid = prior.grid.with_spacing(max(_GRID_MM, float(prior.grid.spacing_ijk.max())))
    for person in registered_people(setting, prior):
        names.append(person.name)
        truth = on_grid(person.volume, grid, person.matrix)
        for key, planes in plans.items():
            slices = [person.cut(plane.with_pixel_size(_PIXEL_MM)) for plane in planes]
            found[key].append(_quality(truth, condition_registered(prior, slices, grid=grid).mean()))
    rows: list[list[Cell]] = []
    people: list[list[Cell]] = []
    for (name, count), measured in found.items():
        values, even = np.array(measured), np.array(found["even", count])
        gained = (even - values) * [1, 1, -1]
        better: list[Cell] = [int(n) for n in (gained > 0).sum(0)]
        rows.append([name, count, expected[name, count], *map(float, values.mean(0))])
        rows[-1] += [None] * 3 if name == "even" else better
        if name == "any":
            people += [[who, count, *map(float, each)] for who, each in zip(names, gained, strict=True)]
    note = (
        f"{len(names)} test people, registered; the suggestions begin with nothing and are the same for all. "
        "The mean is warped, where the model's is, and tempered for neither kind of planes. "
        "expected: standard deviation that is left, over that before. RMSE in the brain; its second kind "
        "after the best gain and bias of each result, which no plane can tell; SSIM of all axial slices of "
        f"{grid.spacing_ijk[0]:g} mm, what was observed included. Last: people in whom a strategy is better "
        "than even spacing."
    )
    header = ["planes", "number", "expected", *_MEASURES, *(f"{name} better" for name in _MEASURES)]
    gains = "By how much planes of any orientation are better than even spacing."
    return Findings(
        "next-plane",
        "Which plane to scan next",
        "Do planes that are expected to leave the least uncertainty also leave less error than axial slices "
        "that are spread evenly?",
        [
            Table("Suggested planes and even spacing", header, rows, note),
            Table("Person by person", ["person", "number", *_MEASURES], people, gains),
        ],
        [],
        [],
    )


def _quality(truth: np.ndarray, mean: np.ndarray) -> tuple[float, float, float]:
    """RMSE in the brain, the same after the best gain and bias, and SSIM of a mean on a grid (K, J, I)."""
    mean, brain = np.clip(mean, 0, 1), truth > _BRAIN
    shown, true = mean[brain], truth[brain]
    left = true.std() * np.sqrt(1 - min(metrics.pearson(true, shown), 1.0) ** 2)
    error = float(np.sqrt(np.mean((shown - true) ** 2)))
    return error, float(left), float(np.mean(metrics.slice_ssim(metrics.ssim_map(truth, mean))))


def _plans(
    prior: StructuredGaussian,
) -> tuple[dict[tuple[str, int], list[Plane]], dict[tuple[str, int], float]]:
    """Planes by strategy and number: evenly spaced axial ones, and sequences of suggestions.

    Returns:
        With the standard deviation that is expected to be left of each, over that before.
    """
    field = prior.field()
    mask = prior.anatomy_mask
    up = np.array([0.0, 0.0, 1.0])
    planner = Planner(field, mask)
    before = planner.remaining
    heights = anatomy_heights(prior)
    middle = planner.plane(up, 0.0).centre[2]
    plans = {}
    for count in _COUNTS:
        share = np.array(context_positions(count, 120)) / 120
        at = heights[0] + share * (heights[1] - heights[0]) - middle
        plans["even", count] = [planner.plane(up, float(offset)) for offset in at]
    for among in ("any", "orthogonal"):
        sequence = Planner(field, mask).sequence(among, max(_COUNTS))
        plans |= {(among, count): [one.plane for one in sequence[:count]] for count in _COUNTS}
    left = {key: Planner(field, mask, observed=planes).remaining for key, planes in plans.items()}
    return plans, {key: float(np.sqrt(after / before)) for key, after in left.items()}


def anatomy_heights(prior: StructuredGaussian) -> tuple[float, float]:
    """The lowest and the highest slice of the model's space that shows anatomy, mm."""
    shown = np.flatnonzero((prior.field().mean > _ANATOMY).any(2).any(1).cpu().numpy())
    low, high = (float((prior.grid.ijk_to_ras @ [0, 0, k, 1])[2]) for k in (shown[0], shown[-1]))
    return low, high


def surprising(setting: Setting) -> Findings:
    """False alarms in healthy people, and lesions of patients."""
    prior = exact(setting.models.get(GAUSSIAN))
    healthy = []
    for person in registered_people(setting, prior):
        p, inside, _ = _p_values(prior, person.volume)
        healthy.append(_standing_out(p, inside))
    alarms = [share for share in healthy if share > 0]
    rows: list[list[Cell]] = [["healthy", len(healthy), len(alarms), float(np.mean(healthy)), None, None]]
    for file in sorted(setting.data["patients"].glob("*_T1w.nii.gz")):
        setting.progress.update(file.name, 0.9)
        p, inside, scored = _p_values(prior, _normal(read_volume(file)))
        lesion = _bright(file.with_name(file.name.replace("_T1w", "_FLAIR")), scored)
        share = _standing_out(p, inside)
        auc = None
        truth = np.concatenate([each[s.inside] for each, s in zip(lesion, scored, strict=True)])
        if truth.sum() >= _MIN_PIXELS:
            small = -np.concatenate([v[i] for v, i in zip(p, inside, strict=True)])
            auc = float(mannwhitneyu(small[truth], small[~truth]).statistic / truth.sum() / (~truth).sum())
        rows.append(
            [file.name.removesuffix("_T1w.nii.gz"), 1, int(share > 0), share, float(truth.mean()), auc]
        )
    header = ["who", "people", "with discoveries", "share that stands out", "share bright in FLAIR", "AUC"]
    note = (
        f"{_SLICES} axial slices of T1w each, frames found from the slices, false discovery rate {RATE:.0%}. "
        f"AUC: of the p-values for pixels brighter in FLAIR than the brain's median by {_LESION_SD:g} "
        "standard deviations (by its median absolute deviation). That stands for lesions, which nobody has "
        "drawn here: it holds the rim of ventricles and artefacts, too."
    )
    return Findings(
        "surprise",
        "What is improbable in slices",
        "Does what stands out lie where lesions are, and how often does it stand out in healthy people?",
        [Table("Surprise", header, rows, note)],
        [],
        [],
    )


def _normal(volume: Volume) -> Volume:
    return Volume(volume.array / np.quantile(volume.array[volume.array > 0], 0.999), volume.grid)


def _p_values(
    prior: StructuredGaussian, volume: Volume
) -> tuple[list[np.ndarray], list[np.ndarray], list[SliceScore]]:
    """Of every slice: p-values, where they hold, and its score; slices in patient mm."""
    points = volume.grid.points_ras()[volume.array.ravel() > 0.05]
    low, high = np.quantile(points, [0.02, 0.98], axis=0)
    extent = (high - low)[:2] + 40
    slices = []
    for height in np.linspace(low[2], high[2], _SLICES + 2)[1:-1]:
        matrix = np.diag([CUT_MM, CUT_MM, 1.0, 1.0])
        matrix[:3, 3] = [*(low[:2] - 20), height]
        columns, rows = (extent / CUT_MM).astype(int)
        plane = Plane((rows, columns), matrix, 1.0)
        slices.append(cut(volume, plane, plane, f"{height:.0f}"))
    found = align_patient(prior, slices, progress=Progress())
    matrix = found.patient_to_canonical
    seen = [one.transformed(matrix).with_intensity(found.intensity) for one in slices]
    scored = scores(prior.field(), prior.anatomy_mask.cpu().numpy(), seen)
    p = [HEALTHY.p_values(one.pixels) for one in scored]
    back = np.linalg.inv(matrix)
    in_patient = [SliceScore(s.image.transformed(back), s.inside, s.pixels, s.alone) for s in scored]
    return p, [one.inside for one in scored], in_patient


def _standing_out(p: list[np.ndarray], inside: list[np.ndarray]) -> float:
    """Share of the pixels that stands out."""
    values = np.concatenate([each[where] for each, where in zip(p, inside, strict=True)])
    return float((values <= discoveries(values)).mean())


def _bright(file: Path, scored: list[SliceScore]) -> list[np.ndarray]:
    """Pixels of slices that are bright in a registered FLAIR volume, bool each."""
    volume = read_volume(file)
    brain = volume.array[volume.array > 0]
    middle = np.median(brain)
    spread = 1.4826 * np.median(np.abs(brain - middle))
    smooth = Volume(gaussian_filter(volume.array.astype(float), _SMOOTH), volume.grid)
    shown = [cut(smooth, one.image.plane, one.image.plane, "FLAIR").pixels for one in scored]
    return [each > middle + _LESION_SD * spread for each in shown]
