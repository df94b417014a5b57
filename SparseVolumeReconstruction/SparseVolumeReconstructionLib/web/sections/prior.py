"""The section of the prior: which model, and its card."""

from __future__ import annotations

from ...geometry import InputError
from ...slicerside.workflow.requirements import missing_packages
from .section import Action, Section, option


class PriorSection(Section):
    """Menu of models, the card of the chosen one, and the covariate that it knows."""

    NAME = "prior"

    def actions(self) -> dict[str, Action]:
        """Compare the weights file with its SHA-256."""
        return {"verify": self._verify}

    def state(self) -> dict:
        """Models as a menu, card as rows of name and text, covariate or None."""
        shown = {"models": [], "card": [], "covariate": None, "missing": ", ".join(missing_packages())}
        try:
            entries = {entry.card.id: entry for entry in self.presenter.models.entries()}
        except (ImportError, InputError) as error:
            return shown | {"card": [{"name": "No models", "text": str(error)}]}
        shown["models"] = [option(name, entry.card.title) for name, entry in entries.items()]
        entry = entries.get(self.presenter.parameters.prior)
        if entry is None:
            return shown
        known = entry.card.covariate
        if known is not None:
            name = known.name.replace("_", " ").capitalize()
            shown["covariate"] = {"name": name, "unit": known.unit, "low": known.low, "high": known.high}
        return shown | {"card": _card(entry)}

    def _verify(self) -> None:
        self.presenter.models.verify(self.presenter.parameters.prior)
        self.presenter.runner.say("The weights file is whole: its SHA-256 is that of the manifest.")


def _card(entry) -> list[dict[str, str]]:
    card = entry.card
    rows = {
        "Anatomy": f"{card.anatomy}, {card.modality}",
        "System": f"{card.system}, version {card.version}",
        "Data": card.data,
        "Licence": card.licence,
        "Time and memory": card.time_and_memory,
        "Limits": card.limits,
        "Notice": card.notice,
        "File": f"{entry.file}, {entry.bytes / 1e6:.1f} MB, SHA-256 {entry.sha256[:16]}…",
    }
    return [{"name": name, "text": text} for name, text in rows.items() if text]
