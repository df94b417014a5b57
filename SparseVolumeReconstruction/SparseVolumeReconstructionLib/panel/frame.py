"""The section of the frame.

Where the patient lies in the prior's space, and the atlas over the slices to judge it.
"""

from __future__ import annotations

from ..workflow.choices import FrameMode
from .section import Section


class FrameSection(Section):
    """Automatic, a transform to be edited by hand, or already registered."""

    FILE, NOTE = "Frame.ui", "frameNote"

    def wire(self) -> None:
        """Connect the widgets."""
        self.ui.atlasButton.connect("clicked(bool)", self._atlas)
        self.ui.editButton.connect("clicked(bool)", self._edit)

    def refresh(self) -> None:
        """Which buttons are possible and on."""
        ui, p, presenter = self.ui, self.presenter.parameters, self.presenter
        ui.frameTransformSelector.enabled = p.frameMode == FrameMode.TRANSFORM
        ui.editButton.enabled = p.frameMode != FrameMode.REGISTERED
        ui.editButton.checked = presenter.frame_handles()
        ui.atlasButton.checked = p.showAtlas
        ui.atlasButton.enabled = not presenter.runner.running and (
            p.showAtlas or presenter.atlas_reason() is None
        )

    def _atlas(self, shown: bool) -> None:
        self.attempt(lambda: self.presenter.show_atlas(shown))
        self.refresh()

    def _edit(self, on: bool) -> None:
        """Handles to translate and rotate the transform in the views."""
        if self.attempt(lambda: self.presenter.show_frame_handles(on)):
            self.refresh()
