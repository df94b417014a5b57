"""One self-contained HTML file of an evaluation: tables, curves, calibration and pictures."""

from __future__ import annotations

import html
from pathlib import Path

from ..geometry.io import write_text
from . import figures
from .protocol import BASELINES, Evaluation
from .scores import KEYS, MEDIANS

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1b1f24;max-width:1080px;margin:2em auto;padding:0 1em}
h1{font-size:1.6em;margin-bottom:.1em} h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #d5dae0;padding-bottom:.2em}
p.lead{color:#57606a;margin-top:0} .scroll{overflow-x:auto}
table{border-collapse:collapse;margin:.6em 0;font-variant-numeric:tabular-nums}
th,td{padding:.28em .7em;text-align:right;border-bottom:1px solid #e6e9ed;white-space:nowrap} th:first-child,td:first-child{text-align:left}
tr.system td{font-weight:600} tr.printed td{color:#57606a;font-style:italic}
.gain{color:#0a6b36;background:#e3f4ea} .loss{color:#9b1c1c;background:#fbe6e6}
small{color:#57606a;font-weight:400} img{max-width:100%;height:auto;display:block} details{margin:.6em 0} summary{cursor:pointer}
"""  # noqa: E501


def write_report(result: Evaluation, path: str | Path) -> None:
    """Write the report of `evaluate` atomically. Raises InputError when it cannot be written."""
    write_text(render(result), path)


def render(result: Evaluation) -> str:
    """The report as HTML text; nothing in it refers to another file."""
    about = result["_about"]
    counts = list(next(iter(v for k, v in result.items() if k != "_about")))
    priors = about["priors"]
    parts = [
        f"<h1>Evaluation of {html.escape(', '.join(priors))}</h1>",
        f"<p class='lead'>{len(about['subjects'])} subjects of “{html.escape(about['cohort'])}” that the "
        "system has not seen, "
        f"{about['frame']} frame; library of the baselines: {about['library']['subjects']} subjects "
        f"({about['library']['kind']}).</p>",
        "<h2>SSIM, and what the system adds</h2>",
        _summary(result, priors, counts),
        f"<p><small>{html.escape(about['metrics'])}</small></p>",
        *(_curve(about, priors, n) for n in dict.fromkeys([*counts[:1], *counts[-1:]])),
        *(_calibration(about, prior) for prior in priors),
        *_mosaics(result, priors[0]),
        "<h2>All numbers</h2>",
        *(f"<details><summary>{n} contexts</summary>{_details(result, n)}</details>" for n in counts),
        _left_out(about),
    ]
    return page("Evaluation", parts)


def page(title: str, parts: list[str]) -> str:
    """One HTML page of the parts of its body."""
    head = (
        "<meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width,initial-scale=1'><title>{html.escape(title)}</title>"
    )
    return (
        "<!doctype html><html "
        f"lang='en'><head>{head}<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _table(header: list[str], rows: list[tuple[str, list[str]]]) -> str:
    """rows: (class of the row, cells as HTML)."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr class='{kind}'>{''.join(cells)}</tr>" for kind, cells in rows)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _gain(value: float | None, other: float | None) -> str:
    """A table cell with the difference of two values."""
    if value is None or other is None:
        return "<td>–</td>"
    difference = value - other
    kind = "" if abs(difference) < 0.0005 else "gain" if difference > 0 else "loss"
    return f"<td class='{kind}'>{difference:+.3f}</td>"


def _summary(result: Evaluation, priors: list[str], counts: list[str]) -> str:
    """SSIM of every system, and the gains of the priors over the two baselines that matter most."""
    rows = []
    for name in [*priors, *BASELINES]:
        cells = [
            f"<td>{html.escape(name)}</td>",
            *(f"<td>{_number(result[name][n]['ssim'])}</td>" for n in counts),
        ]
        rows.append(("system" if name in priors else "", cells))
    for prior in priors:
        for other in ("mean-atlas", "linear-interpolation"):
            cells = [f"<td>{html.escape(prior)} <small>gain over {other}</small></td>"]
            rows.append(
                ("", cells + [_gain(result[prior][n]["ssim"], result[other][n]["ssim"]) for n in counts])
            )
    return _table(["SSIM, all slices", *(f"{n} contexts" for n in counts)], rows)


def _curve(about: dict, priors: list[str], count: str) -> str:
    curves = {name: c[count] for name, c in about["ssim_by_slice"].items() if count in c}
    picture = figures.curve(curves, [*priors, "mean-atlas", "nearest-slice", "linear-interpolation"])
    return (
        f"<h2>SSIM by slice, {count} contexts</h2>{figures.inline(picture, 'SSIM by slice')}"
        if picture
        else ""
    )


def _calibration(about: dict, prior: str) -> str:
    table = about["coverage_by_distance"].get(prior)
    title = f"<h2>Do the intervals of {html.escape(prior)} hold what they promise?</h2>"
    return f"{title}{figures.inline(figures.calibration(table), 'coverage by distance')}" if table else ""


def _mosaics(result: Evaluation, prior: str) -> list[str]:
    """Best, typical and worst subject by SSIM of the first prior."""
    count, pictures = next(iter(result.pictures.items()))
    scores = result["_about"]["by_subject"][prior][str(count)]
    ranked = sorted(pictures, key=lambda name: scores[name]["ssim"])
    if not ranked:
        return []
    chosen = {"Typical": ranked[len(ranked) // 2], "Best": ranked[-1], "Worst": ranked[0]}
    columns = [
        "truth",
        prior,
        f"{prior} sd",
        f"{prior} sample 1",
        "mean-atlas",
        "linear-interpolation",
        "pca",
    ]
    return [
        f"<h2>{title} subject: {html.escape(name)} <small>SSIM {scores[name]['ssim']:.3f} from {count} "
        "contexts (lines)</small></h2>"
        + figures.inline(figures.mosaic(pictures[name], columns), "mosaic of three orthogonal views")
        for title, name in chosen.items()
    ]


def _details(result: Evaluation, count: str) -> str:
    rows = []
    for name, counts in result.items():
        if name != "_about":
            cells = [f"<td>{_number(counts[count][key], 4 if key in MEDIANS else 3)}</td>" for key in KEYS]
            rows.append(
                ("system" if name not in BASELINES else "", [f"<td>{html.escape(name)}</td>", *cells])
            )
    return _table(["system", *(key.replace("_", " ") for key in KEYS)], rows)


def _left_out(about: dict) -> str:
    """Subjects and files that were not used, and why."""
    reasons = {**about["left_out"], **about["files_skipped"]}
    if not reasons:
        return ""
    items = "".join(f"<li>{html.escape(name)}: {html.escape(why)}</li>" for name, why in reasons.items())
    return f"<details><summary>{len(reasons)} left out</summary><ul>{items}</ul></details>"
