"""The latency of live updates is measured through the real presenter, process and slice views."""

import numpy as np

from SparseVolumeReconstructionLib.mrml.live_benchmark import live_latency, table


def test_every_step_is_measured(write_weights, tmp_path, monkeypatch):
    from SparseVolumeReconstructionLib.zoo import ModelStore

    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    ModelStore().import_file(write_weights(tmp_path / "tiny.safetensors"))
    seconds = live_latency("tiny", steps=3)
    assert len(seconds) == 3 and min(seconds) > 0.001
    assert f"median {np.median(seconds):.3f} s" in table(seconds)
