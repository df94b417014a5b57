"""Weights files and manifests that were changed by chance: read, or refused in one line."""

import pytest
from fuzzing import changed, fuzzed, models
from hypothesis import given

from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture(scope="module")
def targets(tmp_path_factory, write_weights):
    """The readers of models, with files of a tiny one."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "store").mkdir()
    ModelStore(folder / "store").import_file(write_weights(folder / "given.safetensors"))
    return {target.name: target for target in models(folder / "store", folder)}


@pytest.mark.parametrize("name", ["safetensors", "safetensors header", "models.json"])
def test_what_was_changed_is_read_or_refused(targets, name):
    target = targets[name]
    fuzzed(given(changed(target.valid, target.words))(target.check))()
