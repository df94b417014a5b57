"""One page over a cohort: worst cases first, their mosaics, distributions of values, throughput, memory."""

from __future__ import annotations

from typing import Any

from .. import reports
from .cases import Case
from .derivatives import Derivatives
from .picture import distribution
from .recipe import Recipe

MAX_MOSAICS = 60  # of the worst ones; the others are in the table
_SHOWN = {
    "ssim": "SSIM",
    "psnr": "PSNR (dB)",
    "frame_probability": "probability of the frame",
    "seconds": "seconds",
    "peak_mb": "memory of the process (MB)",
}


def badness(said: dict[str, Any]) -> tuple[int, float, float, int]:
    """What cases are ordered by, the worst first: failed, low score, improbable frame, many warnings."""
    score = said.get("ssim")
    trusted = said.get("frame_probability")
    return (
        0 if said["status"] == "failed" else 1,
        1.0 if score is None else float(score),
        1.0 if trusted is None else float(trusted),
        -len(said.get("warnings", [])),
    )


def page(
    cases: list[Case],
    records: dict[str, dict[str, Any]],
    derivatives: Derivatives,
    recipe: Recipe,
    seconds: float,
) -> str:
    """The page as HTML text; nothing in it refers to another file.

    Args:
        cases: all of the cohort.
        records: what is known of each, by its name.
        derivatives: has the mosaics.
        recipe: what was done.
        seconds: that the batch took.
    """
    ranked = sorted(cases, key=lambda case: (badness(records[case.name]), case.name))
    failed = [case for case in ranked if records[case.name]["status"] == "failed"]
    computed = [said for said in records.values() if said["status"] == "done"]
    shown = [case for case in ranked if case not in failed][:MAX_MOSAICS]
    values = {
        label: [
            float(said[key])
            for said in records.values()
            if said.get(key) is not None and said["status"] != "failed"
        ]
        for key, label in _SHOWN.items()
    }
    return reports.render(
        "batch",
        title="Cohort",
        operation=recipe.operation,
        options=recipe.options,
        cases=len(cases),
        failed=[(case.name, records[case.name]["error"]) for case in failed],
        computed=len(computed),
        kept=sum(said["status"] == "kept" for said in records.values()),
        seconds=seconds,
        per_hour=3600 * len(computed) / seconds if seconds else 0.0,
        distributions=[(label, distribution(each, label)) for label, each in values.items() if len(each) > 1],
        mosaics=[
            (case.name, png, _note(records[case.name]))
            for case in shown
            if (png := derivatives.picture(case)) is not None
        ],
        header=["case", "status", *_SHOWN.values(), "warnings"],
        rows=[("", _cells(case.name, records[case.name])) for case in ranked],
    )


def _note(said: dict[str, Any]) -> str:
    numbers = [f"{label} {said[key]:g}" for key, label in _SHOWN.items() if said.get(key) is not None]
    return "; ".join([*numbers, *said.get("warnings", [])])


def _cells(name: str, said: dict[str, Any]) -> list[str]:
    numbers = ["–" if said.get(key) is None else f"{said[key]:g}" for key in _SHOWN]
    return [name, said["status"], *numbers, str(len(said.get("warnings", [])))]
