"""The row that runs: Apply or Cancel, progress, and errors with their log."""

from __future__ import annotations

import qt

from ..i18n import _
from .section import Section


class RunSection(Section):
    """Apply is off, with the reason as tooltip, until everything is there; while it runs it is Cancel."""

    FILE = "Run.ui"

    def wire(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        ui.applyButton.connect("clicked(bool)", lambda _on: self._apply())
        ui.logButton.connect("toggled(bool)", lambda on: self._show_log(on))
        ui.copyLogButton.connect("clicked(bool)", lambda _on: qt.QApplication.clipboard().setText(self.presenter.runner.status.log))

    def refresh(self) -> None:
        """Show what runs, or why nothing can."""
        ui, runner = self.ui, self.presenter.runner
        status, running, reason = runner.status, runner.running, self.presenter.reason()
        ui.applyButton.text = _("Cancel") if running else _("Apply")
        ui.applyButton.enabled = running or reason is None
        ui.applyButton.toolTip = _("Stop; nothing that was there before is changed.") if running else reason or _("Reconstruct the volume")
        ui.reasonLabel.visible = bool(reason) and not running
        ui.reasonLabel.text = reason or ""
        ui.progressBar.visible = running
        ui.progressBar.value = int(100 * status.fraction)
        ui.statusLabel.text = status.text
        ui.statusLabel.visible = bool(status.step)
        ui.errorFrame.visible = bool(status.error)
        ui.errorLabel.text = status.error
        if ui.logEdit.property("log") != status.log:
            ui.logEdit.setProperty("log", status.log)
            ui.logEdit.setPlainText(status.log)
        ui.logButton.visible = bool(status.log)
        if not status.log:
            ui.logButton.checked = False

    def _apply(self) -> None:
        runner = self.presenter.runner
        if runner.running:
            runner.cancel()
        else:
            self.attempt(self.presenter.apply)

    def _show_log(self, on: bool) -> None:
        self.ui.logEdit.visible = self.ui.copyLogButton.visible = on
