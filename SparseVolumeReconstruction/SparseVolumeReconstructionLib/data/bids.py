"""Names of files as BIDS gives them: entities and a suffix, "sub-01_ses-02_acq-mprage_T1w"."""

from __future__ import annotations

import re
from typing import NamedTuple

_ENTITY = re.compile(r"[a-zA-Z]+-[a-zA-Z0-9+]+")
_CONTRASTS = {
    "T1w": "t1",
    "inplaneT1": "t1",
    "UNIT1": "t1",
    "T2w": "t2",
    "inplaneT2": "t2",
    "FLAIR": "flair",
    "PDw": "pd",
    "PDT2": "pd and t2",
    "T2starw": "t2 star",
    "angio": "angiography",
    "MP2RAGE": "mp2rage",
    **{
        f"{what}map": f"{what} map"
        for what in ("T1", "T2", "T2star", "R1", "R2", "R2star", "PD", "MTR", "MTsat")
    },
    **dict.fromkeys(
        ("bold", "sbref", "dwi", "epi", "asl", "m0scan", "phasediff", "defacemask"), "no anatomy"
    ),
}

WRITTEN = {"t1": "T1w", "t2": "T2w", "flair": "FLAIR", "pd": "PDw"}
"""How contrasts of MRI are written for people."""


class BidsName(NamedTuple):
    """The parts of a name: entities in their order, {"sub": "01", "ses": "02"}, and the suffix, "T1w"."""

    entities: dict[str, str]
    suffix: str

    @property
    def contrast(self) -> str | None:
        """What the name tells of the contrast, "t1", "t2", "flair" and others; None where it tells none."""
        if self.entities.get("part", "mag") != "mag":
            return self.entities["part"]
        return _CONTRASTS.get(self.suffix)


def parse_bids(name: str) -> BidsName | None:
    """The parts of a file's name (without folder and extension); None for one that is not of BIDS.

    The Brain Imaging Data Structure's rule: pairs of key and value, each key once and the subject first, then
    a suffix. (Gorgolewski et al., Scientific Data 3, 160044, 2016.)
    """
    *pairs, suffix = name.split("_")
    if not pairs or not suffix.isalnum() or not all(_ENTITY.fullmatch(pair) for pair in pairs):
        return None
    entities = dict(pair.split("-", 1) for pair in pairs)
    if len(entities) < len(pairs) or next(iter(entities)) != "sub":
        return None
    return BidsName(entities, suffix)


def contrast_of(name: str) -> str | None:
    """The contrast that a name tells: by BIDS, or as others write it, "head_t1"; None where it tells none."""
    if parsed := parse_bids(name):
        return parsed.contrast
    found = re.search(r"_(?:inplane)?(t1|t2|flair|pd(?=w))w?$", name.lower())  # "_pd" may be a diagnosis
    return found and found[1]


def contrast_in(modality: str) -> str | None:
    """The contrast that words such as "T1w MRI" mention, as `contrast_of` calls it; None without any."""
    found = re.search(r"t1|t2|flair|\bpd", modality.lower())
    return found and found[0]


def without_contrast(name: str) -> str:
    """A name without its last part where that tells the contrast: the same for all scans of one visit."""
    return name.rsplit("_", 1)[0] if contrast_of(name) else name
