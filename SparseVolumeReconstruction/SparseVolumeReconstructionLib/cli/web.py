"""./run web."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ..geometry import InputError
from .options import Command, above_0, not_negative, port, positive

EXAMPLES = """
web                                     (prints an address; open it in a browser on this machine)
web --input head.nii.gz --port 8080
web --host 0.0.0.0                      (for others: the printed address has a token in it, made for this run)
web --sessions 8 --host 0.0.0.0 --token-file token.txt     (eight people, each with a scene of their own)
web --allow-host svr.example.org        (behind a proxy on this machine, which speaks TLS: Docs/serving.md)"""


@click.command(cls=Command, examples=EXAMPLES)
@click.option(
    "--input",
    type=Path,
    metavar="FILE",
    help="a scan (NIfTI, NRRD or a DICOM folder) to begin with; others can be uploaded in the page",
)
@click.option(
    "--lesson",
    type=Path,
    metavar="FILE",
    help="a lesson that was saved in the page; every visitor is offered it (Docs/teaching.md)",
)
@click.option(
    "--port", type=port, default=8080, metavar="N", help="port to listen on; 0: any that is free (8080)"
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="H",
    help="address to listen on (127.0.0.1: this machine alone); any other has a token",
)
@click.option(
    "--token-file",
    metavar="FILE",
    help="file that holds what visitors have to know, which is part of the printed address; else the "
    "variable SVR_TOKEN, or a random one",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="name by which browsers call the server, such as that of a proxy; may be repeated",
)
@click.option(
    "--sessions",
    type=positive,
    default=1,
    metavar="N",
    help="people who can work at the same time, each with processes of their own, about 1.5 GB and "
    "--memory (1)",
)
@click.option(
    "--memory",
    type=above_0,
    default=1.5,
    metavar="GB",
    help="voxels that one session may hold (1.5)",
)
@click.option(
    "--idle-minutes",
    type=not_negative,
    default=120.0,
    metavar="N",
    help="minutes without use until a session ends and what is in it is forgotten; 0: never (120)",
)
@click.option("--browser", is_flag=True, help="open the page in this machine's browser")
def web(input, lesson, port, host, token_file, allow_host, memory, **same):
    """The browser edition: the panel and the four views of 3D Slicer as a page, with no Slicer installed."""
    try:
        from ..web.options import Options
        from ..web.server import serve
    except ImportError as error:
        raise InputError(
            f"the browser edition needs more packages ({error.name} is missing): ./run web installs them."
        ) from error
    given = input and input.absolute()
    lesson = lesson and lesson.absolute()
    more = {"lesson": lesson, "allow_hosts": allow_host, "memory_gb": memory, **same}
    serve(Options(host, port, _token(token_file), given, **more))


def _token(file: str | None) -> str | None:
    """What visitors have to know, from a file or the environment.

    Words of a command can be seen by everybody on the machine.
    """
    if file is None:
        return os.environ.pop("SVR_TOKEN", "").strip() or None
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(
            f"--token-file {file}: cannot be read; expected a text file that holds the token."
        ) from error
    if not token:
        raise InputError(f"--token-file {file}: is empty; expected the token in it.")
    return token
