"""One self-contained HTML file of an evaluation: tables, curves, calibration and pictures."""

from __future__ import annotations

from pathlib import Path

from .. import reports
from ..geometry.io import write_text
from . import figures
from .pictures import SAMPLES
from .protocol import BASELINES, Evaluation
from .scores import KEYS, MEDIANS


def write_report(result: Evaluation, path: str | Path) -> None:
    """Write the report of `evaluate` atomically. Raises InputError when it cannot be written.

    Args:
        result: with its pictures.
        path: of the HTML file.
    """
    write_text(render(result), path)


def render(result: Evaluation) -> str:
    """The report as HTML text; nothing in it refers to another file."""
    about = result["_about"]
    counts = list(next(iter(v for k, v in result.items() if k != "_about")))
    priors = about["priors"]
    pictures = [
        *(_curve(about, priors, n) for n in dict.fromkeys([*counts[:1], *counts[-1:]])),
        *(_calibration(about, prior) for prior in priors),
        *_mosaics(result, priors[0]),
        *_samples(result, priors[0]),
    ]
    return reports.render(
        "evaluation",
        title="Evaluation",
        about=about,
        summary=_summary(result, priors, counts),
        pictures=[picture for picture in pictures if picture],
        details={n: _details(result, n) for n in counts},
        left_out={**about["left_out"], **about["files_skipped"]},
        warnings=about["warnings"],
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _gain(value: float | None, other: float | None) -> tuple[str, str]:
    """A table cell, (class, text), with the difference of two values."""
    if value is None or other is None:
        return "", "–"
    difference = value - other
    kind = "" if abs(difference) < 0.0005 else "gain" if difference > 0 else "loss"
    return kind, f"{difference:+.3f}"


def _summary(result: Evaluation, priors: list[str], counts: list[str]) -> tuple[list, list]:
    """Header and rows: SSIM of every system, gains of the priors over the baselines that matter most."""
    rows: list[tuple[str, list]] = [
        ("system" if name in priors else "", [name, *(_number(result[name][n]["ssim"]) for n in counts)])
        for name in [*priors, *BASELINES]
    ]
    for prior in priors:
        for other in ("mean-atlas", "cohort-atlas", "linear-interpolation"):
            gains = [_gain(result[prior][n]["ssim"], result[other][n]["ssim"]) for n in counts]
            rows.append(("over", [f"{prior} gain over {other}", *gains]))
    return ["SSIM, all slices", *(f"{n} contexts" for n in counts)], rows


def _picture(title: str, png: bytes, alt: str, note: str = "") -> dict:
    return {"title": title, "png": png, "alt": alt, "note": note}


def _curve(about: dict, priors: list[str], count: str) -> dict | None:
    curves = {name: c[count] for name, c in about["ssim_by_slice"].items() if count in c}
    png = figures.curve(curves, [*priors, "mean-atlas", "nearest-slice", "linear-interpolation"])
    return _picture(f"SSIM by slice, {count} contexts", png, "SSIM by slice") if png else None


def _calibration(about: dict, prior: str) -> dict | None:
    table = about["coverage_by_distance"].get(prior)
    title = f"Do the intervals of {prior} hold what they promise?"
    return _picture(title, figures.calibration(table), "coverage by distance") if table else None


def _mosaics(result: Evaluation, prior: str) -> list[dict]:
    """Best, typical and worst subject by SSIM of the first prior."""
    count, pictures = max(result.pictures.items(), key=lambda each: len(each[1]))
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
        _picture(
            f"{title} subject: {name}",
            figures.mosaic(pictures[name], columns),
            "mosaic of three orthogonal views",
            f"SSIM {scores[name]['ssim']:.3f} from {count} contexts (lines)",
        )
        for title, name in chosen.items()
    ]


def _samples(result: Evaluation, prior: str) -> list[dict]:
    """Samples of the first prior for the first subject, beside the truth, at every number of contexts."""
    columns = ["truth", prior, *(f"{prior} sample {n}" for n in range(1, SAMPLES + 1))]
    sheets = []
    for count, pictures in result.pictures.items():
        name, shown = next(iter(pictures.items()), ("", None))
        if shown is None or columns[2] not in shown.views:
            continue
        sheet = figures.mosaic(shown, columns)
        note = "Each could be the whole volume; lines: observed slices"
        sheets.append(_picture(f"Samples from {count} contexts: {name}", sheet, "views of samples", note))
    return sheets


def _details(result: Evaluation, count: str) -> tuple[list, list]:
    """Header and rows: all numbers of one number of contexts."""
    rows = [
        (
            "system" if name not in BASELINES else "",
            [name, *(_number(counts[count][key], 4 if key in MEDIANS else 3) for key in KEYS)],
        )
        for name, counts in result.items()
        if name != "_about"
    ]
    return ["system", *(key.replace("_", " ") for key in KEYS)], rows
