"""Valid files that were changed by chance, and what has to hold when they are read.

The tests try some of every kind, as many as SVR_FUZZ says (40); fuzz.py tries as many as time allows.
"""

import gzip
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.files import read_file
from SparseVolumeReconstructionLib.geometry.io import read_scan, write_volume
from SparseVolumeReconstructionLib.geometry.scan import Scan
from SparseVolumeReconstructionLib.reconstruction.result import inferred_by

EXAMPLES = int(os.environ.get("SVR_FUZZ", "40"))
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=10_000,  # ms: nothing hangs
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize="SVR_FUZZ" not in os.environ,
)
MAX_CHANGES, MAX_AT, MAX_LENGTH, MAX_PIECE = 4, 10**6, 40, 8
SECRET = 7777
SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz", ".dcm")
WORDS = [
    *(b"99999999999", b"-1", b"nan", b"inf", b"1e308", b"0", b"\x00", b" " * 99),
    *(b"\n", b"\n\n", b"\r\n", b"%n%s"),
    *(b"\ndata file: ../secret.raw\n", b"\ndatafile: LIST\n../secret.raw\n", b"\nencoding: gzip\n"),
    *(b"\nElementDataFile = ../secret.raw\n", b"\nHeaderSize = -1\n", b"\nCompressedData = True\n"),
    *(b"\nsizes: 65535 65535 65535\n", b"\ndimension: 9\n"),
    *(b"\nDimSize = 65535 65535 65535\n", b"\nNDims = 0\n"),
]
JSON_WORDS = [
    *(b'"F32"', b'"I64"', b'"BF16"', b"[0,99999999999]", b"-1", b"null", b"{", b"}", b"[" * 5000),
    *(b'"../../etc/passwd"', b'"\\u0000"', b"\xff" * 8, b"\x00" * 8, b"9" * 400),
]
LINE_WORDS = [*JSON_WORDS, b'"', b"\\ud800", b'"cancel"', b'"ping"', b'{"a":' * 999, b"1e999", b"true"]


@dataclass(frozen=True)
class Target:
    """A reader. check: reads one content; raises where that is neither read nor refused in one line."""

    name: str
    valid: list[bytes]
    words: list[bytes]
    check: Callable[[bytes], None]


def apply(content: bytes, changes) -> bytes:
    """Changes are (place, length, new bytes, whether what was there stays)."""
    for at, length, new, keep in changes:
        at %= len(content) + 1
        content = content[:at] + new + content[at + (0 if keep else length) :]
    return content


