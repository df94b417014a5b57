"""Whole heads and stacks as scanned: frame and brain from two or four slices, against the whole volumes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..alignment.head import head_reader
from ..alignment.limits import MIN_PROBABILITY, RIGHT_MM
from ..data.bids import WRITTEN, contrast_of, without_contrast
from ..data.cohort import Cohort, brain_mask, list_cohort, normalised, told_by_cohort
from ..data.registration import on_grid, register_affine, register_rigid
from ..evaluation.cases import axial, context_positions, fitted_on
from ..geometry import Grid, InputError, Volume
from ..geometry.io import read_volume, write_volume
from ..observation.slice_files import SliceSpec
from ..observation.slices import slice_of
from ..priors.base import Prior
from ..progress import Progress
from ..reconstruction.request import ReconstructionRequest
from ..reconstruction.run import reconstruct
from ..reconstruction.whole_head import find_brain
from .base import Setting
from .findings import Cell, Figure, Findings, Table
from .kept import ROWS, finished, keep
from .models import GAUSSIAN
from .views import Shown, sheet

NEAR_MM = 4.0
HEADS = {"4 axial": {0: 4}, "1 coronal, 1 sagittal": {1: 1, 2: 1}}
"""By the name of a row: how many slices across each axis (K, J, I) of a head, spread over its brain."""
STACKS = {"4 axial": {0: 4}}
_LABELS = ("dlmuse", "dseg", "seg", "labels", "mask")
_EVERY = 37  # of the brain's voxels is looked at
_PICTURES = 4
_HEADER = [
    "slices given",
    "people",
    "refused",
    "median mm",
    "90 % of people mm",
    "largest mm",
    f"within {NEAR_MM:g} mm",
    "told as doubtful",
    f"beyond {RIGHT_MM:g} mm and not told",
]
_EACH = ["slices given", "mean displacement mm", "told as doubtful"]
_KEY = ("head", "slices")  # of a row that is kept
_BRAIN = ["Dice, observed slices", "lowest person", "Dice, whole volume", "lowest person"]


@dataclass(frozen=True, eq=False)
class Head:
    """A scan as it came, i, j, k along R, A, S.

    brain: (K, J, I) bool. frame: 4x4 from patient to canonical points (RAS mm), by the whole volume.
    """

    name: str
    scan: Volume
    brain: np.ndarray
    frame: np.ndarray


@dataclass(frozen=True)
class Found:
    """What slices of a head gave; error_mm is None where they were refused.

    error_mm: mean displacement of the brain. told: whether the frame was refused or called doubtful.
    dice_slices, dice: of the brain mask with the true one, in the slices that were given and in the whole
    volume; None without a mask.
    """

    error_mm: float | None
    told: bool
    dice_slices: float | None = None
    dice: float | None = None


def heads(setting: Setting) -> Findings:
    """T1w heads with label maps of their brains beside them. Raises InputError where none can be used.

    Every measured head is kept in OUT/rows.jsonl, and not measured again.
    """
    prior = setting.models.get(GAUSSIAN)
    found: dict[str, list[Found]] = {row: [] for row in HEADS}
    cells: list[list[Cell]] = []
    shown: list[tuple[str, list[Shown]]] = []
    done = finished(setting.out / ROWS, _KEY)
    for head in _labelled(setting, prior):
        for row, wanted in HEADS.items():
            key = (head.name, row)
            if key not in done:
                one = measured(head, wanted, prior, setting.progress.quiet())
                done[key] = [dict(zip(_KEY, key, strict=True)) | asdict(one)]
                keep(done[key], setting.out / ROWS)
            one = Found(**{name: done[key][0][name] for name in Found.__dataclass_fields__})
            found[row].append(one)
            cells.append([*key, one.error_mm, "yes" if one.told else "no", one.dice_slices, one.dice])
        if len(shown) < _PICTURES:
            shown.append((head.name, [(normalised(head.scan).array, head.brain.astype(int))]))
        spacing = head.scan.grid.spacing_ijk
    rows = [_row(*each, True) for each in found.items()]
    return Findings(
        "frames-of-heads",
        "Frames and brains of whole heads",
        "Do a few slices of a head as scanned tell where it lies, and where the brain is in it?",
        [
            Table("Whole T1w heads", [*_HEADER, *_BRAIN], rows, _how()),
            Table("Each of them", ["head", *_EACH, "Dice, observed slices", "Dice, whole volume"], cells),
        ],
        [Figure("Heads", sheet(shown, spacing), "The first ones, with the brains of their label maps.")],
        ["Nobody who is measured was learned of by the model, the reader of slices or the judge of frames."],
    )


def stacks(setting: Setting) -> Findings:
    """Stacks in other contrasts beside T1w heads. Raises InputError where there are none."""
    prior = setting.models.get(GAUSSIAN)
    progress = setting.progress
    pairs = _visits(setting.data["visits"])[: setting.subjects]
    found: dict[str, list[Found]] = {}
    cells: list[list[Cell]] = []
    shown: list[tuple[str, list[Shown]]] = []
    frames: dict[Path, Head] = {}
    for done, (t1, other) in enumerate(pairs):
        progress.update(other.name, done / len(pairs))
        if t1 not in frames:
            frames[t1] = _registered(t1, prior)
        stack, there = _beside(other, frames[t1], prior)
        name = other.name.split(".")[0]
        thick = f"{stack.scan.grid.spacing_ijk.max():g} mm"
        for row, wanted in STACKS.items():
            one = measured(stack, wanted, prior, progress.quiet())
            key = f"{row} of {WRITTEN.get(contrast_of(name) or '', 'another contrast')}, {thick}"
            found.setdefault(key, []).append(one)
            cells.append([name, row, one.error_mm, "yes" if one.told else "no"])
        if len(shown) < _PICTURES:
            grid = stack.scan.grid
            shown.append((name, [(normalised(stack.scan).array, None), (there, None)]))
    return Findings(
        "frames-of-stacks",
        "Frames of stacks in other contrasts",
        "Do four thick slices of another contrast lie where the T1w volume of the visit says?",
        [
            Table("Stacks beside T1w heads", _HEADER, [_row(*each, False) for each in found.items()], _how()),
            Table("Each of them", ["stack", *_EACH], cells),
        ],
        [
            Figure(
                "Stacks and heads",
                sheet(shown, grid.spacing_ijk),
                "The first stacks, and the T1w head of the visit registered to each: both show the same.",
            )
        ],
        [
            "The T1w brain is registered to the model (affine), that of the stack to it (rigid), image to "
            "image by mutual information: headers of one visit need not share a space."
        ],
    )


def measured(head: Head, wanted: dict[int, int], prior: Prior, progress: Progress) -> Found:
    """What a reconstruction of some slices of a head says, as users get it.

    Args:
        head: the truth.
        wanted: how many slices across which axis, as HEADS.
        prior: the model.
        progress: asked whether to stop.
    """
    with tempfile.TemporaryDirectory() as folder:
        contexts, places = _contexts(head, wanted, Path(folder))
        like = Path(folder) / "scan.nrrd"
        write_volume(head.scan, like, compress=False)
        request = ReconstructionRequest(
            prior=prior.card.id, contexts=contexts, outputs=["mean"], like=str(like), output=folder
        )
        try:
            result = reconstruct(request, prior, progress)
        except InputError:
            return Found(None, True)
    points = _points(head.brain, head.scan.grid)[::_EVERY]
    moved = result.patient_to_canonical - head.frame
    error = float(np.linalg.norm(points @ moved[:3, :3].T + moved[:3, 3], axis=1).mean())
    sure = result.provenance["frame_probability"]
    told = sure is not None and sure < MIN_PROBABILITY
    if result.brain_mask is None:
        return Found(error, told)
    mask = result.brain_mask.array > 0
    each = [dice(np.take(mask, [k], axis), np.take(head.brain, [k], axis)) for axis, k in places]
    return Found(error, told, float(np.mean(each)), dice(mask, head.brain))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice's coefficient of two masks of one shape, bool; 0 where both are empty."""
    return 2.0 * int((a & b).sum()) / max(int(a.sum()) + int(b.sum()), 1)


