"""A head whose left and right a wrong header exchanged is told, where its slices tell enough."""

import json

import numpy as np
import pytest

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.geometry.io import write_volume

SLICES = {"nine": range(14, 68, 6), "one": [40]}


@pytest.fixture(scope="module")
def person(brain_t1) -> Volume:
    """A real brain that the embedded model carries for its samples."""
    return Volume(brain_t1.donors(brain_t1.grid)[0].clamp(min=0).numpy(), brain_t1.grid)


def told(folder, volume: Volume, count: str) -> bool:
    """Whether the command warns of left and right, which stands before all other warnings."""
    write_volume(Volume((1000 * volume.array).astype(np.float32), volume.grid), folder / "head.nrrd")
    context = f"{folder / 'head.nrrd'}:{','.join(str(k) for k in SLICES[count])}"
    words = ["--frame", "registered", "--outputs", "mean", "--spacing", "8", "--device", "cpu"]
    words += ["--prior", "brain-t1", "--context", context, "--output", str(folder / "out")]
    assert main(["reconstruct", *words]) == 0
    warnings = json.loads((folder / "out" / "result.json").read_text())["warnings"]
    doubts = ["left and right may be exchanged" in warning for warning in warnings]
    assert doubts[1:] == [False] * (len(doubts) - 1)
    return any(doubts)


def test_a_mirrored_head_is_told_by_nine_slices_and_not_by_one(person, tmp_path, capsys):
    mirrored = Volume(np.ascontiguousarray(person.array[..., ::-1]), person.grid)
    assert not told(tmp_path, person, "nine")
    assert told(tmp_path, mirrored, "nine")
    assert "left and right may be exchanged" in capsys.readouterr().err
    assert not told(tmp_path, mirrored, "one")
