"""The section of the frame.

Where the patient lies in the prior's space, and the atlas over the slices to judge it.
"""

from __future__ import annotations

from ...workflow.choices import FrameMode
from .section import Action, Section, option


class FrameSection(Section):
    """Found from the slices, a transform that is edited by hand, or already registered."""

    NAME = "frame"

    def actions(self) -> dict[str, Action]:
        """Lay the atlas over the slices; edit the transform with handles in the views."""
        return {"atlas": self._atlas, "edit": self._edit}

    def state(self) -> dict:
        """Menu of modes, and what is possible and on."""
        p, presenter = self.presenter.parameters, self.presenter
        return {
            "modes": [option(mode.value, mode.label()) for mode in FrameMode],
            "given": p.frameMode == FrameMode.TRANSFORM,
            "can_edit": p.frameMode != FrameMode.REGISTERED,
            "editing": presenter.frame_handles(),
            "can_show": not presenter.runner.running and (p.showAtlas or presenter.atlas_reason() is None),
        }

    def _atlas(self) -> None:
        self.presenter.show_atlas(not self.presenter.parameters.showAtlas)

    def _edit(self) -> None:
        self.presenter.show_frame_handles(not self.presenter.frame_handles())
