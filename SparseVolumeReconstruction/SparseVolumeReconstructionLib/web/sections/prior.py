"""The section of the prior: which model, and its card."""

from __future__ import annotations

from ...geometry import InputError
from ...workflow.model_card import card_rows
from ...workflow.requirements import missing_packages
from .section import Action, Section, option


class PriorSection(Section):
    """Menu of models, the card of the chosen one, and the covariate that it knows."""

    NAME = "prior"

    def actions(self) -> dict[str, Action]:
        """Compare the weights file with its SHA-256."""
        return {"verify": self.presenter.verify_model}

    def state(self) -> dict:
        """Models as a menu, card as rows of name and text, covariate or None."""
        shown = {"models": [], "card": [], "covariate": None, "missing": ", ".join(missing_packages())}
        try:
            entries = {entry.card.id: entry for entry in self.presenter.models.entries_for("slice")}
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
        return shown | {"card": [{"name": name, "text": text} for name, text in card_rows(entry).items()]}