def changed(valid: list[bytes], words: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of some valid files, after up to 4 changes: bytes replaced, cut out, doubled, or words put in."""
    piece = st.one_of(st.sampled_from(words), st.binary(max_size=MAX_PIECE))
    change = st.tuples(st.integers(0, MAX_AT), st.integers(0, MAX_LENGTH), piece, st.booleans())
    return st.builds(apply, st.sampled_from(valid), st.lists(change, min_size=1, max_size=MAX_CHANGES))


def changed_by(random, target: Target) -> bytes:
    """The same by a random.Random, a hundred times as quick."""

    def change():
        piece = (
            random.choice(target.words) if random.random() < 0.5 else random.randbytes(random.randint(0, 8))
        )
        return random.randint(0, MAX_AT), random.randint(0, MAX_LENGTH), piece, random.random() < 0.5

    return apply(random.choice(target.valid), [change() for _ in range(random.randint(1, MAX_CHANGES))])


def one_line(error: InputError) -> None:
    """Refusals are one line."""
    assert len(str(error).splitlines()) == 1, str(error)


def valid_files(folder: Path) -> dict[str, list[bytes]]:
    """{suffix: valid files of that format} on a grid of 4 x 5 x 6."""
    from geometry.dicom_files import write_slice

    volume = Volume(np.random.default_rng(0).random((4, 5, 6), np.float32), Grid.centred((4, 5, 6), 2.0))
    found = {}
    for suffix in (".nrrd", ".mha", ".nii"):
        for compress in (True, False):
            write_volume(volume, folder / f"valid{suffix}", compress)
            found.setdefault(suffix, []).append((folder / f"valid{suffix}").read_bytes())
    found[".nii.gz"] = [gzip.compress(found[".nii"][0])]
    found[".nhdr"] = [
        one[: one.index(b"\n\n") + 1] + b"data file: " + name + b"\n"
        for one in found[".nrrd"]
        for name in (b"beside.raw", b"LIST\nbeside.raw")
    ]
    found[".mhd"] = [one[: one.index(b"LOCAL")] + b"beside.raw\n" for one in found[".mha"]]
    found[".dcm"] = [write_slice(folder / "valid.dcm", np.arange(30).reshape(5, 6), (0, 0, 0)).read_bytes()]
    return found


def place_of_scans(folder: Path) -> Path:
    """A folder to write into; a file beside the folder that nobody may read."""
    (folder / "scans").mkdir()
    (folder / "secret.raw").write_bytes(np.full(4096, SECRET, "<f4").tobytes())
    (folder / "scans" / "beside.raw").write_bytes(np.ones(120, "<f4").tobytes())
    return folder / "scans"


def scans(suffix: str, valid: list[bytes], place: Path) -> Target:
    """The readers of scans, by path and of uploads, and who asks before them whether a file is a result.

    place: as `place_of_scans` makes it.
    """
    path = place / f"changed{suffix}"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        for read in (inferred_by, read_scan, lambda path: read_file(path, path.name, 10**6)):
            try:
                found = read(path)
            except InputError as error:
                one_line(error)
                continue
            parts = found.parts if isinstance(found, Scan) else ()
            assert not any((part.volume.array == SECRET).any() for part in parts)

    return Target(suffix, valid, WORDS, check)


def models(store: Path, folder: Path) -> list[Target]:
    """Whole weights files, their headers, and manifests; `store`: a folder of models with "tiny" alone."""
    import torch

    from SparseVolumeReconstructionLib.zoo import ModelStore
    from SparseVolumeReconstructionLib.zoo.manifest import read_manifest
    from SparseVolumeReconstructionLib.zoo.weights import describe, load_prior

    weights = next(store.glob("tiny*")).read_bytes()
    end = 8 + int.from_bytes(weights[:8], "little")
    path = folder / "changed.safetensors"

    def check_weights(content: bytes) -> None:
        path.write_bytes(content)
        try:
            load_prior(path, describe(path).card, torch.device("cpu"))
        except InputError as error:
            one_line(error)

    def check_header(header: bytes) -> None:
        check_weights(len(header).to_bytes(8, "little") + header + weights[end:])

    def check_manifest(content: bytes) -> None:
        (folder / "models.json").write_bytes(content)
        try:
            entries = read_manifest(folder)
        except InputError as error:
            return one_line(error)
        for entry in entries:  # none of them is there, wherever it claims to be
            try:
                raise AssertionError(ModelStore(folder).path(entry.card.id))
            except InputError as error:
                one_line(error)

    return [
        Target(
            "safetensors", [weights, weights[: len(weights) // 2], weights[:8]], JSON_WORDS, check_weights
        ),
        Target("safetensors header", [weights[8:end]], JSON_WORDS, check_header),
        Target("models.json", [(store / "models.json").read_bytes(), b"[]"], JSON_WORDS, check_manifest),
    ]


def lines() -> Target:
    """The worker's lines, up to the data models of all its operations."""
    from SparseVolumeReconstructionLib.worker.operations import operations
    from SparseVolumeReconstructionLib.worker.server import Server

    table = {name: replace(one, run=lambda request, progress: {}) for name, one in operations().items()}
    asked = [
        b'{"op": "reconstruct", "id": "a", "request": {"prior": "tiny", "output": "out", "samples": 2, '
        b'"contexts": [{"kind": "slice", "path": "a.nrrd", "slices": [2, 5]}], "frame": "registered"}}',
        b'{"op": "svr", "id": "b", "request": {"stacks": [{"path": "a.nii"}], "output": "out"}}',
        b'{"op": "synthesize", "id": "c", "request": {"inputs": {"t1": "a.nii"}, "output": "out"}}',
        b'{"op": "locate", "id": "d", "request": {"contexts": [{"path": "a.nii"}], "prior": "tiny"}}',
        b'{"op": "cancel", "id": "a"}',
    ]

    def check(content: bytes) -> None:
        answers = io.StringIO()
        server = Server(io.StringIO(), answers, table)
        line = content.replace(b"\n", b" ").replace(b"\r", b" ").decode("utf-8", errors="replace")
        if "shutdown" in line or not line.strip():
            return
        server._take(line)
        server._closed = True
        while (entry := server._next()) is not None:
            server._work(*entry)
        for text in answers.getvalue().splitlines():
            answer = json.loads(text)
            if answer["event"] == "error":
                assert answer["kind"] == "input" and len(answer["message"].splitlines()) <= 1, answer

    return Target("JSON lines", asked, LINE_WORDS, check)
