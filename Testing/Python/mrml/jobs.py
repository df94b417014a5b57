"""Jobs of a presenter, in a test."""

import time


def finish(presenter) -> None:
    """Wait for all jobs; an error fails the test."""
    until = time.monotonic() + 120
    while presenter.runner.busy:
        presenter.runner.poll()
        time.sleep(0.01)
        assert time.monotonic() < until
    assert not presenter.runner.status.error, presenter.runner.status
