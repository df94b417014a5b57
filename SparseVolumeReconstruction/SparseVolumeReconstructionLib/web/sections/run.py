"""The row that runs: Apply or Cancel, progress, and errors with their log."""

from __future__ import annotations

import re

from .section import Action, Section

_FOLDERS = re.compile(r"(?<![\w./:\\])(?:[A-Za-z]:)?(?:[\\/][^\\/\s:\"',;]+)+(?=[\\/])[\\/]")


class RunSection(Section):
    """Apply is off, with the reason beside it, until everything is there; while it runs it is Cancel."""

    NAME = "run"

    def actions(self) -> dict[str, Action]:
        """Start or stop; put an error message away."""
        return {
            "apply": self.presenter.apply,
            "cancel": self.presenter.runner.cancel,
            "dismiss": self.presenter.runner.dismiss,
        }

    def state(self) -> dict:
        """What runs, or why nothing can."""
        runner = self.presenter.runner
        status = runner.status
        offer, what = self.presenter.offer("Reconstruct")
        return {
            "offer": offer,
            "what": what,
            "running": runner.running,
            "live": runner.busy and not runner.running,
            "reason": self.presenter.reason() or "",
            "slices": len(self.presenter.contexts.enabled()),
            "step": status.text,
            "percent": int(100 * status.fraction),
            "error": without_folders(status.error),
            "log": without_folders(status.log),
            "warnings": [] if runner.running else self.presenter.explorer.warnings(),
        }


def without_folders(text: str) -> str:
    """A message with the names of files but not where they lie: that is nobody's business in a browser."""
    return _FOLDERS.sub("", text)
