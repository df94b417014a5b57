"""./run train mirror-judge: from brains of several scanners to what tells them from their mirror images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from ...alignment.align import Alignment, frame_near
from ...alignment.mirrored import MirrorJudge, asymmetry, seen_tissues
from ...data.fractions import BACKGROUND, shares_of, tissue_means
from ...data.subjects import Subjects, chance_split, list_subjects
from ...evaluation.cases import axial
from ...geometry import InputError, Volume
from ...observation import Slice
from ...observation.slices import slice_of
from ...priors.alignment_model import AlignmentModel
from ...priors.base import Prior
from ...priors.card import ModelCard
from ...progress import Progress
from ...zoo.weights import save_weights
from ..facts import CardFacts

SYSTEM = "mirror-judge"
_COUNTS = (3, 4, 9)  # axial slices
_FOLDS, _CALIBRATED = 6, 20  # of the people of each scanner, so many at most are calibrated on
_RIDGE = 0.3  # of the mean variance between people
_MANY = 6  # people whose mean is that of a scanner
_SEEN = (0.2, 0.85)  # of the slices that show brain
_WEAKEST = 0.1  # of the people seen best are less asymmetric than what counts


def train_mirror_judge(
    folders: list[Path],
    base: Prior,
    strip: tuple[str, ...],
    out: Path,
    facts: CardFacts,
    split: dict[str, list[str]] | None,
    progress: Progress,
) -> Path:
    """Fit, calibrate on people left out in turn in frames found from their slices, and measure on others.

    Args:
        folders: of T1w brains, one folder for each scanner.
        base: a structured Gaussian; its space, and what finds frames.
        strip: as in `list_subjects`.
        out: the weights file.
        facts: for the card.
        split: {"fit": [...], "test": [...]}, by chance if None.
        progress: told of steps and of what was left out.

    Returns:
        The weights file.

    Raises:
        InputError: nobody is left, or no scanner has enough people.
    """
    subjects = list_subjects(folders, "T1w MRI", (0,), None, 0, strip)
    split = split or chance_split(list(subjects.cohort.files), 0)
    fit, test = ([n for n in split[part] if n in subjects.cohort.files] for part in ("fit", "test"))
    found = subjects.cohort.registered(base.reference, [*fit, *test], progress.part(0.0, 0.3).update)
    names, test = ([name for name in part if name in found] for part in (fit, test))
    subjects.cohort.warn(progress)
    scanner = np.array([str(subjects.folder[name]) for name in names])
    differences = np.stack([_whole(subjects.cohort.volume(n), found[n]) for n in names])
    by: _Frames = base.alignment_model(), found
    rows: list[_Row] = []
    fold = np.arange(len(names)) % _FOLDS
    judges = {f: _fitted(differences[fold != f], scanner[fold != f]) for f in set(fold.tolist())}
    calibrated = _some_of_each(scanner)
    for done, n in enumerate(calibrated):
        progress.update(f"calibrating on {names[n]}", 0.3 + 0.5 * done / len(calibrated))
        rows += _seen(judges[fold[n]], subjects, names[n], by, progress)
    judge = replace(_fitted(differences, scanner), odds=_odds(rows))
    quality = _measured(judge, subjects, test, by, progress.part(0.8, 1.0))
    save_weights(judge.tensors(), _card(facts, base, names, test, quality, rows), out)
    progress.update("done", 1.0)
    return out


def _some_of_each(scanner: np.ndarray) -> list[int]:
    """Numbers of people to calibrate on: of each scanner at most _CALIBRATED, evenly from its list."""
    chosen = []
    for one in dict.fromkeys(scanner):
        own = np.flatnonzero(scanner == one)
        chosen += [int(n) for n in own[:: -(-len(own) // _CALIBRATED)]]
    return chosen


def _whole(volume: Volume, matrix: np.ndarray) -> np.ndarray:
    """Asymmetry (3, *BINS) of a registered volume. matrix: from canonical points to its own."""
    shown = volume.array > BACKGROUND
    points = volume.grid.points_ras()[shown.ravel()]
    inverse = np.linalg.inv(matrix)
    shares = np.stack(shares_of(volume.array[shown], tissue_means(volume.array)))
    return asymmetry(points @ inverse[:3, :3].T + inverse[:3, 3], shares)[0]


def _fitted(differences: np.ndarray, scanner: np.ndarray) -> MirrorJudge:
    """The linear discriminant of (n, 3, *BINS) against their mirror images, not calibrated.

    Scanners count alike, and what differs between them is no difference between people.
    """
    rows = differences.reshape(len(differences), -1)
    groups = [rows[scanner == one] for one in dict.fromkeys(scanner)]
    means = [group.mean(0) for group in groups if len(group) >= _MANY]
    if not means:
        raise InputError(f"no folder holds {_MANY} people to fit; give more of at least one scanner.")
    mean, apart = np.mean(means, 0), np.concatenate([group - group.mean(0) for group in groups])
    between = apart @ apart.T
    ridge = _RIDGE * np.trace(between) / len(apart)
    solved = np.linalg.solve(between + ridge * np.eye(len(apart)), apart @ mean)
    weights = (mean - apart.T @ solved) / ridge
    weights /= weights @ mean
    shape = differences.shape[1:]
    expected = (weights * mean).reshape(shape).sum(0)
    return MirrorJudge(weights.reshape(shape), expected, np.array([1.0, 1.0, 0.0, 0.0]))


_Frames = tuple[AlignmentModel, dict[str, np.ndarray]]  # what finds frames, and registered ones by name
_Row = tuple[str, int, float, float]  # scanner, slices, and the measures of MirrorJudge


def _seen(judge: MirrorJudge, subjects: Subjects, name: str, by: _Frames, progress: Progress) -> list[_Row]:
    """What slices of a person tell, in frames found from them."""
    rows = []
    for count, slices, found in _cases(subjects, name, by, progress):
        measured = judge.measures(*seen_tissues(slices, found))
        if measured:
            rows.append((str(subjects.folder[name]), count, *measured))
    return rows


def _cases(
    subjects: Subjects, name: str, by: _Frames, progress: Progress
) -> list[tuple[int, list[Slice], Alignment]]:
    """Numbers of axial slices of a person, these, and the frame that evidence finds near the registered."""
    model, matrices = by
    volume = axial(subjects.cohort.volume(name))
    shown = np.flatnonzero((volume.array > BACKGROUND).any((1, 2)))
    random = np.random.default_rng(len(shown))
    cases = []
    for count in _COUNTS:
        at = np.quantile(shown, np.linspace(*_SEEN, count) + random.uniform(-0.15, 0.15) / count)
        slices = [slice_of(volume, int(k), None, name) for k in at]
        start = np.linalg.inv(matrices[name])
        cases.append((count, slices, frame_near(slices, model, start, progress.quiet())))
    return cases


def _odds(rows: list[_Row]) -> np.ndarray:
    """What `MirrorJudge.odds` holds, of the scanner with enough cases whose mean is smallest.

    Raises:
        InputError: no scanner has enough.
    """
    by_scanner = [np.array([row[2:] for row in rows if row[0] == one]) for one in {row[0] for row in rows}]
    enough = [cases for cases in by_scanner if len(cases) >= _MANY]
    if not enough:
        raise InputError(f"the slices of fewer than {_MANY} people of each scanner show enough to calibrate.")
    measured = min(enough, key=lambda cases: float(cases[:, 0].mean()))
    mean = measured[:, 0].mean()
    inverse = measured[:, 1] ** -2.0
    parts = np.column_stack([np.ones_like(inverse), inverse])
    lasting, passing = nnls(parts, (measured[:, 0] - mean) ** 2)[0]
    best = measured[measured[:, 1] >= np.median(measured[:, 1]), 0]
    return np.array([mean, lasting, passing, np.quantile(best, _WEAKEST)])


def _measured(
    judge: MirrorJudge, subjects: Subjects, names: list[str], by: _Frames, progress: Progress
) -> dict:
    """Of people who were not fitted, how many are told as they are, and how many were they mirrored.

    What is seen of a mirrored brain is what is seen of the brain with the other sign.
    """
    told: dict[str, dict[str, list[int]]] = {}
    for done, name in enumerate(names):
        progress.update(f"measuring {name}", done / len(names))
        of = told.setdefault(subjects.folder[name].name, {})
        for count, slices, found in _cases(subjects, name, by, progress):
            seen = judge.measures(*seen_tissues(slices, found))
            mirrored = seen and (-seen[0], seen[1])
            sums = of.setdefault(f"{count} slices", [0, 0, 0])
            of[f"{count} slices"] = [
                sums[0] + judge.tells(seen),
                sums[1] + judge.tells(mirrored),
                sums[2] + 1,
            ]
    return {"told as they are, told if mirrored, people": told}


def _card(
    facts: CardFacts, base: Prior, fit: list[str], test: list[str], quality: dict, rows: list[_Row]
) -> ModelCard:
    """What was fitted on whom, and what it is worth."""
    return ModelCard(
        id=facts.model_id,
        title="Left or right: a brain or its mirror image, by axial T1w slices",
        system=SYSTEM,
        version="1",
        anatomy=facts.anatomy,
        modality=facts.modality,
        canonical_space=base.card.canonical_space,
        units="tissue shares, 0 to 1",
        licence=facts.licence,
        data=facts.data,
        split={"fit": fit, "test": test},
        quality=quality,
        training={"sets of slices to calibrate on, of people left out in turn": len(rows)},
        limits=f"A doubt to look into, no proof. {facts.limits}".strip(),
    )
