"""Files that are packed, by their first bytes, whatever they are called."""

from __future__ import annotations

from pathlib import Path

_STARTS = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
    b"\x28\xb5\x2f\xfd": "zstd",
}


def packed_with(file: Path) -> str:
    """By what a file is packed; empty where it is not."""
    with open(file, "rb") as stream:
        start = stream.read(max(map(len, _STARTS)))
    return next((kind for sign, kind in _STARTS.items() if start.startswith(sign)), "")
