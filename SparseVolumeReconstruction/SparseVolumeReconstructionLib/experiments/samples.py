"""Whether samples of the structured Gaussian look like scans, and stand for what is not known."""

from __future__ import annotations

from collections.abc import Callable

from .base import Setting
from .comparison import Measured, header_of, measure_priors, sample_figures, typical
from .findings import Cell, Findings, Table
from .models import GAUSSIAN

_COUNTS = [0, 1, 4, 9]
_OF_MEANS = {
    "SSIM of the mean": "ssim",
    "SSIM of a sample": "ssim_of_samples",
    "distance from the mean over that of the truth (best 1)": "sample_spread",
    "share of the truth between quantiles that hold 90 % of 40 or more samples": "sample_coverage_90",
    "share of the truth inside 90 % intervals from mean and deviation": "coverage_90",
    "AUC of a network that tells samples from scans (best 0.5)": "sample_auc",
    "distance to the truth, where observed": "sample_error_observed",
    "distance to the nearest donor, where observed": "donor_distance_observed",
    "distance to the truth, where hidden": "sample_error",
    "distance to the nearest donor, where hidden": "donor_distance",
    "seconds": "seconds_sample",
}
_NOTE = (
    "Distances: root mean square over the foreground; those to truth and donors in canonical units, the "
    "donor being the nearest where nothing was observed. Bins: of distance to the nearest observed slice, "
    "all people together. Power: 0.02 to 0.20 cycles/mm in nine bands, mean over people. The network is "
    "trained on people of the fit, where the folder holds three of them."
)


def samples(setting: Setting) -> Findings:
    """Samples from each kind of draw that the model has: donors, where it has any, and noise."""
    prior = setting.models.get(GAUSSIAN, draws=None)
    kinds = {f"from {kind}": prior.drawing(kind) for kind in prior.draws}
    measured = measure_priors(setting, kinds, _COUNTS, _COUNTS)
    subject = typical(measured, 4)
    number = len(measured.scores["_about"]["subjects"])
    return Findings(
        "samples",
        "Samples of the structured Gaussian",
        "Do samples look like scans, are they as far from the mean as the truth is, and is a donor "
        "recognisable in them?",
        [_table(measured, name) for name in kinds] + [setting.models.provenance()],
        [figure for count in _COUNTS for figure in sample_figures(measured, count, subject)],
        [f"{number} test people, registered; {setting.samples} samples of each posterior.", _NOTE],
    )


def _table(measured: Measured, name: str) -> Table:
    """What the samples of one kind of draw score, by number of slices."""
    rows: list[list[Cell]] = [
        [title, *(measured.value(name, n, key) for n in measured.counts)] for title, key in _OF_MEANS.items()
    ]
    more = measured.scores["_about"]["samples"].get(name, {})
    rows[3:3] = [
        ["the same in single bins", *_ranges(measured, more, lambda each: each["spread"].values())],
        ["power over that of the truth, dB", *_ranges(measured, more, lambda each: each["spectrum_db"])],
    ]
    return Table(f"Samples {name}", header_of("samples", measured.counts), rows)


def _ranges(measured: Measured, more: dict, values: Callable) -> list[Cell]:
    """The least and the greatest of some values, as a text for every number of slices; None without any."""
    cells: list[Cell] = []
    for count in measured.counts:
        found = [v for v in values(more[str(count)]) if v is not None] if str(count) in more else []
        cells.append(f"{min(found):.2f} to {max(found):.2f}" if found else None)
    return cells
