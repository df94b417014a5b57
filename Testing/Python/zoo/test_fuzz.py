"""Weights files and manifests that were changed by chance: read, or refused in one line."""

import pytest
import torch
from fuzzing import changed, fuzzed
from hypothesis import given

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.zoo import ModelStore
from SparseVolumeReconstructionLib.zoo.manifest import read_manifest
from SparseVolumeReconstructionLib.zoo.weights import describe, load_prior

WORDS = [
    *(b'"F32"', b'"I64"', b'"BF16"', b"[0,99999999999]", b"-1", b"null", b"{", b"}", b"[" * 5000),
    *(b'"../../etc/passwd"', b'"\\u0000"', b"\xff" * 8, b"\x00" * 8, b"9" * 400),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, write_weights):
    """A folder of models that holds a tiny one."""
    folder = tmp_path_factory.mktemp("models")
    ModelStore(folder).import_file(write_weights(folder / "given.safetensors"))
    return folder


def test_changed_weights_are_read_or_refused(tiny, tmp_path):
    weights = next(tiny.glob("tiny*")).read_bytes()
    path = tmp_path / "changed.safetensors"

    @fuzzed
    @given(changed([weights, weights[: len(weights) // 2], weights[:8]], WORDS))
    def check(content):
        path.write_bytes(content)
        try:
            load_prior(path, describe(path).card, torch.device("cpu"))
        except InputError as error:
            assert len(str(error).splitlines()) == 1

    check()


def test_a_changed_header_of_weights_is_read_or_refused(tiny, tmp_path):
    """All changes in the header alone, which is small beside the tensors."""
    weights = next(tiny.glob("tiny*")).read_bytes()
    end = 8 + int.from_bytes(weights[:8], "little")
    path = tmp_path / "changed.safetensors"

    @fuzzed
    @given(changed([weights[8:end]], WORDS))
    def check(header):
        path.write_bytes(len(header).to_bytes(8, "little") + header + weights[end:])
        try:
            load_prior(path, describe(path).card, torch.device("cpu"))
        except InputError as error:
            assert len(str(error).splitlines()) == 1

    check()


def test_a_changed_manifest_is_read_or_refused(tiny, tmp_path):
    manifest = (tiny / "models.json").read_bytes()

    @fuzzed
    @given(changed([manifest, b"[]"], WORDS))
    def check(content):
        (tmp_path / "models.json").write_bytes(content)
        try:
            entries = read_manifest(tmp_path)
        except InputError as error:
            assert len(str(error).splitlines()) == 1
            return
        for entry in entries:
            with pytest.raises(InputError):  # none of them is there, wherever it claims to be
                ModelStore(tmp_path).path(entry.card.id)

    check()
