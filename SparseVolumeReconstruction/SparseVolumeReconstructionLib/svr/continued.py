"""Going on from an earlier merge: its request, and its poses and weights as the start of the next one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ..geometry import InputError, first_problem
from ..progress import Progress
from .outliers import Judged
from .request import SvrRequest
from .search import LEVELS, Found, find_motion, middle_of
from .stacks import Stacks

_LEVELS = LEVELS[-1:]  # poses are near already
_USED = ("stack_number", "index", "included_by_user", "weight", "scanner_to_body_ras", "gain")


def earlier_request(folder: str | Path) -> dict[str, Any]:
    """What was asked for in the merge that a folder holds, as plain data.

    Raises:
        InputError: the folder holds no finished merge.
    """
    said = _read(folder, "result.json")
    request = said.get("request") if isinstance(said, dict) else None
    if request is None:
        raise _unfinished(folder, "result.json does not say what was asked for")
    try:
        return SvrRequest.model_validate(request).model_dump()
    except ValidationError as error:
        raise _unfinished(folder, f"result.json is of something else: {first_problem(error)}") from error


def continued(
    request: SvrRequest, stacks: Stacks, device: torch.device, progress: Progress
) -> tuple[Found, dict[str, Any]]:
    """The motion, refined from what an earlier merge found, and what is told of the first volume.

    Raises:
        InputError: the folder holds no finished merge, or one of other slices.
    """
    assert request.continue_from is not None
    entries = _entries(request.continue_from)
    slices = stacks.slices
    then = [(entry["stack_number"], entry["index"]) for entry in entries]
    now = [(each.stack + 1, each.image.volume_index) for each in slices]
    if then != now:
        raise InputError(
            f"{request.continue_from}: is a merge of other slices ({len(then)} of {_stacks(then)} stacks, "
            f"here {len(now)} of {_stacks(now)}); expected the same stacks and masks in the same order."
        )
    weights = torch.tensor(
        [1.0 if entry["included_by_user"] is False else entry["weight"] for entry in entries]
    )
    unknown = torch.full_like(weights, torch.nan)
    known = Found(
        torch.tensor([entry["scanner_to_body_ras"] for entry in entries], dtype=torch.float64),
        torch.zeros(len(slices), 6, dtype=torch.float64),
        torch.tensor([entry["gain"] for entry in entries]),
        Judged(torch.ones(0), weights, torch.ones_like(weights), unknown, [""] * len(slices)),
        None,
        middle_of(slices),
    )
    found = find_motion(
        slices, known=known, levels=_LEVELS, seed=request.seed, device=device, progress=progress
    )
    return found, {"from": f"the earlier merge {request.continue_from}"}


def _stacks(slices: list[tuple[int, int | None]]) -> int:
    return len({stack for stack, _ in slices})


def _entries(folder: str | Path) -> list[dict[str, Any]]:
    """Of every slice, what is used of poses.json. Raises InputError."""
    entries = _read(folder, "poses.json")
    try:
        return [{name: entry[name] for name in _USED} for entry in entries]
    except (KeyError, TypeError) as error:
        raise _unfinished(folder, f"poses.json does not say {' and '.join(_USED)} of every slice") from error


def _unfinished(folder: str | Path, why: str) -> InputError:
    return InputError(
        f"{folder}: holds no finished merge ({why}); expected a folder that ./run svr or Merge stacks wrote."
    )


def _read(folder: str | Path, name: str) -> Any:
    try:
        return json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: has no {name} that can be read; expected the folder of an earlier merge with poses."
        ) from error
