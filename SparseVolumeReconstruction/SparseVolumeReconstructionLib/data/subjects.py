"""The subjects of a fit: volumes of one or more folders, and their covariate.

Where there are few, augmented copies are among them.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..geometry import InputError, Volume
from .bids import parse_bids
from .cohort import Cohort, list_cohort
from .population import member


@dataclass(frozen=True)
class CovariateRule:
    """A number read from each subject's file name: the first group of `pattern`, in `unit`."""

    name: str
    unit: str
    pattern: re.Pattern

    @classmethod
    def parse(cls, text: str) -> CovariateRule:
        """From "NAME:UNIT:REGEX", e.g. "gestational_age:weeks:GA([0-9]+)". Raises InputError."""
        parts = text.split(":", 2)
        if len(parts) < 3 or not all(parts):
            raise InputError(
                f'covariate "{text}": expected NAME:UNIT:REGEX, e.g. "gestational_age:weeks:GA([0-9]+)".'
            )
        try:
            pattern = re.compile(parts[2])
        except re.error as error:
            raise InputError(
                f'covariate "{text}": "{parts[2]}" is not a regular expression ({error}).'
            ) from error
        if pattern.groups != 1:
            raise InputError(
                f'covariate "{text}": the expression has {pattern.groups} groups; expected one, around the '
                "number."
            )
        return cls(parts[0], parts[1], pattern)

    def value(self, subject: str) -> float:
        """The subject's value. Raises InputError when its name tells none."""
        found = self.pattern.search(subject)
        try:
            return float(found[1] if found else "")
        except (TypeError, ValueError) as error:
            raise InputError(
                f'{subject}: its name tells no {self.name} ("{self.pattern.pattern}" finds no number in it).'
            ) from error


@dataclass(frozen=True, eq=False)
class Subjects:
    """The subjects of a fit, and what is known of each.

    cohort: the volumes of all folders by name. folder: that each comes from, by name.

    augmented_copies: how many random copies each has. covariate: by name.
    """

    cohort: Cohort
    folder: dict[str, Path]
    augmented_copies: dict[str, int]
    covariate: dict[str, float]
    seed: int

    def volume(self, name: str, number: int = 0) -> Volume:
        """The subject itself (0) or its copy of that number, [0, 1].

        Args:
            number: of the copy, from 1; a copy is the same for the same seed, name and number.

        Raises:
            InputError: the file cannot be used.
        """
        volume = self.cohort.volume(name)
        return member(volume, [self.seed, zlib.crc32(name.encode()), number]) if number else volume

    def members(self, names: list[str]) -> list[tuple[str, int]]:
        """(name, number) of every volume to fit, the copies of a subject after itself."""
        return [(name, number) for name in names for number in range(1 + self.augmented_copies[name])]


def list_subjects(
    folders: list[Path],
    modality: str,
    augment: tuple[int, ...],
    rule: CovariateRule | None,
    seed: int,
    strip: tuple[str, ...] = ("",),
) -> Subjects:
    """Subjects of all folders.

    Args:
        modality: files whose names tell another one are skipped.
        augment: random copies per volume, one number for all folders or one for each.
        rule: reads the covariate from each name; it is 0 for all if None.
        seed: of the copies.
        strip: by what word the label maps are called outside of which a folder's volumes are set to 0 (none
            for ""), for all folders or one for each; who has none is skipped.

    Raises:
        InputError: a folder cannot be used, a name is in two folders or tells no covariate, or there are
            neither one nor as many numbers or words as folders, or nobody of a folder has a label map.
    """
    if len(strip) not in (1, len(folders)):
        raise InputError(
            f"{len(strip)} words of label maps for {len(folders)} cohorts; give one, or one for each cohort."
        )
    if len(augment) not in (1, len(folders)):
        raise InputError(
            f"{len(augment)} numbers of copies for {len(folders)} cohorts; give one number, or one for "
            "each cohort."
        )
    files: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    labels: dict[str, Path] = {}
    origin: dict[str, Path] = {}
    copies: dict[str, int] = {}
    for folder, count, word in zip(folders, augment * len(folders), strip * len(folders), strict=False):
        cohort = list_cohort(folder, modality=modality)
        twice = sorted(set(files) & set(cohort.files))
        if twice:
            raise InputError(f"{folder}: {twice[0]} is also in another cohort; rename one of the files.")
        if word:
            cohort = cohort.stripped_by(word)
        labels |= cohort.labels
        files |= cohort.files
        skipped |= cohort.skipped
        origin |= dict.fromkeys(cohort.files, folder)
        copies |= dict.fromkeys(cohort.files, count)
    covariate = {name: rule.value(name) if rule else 0.0 for name in files}
    return Subjects(Cohort(files, skipped, labels), origin, copies, covariate, seed)


def chance_split(names: list[str], seed: int) -> dict[str, list[str]]:
    """A quarter of the subjects held out, chosen by `seed`; all scans of a person (BIDS) are on one side.

    Args:
        names: in any order; of one person where BIDS says so, else each of a person of its own.

    Returns:
        {"fit": names, "test": names}, sorted; a quarter of the people, rounded down, are in "test".
    """
    people: dict[str, list[str]] = {}
    for name in sorted(names):
        parsed = parse_bids(name)
        people.setdefault(parsed.entities["sub"] if parsed else name, []).append(name)
    order = np.random.default_rng(seed).permutation(len(people))
    scans = [list(people.values())[n] for n in order]
    count = len(scans) // 4
    return {
        part: sorted(name for own in chosen for name in own)
        for part, chosen in (("fit", scans[count:]), ("test", scans[:count]))
    }


def read_split(path: Path) -> dict[str, list[str]]:
    """A split file {"fit": [...], "test": [...]}, perhaps with "donors": [...]. Raises InputError."""
    try:
        split = json.loads(path.read_text(encoding="utf-8"))
        if not {"fit", "test"} <= split.keys() <= {"fit", "test", "donors"} or not all(
            isinstance(part, list) and all(isinstance(n, str) for n in part) for part in split.values()
        ):
            raise ValueError("other content")
        donors = set(split.get("donors", []))
        if donors & set(split["test"]) or len(donors & set(split["fit"])) not in (0, len(donors)):
            raise ValueError("a donor is tested, too, or some are fitted and others are not")
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f'{path}: not a split file; expected JSON {{"fit": [names], "test": [names]}}, and perhaps '
            '"donors": [names] of others, or of fitted ones alone.'
        ) from error
    return split
