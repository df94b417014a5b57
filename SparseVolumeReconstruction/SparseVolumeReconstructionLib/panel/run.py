"""The footer of the panel.

Apply or Cancel, progress, the one message that matters, and warnings about the result.
"""

from __future__ import annotations

import qt

from ..mrml.i18n import _
from ..workflow.message import message
from .section import Section, breakable, say_it


class RunSection(Section):
    """Apply is off, with the reason as tooltip, until everything is there; while it runs it is Cancel."""

    FILE = "Run.ui"

    def wire(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._warned = None
        ui.applyButton.connect("clicked(bool)", lambda _on: self._apply())
        ui.warningButton.connect("toggled(bool)", lambda _on: self.refresh())
        ui.logButton.connect("toggled(bool)", lambda on: self._show_log(on))
        ui.copyLogButton.connect(
            "clicked(bool)", lambda _on: qt.QApplication.clipboard().setText(self.presenter.runner.status.log)
        )

    def refresh(self) -> None:
        """Show what runs, what went wrong, or why nothing can be computed: one of them."""
        ui, runner, now = self.ui, self.presenter.runner, message(self.presenter)
        running, reason = runner.running, self.presenter.reason()
        text, what = self.presenter.offer(_("Apply"))
        ui.applyButton.text = _("Cancel") if running else text
        ui.applyButton.enabled = running or reason is None
        ui.applyButton.toolTip = (
            _("Stop; nothing that was there before is changed.") if running else reason or what
        )
        ui.progressBar.visible = running
        ui.progressBar.value = int(100 * runner.status.fraction)
        for label, kinds in ((ui.reasonLabel, ("blocked",)), (ui.statusLabel, ("running", "said"))):
            label.visible = now.kind in kinds
            label.text = breakable(now.text) if now.kind in kinds else ""
        ui.errorFrame.visible = now.kind == "error"
        say_it(ui.errorLabel, now.text if now.kind == "error" else "", "error")
        self._show_warnings(now.headline, now.warnings)
        self._fill_log(runner.status.log)

    def _show_warnings(self, headline: str, warnings: tuple[str, ...]) -> None:
        """Their number, and the words, which can be folded; they are unfolded for every result anew."""
        ui, result = self.ui, self.presenter.parameters.result
        if self._warned is not result:
            self._warned = result
            ui.warningButton.checked = True
        ui.warningButton.visible = bool(warnings)
        ui.warningButton.text = headline
        ui.warningButton.arrowType = qt.Qt.DownArrow if ui.warningButton.checked else qt.Qt.RightArrow
        say_it(ui.warningLabel, "\n".join(warnings), "warning", ui.warningButton.checked)

    def _fill_log(self, log: str) -> None:
        ui = self.ui
        if ui.logEdit.property("log") != log:
            ui.logEdit.setProperty("log", log)
            ui.logEdit.setPlainText(log)
        ui.logButton.visible = bool(log)
        if not log:
            ui.logButton.checked = False

    def _apply(self) -> None:
        runner = self.presenter.runner
        if runner.running:
            runner.cancel()
        else:
            self.attempt(self.presenter.apply)

    def _show_log(self, on: bool) -> None:
        self.ui.logEdit.visible = self.ui.copyLogButton.visible = on
