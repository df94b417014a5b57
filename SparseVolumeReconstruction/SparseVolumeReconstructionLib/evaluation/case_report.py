"""One self-contained HTML page about one reconstruction: pictures, agreement with the truth where it is
known, provenance.

Arrays are (K, J, I) on one grid, in image units; observed slices lie along K.
"""

from __future__ import annotations

import contextlib
import html
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..geometry import Grid, InputError
from ..geometry.io import write_text
from ..observation import Slice
from . import case_figures as figures
from .baselines import LinearInterpolation
from .metrics import masked_mean, slice_ssim, ssim_map

_STYLE = """
body{font:16px/1.6 Inter,"Segoe UI",system-ui,Roboto,"Helvetica Neue",sans-serif;color:#1b2430;background:#f5f6f8;margin:0}
main{max-width:1060px;margin:0 auto;padding:2.6rem 1.4rem 4rem}
h1{font-size:2rem;line-height:1.2;letter-spacing:-.02em;margin:0 0 .4rem}
h2{font-size:1.25rem;letter-spacing:-.01em;margin:2.6rem 0 .6rem}
p{max-width:46rem;margin:.5rem 0}
.lead{font-size:1.08rem;color:#4a5666}
.notice{background:#fff4e0;border-left:4px solid #e07a1f;padding:.7rem 1rem;border-radius:0 8px 8px 0;margin:1.3rem 0;max-width:none}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.8rem;margin:1.4rem 0}
.card{background:#fff;border:1px solid #e2e6ec;border-radius:10px;padding:.8rem 1rem}
.card b{display:block;font-size:1.55rem;letter-spacing:-.02em}
.card span{color:#5b6776;font-size:.86rem;line-height:1.35;display:block}
figure{margin:1rem 0 0;border-radius:10px;overflow:hidden;background:#0b0d10}
figure.light{background:#fff;border:1px solid #e2e6ec;padding:.6rem}
figure img{display:block;width:100%;height:auto}
figcaption{color:#5b6776;font-size:.9rem;line-height:1.5;margin:.5rem 0 1rem;max-width:54rem}
table{border-collapse:separate;border-spacing:0;width:100%;background:#fff;border:1px solid #e2e6ec;border-radius:10px;overflow:hidden}
td{font-variant-numeric:tabular-nums}
th,td{padding:.42rem .9rem;text-align:left;border-bottom:1px solid #eef0f3;vertical-align:top;overflow-wrap:anywhere}
td.n,th.n{text-align:right;white-space:nowrap}
th{font-size:.82rem;color:#5b6776;font-weight:600}
tr:last-child td{border-bottom:0}
details summary{cursor:pointer;margin:.6rem 0;color:#1d4ed8}
footer{color:#5b6776;font-size:.88rem;margin-top:3rem}
"""  # noqa: E501
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
    """SSIM by slice, (K,), against the truth, of the mean, linear interpolation and the other estimates;
    empty without a truth.

    scikit-image's, 7x7 uniform window, data range 1, after all were divided by the truth's 99.9th percentile.
    """
    if report.truth is None:
        return {}
    scale = float(np.percentile(report.truth, 99.9)) or 1.0
    truth = np.clip(report.truth / scale, 0, 1)
    named = {"reconstruction": report.mean}
    with contextlib.suppress(InputError):  # slices that are no stack along K
        named["linear interpolation"] = (
            LinearInterpolation().condition(report.slices, report.grid, np.eye(4)).mean()
        )
    return {
        name: slice_ssim(ssim_map(truth, np.clip(array / scale, 0, 1)))
        for name, array in (named | report.others).items()
    }


def observed_slices(observed: np.ndarray) -> list[int]:
    """Indices along K of the slices that were observed, from a mask (K, J, I)."""
    share = observed.astype(bool).mean((1, 2))
    return [int(k) for k in np.flatnonzero(share > 0.5 * share.max())] if share.any() else []


def write_case_report(report: CaseReport, path: str | Path) -> None:
    """Write the page atomically. Raises InputError when it cannot be written."""
    write_text(render(report), path)


