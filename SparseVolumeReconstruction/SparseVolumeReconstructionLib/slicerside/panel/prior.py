"""The section of the prior: which model, its card, its file, and what it needs to know of the patient."""

from __future__ import annotations

import html
from pathlib import Path

import qt
import slicer.util

from ...geometry import InputError
from ..i18n import _
from ..workflow.model_card import card_rows
from ..workflow.requirements import install_missing, missing_packages
from .section import Section


class PriorSection(Section):
    """Menu of models with their cards; verify, import and remove; the covariate; packages that are missing."""

    FILE = "Prior.ui"

    def wire(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._shown: list[str] = []
        ui.priorBox.connect("activated(int)", self._chosen)
        ui.verifyButton.connect("clicked(bool)", lambda _on: self.attempt(self.presenter.verify_model))
        ui.importButton.connect("clicked(bool)", lambda _on: self._import())
        ui.removeButton.connect("clicked(bool)", lambda _on: self.attempt(self._remove))
        ui.installButton.connect("clicked(bool)", lambda _on: self._install())

    def refresh(self) -> None:
        """List the models and show the card of the chosen one."""
        ui, missing = self.ui, missing_packages()
        ui.missingLabel.visible = ui.installButton.visible = bool(missing)
        ui.missingLabel.text = _("To compute, these Python packages are needed: {names}.").format(names=", ".join(missing))
        try:
            entries = {entry.card.id: entry for entry in self.presenter.models.entries()}
        except (ImportError, InputError) as error:
            entries = {}
            ui.cardBrowser.setPlainText(str(error))
        for widget in (ui.priorBox, ui.verifyButton, ui.importButton, ui.removeButton):
            widget.enabled = bool(entries)
        if [*entries] != self._shown:
            self._shown = [*entries]
            ui.priorBox.clear()
            ui.priorBox.addItems([f"{entry.card.title} ({entry.card.id})" for entry in entries.values()])
        chosen = self.presenter.parameters.prior
        ui.priorBox.currentIndex = self._shown.index(chosen) if chosen in entries else -1
        self._show_card(entries.get(chosen))

    def _show_card(self, entry) -> None:
        """The card as text, and the covariate that it names."""
        ui = self.ui
        known = entry.card.covariate if entry else None
        ui.covariateCheckBox.visible = ui.covariateSpinBox.visible = known is not None
        ui.covariateSpinBox.enabled = self.presenter.parameters.covariateKnown
        if known is not None:
            ui.covariateCheckBox.text = _("{name} is known").format(name=known.name.replace("_", " ").capitalize())
            if ui.covariateSpinBox.suffix != f" {known.unit}":  # setting it anew would undo what is being typed
                ui.covariateSpinBox.suffix = f" {known.unit}"
            ui.covariateSpinBox.setRange(known.low, known.high)
        if entry is None:
            return
        ui.removeButton.enabled = not self.presenter.models.is_embedded(entry.card.id)
        text = _card_html(entry)
        if ui.cardBrowser.property("card") != text:  # setting it anew would scroll back to the top
            ui.cardBrowser.setHtml(text)
            ui.cardBrowser.setProperty("card", text)

    def _chosen(self, index: int) -> None:
        self.presenter.parameters.prior = self._shown[index]

    def _import(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.widget, _("Import a model"), "", _("Model weights (*.safetensors)"))
        if path and self.attempt(lambda: self.import_file(Path(path))):
            self.presenter.runner.say(_("The model was imported."))

    def import_file(self, path: Path) -> None:
        """Import a weights file and choose it. Raises InputError."""
        entry = self.presenter.models.import_file(path)
        self.presenter.parameters.prior = entry.card.id

    def _remove(self) -> None:
        self.presenter.models.remove(self.presenter.parameters.prior)
        self.presenter.parameters.prior = "brain-t1"

    def _install(self) -> None:
        with slicer.util.WaitCursor():
            if self.attempt(install_missing):
                self.presenter.runner.say(_("The packages were installed."))


def _card_html(entry) -> str:
    """The model card as a page."""
    cells = "".join(f"<p><b>{html.escape(name)}</b><br>{html.escape(text)}</p>" for name, text in card_rows(entry).items())
    return cells.replace("\n", "<br>")
