"""./run web: one session behind one address, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes.util
import gc
import logging
import os
import secrets
import sys
from dataclasses import replace

from ..geometry import InputError, file_errors
from .options import Options, announce, on_interrupt, private_folder

if sys.platform == "linux":
    os.environ.setdefault(
        "VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow"
    )  # pictures need no screen; before vtk is imported
os.environ.setdefault("WSLINK_READY_MSG", "")


def serve(options: Options) -> None:
    """Serve until interrupted (SIGINT or SIGTERM); then the worker has ended and nothing is left on the disk.

    Raises InputError.
    """
    from .access import is_loopback

    if not options.token and (options.allow_hosts or not is_loopback(options.host)):
        options = replace(options, token=secrets.token_urlsafe(16))
    if options.input is not None and not options.input.exists():
        raise InputError(f"{options.input}: no such file or folder.")
    if options.lesson is not None:
        from ..workflow.lesson import read_file

        read_file(options.lesson)  # refused before anybody waits for it
    if sys.platform == "linux" and ctypes.util.find_library("EGL") is None:
        raise InputError(
            "the views cannot be drawn: libEGL is missing; on Debian apt-get install libegl1 libgl1."
        )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if options.sessions > 1:
        from .sessions import serve_sessions

        asyncio.run(serve_sessions(options))
    else:
        with private_folder():
            asyncio.run(_serve(options))


async def _serve(options: Options) -> None:
    from aiohttp import web
    from trame.app import get_server

    from .access import AccessPolicy, middleware
    from .app import App
    from .binding import PREFIX
    from .guard import Guard
    from .idle import Idle
    from .link import Link
    from .memory import give_back_at_once
    from .page import build_page
    from .transfer import UPLOAD_BYTES, Transfer
    from .watchdog import watch_loop

    give_back_at_once()
    watch_loop()
    server = get_server(name="svr", client_type="vue3")
    server.state.upload_limit = UPLOAD_BYTES
    app = App(server, options.memory_gb)
    build_page(server)
    guard = Guard(AccessPolicy.of(options.host, options.token, options.allow_hosts), app.start_over)
    stopped = asyncio.Event()

    async def end() -> None:
        """Nobody has used the session for a long time."""
        if options.ends_idle:
            stopped.set()
        elif guard.taken:
            guard.forget()
            await link.disconnect()
            app.start_over()

    idle = Idle(options.idle_minutes, lambda: app.presenter.runner.busy, app.say_ending, end)
    link = Link(server, PREFIX, idle.use)

    def bind(wslink) -> None:
        wslink.app.middlewares.append(middleware(guard.answer))
        wslink.app.router.add_routes([*Transfer(app).routes(idle.use), web.post("/paraview/", _session)])
        link.bind(wslink)

    server.controller.on_server_bind.add(bind)
    server.controller.on_server_ready.add(lambda **_: _announce(server.port, options, app))
    gc.collect()
    gc.freeze()  # what is there now stays: to look through it again and again would stop the loop
    watching = asyncio.ensure_future(idle.watch())
    try:
        await _until_interrupted(server, options, stopped)
    finally:
        watching.cancel()
        app.close()


async def _session(request):
    """What trame's page asks first: where its websocket is."""
    from aiohttp import web

    from .access import is_secure

    kind = "wss" if is_secure(request) else "ws"
    return web.json_response({"id": "svr", "sessionURL": f"{kind}://USE_HOST/ws", "secret": "wslink-secret"})


async def _until_interrupted(server, options: Options, stopped: asyncio.Event) -> None:
    """Run the server's coroutine until a signal, or `stopped`, stops it."""
    sys.argv[1:] = []  # the server would read the arguments that were meant for this program
    task = asyncio.ensure_future(
        server.start(
            exec_mode="coroutine",
            host=options.host,
            port=options.port,
            open_browser=False,
            show_connection_info=False,
            disable_logging=True,
            timeout=0,
            thread=True,  # that is: it sets no signal handlers
        )
    )
    on_interrupt(stopped.set)
    ending = asyncio.ensure_future(stopped.wait())
    ending.add_done_callback(lambda _: task.cancel())
    with (
        file_errors(f"--port {options.port}: cannot be listened on", "; choose another"),
        contextlib.suppress(asyncio.CancelledError),
    ):
        await task


def _announce(port: int, options: Options, app) -> None:
    """Print the address; load what was given on the command line."""
    announce(port, options)
    if options.input is not None:
        app.open(options.input)
    if options.lesson is not None:
        app.attempt(app.sections["teach"].offer, options.lesson)
