"""./run train frame-judge and contrast-judge: logistic regressions on what is read in slices of people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from ...alignment.contrast import MEASURES as CONTRAST_MEASURES
from ...alignment.contrast import measures as contrast_measures
from ...alignment.head import HeadReader
from ...alignment.judge import Judge
from ...data.bids import WRITTEN, contrast_of
from ...data.cohort import Cohort, list_cohort
from ...evaluation.cases import axial
from ...geometry import InputError
from ...geometry.io import write_atomically
from ...observation.slices import slice_of
from ...progress import Progress

_RIDGE = 1 / 3  # on the weights of standardised measures, against the sum over cases
_AXIAL = (0.35, 0.5, 0.65, 0.8)  # of the slices that show something


@dataclass
class Cases:
    """What a judge learns from.

    measures: (n, M) by name. kinds: (n,), what each is. people: (n,).
    """

    names: tuple[str, ...]
    measures: list[list[float]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)

    def add(self, person: str, kind: str, measures: dict[str, float]) -> None:
        """One more case."""
        self.measures.append([measures[name] for name in self.names])
        self.kinds.append(kind)
        self.people.append(person)

    def judge(self, kinds: list[str], left_out: str | None = None) -> Judge:
        """The judge of `kinds` by all cases, or by those of all but one person.

        Raises:
            InputError: nothing of a kind is there.
        """
        kept = np.array([person != left_out for person in self.people], bool)
        table, told = np.array(self.measures)[kept], np.array(self.kinds)[kept]
        missing = [kind for kind in kinds if kind not in told]
        if missing:
            raise InputError(f"no case of {', '.join(missing)} among {len(told)}; give more people.")
        return fitted_judge(table, np.array([kinds.index(kind) for kind in told]), kinds, list(self.names))

    def quality(self, kinds: list[str]) -> dict[str, float]:
        """Of people left out in turn, the share that is told right, and the mean log probability of it."""
        scores = []
        for person in dict.fromkeys(self.people):
            own = [n for n, each in enumerate(self.people) if each == person]
            try:
                judge = self.judge(kinds, person)
            except InputError:
                continue  # only this person shows a kind
            for n in own:
                said = judge.probabilities(dict(zip(self.names, self.measures[n], strict=True)))
                scores.append(
                    (max(said, key=lambda k: said[k]) == self.kinds[n], np.log(said[self.kinds[n]]))
                )
        right, nats = np.mean(scores, 0) if scores else (np.nan, np.nan)
        return {"cases": len(scores), "told right": round(float(right), 3), "nats": round(float(nats), 3)}


def fitted_judge(table: np.ndarray, kind: np.ndarray, kinds: list[str], names: list[str]) -> Judge:
    """Multinomial logistic regression with a ridge, on standardised measures.

    Args:
        table: (n, M).
        kind: (n,), the number of each case's kind.
        kinds: K names.
        names: of the measures, M.
    """
    middle, spread = table.mean(0), np.maximum(table.std(0), 1e-9)
    rows = np.column_stack([(table - middle) / spread, np.ones(len(table))])
    truth = np.eye(len(kinds))[kind]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(len(kinds), -1)
        penalised = weights * np.r_[np.ones(len(names)), 0]
        logits = rows @ weights.T
        value = -(truth * log_softmax(logits, 1)).sum() + _RIDGE / 2 * (penalised**2).sum()
        slope = (softmax(logits, 1) - truth).T @ rows + _RIDGE * penalised
        return float(value), slope.ravel()

    found = minimize(loss, np.zeros(len(kinds) * rows.shape[1]), jac=True, method="L-BFGS-B").x
    by_kind = found.reshape(len(kinds), -1)
    weights = by_kind[:, :-1] / spread
    return Judge(kinds, names, weights, by_kind[:, -1] - weights @ middle)


def train_contrast_judge(
    folders: list[Path], reader: HeadReader, out: Path, words: dict[str, str], progress: Progress
) -> dict[str, float]:
    """Fit the judge of contrasts to volumes whose names tell theirs, and put it into a file.

    Args:
        folders: of heads or brains, PERSON_T1w and the like.
        reader: of slices.
        out: the judgements.json that is written; what it holds of other judges stays.
        words: what to say of the data.
        progress: told of steps and of what was left out.

    Returns:
        How good it is on people left out in turn.

    Raises:
        InputError: fewer than two contrasts are told by names.
    """
    cases = Cases(CONTRAST_MEASURES)
    files = [(cohort, name) for cohort in map(list_cohort, folders) for name in cohort.files]
    for done, (cohort, name) in enumerate(files):
        progress.update(f"reading {name}", done / len(files))
        contrast = contrast_of(name)
        found = contrast_measures(_readings(cohort, name, reader)) if contrast else None
        if found is None:
            progress.warn(f"{name} was left out: its name tells no contrast, or it shows too little brain.")
            continue
        person = name.rsplit("_", 1)[0]
        cases.add(person, WRITTEN[contrast or ""], dict(zip(CONTRAST_MEASURES, found.tolist(), strict=True)))
    kinds = sorted(set(cases.kinds))
    if len(kinds) < 2:
        raise InputError("fewer than two contrasts; expected names that end in _T1w, _T2w or _FLAIR.")
    return put_judge(out, "contrast", cases, kinds, words)


def _readings(cohort: Cohort, name: str, reader: HeadReader) -> list:
    """What is read in four axial slices."""
    volume = axial(cohort.volume(name))
    shown = np.flatnonzero((volume.array > 0.1).any((1, 2)))
    slices = [slice_of(volume, int(k), None, name) for k in np.quantile(shown, _AXIAL)]
    brain = reader.brain_of(slices)
    return brain.readings if brain else reader.read(slices)


def put_judge(
    out: Path, name: str, cases: Cases, kinds: list[str], words: dict[str, str]
) -> dict[str, float]:
    """Fit the judge of a name and write it beside the others of a file; its quality."""
    quality = cases.quality(kinds)
    people = len(set(cases.people))
    entry = cases.judge(kinds).to_dict() | {"people": people, "quality of people left out": quality} | words
    others = json.loads(out.read_text()) if out.exists() else {}
    text = json.dumps(others | {name: entry}, indent=1) + "\n"
    write_atomically(out, lambda temporary: Path(temporary).write_text(text))
    return quality
