"""./run train frame-judge: frames found from easy and hard slices, right and wrong, and what tells them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ...alignment.align import align
from ...alignment.head import HeadReader
from ...alignment.limits import RIGHT_MM
from ...alignment.trust import MEASURES, frame_measures
from ...data.subjects import Subjects, list_subjects
from ...evaluation.cases import axial
from ...geometry import Grid, InputError, Volume
from ...observation import Slice
from ...observation.slices import slice_of
from ...priors.alignment_model import AlignmentModel
from ...priors.base import Prior
from ...progress import Progress
from .judges import Cases, put_judge

_KINDS = ["wrong", "right"]
_AXES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
_TILT_DEG = (4.0, 22.0)
_SHADING = 0.7
_EVERY = 50  # of the brain's voxels is looked at

# heights (shares of what the brain extends to) of the slices that a set has
_SETS: tuple[dict[str, tuple[float, ...]], ...] = (
    {"axial": (0.22, 0.42, 0.62, 0.82)},
    {"coronal": (0.5,), "sagittal": (0.45,)},
    {"axial": (0.5,)},
    {"axial": (0.35, 0.6)},
    {"coronal": (0.4,)},
    {"axial": (0.04, 0.14)},
    {"axial": (0.5, 0.53)},
    {"sagittal": (0.45,)},
    {"axial": (0.88, 0.96)},
    {"axial": (-0.1,)},
    {"axial": (0.3, 0.5, 0.7)},
)


def train_frame_judge(
    folders: list[Path],
    base: Prior,
    reader: HeadReader,
    strip: tuple[str, ...],
    out: Path,
    people: list[str] | None,
    words: dict[str, str],
    progress: Progress,
) -> dict[str, float]:
    """Fit the judge of frames to what slices of whole heads give, and put it into a file.

    Args:
        folders: of heads with the label maps of their brains beside them, or of brains.
        base: finds the frames.
        reader: of slices.
        strip: as in `list_subjects`.
        out: the judgements.json that is written; what it holds of other judges stays.
        people: who is shown; all if None. Neither base nor reader should know them.
        words: what to say of the data.
        progress: told of steps and of what was left out.

    Returns:
        How good it is on people left out in turn.

    Raises:
        InputError: no frame is right, or none is wrong.
    """
    subjects = list_subjects(folders, "T1w MRI", (0,), None, 0, strip)
    names = [name for name in people or subjects.cohort.files if name in subjects.cohort.files]
    found = subjects.cohort.registered(base.reference, names, progress.part(0.0, 0.3).update)
    subjects.cohort.warn(progress)
    cases, model = Cases(MEASURES), base.alignment_model()
    for done, (name, matrix) in enumerate(found.items()):
        progress.update(f"finding frames of {name}", 0.3 + 0.7 * done / len(found))
        _add_person(cases, subjects, name, np.linalg.inv(matrix), (model, reader), progress)
    return put_judge(out, "frame", cases, _KINDS, words)


def _add_person(
    cases: Cases,
    subjects: Subjects,
    name: str,
    truth: np.ndarray,
    by: tuple[AlignmentModel, HeadReader],
    progress: Progress,
) -> None:
    """Frames of every set of slices of a person. truth: from patient to canonical points."""
    model, reader = by
    cohort = subjects.cohort
    brain = axial(cohort.volume(name))
    scan = axial(cohort.as_scanned(name)) if name in cohort.labels else brain
    places = np.argwhere(brain.array > 0)[::_EVERY]
    points = places[:, ::-1] @ brain.grid.ijk_to_ras[:3, :3].T + brain.grid.ijk_to_ras[:3, 3]
    random = np.random.default_rng(len(places))
    for heights in _SETS:
        for change in (_plain, _shaded, _cropped):
            slices = _cut(change(scan, random), brain, heights, random)
            turn = _turn(random)
            try:
                turned = [s.transformed(turn) for s in slices]
                found = reader.brain_of(turned)
                shown = found.slices if found else turned
                readings = found.readings if found else reader.read(turned)
                frame = align(shown, model, progress.quiet())
            except InputError:
                continue  # what is refused needs no judge
            measures = frame_measures(frame, shown, readings)
            moved = frame.patient_to_canonical @ turn - truth
            off = np.linalg.norm(points @ moved[:3, :3].T + moved[:3, 3], axis=1).mean()
            if measures:
                cases.add(name, _KINDS[int(off <= RIGHT_MM)], measures)


def _plain(scan: Volume, _: np.random.Generator) -> Volume:
    return scan


def _shaded(scan: Volume, random: np.random.Generator) -> Volume:
    """Brighter to one side."""
    k, j, i = (np.linspace(-1, 1, n, dtype=np.float32) for n in scan.array.shape)
    a, b, c = random.normal(0, _SHADING, 3).astype(np.float32)
    shading = np.exp(a * k)[:, None, None] * np.exp(b * j)[:, None] * np.exp(c * i)
    return replace(scan, array=scan.array * shading)


def _cropped(scan: Volume, random: np.random.Generator) -> Volume:
    """A part out of view, at the front, the back or one side."""
    array, axis = scan.array.copy(), int(random.integers(1, 3))
    cut = int(array.shape[axis] * random.uniform(0.3, 0.6))
    part = slice(0, cut) if random.random() < 0.5 else slice(array.shape[axis] - cut, None)
    array[(slice(None),) * axis + (part,)] = 0
    return replace(scan, array=array)


def _turn(random: np.random.Generator) -> np.ndarray:
    """Shifted; tilted in a third of the cases, and lying on its side in a tenth."""
    turn, kind = np.eye(4), random.random()
    vector = random.normal(size=3)
    if kind < 0.35:
        tilt = np.deg2rad(random.uniform(*_TILT_DEG)) * vector / np.linalg.norm(vector)
        turn[:3, :3] = Rotation.from_rotvec(tilt).as_matrix()
    elif kind < 0.45:
        turn[:3, :3] = Rotation.from_rotvec(np.pi / 2 * np.eye(3)[random.integers(3)]).as_matrix()
    turn[:3, 3] = random.normal(0, 15, 3)
    return turn


def _cut(
    scan: Volume, brain: Volume, heights: dict[str, tuple[float, ...]], random: np.random.Generator
) -> list[Slice]:
    """Slices near shares of the brain's extent. scan, brain: axial, on one grid."""
    slices = []
    for plane, shares in heights.items():
        order = _AXES[plane]
        low, high = np.flatnonzero((brain.array > 0).any(order[1:]))[[0, -1]]
        stack = _stacked(scan, order)
        at = low + (high - low) * (np.array(shares) + random.uniform(-0.05, 0.05))
        indices = np.clip(np.rint(at).astype(int), 0, len(stack.array) - 1)
        slices += [
            slice_of(stack, int(k), None, plane) for k in dict.fromkeys(indices) if stack.array[k].any()
        ]
    return slices


def _stacked(volume: Volume, order: tuple[int, int, int]) -> Volume:
    """The same voxels with array axes in another order."""
    matrix = volume.grid.ijk_to_ras[:, [*(2 - n for n in order[::-1]), 3]]
    array = np.ascontiguousarray(volume.array.transpose(order))
    return Volume(array, Grid(array.shape, matrix))
