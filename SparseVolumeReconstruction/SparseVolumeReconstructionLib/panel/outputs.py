"""The section of the outputs: all of it is parameters."""

from __future__ import annotations

from .section import Section


class OutputSection(Section):
    """Which volumes are made, on which grid, and where they are computed."""

    FILE = "Outputs.ui"

    def refresh(self) -> None:
        """A volume whose grid is taken leaves nothing to say about the spacing.

        What samples start from is asked where the model leaves a choice.
        """
        ui, presenter = self.ui, self.presenter
        ui.spacingSpinBox.enabled = presenter.parameters.likeVolume is None
        for widget in (ui.drawsLabel, ui.drawsBox):
            widget.visible = presenter.offers_draws
