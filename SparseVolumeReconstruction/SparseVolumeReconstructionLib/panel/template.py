"""The section that hands the template over to slice-to-volume reconstruction."""

from __future__ import annotations

from pathlib import Path

import ctk
import qt

from ..geometry import InputError
from ..mrml.i18n import _
from ..workflow.handover import take_template
from .section import Section


class TemplateSection(Section):
    """Writes the template, its mask and the stacks as NIfTI and shows the command line of each tool."""

    FILE, NOTE = "Template.ui", "templateNote"

    def wire(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._commands: dict[str, str] = {}
        ui.folderEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.folderEdit.connect("currentPathChanged(QString)", self._set_folder)
        ui.writeButton.connect("clicked(bool)", lambda _on: self.attempt(self._write))
        ui.toolBox.connect("currentIndexChanged(int)", lambda _index: self._show())
        ui.copyButton.connect(
            "clicked(bool)", lambda _on: qt.QApplication.clipboard().setText(ui.commandEdit.plainText)
        )

    def refresh(self) -> None:
        """Possible once there is a template and a folder."""
        result, folder = self.presenter.explorer.result, self.presenter.parameters.svrFolder
        if self.ui.folderEdit.currentPath != folder:
            self.ui.folderEdit.currentPath = folder
        there = result is not None and result.template is not None
        self.ui.writeButton.enabled = there
        self.ui.writeButton.toolTip = (
            _("Write template and mask in patient space")
            if there
            else _("Reconstruct with the SVR template among the outputs first")
        )
        self.ui.copyButton.enabled = bool(self._commands)

    def _set_folder(self, path: str) -> None:
        self.presenter.parameters.svrFolder = path

    def _write(self) -> None:
        result = self.presenter.explorer.result
        if result is None or result.template is None:
            raise InputError(
                _("there is no template; reconstruct with the SVR template among the outputs first.")
            )
        if not self.presenter.parameters.svrFolder:
            raise InputError(_("Choose the folder for template, mask and stacks first."))
        handover = take_template(result, list(self.presenter.contexts)).write(
            Path(self.presenter.parameters.svrFolder)
        )
        self._commands = handover.commands
        self.ui.toolBox.clear()
        self.ui.toolBox.addItems(list(self._commands))
        self._show()
        self.refresh()
        self.say(_("Written to {folder}.").format(folder=self.presenter.parameters.svrFolder))

    def _show(self) -> None:
        self.ui.commandEdit.setPlainText(self._commands.get(self.ui.toolBox.currentText, ""))
