"""The measuring of the page gives numbers, with a tiny model."""

import re

import pytest

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.web import benchmark, chromium
from SparseVolumeReconstructionLib.web import soak as page_soak
from SparseVolumeReconstructionLib.worker import soak
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture
def tiny(write_weights, tmp_path, monkeypatch):
    """The only model; one thread."""
    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ModelStore().import_file(write_weights(tmp_path / "tiny.safetensors"))


def test_frames_and_updates_are_measured(browse, tiny, monkeypatch):
    for name, value in {"SCROLL_S": 1.0, "UPDATES": 2, "RESULTS": 2, "_SETTLED_S": 0.2}.items():
        monkeypatch.setattr(benchmark, name, value)
    speed = benchmark.page_speed("tiny")
    assert speed.frames_per_s > 0 and len(speed.update_s) == 2 and min(speed.update_s) > 0
    assert speed.samples_per_s > 0 and "samples per second in the player" in benchmark.table(speed)
    assert (
        len(speed.memory_mib) == 3
        and 100 < min(speed.memory_mib) <= max(speed.memory_mib) < 1500
        and speed.blocked_ms >= 0
    )
    assert "after 2 reconstructions" in benchmark.table(speed) and "frames per second" in benchmark.table(
        speed
    )


@pytest.mark.browser
@pytest.mark.slow
def test_visitors_without_a_browser_leave_nothing(tiny, monkeypatch, capsys):
    """Each has views that are drawn, results and a computing process."""
    monkeypatch.setattr(soak, "WARM", 2)
    monkeypatch.setattr(soak, "WINDOW", 1)
    monkeypatch.setattr(page_soak, "SPACING_MM", 8.0)
    assert main(["benchmark", "--prior", "tiny", "--soak", "6", "--visitors", "2"]) == 0
    said = capsys.readouterr().out
    assert "6 reconstructions in 2 sessions of the page" in said and "temporary files left: 0" in said
    memory, growth = re.search(r"memory (\d+) MiB .*: ([-+][\d.]+)%", said).groups()
    assert 1000 < int(memory) < 4000 and abs(float(growth)) < 5, (
        said
    )  # two servers and two computing processes
    assert main(["benchmark", "--visitors", "2"]) == 2 and "--soak" in capsys.readouterr().err


def test_without_a_browser_it_says_so(monkeypatch):
    monkeypatch.setattr(chromium.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="chromium and chromedriver not installed"):
        benchmark.page_speed("brain-t1")
