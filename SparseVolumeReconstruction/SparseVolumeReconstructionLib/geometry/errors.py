"""The one error type for input that cannot be used, and how failures of files and data become it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class FileWarning(UserWarning):
    """What is not as usual in a file that was read, and that nobody asked to be told."""


class InputError(ValueError):
    """Wrong input. The message is one line: what was wrong, what was expected, what to do.

    Args:
        message: may quote a file; signs in it that end lines become spaces.
    """

    def __init__(self, message: str = ""):
        super().__init__(" ".join(str(message).splitlines()))


@contextlib.contextmanager
def file_errors(what: str, remedy: str = "") -> Iterator[None]:
    """A file that cannot be read or written inside becomes an InputError, "WHAT (reason)REMEDY.".

    Args:
        what: the file or folder, and what could not be done.
        remedy: what to do, from the first sign after the reason.

    Raises:
        InputError: for every OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{what} ({error.strerror or error}){remedy}.") from error


def first_problem(error: ValidationError, whole: str = "request") -> str:
    """The first thing that a data model refuses, as "field.part: why".

    Args:
        error: of a pydantic model.
        whole: what to call the data where the problem is not in a field.

    Returns:
        One line without a full stop.
    """
    first = error.errors()[0]
    why = first["msg"].removeprefix("Value error, ")  # of a validator of ours
    return f"{'.'.join(map(str, first['loc'])) or whole}: {why}"
