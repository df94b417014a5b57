"""What an experiment finds: tables, figures and notes. Nothing heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """A table of a report.

    header: the columns; the first cell of a row is its name.

    None is shown as "–". note: how it was measured.

    Numbers of a paper are rows or columns of their own whose names say "printed".
    """

    title: str
    header: list[str]
    rows: list[list[Cell]]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture as the bytes of a PNG file, and what it shows."""

    title: str
    png: bytes
    note: str = ""


@dataclass(frozen=True)
class Findings:
    """What an experiment found.

    Attributes:
        question: what the paper wanted to know.
        notes: what a reader must know of the numbers.
    """

    name: str
    title: str
    question: str
    tables: list[Table]
    figures: list[Figure]
    notes: list[str]
