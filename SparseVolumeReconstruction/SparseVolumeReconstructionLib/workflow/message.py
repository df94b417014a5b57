"""The one message that matters: what every front end shows beside its button to reconstruct."""

from __future__ import annotations

from dataclasses import dataclass

from ..mrml.i18n import _


@dataclass(frozen=True)
class Message:
    """The one message that matters now.

    Attributes:
        kind: "error" (went wrong), "running", "blocked" (why nothing can be computed), "said" (what was
            done), or "" (nothing).
        text: one line for it.
        warnings: what is doubtful about the chosen result, one sentence each, headline: their number in
            words.
    """

    kind: str = ""
    text: str = ""
    headline: str = ""
    warnings: tuple[str, ...] = ()


def message(presenter) -> Message:
    """What a presenter's user has to know now.

    Warnings belong to the result, so they stay while nothing else runs or fails.
    """
    runner = presenter.runner
    status = runner.status
    reason = presenter.reason()
    if status.error:
        return Message("error", status.error)
    if runner.running:
        return Message("running", _sentence(status.text))
    warnings = tuple(presenter.explorer.warnings())
    if reason:
        return Message("blocked", reason, _headline("", warnings), warnings)
    if status.finished and warnings:
        return Message("", "", _headline(_sentence(status.step), warnings), warnings)
    return Message("said" if status.step else "", _sentence(status.text), _headline("", warnings), warnings)


def _sentence(words: str) -> str:
    """Steps are named in lower case, as parts of sentences."""
    return words[:1].upper() + words[1:]


def _headline(step: str, warnings: tuple[str, ...]) -> str:
    if not warnings:
        return ""
    count = _("1 warning") if len(warnings) == 1 else _("{n} warnings").format(n=len(warnings))
    return (
        _("{step} – {count}").format(step=step, count=count)
        if step
        else _("{count} about this result").format(count=count)
    )
