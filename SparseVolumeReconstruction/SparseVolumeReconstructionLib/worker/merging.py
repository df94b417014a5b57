"""Merging stacks of a body that moved."""

from __future__ import annotations

from typing import Any

from ..progress import Progress
from ..svr.request import SvrRequest


def merge_stacks(request: SvrRequest, progress: Progress) -> dict[str, Any]:
    """One volume from stacks.

    Args:
        request: what to merge, and where to write.
        progress: told of steps, asked whether to stop.

    Returns:
        {"files": {name: path}, "result": content of result.json}.

    Raises:
        InputError: wrong input.
        Cancelled: when asked to stop.
    """
    from ..svr.run import run_svr
    from ..zoo import ModelStore

    return run_svr(request, ModelStore(), progress)
