"""One process that does many reconstructions stays as it was; `./run benchmark --soak N` says by how much."""

import pytest

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.worker import soak
from SparseVolumeReconstructionLib.worker.soak import WARM, WINDOW, Soak
from SparseVolumeReconstructionLib.zoo import ModelStore


def test_growth_is_that_after_the_first_ones():
    """What the first ones load does not count."""
    flat = Soak([10.0] * WARM + [100.0] * 2 * WINDOW, [], [], 1.0)
    leaking = Soak([100.0 + n for n in range(WARM + 100)], [], [], 1.0)
    assert flat.growth == 0 and leaking.growth == pytest.approx(80 / 159.5)


@pytest.mark.slow
def test_many_reconstructions_leave_nothing(tmp_path, write_weights, monkeypatch, capsys):
    ModelStore(tmp_path / "models").import_file(write_weights(tmp_path / "tiny.safetensors"))
    monkeypatch.setenv("SVR_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(soak, "WARM", 20)
    monkeypatch.setattr(soak, "WINDOW", 5)
    least = 30
    assert main(["benchmark", "--prior", "tiny", "--soak", str(least)]) == 0
    said = capsys.readouterr().out
    assert f"{least} reconstructions in one process" in said and "temporary files left: 0" in said
    growth = float(said.split("MiB: ")[1].split("%")[0])
    first, last = said.split("open files: ")[1].split(" then, ")[0], said.split(" then, ")[1].split(" ")[0]
    assert growth < 2.0 and first == last, said
    assert main(["benchmark", "--prior", "tiny", "--soak", "9"]) == 2
