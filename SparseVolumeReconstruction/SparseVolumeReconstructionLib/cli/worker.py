"""./run worker."""

from __future__ import annotations

import sys

import click

from .options import Command


@click.command(cls=Command, examples="worker")
def worker():
    """The process that computes: requests and results as JSON lines on stdin and stdout."""
    from ..worker.server import main

    sys.exit(main())
