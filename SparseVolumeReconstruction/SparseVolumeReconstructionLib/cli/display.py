"""Progress and warnings on the terminal, or progress as JSON lines for other programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..geometry import InputError
from ..progress import Progress, ProgressEvent


@contextmanager
def shown_progress(as_json: bool = False, strict: bool = False) -> Iterator[Progress]:
    """A Progress that is shown while the block runs.

    A bar on stderr if that is a terminal, or JSON lines on stdout. Warnings are lines on stderr.

    Args:
        as_json: JSON lines, one for each ProgressEvent.
        strict: the first warning is raised as InputError instead.
    """

    def warned(text: str) -> None:
        if strict:
            raise InputError(f"{text} (--strict)")
        print(f"warning: {' '.join(text.split())}", file=sys.stderr, flush=True)

    if as_json:
        yield Progress(lambda event: print(json.dumps(dataclasses.asdict(event)), flush=True), warned=warned)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[remaining]}"),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0, remaining="")

        def report(event: ProgressEvent) -> None:
            remaining = "" if event.remaining_s is None else f"{event.remaining_s:.0f} s left"
            bar.update(task, description=event.step, completed=event.fraction, remaining=remaining)

        yield Progress(report, warned=warned)
