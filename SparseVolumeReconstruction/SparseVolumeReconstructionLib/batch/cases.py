"""The cases of a cohort: rows of a table, or the scans of a BIDS data set."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.bids import WRITTEN, BidsName, contrast_of, parse_bids
from ..geometry import InputError, file_errors
from ..observation import SliceSpec
from ..synthesis.models import weights_of
from .recipe import FILES, Recipe

_COLUMNS = {"context": "contexts", "stack": "stacks", "input": "inputs"}
_PATHS = ("mask", "masks", "like", "truth", "frame")
_WORDS = ("auto", "registered")


@dataclass(frozen=True)
class Case:
    """One case, as plain data that travels between machines.

    Attributes:
        name: BIDS entities, "sub-01_ses-02"; names its files.
        suffix: BIDS suffix of its files, "T1w".
        given: fields of the request that are its own.
        truth: path of the real volume, where the result is scored.
    """

    name: str
    suffix: str
    given: dict[str, Any]
    truth: str | None = None


def cases_of_table(path: Path, recipe: Recipe, parse: Callable[[str], SliceSpec]) -> list[Case]:
    """One case a row of a CSV file.

    Columns: case; context, stack or input (several, with ";" between them); truth; and any option of the
    recipe that is the case's own. Paths are relative to the folder of the table.

    Args:
        path: of the file.
        recipe: what is done.
        parse: makes of FILE or FILE:k1,k2,... the slices of a file.

    Raises:
        InputError: for what is no such table.
    """
    with file_errors(f"{path}: cannot be read"):
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    reader = csv.DictReader(lines)
    rows = list(reader)
    known = {"case", "truth", *_COLUMNS, *recipe.request.model_fields} - {"output", "format"}
    columns = set(reader.fieldnames or ())
    if "case" not in columns or columns - known:
        raise InputError(
            f"{path}: expected a table with the column case and some of "
            f"{', '.join(sorted(known - {'case'}))}; found {', '.join(map(str, columns)) or 'none'}."
        )
    cases = []
    for number, row in enumerate(rows, 2):
        if None in row or not row["case"]:
            raise InputError(f"{path}: line {number} has no case, or more values than there are columns.")
        cases.append(_case_of_row(row, path.absolute().parent, recipe, parse))
    return checked(cases, str(path))


def _case_of_row(
    row: dict[str, str], folder: Path, recipe: Recipe, parse: Callable[[str], SliceSpec]
) -> Case:
    given: dict[str, Any] = {}
    for column, text in row.items():
        name = _COLUMNS.get(column, column)
        values = [value.strip() for value in text.split(";") if value.strip()] if text else []
        if not values or column == "case":
            continue
        if name in ("contexts", "stacks"):
            specs = [parse(str(folder / value)) for value in values]
            given[name] = [_limited(spec, recipe).model_dump() for spec in specs]
        elif name == "inputs":
            pairs = [value.partition("=") for value in values]
            found = {contrast_of(f"_{word}") or word.lower(): str(folder / file) for word, _, file in pairs}
            given[name] = found
        elif name in _PATHS and text not in _WORDS:
            files = [str(folder / value) for value in values]
            given[name] = files if name == "masks" else files[0]
        else:
            given[name] = values if name in ("outputs",) else values[0]
    truth = given.pop("truth", None)
    parsed = parse_bids(f"{row['case']}_{recipe.select}")
    name = row["case"] if parsed else f"sub-{re.sub('[^a-zA-Z0-9]', '', row['case'])}"
    return Case(name, recipe.select, given, truth)


def _limited(spec: SliceSpec, recipe: Recipe) -> SliceSpec:
    """With the slices of the recipe, where it has some and the case has none of its own."""
    return spec if spec.slices is not None else spec.model_copy(update={"slices": recipe.slices})


def cases_of_bids(folder: Path, recipe: Recipe) -> list[Case]:
    """The cases of a BIDS data set: every scan of the suffix, or every visit for svr and synthesize.

    Raises:
        InputError: where there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; --bids expects a BIDS data set.")
    scans: dict[Path, BidsName] = {}
    for file in sorted(folder.absolute().glob("sub-*/**/anat/sub-*_*.nii*")):
        parsed = parse_bids(file.name.removesuffix(".gz").removesuffix(".nii"))
        if parsed and "derivatives" not in file.relative_to(folder.absolute()).parts:
            scans[file] = parsed
    groups: dict[str, list[Path]] = {}
    for file, parsed in scans.items():
        if parsed.suffix == recipe.select or recipe.operation == "synthesize":
            groups.setdefault(_group(parsed, recipe), []).append(file)
    if not groups:
        raise InputError(
            f"{folder}: no scan sub-*/anat/sub-*_{recipe.select}.nii[.gz]; see select in the recipe."
        )
    field = FILES[recipe.operation]
    wanted, suffix = _contrasts(recipe)
    cases = []
    for name, files in groups.items():
        if field == "inputs":
            there = {scans[file].contrast: str(file) for file in files if scans[file].contrast}
            used = {contrast: there[contrast] for contrast in there if contrast in wanted}
            cases.append(Case(name, suffix, {field: used or there}))  # or what is refused by name
            continue
        specs = [SliceSpec(path=str(file), slices=recipe.slices).model_dump() for file in files]
        truth = str(files[0]) if recipe.operation == "evaluate" else None
        cases.append(Case(name, recipe.select, {field: specs}, truth))
    return checked(cases, str(folder))


def _contrasts(recipe: Recipe) -> tuple[tuple[str, ...], str]:
    """The contrasts that a recipe's network takes (it refuses more), and the BIDS suffix of what it makes."""
    if recipe.operation != "synthesize" or "model" not in recipe.options:
        return (), recipe.select
    from ..synthesis.pix2pix.synthesiser import contrasts_of

    taken, made = contrasts_of(weights_of(str(recipe.options["model"])))
    return taken, WRITTEN.get(made, recipe.select)


def _group(parsed: BidsName, recipe: Recipe) -> str:
    """The name of the case that a scan belongs to."""
    one_scan = FILES[recipe.operation] == "contexts"
    keys = [key for key in parsed.entities if one_scan or key in ("sub", "ses")]
    return "_".join(f"{key}-{parsed.entities[key]}" for key in keys)


def checked(cases: list[Case], name: str) -> list[Case]:
    """The cases themselves. Raises InputError for none, and for two of one name."""
    if not cases:
        raise InputError(f"{name}: no cases.")
    names = [case.name for case in cases]
    if double := sorted({each for each in names if names.count(each) > 1}):
        raise InputError(f"{name}: several cases would be called {', '.join(double)}; name them apart.")
    return cases