def render(report: CaseReport) -> str:
    """The page as HTML text; nothing in it refers to another file."""
    curves = similarity(report)
    body = "".join(
        [
            f"<h1>{html.escape(report.title)}</h1><p class='lead'>{html.escape(report.lead)}</p>",
            f"<p class='notice'><b>{html.escape(report.notice)}</b> {_observed_sentence(report)}</p>",
            _cards(report, curves),
            _pictures(report),
            _agreement(report, curves),
            "<h2>Time</h2>" + _table(["step", "seconds"], [[k, f"{v:.2f}"] for k, v in report.times.items()])
            if report.times
            else "",
            "<h2>Files</h2>" + _table(["file", "content"], [[k, v] for k, v in report.files.items()])
            if report.files
            else "",
            "<h2>Provenance</h2><details><summary>Everything that was recorded with this result</summary>",
            _table(["field", "value"], _flat(report.provenance)) + "</details>",
            "<footer>Made by SparseVolumeReconstruction. This page carries all of its pictures; it needs no "
            "network.</footer>",
        ]
    )
    head = "<meta charset='utf-8'><meta name='viewport' content='width=device-width,initial-scale=1'>"
    head += f"<title>{html.escape(report.title)}</title>"
    return (
        "<!doctype html><html "
        f"lang='en'><head>{head}<style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _observed_sentence(report: CaseReport) -> str:
    share = float(report.observed.astype(bool).mean())
    return (
        f"{share:.1%} of the voxels were <b>observed</b>: they lie on one of the {len(report.slices)} input "
        "slices and keep its "
        f"values. {1 - share:.1%} were <b>inferred</b> by the model. A mask that tells which is which comes "
        "with the result."
    )


def _cards(report: CaseReport, curves: dict[str, np.ndarray]) -> str:
    """The numbers that matter, large."""
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
    return (
        "<div class='cards'>"
        + "".join(f"<div class='card'><b>{a}</b><span>{html.escape(b)}</span></div>" for a, b in facts)
        + "</div>"
    )


def _pictures(report: CaseReport) -> str:
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

    def views(columns: dict[str, np.ndarray]) -> str:
        return figures.panels(columns, report.grid, where, top, sd_top)

    seen = {"Observed voxels": np.where(mask, report.mean, np.nan)}
    result = views({**seen, "Reconstruction": report.mean, **truth, "Uncertainty (sd)": report.std})
    text = (
        f"{_ROWS} The axial views lie between two input slices. First column, dark: not observed. Last "
        "column: posterior "
        f"standard deviation, 0 to {sd_top:.3g} {report.unit}; it falls towards 0 on the input slices."
    )
    parts = ["<h2>What came out</h2>", _figure(result, text)]
    if report.slices:
        strip = figures.strip(report.slices, top)
        parts[:0] = [
            "<h2>What went in</h2>",
            _figure(strip, "The input slices at their own resolution, and nothing else."),
        ]
    if len(report.samples):
        samples = {f"Sample {n + 1}": sample for n, sample in enumerate(report.samples[:3])}
        parts += [
            "<h2>What else it could be</h2>",
            _figure(views({**samples, **(truth or {"Reconstruction": report.mean})}), _SAMPLES),
        ]
    return "".join(parts)


def _agreement(report: CaseReport, curves: dict[str, np.ndarray]) -> str:
    """Curve and table of SSIM; '' without a truth."""
    if not curves:
        return ""
    seen = np.zeros(len(report.mean), bool)
    seen[observed_slices(report.observed)] = True
    rows = [
        [name, *(f"{masked_mean(values, part):.3f}" for part in (np.ones_like(seen), ~seen))]
        for name, values in curves.items()
    ]
    picture = figures.curve(curves, [int(n) for n in np.flatnonzero(seen)], float(report.grid.spacing_ijk[2]))
    return (
        "<h2>How close it is</h2>"
        + _figure(picture, _SSIM, "light")
        + _table(["SSIM", "all slices", "slices not observed"], rows)
    )


def _figure(image: str, caption: str, kind: str = "") -> str:
    return f"<figure class='{kind}'>{image}</figure><figcaption>{html.escape(caption)}</figcaption>"


def _table(header: list[str], rows: list[list[str]]) -> str:
    """A table; cells that are numbers stand to the right."""

    def cell(text: str, tag: str, number: bool) -> str:
        return f"<{tag}{' class=n' if number else ''}>{html.escape(str(text))}</{tag}>"

    numeric = [all(_is_number(row[n]) for row in rows) for n in range(len(header))]

    def line(tag: str, row: list[str]) -> str:
        return (
            "<tr>"
            + "".join(cell(text, tag, number) for text, number in zip(row, numeric, strict=True))
            + "</tr>"
        )

    return f"<table>{line('th', header)}{''.join(line('td', row) for row in rows)}</table>"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _flat(value, name: str = "") -> list[list[str]]:
    """Nested dicts as rows of dotted names and values; lists stay in one row."""
    if isinstance(value, dict):
        return [
            row for key, inner in value.items() for row in _flat(inner, f"{name}.{key}" if name else str(key))
        ]
    return [[name, value if isinstance(value, str) else json.dumps(value)]]
