"""Progress: remaining time, cancellation, and ends that cannot be cancelled."""

import pytest

from SparseVolumeReconstructionLib.progress import Cancelled, Progress


def test_reports_and_remaining_time():
    events = []
    progress = Progress(events.append)
    progress.update("start", 0.0)
    progress.update("half", 0.5)
    progress.finish()
    assert [(e.step, e.fraction) for e in events] == [("start", 0.0), ("half", 0.5), ("done", 1.0)]
    assert events[0].remaining_s is None and events[1].remaining_s >= 0 and events[2].remaining_s == 0


def test_cancel_is_seen_everywhere_but_at_the_end():
    events, stop = [], []
    progress = Progress(events.append, lambda: bool(stop))
    quiet = progress.quiet()
    quiet.update("aside", 0.9)
    stop.append(1)
    for call in (
        progress.check,
        quiet.check,
        lambda: progress.update("x", 0.2),
        lambda: quiet.update("x", 0.2),
    ):
        with pytest.raises(Cancelled):
            call()
    assert events == []
    progress.finish()
    assert events[-1].step == "done"
