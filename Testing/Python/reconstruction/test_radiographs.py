"""Radiographs from a file to the result: view by evidence, exact posterior, fusion, and bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from reconstruction.conftest import GRID, head
from scipy.ndimage import gaussian_filter

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_affine
from SparseVolumeReconstructionLib.observation import Radiograph
from SparseVolumeReconstructionLib.observation.projection import CHI
from SparseVolumeReconstructionLib.observation.views import VIEWS, detector, middle_of, view_axes
from SparseVolumeReconstructionLib.reconstruction.fusion import fuse, fuse_columns

SIDE_MM = 27 * 8.0
TRUTH = head(GRID.points_ras(), 1000).reshape(GRID.shape_kji)


def seen_from(direction, pixels=27, source=None, truth=TRUTH) -> Radiograph:
    """A radiograph of the truth with the attenuation of the paper, in its place."""
    plane = detector(view_axes(np.array(direction)), middle_of(GRID), (pixels, pixels), SIDE_MM / pixels)
    start = None if source is None else plane.centre - source * plane.normal
    blank = Radiograph(np.eye(pixels), plane, "r", "r", start, attenuation_per_mm=CHI / SIDE_MM)
    shown = blank.operator(GRID).forward(torch.as_tensor(truth)[None])[0]
    return replace(blank, integrals=shown.reshape(pixels, pixels).numpy())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Files of 16 bits, by view."""
    folder = tmp_path_factory.mktemp("radiographs")
    for view, direction in VIEWS.items():
        grey = np.rint(65535 * np.exp(-seen_from(direction).values)).astype(np.uint16)
        sitk.WriteImage(sitk.GetImageFromArray(grey), str(folder / f"{view}.png"))
    return folder


@pytest.fixture
def xray(models_dir, monkeypatch, tmp_path, capfd):
    """xray(words...): exit code, what was told, and the folder of the result."""
    monkeypatch.setenv("SVR_MODELS_DIR", str(models_dir))

    def run(*words, prior="tiny-head"):
        code = main(["xray", "--prior", prior, *map(str, words), "--output", str(tmp_path / "out")])
        return code, capfd.readouterr().err, tmp_path / "out"

    return run


@pytest.fixture(scope="module")
def places(pictures):
    """Arguments of one radiograph of each view."""
    pixel = ("--pixel", SIDE_MM / 27)
    return {view: ("--radiograph", pictures / f"{view}.png", "--view", view, *pixel) for view in VIEWS}


def error(folder) -> float:
    mean = read_volume(folder / "mean.nrrd")
    truth = head(mean.grid.points_ras(), 1000).reshape(mean.grid.shape_kji)
    return float(np.sqrt(((mean.array - truth) ** 2).mean()))


def test_from_a_png_to_a_volume_that_gives_it(xray, places, pictures):
    code, told, out = xray(*places["side"], "--spacing", "8", "--samples", "1", "--draws", "gaussian")
    assert code == 0, told
    said = json.loads((out / "result.json").read_text())
    context = said["contexts"][0]
    assert context["kind"] == "radiograph" and said["voxels"]["observed"] == 0
    ray = np.array(context["ij_to_ras"])[:3, 2]
    assert abs(ray[0]) > np.cos(np.deg2rad(8)) and said["radiographs"][0]["explained"] > 0.9
    shown = read_volume(out / "reprojection.nrrd").array[0]
    grey = sitk.GetArrayFromImage(sitk.ReadImage(str(pictures / "side.png"))) / 65535
    off = np.abs(shown - grey / grey.max())  # of pixels at the sharp edge of so coarse a head more is left
    assert np.quantile(off, 0.96) < 1e-3 and off.max() < 0.03
    assert error(out) < 0.1 * TRUTH.max()
    assert (out / "std.nrrd").exists() and (out / "samples.seq.nrrd").exists()


def test_an_unknown_view_is_found_and_a_given_one_is_believed(xray, places, tmp_path):
    words = list(places["top"])
    words[3] = "unknown"
    code, told, out = xray(*words, "--spacing", "8", "--no-fusion")
    assert code == 0, told
    ray = np.array(json.loads((out / "result.json").read_text())["contexts"][0]["ij_to_ras"])[:3, 2]
    assert abs(ray[2]) > np.cos(np.deg2rad(10))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = view_axes(np.array(VIEWS["top"])).T, middle_of(GRID)
    write_affine(pose, tmp_path / "view.h5")
    words[3] = tmp_path / "view.h5"
    code, told, out = xray(*words, "--spacing", "8", "--no-fusion")
    found = np.array(json.loads((out / "result.json").read_text())["contexts"][0]["ij_to_ras"])
    np.testing.assert_allclose(found[:3, :2] / 8, pose[:3, :2], atol=1e-6)


