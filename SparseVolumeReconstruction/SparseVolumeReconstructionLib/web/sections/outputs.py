"""The section of the outputs: all of it is parameters."""

from __future__ import annotations

from ...workflow.choices import RANGES, Device, Draws
from .section import Section, option


class OutputSection(Section):
    """Which volumes are made, on which grid, and where they are computed."""

    NAME = "outputs"

    def state(self) -> dict:
        """Menus of devices and of what samples start from (empty without a choice), ranges of the numbers."""
        offered = Draws if self.presenter.offers_draws else ()
        return {
            "draws": [option(draws.value, draws.label()) for draws in offered],
            "devices": [option(device.value, device.label()) for device in Device],
            "ranges": {k: list(v) for k, v in RANGES.items()},
        }
