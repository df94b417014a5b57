"""The command line as a module."""

import signal
import sys

from .main import main


class Interrupted(KeyboardInterrupt):
    """Control-C.

    After a KeyboardInterrupt itself that has met text in `exec` (as in a dataclass that is being made),
    Python ends by the signal, whatever the exit code.
    """


def _interrupt(number, frame):
    raise Interrupted


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _interrupt)
sys.exit(main())