def test_two_radiographs_tell_more_than_one(store):
    prior = store.load("tiny-head", "cpu")
    front, side = (seen_from(VIEWS[view]) for view in ("front", "side"))
    errors = [
        float(((prior.condition(given).mean() - torch.as_tensor(TRUTH)) ** 2).mean())
        for given in ([], [front], [front, side])
    ]
    assert errors[2] < errors[1] < errors[0]


def test_fusion_gives_all_radiographs_and_is_not_negative():
    start = torch.as_tensor(head(GRID.points_ras(), 7).reshape(GRID.shape_kji))
    seen = [seen_from(VIEWS["front"]), seen_from((0.4, -0.6, 0.2), source=900.0)]
    operators = [one.operator(GRID) for one in seen]
    values = torch.cat([torch.as_tensor(one.values[one.kept_pixels]) for one in seen])
    fused = fuse(start, operators, values)
    shown = torch.cat([one.forward(fused[None])[0] for one in operators])
    before = torch.cat([one.forward(start[None])[0] for one in operators])
    assert float((torch.exp(-shown) - torch.exp(-values)).abs().max()) < 1e-3
    assert float((torch.exp(-before) - torch.exp(-values)).abs().max()) > 0.05 and float(fused.min()) >= 0
    truth = torch.as_tensor(TRUTH)
    assert float(((fused - truth) ** 2).mean()) < float(((start - truth) ** 2).mean())


def test_policies_of_the_paper():
    columns = np.random.default_rng(0).random((16, 5, 6)).astype(np.float32)
    columns[:, 0, 0] = 0
    integrals = np.random.default_rng(1).uniform(0.2, 1.2, (5, 6))
    for policy in ("density", "even", "first"):
        thin = (
            0.02 if policy == "first" else 1.0
        )  # one voxel can take all that is missing, not what is too much
        fused = fuse_columns(thin * columns, integrals, 0.1, policy)
        reached = np.exp(-0.1 * fused.sum(0, dtype=np.float64))
        assert fused.min() >= 0 and np.abs(reached - np.exp(-integrals)).max() < 1e-3, policy
    printed = np.exp(-0.1 * fuse_columns(columns, integrals, 0.1, "as printed").sum(0))
    assert np.abs(printed - np.exp(-integrals)).max() > 0.02  # the printed error is not that of a density
    sharp, flat = (fuse_columns(columns, integrals, 0.1, beta=b) - columns for b in (2, 0))
    dense = columns[:, 2, 2].argmax()
    assert abs(sharp[dense, 2, 2]) > abs(flat[dense, 2, 2])
    with pytest.raises(ValueError, match="expected density"):
        fuse_columns(columns, integrals, 0.1, "all")


def test_what_cannot_be_used_is_one_clear_line(xray, places, pictures, tmp_path):
    side = pictures / "side.png"
    y, x = np.indices((40, 40)) - 19.5
    fingers = (np.abs(x % 8 - 4) < 1.5) & (np.abs(y) < 14) & (np.abs(x) < 15)
    hand = np.exp(-2.5 * gaussian_filter(fingers.astype(float), 0.6))
    sitk.WriteImage(
        sitk.GetImageFromArray(np.rint(65535 * hand).astype(np.uint16)), str(tmp_path / "hand.png")
    )
    for words, says in [
        (("--radiograph", tmp_path / "hand.png", "--view", "front", "--pixel", "5"), "does not look like"),
        (("--radiograph", side, "--view", "front", "--view", "top"), "2 views for 1 radiographs"),
        (("--radiograph", side, "--view", "sideways"), "expected front, side, top, unknown"),
        (("--radiograph", tmp_path / "no.png", "--view", "side"), "no such file"),
        (("--radiograph", side, "--view", "side", "--pixel", "-1"), "above 0"),
        ((*places["side"], "--source-distance", "20"), "inside the body|does not look like"),
    ]:
        code, told, out = xray(*words)
        assert code == 2 and told.count("\n") == 1 and not out.exists(), told
        assert any(part in told for part in says.split("|")), told


def test_what_is_doubtful_is_told(xray, places, store, tmp_path):
    code, told, _ = xray(*places["side"][:4], "--spacing", "16", "--no-fusion")
    assert code == 0 and "states no pixel size; the field of the model (216 mm, pixels of 8 mm)" in told
    other = np.ascontiguousarray(TRUTH[::-1, ::-1] * np.linspace(0, 1.5, 27)[:, None])
    grey = np.rint(65535 * np.exp(-seen_from(VIEWS["top"], truth=other.astype(np.float32)).values))
    sitk.WriteImage(sitk.GetImageFromArray(grey.astype(np.uint16)), str(tmp_path / "other.png"))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = view_axes(np.array(VIEWS["top"])).T, middle_of(GRID)
    write_affine(pose, tmp_path / "view.h5")
    words = (*places["side"], "--radiograph", tmp_path / "other.png", "--view", tmp_path / "view.h5")
    code, told, _ = xray(*words, "--spacing", "16", "--no-fusion")
    assert code == 0 and "other.png: contradicts" in told, told
