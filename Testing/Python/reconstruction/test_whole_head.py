"""Slices of whole heads: reconstructed as the brain in them, told, and shown in their own contrast where
it is another.
"""

import json
import re

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from SparseVolumeReconstructionLib.alignment.limits import MIN_PROBABILITY, RIGHT_MM
from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Grid, Volume
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


SHOWN = {
    "neck": "do not look like brain",
    "half": "is right",
    "front": "is right",
    "air": "background is -1024",
    "NaN": "NaN or infinite",
    "CT": "look like CT",
    "newborn": "is right",
    "phantom": "is right|too little contrast",
    "photograph": "do not look like brain",
    "labels": "label map or a drawing",
}


@pytest.mark.parametrize("shown", SHOWN)
def test_what_cannot_be_placed_is_told(shared_data, tmp_path, capsys, shown):
    """A slice below the brain, half a head in view, CT, a head of two thirds of the size, a bottle with rods,
    a picture of something else, the regions of a brain by their numbers, no air around: one clear line each.
    """
    volume = read_volume(shared_data / "heads_t1_ixi" / f"{PERSON}_T1w.nii.gz")
    labels = read_volume(shared_data / "heads_t1_ixi" / f"{PERSON}_dlmuse.nii.gz")
    where, array, grid = np.nonzero(labels.array)[0], volume.array.astype(np.float32), volume.grid
    indices = [where.min() - 12] if shown == "neck" else np.quantile(where, (0.2, 0.4, 0.6, 0.8))
    k, j, i = (np.linspace(-1, 1, n) for n in array.shape)
    from_middle = np.hypot(j[:, None], i) + 0 * k[:, None, None]
    if shown == "half":
        array[:, :, : array.shape[2] // 2] = 0
    elif shown == "front":
        array[:, : array.shape[1] // 2] = 0
    elif shown in ("air", "NaN"):
        array = np.where(array > 25, array, -1024 if shown == "air" else np.nan)
    elif shown == "CT":
        array = np.where(array > 25, (array - 60) * 6, -1000)
    elif shown == "newborn":
        grid = Grid(grid.shape_kji, np.diag([2 / 3, 2 / 3, 2 / 3, 1]) @ grid.ijk_to_ras)
    elif shown == "phantom":
        rods = (np.sin(9 * j)[:, None] * np.sin(9 * i) > 0.6) & (from_middle < 0.6)
        array = (
            np.where(from_middle < 0.7, np.where(rods, 20.0, 150.0), 0)
            + (from_middle < 0.7) * k[:, None, None]
        ) + np.random.default_rng(0).rayleigh(2, array.shape)
    elif shown == "labels":
        array = labels.array.astype(np.float32)
    elif shown == "photograph":
        array = (
            120 + 60 * np.sin(7 * j)[:, None] * np.cos(5 * i + 3 * j[:, None] ** 2) + 30 * k[:, None, None]
        )
    file = tmp_path / "head.nrrd"
    write_volume(Volume(array.astype(np.float32), grid), file)
    context = f"{file}:{','.join(str(int(k)) for k in indices)}"
    words = ["--prior", "brain-t1", "--context", context, "--outputs", "mean", "--thickness", "2"]
    code = main(["reconstruct", *words, "--spacing", "8", "--output", str(tmp_path / "out")])
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(SHOWN[shown], said) and "Traceback" not in said, said
    assert (code, "error:" in said) in ((2, True), (0, False))


def test_heads_that_look_unusual_are_placed_all_the_same(shared_data, tmp_path, capsys):
    """A contrast agent in vessels and skin of the brain, heavy shading, dark and bright exchanged (told)."""
    volume = read_volume(shared_data / "heads_t1_ixi" / f"{PERSON}_T1w.nii.gz")
    labels = read_volume(shared_data / "heads_t1_ixi" / f"{PERSON}_dlmuse.nii.gz").array > 0
    points = np.c_[volume.grid.points_ras()[labels.ravel()], np.ones(np.count_nonzero(labels))]
    array, top = volume.array.astype(np.float32), float(np.quantile(volume.array[labels], 0.99))
    skin = labels & (distance_transform_edt(labels) <= 1.5)
    vessels = skin & (gaussian_filter(np.random.default_rng(0).standard_normal(labels.shape), 2) > 0.08)
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in array.shape), indexing="ij")
    looks = {
        "plain": array,
        "enhanced": np.where(vessels, 1.2 * top, array),
        "shaded": array * np.exp(0.9 * i - 0.5 * j + 0.3 * k),
        "inverted": np.where(array > 0.1 * top, np.maximum(1.3 * top - array, 0.02 * top), 0),
    }
    frames = {}
    for name, look in looks.items():
        write_volume(Volume(look.astype(np.float32), volume.grid), tmp_path / f"{name}.nrrd")
        indices = np.quantile(np.nonzero(labels)[0], (0.3, 0.5, 0.7))
        done = run(tmp_path / name, tmp_path / f"{name}.nrrd", indices, "--spacing", "8")
        frames[name] = np.array(done["frame"]["patient_to_canonical"])
        away = np.linalg.norm(points @ (frames[name] - frames["plain"])[:3].T, axis=1).mean()
        assert away < RIGHT_MM or done["frame_probability"] < MIN_PROBABILITY, (name, away)
        other = any("not those of T1w" in w or "those of" in w for w in done["warnings"])
        assert other is (name == "inverted"), (name, done["warnings"])