def positions(brain: np.ndarray, wanted: dict[int, int]) -> list[tuple[int, int]]:
    """(axis, number) of slices spread over what a brain (K, J, I) extends to, as `wanted` of `measured`."""
    found = []
    for axis, count in wanted.items():
        others = tuple(n for n in range(3) if n != axis)
        low, high = np.flatnonzero(brain.any(others))[[0, -1]]
        found += [(axis, int(low) + p) for p in context_positions(count, int(high - low + 1))]
    return found


def _contexts(
    head: Head, wanted: dict[int, int], folder: Path
) -> tuple[list[SliceSpec], list[tuple[int, int]]]:
    """The slices as contexts, from files of one source, and where they lie."""
    places = positions(head.brain, wanted)
    contexts = []
    for axis in wanted:
        path = folder / f"{axis}.nrrd"
        write_volume(_across(head.scan, axis), path, compress=False)
        own = [k for a, k in places if a == axis]
        contexts.append(SliceSpec(path=str(path), slices=own, source=head.name))
    return contexts, places


def _across(volume: Volume, axis: int) -> Volume:
    """The same voxels with one array axis before the others."""
    order = (axis, *(n for n in range(3) if n != axis))
    matrix = volume.grid.ijk_to_ras[:, [*(2 - n for n in order[::-1]), 3]]
    array = np.ascontiguousarray(volume.array.transpose(order))
    return Volume(array, Grid(array.shape, matrix))


