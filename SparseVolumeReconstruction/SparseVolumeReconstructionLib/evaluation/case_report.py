"""One self-contained HTML page about one reconstruction.

Pictures, agreement with the truth where it is known, provenance.

Arrays are (K, J, I) on one grid, in image units; observed slices lie along K.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import reports
from ..geometry import Grid, InputError
from ..geometry.io import write_text
from ..observation import Slice
from . import case_figures as figures
from .interpolation import linear_interpolation
from .metrics import masked_mean, slice_ssim, ssim_map

_ROWS = "Rows: axial, coronal and sagittal; the patient's right (or front) is on the left."
_SAMPLES = (
    "Each sample is one body that agrees with the input slices. Where samples differ, the slices do not "
    "decide; "
    "the reconstruction averages over all of them and is therefore smoother than any."
)
_SSIM = (
    "Structural similarity of each slice with the truth (scikit-image, 7×7 uniform window, data range 1 "
    "after division by the "
    "truth's 99.9th percentile). Blue lines: the input slices. A guess of the average body already scores "
    "high: the gain counts."
)


@dataclass(frozen=True, eq=False)
class CaseReport:
    """What a page shows.

    mean, std: float. observed: 1 where a voxel was observed. samples: (n, K, J, I). slices: the input. truth:
    the real volume where it is known. others: further estimates to compare with it. times: {step: seconds}.
    provenance: JSON-ready. files: {name: what it is}. unit: of the grey values.
    """

    title: str
    lead: str
    grid: Grid
    mean: np.ndarray
    std: np.ndarray
    observed: np.ndarray
    samples: np.ndarray
    slices: list[Slice]
    truth: np.ndarray | None = None
    others: dict[str, np.ndarray] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    unit: str = "grey values"
    notice: str = "Generated content. Inferred voxels were not observed. Not for diagnosis."


def similarity(report: CaseReport) -> dict[str, np.ndarray]:
    """SSIM by slice, (K,), against the truth, of the mean, linear interpolation and the other estimates.

    Empty without a truth.

    scikit-image's, 7x7 uniform window, data range 1, after all were divided by the truth's 99.9th percentile.
    """
    if report.truth is None:
        return {}
    scale = float(np.percentile(report.truth, 99.9)) or 1.0
    truth = np.clip(report.truth / scale, 0, 1)
    named = {"reconstruction": report.mean}
    with contextlib.suppress(InputError):  # slices that are no stack along K
        named["linear interpolation"] = linear_interpolation(report.slices, report.grid)
    return {
        name: slice_ssim(ssim_map(truth, np.clip(array / scale, 0, 1)))
        for name, array in (named | report.others).items()
    }


def observed_slices(observed: np.ndarray) -> list[int]:
    """Indices along K of the slices that were observed, from a mask (K, J, I)."""
    share = observed.astype(bool).mean((1, 2))
    return [int(k) for k in np.flatnonzero(share > 0.5 * share.max())] if share.any() else []


def write_case_report(report: CaseReport, path: str | Path) -> None:
    """Write the page atomically. Raises InputError when it cannot be written.

    Args:
        report: what it shows.
        path: of the HTML file.
    """
    write_text(render(report), path)


def render(report: CaseReport) -> str:
    """The page as HTML text; nothing in it refers to another file."""
    curves = similarity(report)
    return reports.render(
        "case",
        title=report.title,
        lead=report.lead,
        notice=report.notice,
        observed=float(report.observed.astype(bool).mean()),
        slices=len(report.slices),
        cards=_cards(report, curves),
        pictures=_pictures(report),
        agreement=_agreement(report, curves) if curves else None,
        times=_rows([step, f"{seconds:.2f}"] for step, seconds in report.times.items()),
        files=_rows(report.files.items()),
        provenance=_rows(_flat(report.provenance)),
    )


def _cards(report: CaseReport, curves: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """The numbers that matter, and what they mean."""
    seen = observed_slices(report.observed)
    facts = [
        (f"{len(report.slices)}", "slices were the only input"),
        (f"{len(report.samples)}", "samples of what the rest may look like"),
    ]
    if curves:
        unseen = np.setdiff1d(np.arange(len(report.mean)), seen)
        ours, *others = (float(np.nanmean(values[unseen])) for values in curves.values())
        facts.append((f"{ours:.3f}", "SSIM of the slices that were not observed"))
        facts += [
            (f"{ours - other:+.3f}", f"SSIM gained over {name}")
            for name, other in zip(list(curves)[1:], others, strict=True)
        ]
    if "reconstruction" in report.times:
        facts.append((f"{report.times['reconstruction']:.1f} s", "for the reconstruction"))
    return facts


def _picture(title: str, png: bytes, alt: str, caption: str) -> dict:
    return {"title": title, "png": png, "alt": alt, "caption": caption}


def _pictures(report: CaseReport) -> list[dict]:
    """The input, the reconstruction beside the truth, and samples."""
    known = report.truth if report.truth is not None else report.mean
    top = float(np.percentile(known, 99.8)) or 1.0
    inferred = report.std[report.std > 0]
    sd_top = float(np.percentile(inferred, 99.5)) if inferred.size else 1.0
    mask = report.observed.astype(bool)
    where = figures.centre_of(
        figures.anatomical(known, report.grid)[0], figures.anatomical(mask, report.grid)[0]
    )
    truth = {} if report.truth is None else {"Truth (withheld)": report.truth}

    def views(title: str, columns: dict[str, np.ndarray], caption: str) -> dict:
        png = figures.panels(columns, report.grid, where, top, sd_top)
        return _picture(title, png, "orthogonal views: " + ", ".join(columns), caption)

    pictures = []
    if report.slices:
        text = "The input slices at their own resolution, and nothing else."
        strip = figures.strip(report.slices, top)
        pictures.append(_picture("What went in", strip, "the observed slices", text))
    seen = {"Observed voxels": np.where(mask, report.mean, np.nan)}
    columns = {**seen, "Reconstruction": report.mean, **truth, "Uncertainty (sd)": report.std}
    text = (
        f"{_ROWS} The axial views lie between two input slices. First column, dark: not observed. Last "
        f"column: posterior standard deviation, 0 to {sd_top:.3g} {report.unit}; it falls towards 0 on the "
        "input slices."
    )
    pictures.append(views("What came out", columns, text))
    if len(report.samples):
        samples = {f"Sample {n + 1}": sample for n, sample in enumerate(report.samples[:3])}
        columns = {**samples, **(truth or {"Reconstruction": report.mean})}
        pictures.append(views("What else it could be", columns, _SAMPLES))
    return pictures


def _agreement(report: CaseReport, curves: dict[str, np.ndarray]) -> dict:
    """Curve and table of SSIM."""
    seen = np.zeros(len(report.mean), bool)
    seen[observed_slices(report.observed)] = True
    rows = [
        [name, *(f"{masked_mean(values, part):.3f}" for part in (np.ones_like(seen), ~seen))]
        for name, values in curves.items()
    ]
    png = figures.curve(curves, [int(n) for n in np.flatnonzero(seen)], float(report.grid.spacing_ijk[2]))
    picture = _picture("How close it is", png, "structural similarity by slice", _SSIM)
    return {**picture, "rows": _rows(rows)}


def _rows(cells: Iterable[Iterable[str]]) -> list[tuple[str, list[str]]]:
    """Rows of a table, none of them special: (class, cells)."""
    return [("", list(row)) for row in cells]


def _flat(value, name: str = "") -> list[list[str]]:
    """Nested dicts as rows of dotted names and values; lists stay in one row."""
    if isinstance(value, dict):
        return [
            row for key, inner in value.items() for row in _flat(inner, f"{name}.{key}" if name else str(key))
        ]
    return [[name, value if isinstance(value, str) else json.dumps(value)]]
