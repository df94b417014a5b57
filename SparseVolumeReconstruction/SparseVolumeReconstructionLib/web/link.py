"""What a page may say over its websocket.

Nothing that it sends stops the server, sets what is the server's own, or shows its insides.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable

_TAKEN_OUT = ("application.exit", "application.exit.later")
_UPDATE, _LIFE = "trame.state.update", "trame.lifecycle.update"
_USES = (_UPDATE, "trame.trigger", "trame.rca.event")  # a page tells by itself of its size and its life
_LONGEST_TEXT = 10_000
log = logging.getLogger(__name__)


class Link:
    """Stands between the websockets of a trame server and its methods.

    Args:
        server: trame's.
        own_checks: variables that begin with this are checked where they are listened to.
        on_use: called for all that somebody does in a page.
    """

    def __init__(self, server, own_checks: str, on_use: Callable[[], None]):
        self._server, self._own_checks, self._on_use = server, own_checks, on_use
        self._handlers: list = []
        self._refused: set[str] = set()

    def bind(self, wslink) -> None:
        """Take the place of the methods of a wslink server that is about to start."""
        self._handlers = wslink._ws_handlers
        for handler in self._handlers:
            methods = handler.functionMap
            for name in _TAKEN_OUT:
                methods.pop(name, None)
            for name, (target, method) in methods.items():
                methods[name] = (
                    target,
                    self._safe(
                        {_UPDATE: self._update, _LIFE: _life(method)}.get(name, method), name in _USES
                    ),
                )

    async def disconnect(self) -> None:
        """Close all websockets."""
        for handler in self._handlers:
            for socket in list(handler.connections.values()):
                await socket.close()

    def _safe(self, method, used: bool):
        """A fault goes to the log; the page would be sent the traceback."""

        async def call(target, *arguments, **words):
            if used:
                self._on_use()
            try:
                result = method(target, *arguments, **words)
                return await result if inspect.isawaitable(result) else result
            except Exception:
                log.exception("what a page sent could not be done")
                return None

        return call

    def _update(self, core, changes: list) -> None:
        """Set the variables that somebody listens to, where the value is of their kind.

        The others are put back in the page.
        """
        state = self._server.state
        with state:
            for change in changes:
                name = change["key"]
                value = change.get("value")
                if name in state._change_callbacks and self._fits(name, value):
                    core.push_state_change({name: value}, skip_last_active_client=True)
                    state[name] = value
                elif name in state:
                    if name not in self._refused:
                        self._refused.add(name)
                        log.warning(
                            "a page sent %s, which is not for it to set, or with a value of another kind",
                            str(name)[:40],
                        )
                    core.clear_state_client_cache(name)
                    state.dirty(name)

    def _fits(self, name: str, value: object) -> bool:
        if isinstance(value, str):
            sound = len(value) <= _LONGEST_TEXT
        elif value is None or isinstance(value, int | float):
            sound = value is None or math.isfinite(value)
        else:
            return False
        return sound and (
            name.startswith(self._own_checks) or kind_of(value) is kind_of(self._server.state[name])
        )


def kind_of(value: object) -> type:
    """The kind of a plain value: whole and other numbers are alike."""
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _life(method):
    """Events of a page, and no others, are told to those who listen."""
    return lambda core, name: method(core, name) if str(name).startswith("client_") else None
