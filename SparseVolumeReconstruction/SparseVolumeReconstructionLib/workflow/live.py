"""Live updates: a rough mean that follows the slices, and what the last search for its frame has said."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..mrml.fingerprints import fingerprint
from ..mrml.i18n import _
from ..mrml.logic import ReconstructionInputs
from ..mrml.results import ResultNodes, add_to_provenance
from .choices import FrameMode

if TYPE_CHECKING:
    from .presenter import Presenter

LIVE_SPACING_MM = 2.0


class Live:
    """Asks for rough means where live updates are on and possible.

    Frame and intensities are searched anew when other slices are used, and when a scan itself has changed or
    was moved, not while a slice of it moves: then the result keeps what the last search said of its frame,
    marked as of that search.
    """

    def __init__(self, presenter: Presenter):
        self._presenter = presenter
        self._slices: list[tuple[str, str]] | None = None
        self._search: dict = {}
        self._known = False

    def forget_frame(self) -> None:
        """Let the next update search anew."""
        self._slices = None

    def update(self) -> None:
        """Ask for a live update of the mean where live updates are on and possible."""
        presenter = self._presenter
        runner, on = presenter.runner, presenter.parameters.live
        waits = _("Live update waits for the first slice: without any, nobody knows where the patient lies.")
        if on and presenter.unplaced:
            runner.drop_live()
            runner.say(waits)
        elif runner.status.step == waits:
            runner.say("")
        if on and not presenter.unplaced and presenter.reason() is None:
            runner.live(self._inputs, self._show)

    def _inputs(self) -> tuple[ReconstructionInputs, ResultNodes | None]:
        """A rough mean, and the result whose nodes it takes."""
        presenter = self._presenter
        p, shown = presenter.parameters, presenter.explorer.result
        into = shown if shown and shown.live else None
        used = [(each.node.GetID(), fingerprint(each.volume)) for each in presenter.contexts.enabled()]
        self._known = into is not None and used == self._slices and p.frameMode != FrameMode.TRANSFORM
        self._slices = used
        wanted = {
            "like": None,
            "spacing_mm": LIVE_SPACING_MM,
            "samples": 0,
            "outputs": ("mean",),
            "fast": True,
            "name": _("{name} live").format(name=p.name.strip()),
        }
        return presenter.inputs(**wanted, **(into.found if self._known else {})), into

    def _show(self, result: ResultNodes) -> None:
        p = self._presenter.parameters
        if not self._known:
            self._search = _searched(result.provenance)
        elif self._search:
            add_to_provenance(result, search=self._search)
        if p.result is not result.main:
            p.result = result.main


def _searched(provenance: dict) -> dict:
    """What only a search for the frame can say, and when it did; empty where the frame was not searched."""
    frame = provenance.get("frame", {})
    if not frame.get("found_from_slices"):
        return {}
    return {
        "time": time.strftime("%H:%M:%S"),
        "frame_probability": provenance.get("frame_probability"),
        "warnings": frame.get("doubts", []),
    }
