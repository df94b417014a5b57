"""Slices of whole heads: reconstructed as the brain in them, told, and refused where the contrast is
another.
"""

import json

import numpy as np
import pytest

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.reconstruction.whole_head import doubt_about_frame
from SparseVolumeReconstructionLib.zoo import ModelStore

PERSON = "IXI274"  # of the validation


def run(folder, file, indices, *more) -> dict:
    """The result.json of slices of a file."""
    context = f"{file}:{','.join(str(int(k)) for k in indices)}"
    words = ["--prior", "brain-t1", "--context", context, "--outputs", "mean", "--thickness", "2"]
    assert main(["reconstruct", *words, "--device", "cpu", "--output", str(folder), *more]) == 0
    return json.loads((folder / "result.json").read_text())


def test_a_whole_head_gives_the_frame_and_the_brain_of_the_stripped_one(shared_data, tmp_path, capsys):
    if not ModelStore(tmp_path).is_embedded("brain-t1"):
        pytest.skip("needs the embedded model brain-t1")
    file = shared_data / "heads_t1_ixi" / f"{PERSON}_T1w.nii.gz"
    volume, labels = read_volume(file), read_volume(shared_data / "heads_t1_ixi" / f"{PERSON}_dlmuse.nii.gz")
    indices = np.quantile(np.nonzero(labels.array)[0], (0.2, 0.4, 0.6, 0.8))
    whole = run(tmp_path / "whole", file, indices, "--like", str(file))
    assert any("whole head" in warning for warning in whole["warnings"]) and len(whole["warnings"]) == 1
    stripped = tmp_path / "stripped.nrrd"
    write_volume(Volume(np.where(labels.array > 0, volume.array, 0), volume.grid), stripped)
    bare = run(tmp_path / "bare", stripped, indices, "--spacing", "8")
    assert bare["warnings"] == [] and not (tmp_path / "bare" / "brain_mask.nrrd").exists()
    a, b = (np.array(r["frame"]["patient_to_canonical"]) for r in (whole, bare))
    points = np.c_[
        labels.grid.points_ras()[labels.array.ravel() > 0], np.ones(np.count_nonzero(labels.array))
    ]
    assert np.linalg.norm(points @ (a - b)[:3].T, axis=1).mean() < 4.0
    mask = read_volume(tmp_path / "whole" / "brain_mask.nrrd").array > 0
    truth = labels.array > 0
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.92


def test_a_head_of_another_contrast_is_refused(shared_data, tmp_path, capsys):
    file = shared_data / "real_scans" / "ms_patient12_study1_FLAIR.nii.gz"
    words = ["--prior", "brain-t1", "--context", f"{file}:15,22,29,36", "--device", "cpu"]
    assert main(["reconstruct", *words, "--output", str(tmp_path / "out")]) == 2
    assert "do not look like" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_nothing_is_doubted_without_a_whole_head():
    assert doubt_about_frame(None, np.eye(4)) == []
