"""From arguments to an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import click

from .. import __version__
from ..geometry import InputError
from .attenuation import attenuation
from .batch import batch
from .benchmark import benchmark
from .demo import demo
from .evaluate import evaluate
from .experiment import experiment
from .mask import mask
from .models import models
from .options import Group, Stopped
from .questions import locate, next_plane, surprise
from .reconstruct import reconstruct
from .svr import svr
from .synthesize import synthesize
from .train import train
from .train_judges import contrast_judge, frame_judge, mirror_judge
from .web import web
from .worker import worker
from .xray import xray

PROGRAM = "./run"


@click.group(cls=Group, subcommand_metavar="COMMAND")
@click.version_option(__version__, message="%(version)s")
def run():
    """See a whole body from a few slices."""


_COMMANDS = (
    *(reconstruct, next_plane, locate, surprise, svr, xray, synthesize, mask, evaluate, batch, models),
    *(attenuation, train, experiment, benchmark, worker, demo, web),
)
for _command in _COMMANDS:
    run.add_command(_command)
for _command in (frame_judge, contrast_judge, mirror_judge):
    train.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (of sys.argv if None).

    Returns the exit code: 0 success, 1 an error of the program, 2 wrong input (one line on stderr), 130
    stopped by the user.
    """
    try:
        with run.make_context(PROGRAM, list(sys.argv[1:] if arguments is None else arguments)) as context:
            run.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else PROGRAM
        return _complain(f"{error.format_message().removesuffix('.')} (see {command} --help)", 2)
    except InputError as error:
        return _complain(str(error), 2)
    except OSError as error:
        return _complain(f"{error.filename or 'output'}: {error.strerror or error}", 2)
    except Stopped as error:
        return _complain(str(error), 130)
    except Exception as error:
        traceback.print_exc()
        return _complain(
            f"a fault of this program, please report it with the lines above: {type(error).__name__}: "
            f"{error}",
            1,
        )
    return 0


def _complain(message: str, code: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code
