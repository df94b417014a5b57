"""The report of a merge: pictures, which slices were down-weighted and why, how well slices are predicted."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .. import reports
from ..geometry import Volume

NOTICE = "Every voxel was inferred, from slices moved to where the body was found to be. Not for diagnosis."


def report_page(mean: Volume, std: Volume, poses: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """The report as HTML that stands alone.

    Args:
        mean, std: on one grid.
        poses: entries of poses.json.
        facts: the provenance.
    """
    doubted = [p for p in poses if p["reason"]]
    rows = [
        ("", [p["slice"], f"{p['weight']:.2f}", p["reason"], _number(p["ncc_from_others"])]) for p in doubted
    ]
    check = facts["self_check"]
    compared = [
        ("", [name, *(_number(check[name][key]) for key in ("before", "after"))])
        for name in ("ncc", "psnr_db")
    ]
    picture = {
        "title": "The volume",
        "png": _views(mean, std),
        "note": "Middle axial, coronal and sagittal plane: merged, and its standard deviation.",
    }
    tables = [
        _table("Slices predicted from the others", ["mean of slices", "as they lie", "merged"], compared),
        _table("Slices with little weight", ["slice", "weight", "why", "correlation"], rows),
    ]
    notes = [NOTICE, *facts["warnings"]]
    title = f"{len(poses)} slices of {len(facts['stacks'])} stacks, merged"
    lead = "Where the body was in every slice, and the one volume that fits them."
    return reports.render(
        "findings", title=title, question=lead, tables=tables, figures=[picture], notes=notes
    )


def _table(title: str, header: list[str], rows: list) -> dict[str, Any]:
    note = "" if rows else "None."
    return {"title": title, "header": header, "rows": rows, "note": note}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 2 else f"{value:.1f}"


def _views(mean: Volume, std: Volume) -> bytes:
    """Three views of each volume side by side, as a PNG file."""
    columns = [("merged", mean, 1.0), ("standard deviation", std, 0.5)]
    top = float(np.percentile(mean.array, 99.7)) or 1.0
    figure = Figure((2.6 * len(columns), 7.8), facecolor="#0b0d10")
    for row in range(3):
        for column, (name, volume, share) in enumerate(columns):
            axes = figure.add_subplot(3, len(columns), row * len(columns) + column + 1)
            middle = volume.array.shape[row] // 2
            plane = np.take(volume.array, middle, row)[::-1, ::-1]
            axes.imshow(plane, cmap="gray", vmin=0, vmax=top * share)
            axes.set_axis_off()
            if row == 0:
                axes.set_title(name, color="#f2f4f7", fontsize=9)
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.95, 0.03, 0.03)
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="png", dpi=110, facecolor=figure.get_facecolor(), metadata={"Software": None}
    )
    return buffer.getvalue()
