"""The three steps at the top of the panel, and which of them is the next."""

from __future__ import annotations

import slicer.util

from ...mrml.results import ATTRIBUTE
from .section import Section

_STEPS = (
    ("Scan", "sample-button", "Load a scan, or the sample."),
    (
        "Slices",
        "all-volume",
        "Scroll a view to a slice and press + Slice, or use all slices of a sparse scan.",
    ),
    (
        "Reconstruct",
        "apply-button",
        "Press Reconstruct, below: the whole volume is inferred from the slices.",
    ),
)
_END = "Look at the mean, its uncertainty and samples of it in Explore."


class GuideSection(Section):
    """Scan, slices, reconstruct: done, next, or later."""

    NAME = "guide"

    def state(self) -> dict:
        """The steps, and one sentence about what comes next."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        inferred = [bool(node.GetAttribute(f"{ATTRIBUTE}Role")) for node in volumes]
        done = (not all(inferred), len(self.presenter.contexts) > 0, any(inferred))
        now = next((number for number, each in enumerate(done) if not each), None)
        steps = [
            {"name": name, "goto": goto, "done": each, "now": number == now}
            for number, ((name, goto, _), each) in enumerate(zip(_STEPS, done, strict=True))
        ]
        return {"steps": steps, "next": _END if now is None else _STEPS[now][2]}
