"""All systems and baselines on the test subjects of an experiment.

What its tables and figures need is measured once.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from ..data.cohort import Cohort
from ..data.subjects import list_subjects
from ..evaluation import figures
from ..evaluation.cases import context_positions
from ..evaluation.protocol import BASELINES, METRICS, Evaluation, evaluate_priors
from ..geometry import Grid, InputError, Volume
from ..priors.base import Prior
from .base import Setting
from .findings import Cell, Figure, Table
from .models import GAUSSIAN

ATLAS = BASELINES[0]
_SHOWN = {
    "ssim": "SSIM of the mean, all slices",
    "ssim_excluding_contexts": "SSIM of the mean, without the observed slices",
    "ssim_in_brain": "SSIM of the mean, in the foreground",
    "ssim_of_samples": "SSIM of samples, all slices",
    "cc_volume": "Correlation of the mean with the truth, whole volume",
    "cc_slice": "Correlation of the mean with the truth, per slice",
    "cc_slice_of_samples": "Correlation of samples with the truth, per slice",
    "coverage_90": "Share of hidden foreground voxels inside 90 % intervals",
    "coverage_50": "Share of hidden foreground voxels inside 50 % intervals",
    "sample_difference": "Difference between two samples (root mean square, hidden foreground)",
    "sample_auc": "AUC of a network that tells samples from scans (trained on people of the fit; best 0.5)",
    "donor_distance": "Distance of samples from the nearest donor (root mean square, hidden foreground)",
}
_PRINTED_OF = {"ssim": "SSIM", "ssim_of_samples": "SSIM", "cc_slice": "CC", "cc_slice_of_samples": "CC"}


@dataclass(frozen=True)
class Printed:
    """Numbers of a paper.

    Attributes:
        name: of the row.
        values: {"SSIM" or "CC": {number of contexts: value}}.
    """

    name: str
    values: dict[str, dict[int, float]]


@dataclass(frozen=True, eq=False)
class Measured:
    """What all systems and baselines scored, and on what.

    Attributes:
        scores: as `evaluate_priors` gives them.
        systems: the priors' names.
        counts: numbers of contexts.
        grid: of all volumes, which were registered to `reference`.
    """

    scores: Evaluation
    systems: list[str]
    counts: list[int]
    grid: Grid
    reference: Volume
    cohort: Cohort

    @property
    def deep(self) -> list[str]:
        """The systems but for the structured Gaussian."""
        return [name for name in self.systems if name != GAUSSIAN]

    def value(self, system: str, count: int, key: str) -> float | None:
        """A mean over the test subjects (a median of seconds); None where there is none.

        Args:
            system: a prior or a baseline.
            count: number of contexts, one of `counts`.
            key: one of `evaluation.scores.KEYS`.
        """
        return self.scores[system][str(count)][key]


def measure(setting: Setting, keys: list[str], counts: list[int], pictured: list[int]) -> Measured:
    """Evaluate the systems that can be had in the registered frame.

    Args:
        setting: its models note which systems are left out.
        keys: systems, as `Models` names them; the first that can be had gives reference and grid.
        counts: numbers of contexts.
        pictured: those of them of which pictures are kept.

    Raises:
        InputError: where none can.
    """
    priors = setting.models.several(keys)
    if not priors:
        raise InputError(f"no system is left: {'; '.join(setting.models.left_out.values())}.")
    return measure_priors(setting, priors, counts, pictured)


def measure_priors(
    setting: Setting, priors: dict[str, Prior], counts: list[int], pictured: list[int]
) -> Measured:
    """The same for priors by any name, at least one; the first gives reference and grid."""
    first = next(iter(priors.values()))
    cohort = list_subjects(setting.models.cohorts, first.card.modality, (0,), None, 0).cohort
    options: dict[str, Any] = {"samples": setting.samples, "subjects": setting.subjects, "pictured": pictured}
    name = ", ".join(folder.name for folder in setting.models.cohorts)
    scores = evaluate_priors(
        priors, cohort, name, "registered", counts, setting.progress.part(0, 0.9), **options
    )
    return Measured(scores, list(priors), counts, first.evaluation_grid, first.reference, cohort)


def metric_tables(measured: Measured, printed: Printed | None = None) -> list[Table]:
    """A table of every metric: systems and baselines by number of contexts, beside the printed numbers.

    Args:
        printed: a row of the paper's numbers, in the tables of SSIM and of correlation per slice; none if
            None.

    Returns:
        Those of which there is any number, and one of seconds.
    """
    tables = []
    for key, title in _SHOWN.items():
        rows = [
            [name, *(measured.value(name, n, key) for n in measured.counts)]
            for name in [*measured.systems, *BASELINES]
        ]
        rows = [row for row in rows if any(value is not None for value in row[1:])]
        if printed and key in _PRINTED_OF:
            values = printed.values[_PRINTED_OF[key]]
            rows.append([printed.name, *(values.get(n) for n in measured.counts)])
        if rows:
            tables.append(
                Table(title, header_of("system", measured.counts), rows, METRICS if key == "ssim" else "")
            )
    return [*tables, _seconds(measured)]


def header_of(first: str, counts: list[int]) -> list[str]:
    """The columns of a table by number of slices, the first of which is called `first`."""
    return [first, *(f"{n} slice{'' if n == 1 else 's'}" for n in counts)]


def _seconds(measured: Measured) -> Table:
    rows: list[list[Cell]] = []
    for name in [*measured.systems, *BASELINES[1:]]:
        parts = [
            [measured.value(name, n, key) for key in ("seconds_condition", "seconds_mean")]
            for n in measured.counts
        ]
        rows.append(
            [
                f"{name}: mean volume",
                *(None if None in pair else sum(s for s in pair if s is not None) for pair in parts),
            ]
        )
    rows += [
        [f"{name}: one sample", *(measured.value(name, n, "seconds_sample") for n in measured.counts)]
        for name in measured.systems
    ]
    machine = measured.scores["_about"]["machine"]
    return Table(
        "Seconds",
        header_of("system", measured.counts),
        rows,
        f"Medians; {machine['threads']} thread(s), {machine['system']}.",
    )


def gain_tables(measured: Measured, others: list[str]) -> list[Table]:
    """What each system's SSIM (all slices) has over another one's, and for how many subjects it is higher.

    Args:
        others: systems or baselines to compare with, a table for each; those not measured are passed over.
    """
    tables = []
    for other in (name for name in others if name in measured.scores):
        rows: list[list[Cell]] = [
            [name, *(_gain(measured, name, other, n) for n in measured.counts)]
            for name in measured.systems
            if name != other
        ]
        note = "Mean difference of SSIM (all slices), and subjects for whom it is positive."
        tables.append(Table(f"Gain over {other}", header_of("system", measured.counts), rows, note))
    return tables


def _gain(measured: Measured, name: str, other: str, count: int) -> str | None:
    scores = measured.scores["_about"]["by_subject"]
    one, two = (scores.get(system, {}).get(str(count), {}) for system in (name, other))
    gains = [one[subject]["ssim"] - two[subject]["ssim"] for subject in one if subject in two]
    return f"{sum(gains) / len(gains):+.3f} ({sum(g > 0 for g in gains)}/{len(gains)})" if gains else None


def answers(measured: Measured) -> list[str]:
    """What the numbers say of the three questions that decide, in words."""
    many = [
        n for n in measured.counts if n >= 3 and measured.value(measured.systems[0], n, "ssim") is not None
    ]

    def ssim(name: str, count: int) -> float:
        value = measured.value(name, count, "ssim")
        return math.nan if value is None else value

    def better(one: str, two: str) -> str:
        held = [n for n in many if ssim(one, n) > ssim(two, n)]
        return f"at {len(held)} of {len(many)}"

    said = [
        f"{name} is above the {ATLAS} {better(name, ATLAS)} numbers of contexts from 3 on."
        for name in measured.systems
    ]
    if "bruno" in measured.deep:
        said += [
            f"{name} is above bruno likewise {better(name, 'bruno')}."
            for name in measured.deep
            if name != "bruno"
        ]
    for n in many if measured.deep and GAUSSIAN in measured.systems else []:
        best = max(measured.deep, key=lambda name: ssim(name, n))
        away = ssim(best, n) - ssim(GAUSSIAN, n)
        said.append(
            f"{n} contexts: the best deep prior is {best}, {away:+.3f} SSIM from the structured Gaussian."
        )
    for name in measured.systems:
        differences = [measured.value(name, n, "sample_difference") for n in measured.counts]
        steps = [b - a for a, b in itertools.pairwise(differences) if a is not None and b is not None]
        said.append(
            f"As contexts are added, samples of {name} come nearer to each other in "
            f"{sum(s < 0 for s in steps)} of {len(steps)} steps."
        )
    return said


def count_figures(measured: Measured, printed: Printed) -> list[Figure]:
    """SSIM and the difference between samples against the number of contexts.

    Args:
        printed: the paper's SSIM, a line beside those that were measured.
    """

    def by_count(key: str, names: list[str]) -> dict[str, dict[int, float]]:
        values = {name: {n: measured.value(name, n, key) for n in measured.counts} for name in names}
        return {name: {n: v for n, v in counts.items() if v is not None} for name, counts in values.items()}

    shown = by_count("ssim", [*measured.systems, *BASELINES]) | {printed.name: printed.values["SSIM"]}
    return [
        Figure(
            "SSIM by number of contexts",
            figures.by_count(shown, "SSIM, all slices"),
            "Of the mean; printed: another cohort.",
        ),
        Figure(
            "Difference between samples",
            figures.by_count(by_count("sample_difference", measured.systems), "root mean square difference"),
            "Of two samples of the same posterior where the foreground was not observed.",
        ),
    ]


def curve_figures(measured: Measured, counts: list[int]) -> list[Figure]:
    """SSIM by slice, one figure for each of some numbers of contexts.

    Args:
        counts: those numbers; one for which nothing was measured gets no figure.
    """
    curves = measured.scores["_about"]["ssim_by_slice"]
    length = measured.grid.shape_kji[0]
    found = []
    for count in counts:
        contexts = [k / (length - 1) for k in context_positions(count, length)]
        shown = {name: by_count[str(count)] for name, by_count in curves.items() if str(count) in by_count}
        names = [*measured.systems, ATLAS, "linear-interpolation"]
        if png := figures.curve(shown, names, contexts):
            found.append(Figure(f"SSIM by slice, {count} contexts", png, "Lines: observed slices."))
    return found


def sample_figures(measured: Measured, count: int, subject: str) -> list[Figure]:
    """Truth, mean, samples and standard deviation of every system for one subject, in two views.

    Args:
        count: number of contexts, one that was pictured.
        subject: one that could be used there.
    """
    picture = measured.scores.pictures[count][subject]
    note = (
        f"{subject}. Lines: observed slices."
        if count
        else f"The same for all subjects; the truth is {subject}."
    )
    return [
        Figure(f"Samples, {count} contexts, {name}", figures.samples(picture, measured.systems, view), note)
        for view, name in enumerate(("axial", "coronal"))
    ]


def mosaic_figure(measured: Measured, count: int, subject: str) -> Figure:
    """Three views of every system and baseline for one subject.

    Args:
        count: number of contexts, one that was pictured.
        subject: one that could be used there.
    """
    names = ["truth", *measured.systems, ATLAS, "linear-interpolation", "nearest-volume", "pca"]
    picture = figures.mosaic(measured.scores.pictures[count][subject], names)
    return Figure(
        f"All systems, {count} contexts",
        picture,
        f"{subject}. The axial view lies between contexts; lines: observed slices.",
    )


def typical(measured: Measured, count: int) -> str:
    """The subject for whom the first system's SSIM is the median, of those with all pictures.

    Args:
        count: number of contexts at which the SSIM counts.

    Raises:
        InputError: where there is none.
    """
    shown = set.intersection(*(set(pictures) for pictures in measured.scores.pictures.values()))
    scores = measured.scores["_about"]["by_subject"][measured.systems[0]][str(count)]
    if not shown:
        raise InputError(
            "no test subject could be used with every number of contexts; the evaluation names the reasons."
        )
    return sorted(shown, key=lambda name: (scores[name]["ssim"], name))[len(shown) // 2]


def remarks(setting: Setting, measured: Measured) -> list[str]:
    """What a reader must know of every experiment of this kind."""
    about = measured.scores["_about"]
    return [
        f"{len(about['subjects'])} test subjects that no system was trained on; library of the baselines: "
        f"{about['library']['subjects']} "
        f"subjects ({about['library']['kind']}).",
        f"{setting.samples} samples of each posterior were scored (100 in the paper).",
        "Every volume was registered affinely to one reference; slices are those of the registered volume.",
        *(f"{name} was left out: {why}." for name, why in setting.models.left_out.items()),
        *(f"{name} was left out: {why}" for name, why in about["left_out"].items()),
    ]
