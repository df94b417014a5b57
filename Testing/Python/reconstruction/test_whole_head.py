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
from SparseVolumeReconstructionLib.experiments.heads import dice
from SparseVolumeReconstructionLib.geometry import Grid, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.observation import SliceSpec
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction.request import ReconstructionRequest
from SparseVolumeReconstructionLib.reconstruction.run import Clock, Understood, understand

PERSON = "IXI274"  # of the validation


@pytest.fixture(scope="module")
def head(shared_data):
    """A person as scanned, and where the brain is."""
    volume, labels = (
        read_volume(shared_data / "heads_t1_ixi" / f"{PERSON}_{kind}.nii.gz") for kind in ("T1w", "dlmuse")
    )
    return volume, labels.array > 0


def spread(brain, *shares) -> list[int]:
    """Numbers of slices in which these shares of a brain lie below."""
    return np.quantile(np.nonzero(brain)[0], shares or (0.2, 0.4, 0.6, 0.8)).astype(int).tolist()


def run(folder, file, indices, *more) -> dict:
    """The result.json of slices of a file."""
    context = f"{file}:{','.join(map(str, indices))}"
    words = ["--prior", "brain-t1", "--context", context, "--outputs", "mean", "--thickness", "2"]
    assert main(["reconstruct", *words, "--device", "cpu", "--output", str(folder), *more]) == 0
    return json.loads((folder / "result.json").read_text())


def understood(brain_t1, folder, volume, indices) -> Understood:
    """What is found in slices of a volume before anything is inferred from them."""
    write_volume(volume, folder / "scan.nrrd", compress=False)
    context = SliceSpec(path=str(folder / "scan.nrrd"), slices=indices, thickness_mm=2.0)
    request = ReconstructionRequest(prior="brain-t1", contexts=[context], output=str(folder))
    return understand(request, brain_t1, Progress(), Clock())


def apart_mm(inside: np.ndarray, grid: Grid, a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance between where two frames have the voxels of a mask."""
    points = np.c_[grid.points_ras()[inside.ravel()], np.ones(np.count_nonzero(inside))]
    return float(np.linalg.norm(points @ (np.asarray(a) - np.asarray(b))[:3].T, axis=1).mean())


def test_a_whole_head_gives_the_frame_and_the_brain_of_the_stripped_one(brain_t1, head, tmp_path, capsys):
    volume, brain = head
    file = tmp_path / "head.nrrd"
    write_volume(volume, file, compress=False)
    whole = run(tmp_path / "whole", file, spread(brain), "--spacing", "4")
    assert any("whole head" in warning for warning in whole["warnings"]) and len(whole["warnings"]) == 1
    stripped = Volume(np.where(brain, volume.array, 0), volume.grid)
    bare = understood(brain_t1, tmp_path, stripped, spread(brain))
    assert bare.warnings == [] and bare.brain is None
    assert min(whole["frame_probability"], bare.trusted) > 0.9
    found = whole["frame"]["patient_to_canonical"], bare.alignment.patient_to_canonical
    assert apart_mm(brain, volume.grid, *found) < 4.0
    mask = read_volume(tmp_path / "whole" / "brain_mask.nrrd")
    truth = resample(Volume(brain.astype(np.float32), volume.grid), mask.grid).array > 0.5
    assert dice(mask.array > 0, truth) > 0.92


def test_a_head_of_another_contrast_is_shown_in_its_own(brain_t1, shared_data, tmp_path, capsys):
    file, t1 = (
        shared_data / "real_scans" / f"ms_patient12_study1_{kind}.nii.gz" for kind in ("FLAIR", "T1W")
    )
    places = [15, 22, 29, 36]
    result = run(tmp_path / "FLAIR", file, places, "--spacing", "4")
    assert result["contrast"]["found"] == "FLAIR-like" and result["contrast"]["shown_as"] == "as observed"
    assert "the contrast of the slices" in " ".join(result["warnings"])
    mask = read_volume(tmp_path / "FLAIR" / "brain_mask.nrrd")
    assert 1000 < mask.array.sum() * 4**3 / 1000 < 2000  # ml
    other = understood(brain_t1, tmp_path, read_volume(t1), places).alignment.patient_to_canonical
    assert apart_mm(mask.array > 0, mask.grid, result["frame"]["patient_to_canonical"], other) < 6.0
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
def test_what_cannot_be_placed_is_told(shared_data, head, tmp_path, capsys, shown):
    """A slice below the brain, half a head in view, CT, a head of two thirds of the size, a bottle with rods,
    a picture of something else, the regions of a brain by their numbers, no air around: one clear line each.
    """
    volume, brain = head
    array, grid = volume.array.astype(np.float32), volume.grid
    indices = [int(np.nonzero(brain)[0].min()) - 12] if shown == "neck" else spread(brain)
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
        array = read_volume(shared_data / "heads_t1_ixi" / f"{PERSON}_dlmuse.nii.gz").array
    elif shown == "photograph":
        array = (
            120 + 60 * np.sin(7 * j)[:, None] * np.cos(5 * i + 3 * j[:, None] ** 2) + 30 * k[:, None, None]
        )
    file = tmp_path / "head.nrrd"
    write_volume(Volume(array.astype(np.float32), grid), file)
    context = f"{file}:{','.join(map(str, indices))}"
    words = ["--prior", "brain-t1", "--context", context, "--outputs", "mean", "--thickness", "2"]
    code = main(["reconstruct", *words, "--spacing", "8", "--output", str(tmp_path / "out")])
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(SHOWN[shown], said) and "Traceback" not in said, said
    assert (code, "error:" in said) in ((2, True), (0, False))


def test_heads_that_look_unusual_are_placed_all_the_same(brain_t1, head, tmp_path):
    """A contrast agent in vessels and skin of the brain, heavy shading, dark and bright exchanged (told)."""
    volume, brain = head
    array, top = volume.array.astype(np.float32), float(np.quantile(volume.array[brain], 0.99))
    skin = brain & (distance_transform_edt(brain) <= 1.5)
    vessels = skin & (gaussian_filter(np.random.default_rng(0).standard_normal(brain.shape), 2) > 0.08)
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in array.shape), indexing="ij")
    looks = {
        "plain": array,
        "enhanced": np.where(vessels, 1.2 * top, array),
        "shaded": array * np.exp(0.9 * i - 0.5 * j + 0.3 * k),
        "inverted": np.where(array > 0.1 * top, np.maximum(1.3 * top - array, 0.02 * top), 0),
    }
    frames = {}
    for name, look in looks.items():
        looked = Volume(look.astype(np.float32), volume.grid)
        done = understood(brain_t1, tmp_path, looked, spread(brain, 0.3, 0.5, 0.7))
        frames[name] = done.alignment.patient_to_canonical
        away = apart_mm(brain, volume.grid, frames[name], frames["plain"])
        assert away < RIGHT_MM or done.trusted < MIN_PROBABILITY, (name, away)
        other = any("not those of T1w" in w or "those of" in w for w in done.warnings)
        assert other is (name == "inverted"), (name, done.warnings)
