"""The measuring of the page gives numbers, with a tiny model."""

import pytest

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.web import benchmark, chromium
from SparseVolumeReconstructionLib.zoo import ModelStore


def test_frames_and_updates_are_measured(browse, write_weights, tmp_path, monkeypatch):
    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(benchmark, "SCROLL_S", 1.0)
    monkeypatch.setattr(benchmark, "UPDATES", 2)
    monkeypatch.setattr(benchmark, "RESULTS", 3)
    ModelStore().import_file(write_weights(tmp_path / "tiny.safetensors"))
    speed = benchmark.page_speed("tiny")
    assert speed.frames_per_s > 0 and len(speed.update_s) == 2 and min(speed.update_s) > 0
    assert speed.samples_per_s > 0 and "samples per second in the player" in benchmark.table(speed)
    assert (
        len(speed.memory_mb) == 4
        and 100 < min(speed.memory_mb) <= max(speed.memory_mb) < 1500
        and speed.blocked_ms >= 0
    )
    assert "after 3 reconstructions" in benchmark.table(speed) and "frames per second" in benchmark.table(
        speed
    )


def test_without_a_browser_it_says_so(monkeypatch):
    monkeypatch.setattr(chromium.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="chromium and chromedriver not installed"):
        benchmark.page_speed("brain-t1")
