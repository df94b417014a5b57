"""Files in and out.

Uploads stream into a private folder and are read by the worker, downloads are made when asked for.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from ..geometry import InputError
from ..geometry.files import image_suffix
from ..geometry.io import write_volume
from ..geometry.scan import left_out_notice
from ..mrml.nodes import file_stem
from ..mrml.segments import mask_of
from ..worker.reading import FORMATS
from ..workflow.export import file_name, known_files, prepare_file
from .app import App
from .sections.scan import Upload

UPLOAD_BYTES = 1 << 30
_MAX_FILES = 2000
_CHUNK = 1 << 18
_REFUSED = (
    ".mrb",
    ".zip",
    ".gz",
    ".tar",
    ".7z",
    ".nhdr",
    ".mhd",
    ".raw",
    ".txt",
    ".json",
    ".md",
    ".pdf",
    ".xml",
    ".csv",
    ".tsv",
)
_NO_IMAGES = ("dicomdir", "readme", "license", "thumbs.db", "desktop.ini")
_MASK = "stack-mask.nrrd"
_LONGEST_NAME, _LONGEST_SUFFIX = 80, 10


class Transfer:
    """The routes `upload`, `download/NAME` and `alive` of one app."""

    def __init__(self, app: App):
        self._app = app

    def routes(self, on_use: Callable[[], None]) -> list[web.RouteDef]:
        """What to add to the server's application.

        Args:
            on_use: called for every upload and download.
        """

        def used(handler):
            async def handle(request: web.Request) -> web.StreamResponse:
                on_use()
                return await handler(request)

            return handle

        uploads, downloads = (
            web.post("/upload", used(self._upload)),
            web.get("/download/{name}", used(self._download)),
        )
        return [uploads, downloads, web.get("/alive", self._alive)]

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.Response(text="yes")

    async def _upload(self, request: web.Request) -> web.Response:
        """Take the files of one volume and wait until the worker has read them.

        The answer says what was wrong, in one line.
        """
        folder = Path(tempfile.mkdtemp(prefix="upload-", dir=self._app.folder))
        ended: asyncio.Future = asyncio.get_running_loop().create_future()

        def end(error: Exception | None) -> None:
            if not ended.cancelled():
                ended.set_result(error)

        try:
            if request.headers.get("X-SVR") != "1":
                raise InputError("uploads come from the page.")
            files, name, left_out = await _receive(request, folder)
            self._app.scan.read(
                Upload(files, name, lambda: shutil.rmtree(folder, ignore_errors=True), left_out), end
            )
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, InputError):
                return web.Response(status=_status(error), text=str(error))
            if isinstance(
                error, ConnectionError | ValueError
            ):  # the visitor has gone, or sends no well-formed parts
                return web.Response(status=400, text="The upload was cut off, or is damaged; try again.")
            raise
        self._app.schedule()
        error = await ended
        return web.Response(text="") if error is None else web.Response(status=422, text=str(error))

    async def _download(self, request: web.Request) -> web.Response:
        """One file of the chosen result, or the chosen brain mask."""
        result = self._app.presenter.explorer.result
        name = request.match_info["name"]
        if name == _MASK:
            return await self._download_mask()
        if result is None or name not in known_files(result):
            return web.Response(status=404, text="there is no such file of this result")
        with tempfile.TemporaryDirectory(prefix="download-", dir=self._app.folder) as folder:
            try:
                write = prepare_file(result, list(self._app.presenter.contexts), name, Path(folder))
                data = await asyncio.to_thread(lambda: write().read_bytes())
            except InputError as error:
                self._app.presenter.runner.report(error)
                return web.Response(status=422, text=str(error))
        return _attached(data, file_name(result, name))

    async def _download_mask(self) -> web.Response:
        """The chosen brain mask, to be corrected elsewhere."""
        mask = self._app.presenter.masks.chosen
        if mask is None:
            return web.Response(status=404, text="no brain mask is chosen")
        with tempfile.TemporaryDirectory(prefix="download-", dir=self._app.folder) as folder:
            path = Path(folder) / _MASK
            try:
                volume = mask_of(mask)
            except InputError as error:
                return web.Response(status=422, text=str(error))
            await asyncio.to_thread(write_volume, volume, path)
            return _attached(path.read_bytes(), f"{file_stem(mask.GetName())}.nrrd")


def _attached(data: bytes, name: str) -> web.Response:
    """A file to be kept under a name."""
    attached = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=data, content_type="application/octet-stream", headers=attached)


class _TooLarge(InputError):
    """More bytes than are taken."""


def _status(error: InputError) -> int:
    return 413 if isinstance(error, _TooLarge) else 422


async def _receive(request: web.Request, folder: Path) -> tuple[dict[Path, str], str, str]:
    """The files of a multipart request, a name for the volume, and what was left out.

    They are written as 0000.nii and so on: no name that was sent becomes a path. What was left out is a
    notice.

    Raises:
        InputError: for what is too large or cannot be an image.
    """
    if (request.content_length or 0) > UPLOAD_BYTES + (1 << 20):
        raise _too_large("the upload", request.content_length)
    if not request.content_type.startswith("multipart/"):
        raise InputError("the upload holds no file.")
    files = {}
    left_out = []
    total = 0
    async for part in await request.multipart():
        sent = clean_name(part.filename or "")
        if _is_no_image(part.filename or ""):
            left_out.append(sent)
            continue
        if len(files) >= _MAX_FILES:
            raise InputError(f"{sent}: more than {_MAX_FILES} files; upload one DICOM series.")
        path = folder / f"{len(files):04d}{image_suffix(sent) or '.dcm'}"
        total = await _write(part, path, total, sent)
        files[path] = sent
    if left_out and not files:
        raise InputError(f"{left_out[0]}: not a format that is read here; expected {FORMATS}.")
    if not files:
        raise InputError("the upload holds no file.")
    first = next(iter(files.values()))
    return (
        files,
        first[: -len(image_suffix(first) or "")] or first if image_suffix(first) else first,
        left_out_notice(left_out),
    )


def _is_no_image(sent: str) -> bool:
    """Whether a name is that of a hidden file, a text or an archive."""
    last = re.split(r"[\\/]", sent)[-1].lower()
    return image_suffix(last) is None and (
        last.startswith(".") or last in _NO_IMAGES or last.endswith(_REFUSED)
    )


async def _write(part, path: Path, total: int, name: str) -> int:
    """Stream one part into a file; returns the bytes of all parts so far."""
    with open(path, "xb") as file:
        while chunk := await part.read_chunk(_CHUNK):
            total += len(chunk)
            if total > UPLOAD_BYTES:
                raise _too_large(name, total)
            file.write(chunk)
    return total


def _too_large(name: str, size: int) -> _TooLarge:
    return _TooLarge(
        f"{name}: more than {UPLOAD_BYTES / 1e9:.1f} GB ({size / 1e9:.1f} GB); crop or resample it first."
    )


def clean_name(sent: str) -> str:
    """The last part of a file name that was sent, without odd characters.

    Letters, digits, spaces, ".", "_" and "-" stay. A long one is cut before its suffix, which says the
    format.
    """
    name = re.sub(r"[^\w. -]+", "_", re.split(r"[\\/]", sent)[-1]).strip(" .")
    suffix = image_suffix(name) or Path(name).suffix[:_LONGEST_SUFFIX]
    return (
        name if 0 < len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - len(suffix)] + suffix or "upload"
    )
