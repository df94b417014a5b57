"""From arguments to an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from ..geometry import InputError
from ..progress import Cancelled
from .parser import build_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (of sys.argv if None).

    Returns the exit code: 0 success, 1 an error of the program, 2 wrong input (one line on stderr), 130
    stopped by the user.
    """
    args = build_parser().parse_args(arguments)
    try:
        args.command(args)
    except InputError as error:
        return _complain(str(error), 2)
    except OSError as error:
        return _complain(f"{error.filename or 'output'}: {error.strerror or error}", 2)
    except (KeyboardInterrupt, Cancelled):
        left = "continue with --resume" if hasattr(args, "resume") else "nothing was written"
        return _complain(f"stopped by the user; {left}", 130)
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
