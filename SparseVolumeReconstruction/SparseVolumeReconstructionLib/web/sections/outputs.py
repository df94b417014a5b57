"""The section of the outputs: all of it is parameters."""

from __future__ import annotations

from ...workflow.choices import RANGES, Device
from .section import Section, option


class OutputSection(Section):
    """Which volumes are made, on which grid, and where they are computed."""

    NAME = "outputs"

    def state(self) -> dict:
        """Menu of devices, ranges of the numbers."""
        return {
            "devices": [option(device.value, device.label()) for device in Device],
            "ranges": {k: list(v) for k, v in RANGES.items()},
        }
