"""The section of the prior: which model, its card, its file, and what it needs to know of the patient."""

from __future__ import annotations

import html
from pathlib import Path

import qt
import slicer.util

from ..geometry import InputError
from ..mrml.i18n import _
from ..workflow.model_card import card_rows, embedded_entries
from ..workflow.requirements import install_missing, needed, question
from .section import Section


class PriorSection(Section):
    """Menu of models with their cards.

    Verify, import and remove; the covariate; packages that are missing.
    """

    FILE, NOTE = "Prior.ui", "priorNote"

    def wire(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._shown: list[str] = []
        self._installing = False
        ui.priorBox.connect("activated(int)", self._chosen)
        ui.verifyButton.connect("clicked(bool)", lambda _on: self.attempt(self.presenter.verify_model))
        ui.importButton.connect("clicked(bool)", lambda _on: self._import())
        ui.removeButton.connect("clicked(bool)", lambda _on: self._remove())
        ui.installButton.connect("clicked(bool)", lambda _on: self._install())

    def refresh(self) -> None:
        """List the models and show the card of the chosen one."""
        ui = self.ui
        missing = needed()
        ui.missingLabel.visible = ui.installButton.visible = bool(missing)
        ui.missingLabel.text = missing
        ui.installButton.enabled = not self._installing
        entries = self._entries()
        if [*entries] != self._shown:
            self._shown = [*entries]
            ui.priorBox.clear()
            ui.priorBox.addItems([f"{entry.card.title} ({entry.card.id})" for entry in entries.values()])
            for row in range(ui.priorBox.count):  # a narrow panel cuts long names
                ui.priorBox.setItemData(row, ui.priorBox.itemText(row), qt.Qt.ToolTipRole)
        chosen = self.presenter.parameters.prior
        ui.priorBox.currentIndex = self._shown.index(chosen) if chosen in entries else -1
        ui.priorBox.toolTip = ui.priorBox.currentText or _(
            "Model of the anatomy and modality that the slices show"
        )
        self._show_card(entries.get(chosen))

    def _entries(self) -> dict:
        """The models by id; without the packages that read models those of the extension, to look at."""
        ui = self.ui
        usable = True
        try:
            entries = self.presenter.models.entries_for("slice")
        except ImportError:
            entries, usable = embedded_entries(), False
        except InputError as error:
            entries, usable = [], False
            ui.cardBrowser.setPlainText(str(error))
            ui.cardBrowser.setProperty("card", "")
        ui.priorBox.enabled = bool(entries)
        for button in (ui.verifyButton, ui.importButton, ui.removeButton):
            button.enabled = usable
        return {entry.card.id: entry for entry in entries}

    def _show_card(self, entry) -> None:
        """The card as text, and the covariate that it names."""
        ui = self.ui
        known = entry.card.covariate if entry else None
        ui.covariateCheckBox.visible = ui.covariateSpinBox.visible = known is not None
        ui.covariateSpinBox.enabled = self.presenter.parameters.covariateKnown
        if known is not None:
            ui.covariateCheckBox.text = _("{name} is known").format(
                name=known.name.replace("_", " ").capitalize()
            )
            if (
                ui.covariateSpinBox.suffix != f" {known.unit}"
            ):  # setting it anew would undo what is being typed
                ui.covariateSpinBox.suffix = f" {known.unit}"
            ui.covariateSpinBox.setRange(known.low, known.high)
        if entry is None:
            return
        if ui.removeButton.enabled:
            ui.removeButton.enabled = not self.presenter.models.is_embedded(entry.card.id)
        text = _card_html(entry)
        if ui.cardBrowser.property("card") != text:  # setting it anew would scroll back to the top
            ui.cardBrowser.setHtml(text)
            ui.cardBrowser.setProperty("card", text)

    def _chosen(self, index: int) -> None:
        self.presenter.parameters.prior = self._shown[index]

    def _import(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            self.widget, _("Import a model"), "", _("Model weights (*.safetensors)")
        )
        if path and self.attempt(lambda: self.import_file(Path(path))):
            self.say(_("The model was imported."))

    def import_file(self, path: Path) -> None:
        """Import a weights file and choose it, where it is one for slices. Raises InputError."""
        models = self.presenter.models
        entry = models.import_file(path)
        if entry in models.entries_for("slice"):
            self.presenter.parameters.prior = entry.card.id

    def _remove(self) -> None:
        """Delete the weights, once the user has agreed."""
        p = self.presenter.parameters
        models = self.presenter.models
        entry = models.entry(p.prior)
        words = _(
            'Delete the model "{title}" ({size:.1f} MB) from this computer? Only its weights file can bring '
            "it back."
        )
        if slicer.util.confirmOkCancelDisplay(
            words.format(title=entry.card.title, size=entry.bytes / 1e6)
        ) and self.attempt(lambda: models.remove(p.prior)):
            p.prior = "brain-t1"
            self.say(_('The model "{title}" was removed.').format(title=entry.card.title))

    def _install(self) -> None:
        """Ask, install, and tell at the button how far it is."""
        if not slicer.util.confirmOkCancelDisplay(question()):
            return
        outcome: list[str] = []
        self._installing = True
        with slicer.util.WaitCursor():
            if self.attempt(lambda: outcome.append(install_missing(self._tell))):
                self.say(outcome[0])
        self._installing = False

    def _tell(self, text: str) -> None:
        """Show at once what is being done, while it blocks."""
        self.say(text)
        self.refresh()
        self.show_note()
        slicer.app.processEvents()


def _card_html(entry) -> str:
    """The model card as a page."""
    cells = "".join(
        f"<p><b>{html.escape(name)}</b><br>{html.escape(text)}</p>" for name, text in card_rows(entry).items()
    )
    return cells.replace("\n", "<br>")
