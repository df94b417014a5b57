"""What an experiment found, as files.

A report that stands alone, the same as Markdown with its pictures beside it, and JSON.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from .. import reports
from ..evaluation.protocol import write_json
from ..geometry import file_errors
from ..geometry.io import write_atomically, write_text
from .base import Setting
from .findings import Cell, Findings, Table

NOTICE = "Generated content: inferred voxels were not observed. Not for diagnosis."


def write_findings(findings: Findings, setting: Setting) -> Path:
    """Write report.html, report.md, findings.json and a PNG file of every figure into `setting.out`.

    Args:
        findings: its numbers are finite.
        setting: of the experiment; only its folder counts, which is made.

    Returns:
        The path of report.html.

    Raises:
        InputError: it cannot be written.
    """
    out = setting.out
    with file_errors(f"{out}: could not be written"):
        out.mkdir(parents=True, exist_ok=True)
        names = [
            f"{number:02d}-{slug(figure.title)}.png" for number, figure in enumerate(findings.figures, 1)
        ]
        for name, figure in zip(names, findings.figures, strict=True):
            write_atomically(
                out / name, lambda temporary, figure=figure: Path(temporary).write_bytes(figure.png)
            )
    content = {key: getattr(findings, key) for key in ("name", "title", "question", "notes")}
    content["tables"] = [asdict(table) for table in findings.tables]
    content["figures"] = [
        {"title": figure.title, "file": name, "note": figure.note}
        for name, figure in zip(names, findings.figures, strict=True)
    ]
    write_json(content, out / "findings.json")
    write_text(_markdown(findings, names), out / "report.md")
    write_text(render(findings), out / "report.html")
    return out / "report.html"


def slug(title: str) -> str:
    """A title as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def shown(cell: Cell) -> str:
    """A cell as text; numbers with three or four figures that matter."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:.3f}" if abs(cell) < 10 else f"{cell:.1f}" if abs(cell) < 100 else f"{cell:.0f}"
    return str(cell)


def render(findings: Findings) -> str:
    """The report as HTML text; nothing in it refers to another file."""
    return reports.render(
        "findings",
        title=findings.title,
        question=findings.question,
        tables=[{**vars(table), "rows": _rows(table)} for table in findings.tables],
        figures=findings.figures,
        notes=[*findings.notes, NOTICE],
    )


def _rows(table: Table) -> list[tuple[str, list[str]]]:
    """The rows of a table as a report shows them: (class, cells)."""
    return [
        ("printed" if "printed" in str(row[0]) else "", [shown(cell) for cell in row]) for row in table.rows
    ]


def _markdown(findings: Findings, pictures: list[str]) -> str:
    parts = [f"# {findings.title}", findings.question]
    for table in findings.tables:
        rows = [
            table.header,
            ["---", *["---:"] * (len(table.header) - 1)],
            *([shown(c) for c in row] for row in table.rows),
        ]
        lines = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
        parts += [f"## {table.title}", lines, *([table.note] if table.note else [])]
    for figure, name in zip(findings.figures, pictures, strict=True):
        parts += [f"## {figure.title}", f"![{figure.title}]({name})", *([figure.note] if figure.note else [])]
    return (
        "\n\n".join([*parts, "## Notes", "\n".join(f"- {note}" for note in [*findings.notes, NOTICE])]) + "\n"
    )