def _labelled(setting: Setting, prior: Prior) -> Iterator[Head]:
    """Heads of the folder that nobody has learned of, registered one after another."""
    cohort = _stripped(list_cohort(setting.data["cohort"], modality=prior.card.modality))
    seen = {without_contrast(name) for name in fitted_on(prior) | fitted_on(head_reader())}
    names = [name for name in cohort.files if without_contrast(name) not in seen][: setting.subjects]
    if not names:
        raise InputError(f"{setting.data['cohort']}: all heads were learned of; expected others.")
    matrices = cohort.registered(prior.reference, names, setting.progress.part(0, 0.3).update)
    cohort.warn(setting.progress)
    if not matrices:
        raise InputError(
            f"{setting.data['cohort']}: none of {len(names)} heads can be used; expected whole heads with "
            "their own label maps."
        )
    for done, (name, matrix) in enumerate(matrices.items()):
        setting.progress.update(name, 0.3 + 0.7 * done / len(matrices))
        scan, brain = axial(cohort.as_scanned(name)), axial(cohort.volume(name))
        yield Head(name, scan, brain_mask(brain.array), np.linalg.inv(matrix))


def _stripped(cohort: Cohort) -> Cohort:
    """With the label maps beside the heads. Raises InputError where there are none."""
    for word in _LABELS[:-1]:
        try:
            return cohort.stripped_by(word)
        except InputError:
            continue
    return cohort.stripped_by(_LABELS[-1])


def _visits(folder: Path) -> list[tuple[Path, Path]]:
    """(T1w, stack in another contrast) of every visit. Raises InputError without any."""
    files = list_cohort(folder).files
    t1 = {without_contrast(name): path for name, path in files.items() if contrast_of(name) == "t1"}
    others = [
        (without_contrast(name), path) for name, path in files.items() if contrast_of(name) in ("t2", "flair")
    ]
    pairs = [(t1[visit], path) for visit, path in others if visit in t1]
    if not pairs:
        raise InputError(
            f"{folder}: no T2w or FLAIR beside a T1w; expected VISIT_T1w and VISIT_T2w or the like."
        )
    return pairs


def _seen(path: Path, prior: Prior) -> tuple[Volume, np.ndarray]:
    """A scan, axial, and its brain, (K, J, I) bool: found in all of its slices, or all that it shows."""
    scan = axial(read_volume(path, warn=told_by_cohort))
    shown = np.flatnonzero(scan.array.any((1, 2)))
    brain = find_brain([slice_of(scan, int(k), None, path.name) for k in shown], prior.card)
    if brain is None:
        return scan, brain_mask(normalised(scan).array)
    mask = np.zeros(scan.array.shape, bool)
    for image, own in zip(brain.slices, brain.masks, strict=True):
        mask[image.volume_index] = own
    return scan, mask


def _alone(scan: Volume, brain: np.ndarray) -> Volume:
    return normalised(Volume(np.where(brain, scan.array, 0), scan.grid))


def _registered(path: Path, prior: Prior) -> Head:
    """A head whose brain is found in its slices, and registered as a whole."""
    scan, brain = _seen(path, prior)
    frame = np.linalg.inv(register_affine(prior.reference, _alone(scan, brain)))
    return Head(path.name, scan, brain, frame)


def _beside(path: Path, t1: Head, prior: Prior) -> tuple[Head, np.ndarray]:
    """A stack with the frame that the T1w head of the visit gives it; and that head on its grid, [0, 1]."""
    scan, brain = _seen(path, prior)
    to_t1 = register_rigid(_alone(scan, brain), _alone(t1.scan, t1.brain))
    there = on_grid(normalised(t1.scan), scan.grid, to_t1)
    return Head(path.name, scan, brain, t1.frame @ to_t1), there


def _points(brain: np.ndarray, grid: Grid) -> np.ndarray:
    """Voxels of a mask, (n, 3) RAS mm."""
    return np.argwhere(brain)[:, ::-1] @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3]


def _row(name: str, found: list[Found], with_brain: bool) -> list[Cell]:
    """A row of the table; shares are of all people, the refused ones among them."""
    error = np.array([one.error_mm for one in found if one.error_mm is not None])
    spread: list[Cell] = (
        [None] * 3 if not len(error) else [float(np.quantile(error, q)) for q in (0.5, 0.9, 1.0)]
    )
    silent = sum(one.error_mm is not None and one.error_mm > RIGHT_MM and not one.told for one in found)
    row: list[Cell] = [name, len(found), len(found) - len(error), *spread]
    row += [float((error <= NEAR_MM).sum() / len(found)), sum(one.told for one in found), silent]
    if with_brain:
        for values in ([one.dice_slices for one in found], [one.dice for one in found]):
            known = [value for value in values if value is not None]
            row += [float(np.mean(known)), min(known)] if known else [None, None]
    return row


def _how() -> str:
    return (
        "Mean displacement over the brain, against the affine registration of the whole brain to the model. "
        f"Told: refused (counted there, too), or right to {RIGHT_MM:g} mm with a probability below "
        f"{MIN_PROBABILITY:g}. Slices are spread evenly over the brain."
    )
