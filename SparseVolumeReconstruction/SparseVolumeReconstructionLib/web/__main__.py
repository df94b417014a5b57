"""One visitor's server process, started by `place`: options as JSON in the first line of stdin.

It ends when stdin does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

_PATIENCE_S = 20.0


def main() -> None:
    """Serve until the process that started this one ends, or ends this one."""
    from .options import Options
    from .server import serve

    words = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    paths = {name: words[name] and Path(words[name]) for name in ("input", "lesson")}
    serve(Options(**words | paths | {"ends_idle": True}))


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE_S)
    os._exit(1)


if __name__ == "__main__":
    main()
