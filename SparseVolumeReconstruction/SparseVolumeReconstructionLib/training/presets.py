"""The configurations that are shipped: named changes of one another, in one YAML file beside each system.

A file has `parts`, each a part of a configuration by its name, and `presets`: the parts that make one, merged
in their order. A key that two parts name has the later one's value; sections are merged key by key.
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import yaml

from ..priors.systems import all_systems


def shipped_presets() -> dict[str, dict[str, Any]]:
    """The content of every shipped configuration, by its name."""
    files = dict.fromkeys(system.presets for system in all_systems().values())
    return {name: content for file in files if file.is_file() for name, content in presets_of(file).items()}


def presets_of(file: Path) -> dict[str, dict[str, Any]]:
    """The configurations of one file, by name."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {
        name: reduce(merged, (content["parts"][part] for part in parts), {})
        for name, parts in content["presets"].items()
    }


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`one` with what `other` says; sections are merged key by key.

    Args:
        one, other: stay as they are. Where only one of them has a section under a key, `other` has its way.
    """
    both = {
        key: merged(one[key], other[key]) for key in one.keys() & other.keys() if _sections(one, other, key)
    }
    return {**one, **other, **both}


def _sections(one: dict[str, Any], other: dict[str, Any], key: str) -> bool:
    return isinstance(one[key], dict) and isinstance(other[key], dict)
