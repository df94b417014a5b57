"""Slices of whole heads: reconstructed as the brain in them, told, and shown in their own contrast where
it is another.
"""

import json

import numpy as np
import pytest

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
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
    assert min(whole["frame_probability"], bare["frame_probability"]) > 0.9
    a, b = (np.array(r["frame"]["patient_to_canonical"]) for r in (whole, bare))
    points = np.c_[
        labels.grid.points_ras()[labels.array.ravel() > 0], np.ones(np.count_nonzero(labels.array))
    ]
    assert np.linalg.norm(points @ (a - b)[:3].T, axis=1).mean() < 4.0
    mask = read_volume(tmp_path / "whole" / "brain_mask.nrrd").array > 0
    truth = labels.array > 0
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.92


def test_a_head_of_another_contrast_is_shown_in_its_own(shared_data, tmp_path, capsys):
    frames, kinds = [], ("T1W", "FLAIR")
    for kind in kinds:
        file = shared_data / "real_scans" / f"ms_patient12_study1_{kind}.nii.gz"
        result = run(tmp_path / kind, file, (15, 22, 29, 36), "--spacing", "4")
        frames.append(np.array(result["frame"]["patient_to_canonical"]))
    assert result["contrast"]["found"] == "FLAIR-like" and result["contrast"]["shown_as"] == "as observed"
    assert "the contrast of the slices" in " ".join(result["warnings"])
    mask = read_volume(tmp_path / "FLAIR" / "brain_mask.nrrd")
    assert 1000 < mask.array.sum() * 4**3 / 1000 < 2000  # ml
    points = np.c_[mask.grid.points_ras()[mask.array.ravel() > 0], np.ones(int(mask.array.sum()))]
    assert np.linalg.norm(points @ (frames[0] - frames[1])[:3].T, axis=1).mean() < 6.0
    mean, flair = read_volume(tmp_path / "FLAIR" / "mean.nrrd"), read_volume(file)
    inside, brain = mean.array[mask.array > 0], flair.array[22][flair.array[22] > 0.3 * flair.array.max()]
    assert 0.5 < np.median(inside) / np.median(brain) < 1.5


@pytest.mark.parametrize(
    ("shown", "says"), [("neck", "do not look like brain"), ("half", "is right"), ("CT", "look like CT")]
)
def test_heads_that_cannot_be_placed_are_told(shared_data, tmp_path, capsys, shown, says):
    """A slice below the brain, half a head in view, CT: one clear line each."""
    volume = read_volume(shared_data / "heads_t1_ixi" / f"{PERSON}_T1w.nii.gz")
    labels = read_volume(shared_data / "heads_t1_ixi" / f"{PERSON}_dlmuse.nii.gz")
    where, array = np.nonzero(labels.array)[0], volume.array.astype(np.float32)
    indices = np.quantile(where, (0.2, 0.4, 0.6, 0.8))
    if shown == "neck":
        indices = [where.min() - 12]
    elif shown == "half":
        array[:, :, : array.shape[2] // 2] = 0
    else:
        array = np.where(array > 25, (array - 60) * 6, -1000)
    file = tmp_path / "head.nrrd"
    write_volume(Volume(array, volume.grid), file)
    context = f"{file}:{','.join(str(int(k)) for k in indices)}"
    words = ["--prior", "brain-t1", "--context", context, "--outputs", "mean", "--thickness", "2"]
    code = main(["reconstruct", *words, "--spacing", "8", "--output", str(tmp_path / "out")])
    said = " ".join(capsys.readouterr().err.split())
    assert code == (0 if shown == "half" else 2) and says in said and "Traceback" not in said
