"""What the DICOM standard asks of a file, by the tables that highdicom carries: a small validator."""

import json
from functools import cache
from pathlib import Path

import highdicom
from pydicom.dataset import Dataset

TABLES = Path(highdicom.__file__).parent / "_standard"
GROUPS = {"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"}


@cache
def table(name: str) -> dict:
    return json.loads((TABLES / f"{name}.json").read_text())


def broken_rules(made: Dataset) -> list[str]:
    """Attributes of the modules that its class must have, and of their sequences, that are not as asked.

    Functional groups may be shared or of each frame, so theirs are left to who reads them.
    """
    iod = table("sop_class_iod_map")[made.SOPClassUID]
    found = []
    for module in table("iod_module_map")[iod]:
        if module["usage"] == "M":
            rules = table("module_attribute_map")[module["key"]]
            for rule in (rule for rule in rules if not {*rule["path"]} & GROUPS):
                found += [f"{module['key']}: {problem}" for problem in _broken(rule, made)]
    unknown = [str(each.tag) for each in made.iterall() if not each.keyword or each.tag.is_private]
    return found + [f"not in the dictionary: {tag}" for tag in unknown]


def _broken(rule: dict, made: Dataset) -> list[str]:
    """Problems with one attribute, wherever the sequences around it are there."""
    places = [made]
    for keyword in rule["path"]:
        places = [item for place in places for item in place.get(keyword) or []]
    name = ".".join([*rule["path"], rule["keyword"]])
    if rule["type"] == "1":
        return [f"{name} is missing" for place in places if place.get(rule["keyword"]) in (None, "", [])]
    return [f"{name} is missing" for place in places if rule["type"] == "2" and rule["keyword"] not in place]
