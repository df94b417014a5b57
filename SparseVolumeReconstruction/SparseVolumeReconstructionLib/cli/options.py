"""What commands have in common: how they explain themselves, kinds of values, shared options."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..geometry import InputError
from ..progress import Cancelled
from ..reconstruction.formats import FORMATS

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Stopped(Exception):
    """The user stopped a command; the text says what is left of it."""


class Command(click.Command):
    """A command whose help has what is required in its first line and examples in its last ones.

    Args:
        name: as it is typed.
        examples: lines without "./run".
        settings: as click takes them.
    """

    def __init__(self, name: str | None, examples: str = "", **settings):
        settings.setdefault("short_help", settings.get("help"))  # click would cut it after some words
        super().__init__(name, context_settings=SETTINGS, **settings)
        self.examples = examples.strip().splitlines()

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first line."""
        required = [
            f"{param.opts[0]} {param.make_metavar(ctx)}"
            for param in self.params
            if param.required and isinstance(param, click.Option)
        ]
        pieces = [*required, *self.collect_usage_pieces(ctx)]
        formatter.write_usage(ctx.command_path, " ".join(pieces), prefix="usage: ")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        if self.examples:
            formatter.write_paragraph()
            formatter.write("\n".join(["examples:", *(f"  ./run {line}" for line in self.examples)]) + "\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Run it. Raises Stopped where the user stops it."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Cancelled) as stop:
            left = "continue with --resume" if "resume" in ctx.params else "nothing was written"
            raise Stopped(f"stopped by the user; {left}") from stop


class Group(Command, click.Group):
    """Commands in the order in which they were added; one of them has to be named."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The words left. Raises click.UsageError where there is none."""
        if not args and not self.invoke_without_command:
            ctx.fail(f"expected {self.subcommand_metavar}, one of {', '.join(self.list_commands(ctx))}")
        return super().parse_args(ctx, args)


def checked(convert: Callable[[str], Any], expected: str, accepts: Callable[[Any], bool]):
    """A click type: what `convert` makes of a text, where `accepts` is true of it.

    Args:
        convert: may raise ValueError.
        expected: in words, for the message about any other text.

    Returns:
        A function that raises click.BadParameter for such a text.
    """

    def read(text):
        with contextlib.suppress(ValueError):
            value = convert(text)
            if accepts(value):
                return value
        raise click.BadParameter(f"{str(text)!r}; expected {expected}.")

    return read


number = checked(float, "a finite number", math.isfinite)
above_0 = checked(float, "a finite number above 0", lambda value: 0 < value < math.inf)
not_negative = checked(float, "a finite number, 0 or more", lambda value: 0 <= value < math.inf)
positive = checked(int, "a whole number above 0", lambda value: value >= 1)
port = checked(int, "a port, 0 to 65535", lambda value: 0 <= value <= 65535)
numbers = checked(
    lambda text: [int(word) for word in text.split(",")],
    "whole numbers from 0, separated by commas",
    lambda values: min(values) >= 0,
)


def file_to_write(path: Path) -> Path:
    """The absolute path of a file that is to be written. Raises InputError where its folder is missing."""
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: the folder to write into does not exist.")
    return path.absolute()


def words(text: str) -> list[str]:
    """Words separated by commas."""
    return [word for word in text.split(",") if word]


def options(added: Sequence[Callable]) -> Callable:
    """A decorator that adds several options, in their order."""

    def add(command: Callable) -> Callable:
        for option in reversed(added):
            command = option(command)
        return command

    return add


device = click.option(
    "--device", default="auto", metavar="DEVICE", help="auto (a GPU if there is one), cpu or cuda:0"
)
json_progress = click.option(
    "--json-progress", is_flag=True, help='print {"step", "fraction", "remaining_s"} as JSON lines on stdout'
)
image_format = click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="nrrd",
    help="of all images (nrrd); SVRTK, NeSVoR, NiftyMIC, FSL and others read NIfTI: nii.gz; dicom: derived "
    "series in the study of the slices, masks as DICOM SEG",
)
like = click.option("--like", metavar="VOLUME", help="output on the grid of this volume")
strict = click.option("--strict", is_flag=True, help="stop at the first warning, before anything is written")
draws = click.option(
    "--draws",
    type=click.Choice(["donors", "gaussian"]),
    help="what samples start from: real anatomy that the model carries (donors, where there are some, if "
    "left out), or noise of the Gaussian model (gaussian)",
)
split = click.option(
    "--split",
    type=Path,
    metavar="FILE",
    help="JSON file {fit: [...], test: [...]} of subject names (by chance if left out); a structured "
    "Gaussian makes samples of the anatomy of others under donors: [...]",
)
