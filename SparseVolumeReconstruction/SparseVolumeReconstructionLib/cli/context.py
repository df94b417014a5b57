"""What the user typed as slices, and the request made of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ..geometry import InputError
from ..reconstruction.request import ReconstructionRequest, SliceSpec


def parse_context(text: str, thickness_mm: float | None = None) -> SliceSpec:
    """FILE or FILE:k1,k2,... as slices of a file (absolute path); k counts from 0 along the third index axis.

    FOLDER#3 is series 3 of a DICOM folder. An existing file whose own name ends like a list of slices or a
    series is that file.

    Args:
        text: what the user typed.
        thickness_mm: of the slices; what the file states if None, else what its spacing lets assume.

    Raises:
        InputError: what follows the file is no list of slices.
    """
    path = text
    slices = None
    series = None
    if not Path(text).exists():
        head, colon, tail = text.rpartition(":")
        if re.fullmatch(r"\d+(,\d+)*", tail) and head:
            path = head
            slices = [int(k) for k in dict.fromkeys(tail.split(","))]
        elif colon and Path(head).exists():
            raise InputError(
                f'"{tail}" in "{text}" is no list of slices; expected whole numbers from 0, as in '
                f"{head}:20,45,70."
            )
        head, _, tail = path.rpartition("#")
        if Path(head).is_dir() and head and not Path(path).exists():
            path, series = head, tail
    return SliceSpec(path=str(Path(path).absolute()), slices=slices, thickness_mm=thickness_mm, series=series)


def build_request(
    *,
    contexts: Sequence[str],
    frame: str,
    like: str | None,
    mask: str | None,
    spacing: float | None,
    thickness: float | None,
    gestational_age: float | None,
    alter_observed: bool,
    output: str,
    **same,
) -> ReconstructionRequest:
    """The request of `reconstruct`'s options (mm, weeks), with absolute paths.

    Args:
        contexts: as `parse_context` takes them.
        frame: "auto", "registered" or a file.
        like, mask: files.
        spacing: of the output, mm.
        thickness: of all slices, mm.
        gestational_age: the covariate, weeks.
        alter_observed: observed pixels need not be reproduced.
        output: folder of the result.
        same: those that the request calls as the command line does.

    Raises:
        InputError: a value is out of range.
    """
    try:
        return ReconstructionRequest(
            contexts=[parse_context(text, thickness) for text in contexts],
            frame=frame if frame in ("auto", "registered") else str(Path(frame).absolute()),
            like=str(Path(like).absolute()) if like else None,
            mask=str(Path(mask).absolute()) if mask else None,
            spacing_mm=spacing,
            covariate=gestational_age,
            keep_observed=not alter_observed,
            output=str(Path(output).absolute()),
            **same,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        option = next(word for word in reversed(problem["loc"]) if isinstance(word, str)).removesuffix("_mm")
        raise InputError(f"--{option} {problem['input']}: {problem['msg'].lower()}.") from error
