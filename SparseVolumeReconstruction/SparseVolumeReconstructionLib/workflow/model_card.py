"""The card of a model as rows of text, for people."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from ..mrml.i18n import _

_MANIFEST = Path(__file__).resolve().parents[2] / "Resources" / "Models" / "models.json"
_NETWORKS = _MANIFEST.parent / "synthesis" / "models.json"
_DEFAULTS = {"covariate": None, "quality": {}, "time_and_memory": "", "limits": "", "notice": ""}


def embedded_entries() -> list:
    """The models of the extension, to be looked at.

    While the packages that check and read models are still missing, too.
    """
    return _entries(_MANIFEST)


def embedded_networks() -> list:
    """The networks of the extension that make a contrast of others, to be looked at."""
    return _entries(_NETWORKS) if _NETWORKS.is_file() else []


def _entries(manifest: Path) -> list:
    entries = json.loads(manifest.read_text(encoding="utf-8"))
    for entry in entries:
        card = _DEFAULTS | entry["card"]
        entry["card"] = SimpleNamespace(
            **card | {"covariate": card["covariate"] and SimpleNamespace(**card["covariate"])}
        )
    return [SimpleNamespace(**entry) for entry in entries]


def card_rows(entry) -> dict[str, str]:
    """Name and text of everything that a model's entry in the store tells; texts may have several lines."""
    card = entry.card
    rows = {
        _("Anatomy"): f"{card.anatomy}, {card.modality}",
        _("System"): f"{card.system}, {_('version')} {card.version}",
        _("Data"): card.data,
        _("Licence"): card.licence,
        _("Quality"): _lines(card.quality),
        _("Time and memory"): card.time_and_memory,
        _("Limits"): card.limits,
        _("Notice"): card.notice,
        _("File"): f"{entry.file}, {entry.bytes / 1e6:.1f} MB, SHA-256 {entry.sha256[:16]}…",
    }
    return {name: text for name, text in rows.items() if text}


def _lines(value, indent: str = "") -> str:
    """A measured quality as indented lines."""
    if isinstance(value, dict):
        return "\n".join(
            f"{indent}{key}:\n{_lines(part, indent + '  ')}"
            if isinstance(part, dict)
            else f"{indent}{key}: {_lines(part)}"
            for key, part in value.items()
        )
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(_lines(part) for part in value) if isinstance(value, list) else str(value)
