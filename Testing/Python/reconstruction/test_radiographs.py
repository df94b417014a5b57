"""Radiographs from a file to the result: view by evidence, exact posterior, fusion, and bad input."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from reconstruction.conftest import GRID, head
from scipy.ndimage import gaussian_filter

from SparseVolumeReconstructionLib.cli import main
from SparseVolumeReconstructionLib.geometry import Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_affine, write_volume
from SparseVolumeReconstructionLib.observation import Radiograph
from SparseVolumeReconstructionLib.observation.projection import CHI
from SparseVolumeReconstructionLib.observation.rays import radiograph_of
from SparseVolumeReconstructionLib.observation.slices import slice_of
from SparseVolumeReconstructionLib.observation.views import VIEWS, detector, middle_of, view_axes
from SparseVolumeReconstructionLib.priors.structured_gaussian import posterior
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction import fusion
from SparseVolumeReconstructionLib.reconstruction.fusion import fuse
from SparseVolumeReconstructionLib.reconstruction.patient_posterior import align_patient
from SparseVolumeReconstructionLib.zoo import ModelStore

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


def given_place(folder, view: str) -> Path:
    """A file with where the detector of a view was."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = view_axes(np.array(VIEWS[view])).T, middle_of(GRID)
    write_affine(pose, folder / f"{view}.h5")
    return folder / f"{view}.h5"


def differences(out, picture) -> np.ndarray:
    """Of the transparencies that a result gives and those of a file."""
    grey = sitk.GetArrayFromImage(sitk.ReadImage(str(picture))) / 65535
    return np.abs(read_volume(out / "reprojection.nrrd").array[0] - grey / grey.max())


@pytest.fixture(scope="module")
def atlas_error(store) -> float:
    """Of the mean before anything was observed."""
    return float(np.sqrt(((store.load("tiny-head", "cpu").condition([]).mean().numpy() - TRUTH) ** 2).mean()))


def test_from_a_png_to_a_volume_that_gives_it(xray, places, pictures):
    code, told, out = xray(*places["side"], "--spacing", "4", "--samples", "1", "--draws", "gaussian")
    assert code == 0, told
    said = json.loads((out / "result.json").read_text())
    context = said["contexts"][0]
    assert context["kind"] == "radiograph" and said["voxels"]["observed"] == 0
    ray = np.array(context["ij_to_ras"])[:3, 2]
    assert abs(ray[0]) > np.cos(np.deg2rad(8)) and said["radiographs"][0]["explained"] > 0.9
    off = differences(out, pictures / "side.png")  # every radiograph can be had on voxels of half a pixel
    assert off.max() < 1e-3 and max(said["reprojection_error"].values()) == pytest.approx(off.max(), abs=1e-4)
    assert (out / "std.nrrd").exists() and (out / "samples.seq.nrrd").exists()


def test_a_place_that_is_given_is_enough_on_voxels_as_wide_as_pixels(
    xray, places, pictures, tmp_path, atlas_error
):
    write_volume(Volume(TRUTH, GRID), tmp_path / "grid.nrrd")
    words = [*places["side"], "--like", tmp_path / "grid.nrrd"]
    words[3] = given_place(tmp_path, "side")
    left = {}
    for policy in ("exact", "paper", "as-printed", "none"):
        code, told, out = xray(*words, "--fusion", policy)
        assert code == 0 and "is expected" not in told, told
        left[policy] = differences(out, pictures / "side.png").max()
        assert error(out) < atlas_error, policy
    assert left["exact"] < 1e-3 and left["paper"] < 1e-3  # rays run along columns of voxels
    assert left["as-printed"] > 2e-3 and left["none"] > 2e-3


def test_an_unknown_view_is_found_and_a_given_one_is_believed(xray, places, tmp_path):
    words = list(places["top"])
    words[3] = "unknown"
    code, told, out = xray(*words, "--spacing", "8", "--fusion", "none")
    assert code == 0, told
    ray = np.array(json.loads((out / "result.json").read_text())["contexts"][0]["ij_to_ras"])[:3, 2]
    assert abs(ray[2]) > np.cos(np.deg2rad(10))
    words[3] = given_place(tmp_path, "top")
    code, told, out = xray(*words, "--spacing", "8", "--fusion", "none")
    found = np.array(json.loads((out / "result.json").read_text())["contexts"][0]["ij_to_ras"])
    np.testing.assert_allclose(found[:3, :2] / 8, view_axes(np.array(VIEWS["top"])).T[:, :2], atol=1e-6)


def test_two_radiographs_tell_more_than_one_and_a_slice_more_than_none(store):
    prior = store.load("tiny-head", "cpu")
    front, side = (seen_from(VIEWS[view]) for view in ("front", "side"))
    middle = slice_of(Volume(TRUTH, GRID), 12)

    def off(*given) -> float:
        return float(((prior.condition(list(given)).mean() - torch.as_tensor(TRUTH)) ** 2).mean())

    assert off(front, side) < off(front) < off()
    assert off(front, middle) < min(off(front), off(middle))


def test_a_radiograph_and_a_slice_tell_more_than_each(xray, places, tmp_path):
    write_volume(Volume(TRUTH, GRID), tmp_path / "head.nrrd")
    words = [*places["side"], "--like", tmp_path / "head.nrrd"]
    words[3] = given_place(tmp_path, "side")
    context = ["--context", f"{tmp_path / 'head.nrrd'}:12"]
    same = ["--prior", "tiny-head", *map(str, words[6:]), *context, "--frame", "registered"]
    assert main(["reconstruct", *same, "--output", str(tmp_path / "slice")]) == 0
    errors = [error(tmp_path / "slice")]
    for given in ([], context):
        code, told, out = xray(*words, *given)
        assert code == 0, told
        errors.append(error(out))
    assert errors[2] < 0.9 * min(errors[:2])
    said = json.loads((out / "result.json").read_text())
    assert [one["kind"] for one in said["contexts"]] == ["slice", "radiograph"]
    assert said["voxels"]["observed"] > 0 and max(said["reprojection_error"].values()) < 1e-3


def test_slices_of_a_small_animal_are_compared_on_small_pixels():
    prior = ModelStore().load("mouse-xray", "cpu")
    mean = Volume(prior.condition([]).mean().numpy(), prior.grid)
    found = align_patient(prior, [slice_of(mean, 20)], frame=np.eye(4), progress=Progress())
    np.testing.assert_allclose(found.intensity.to_canonical(np.array([0.1, 0.3])), [0.1, 0.3], atol=0.1)


def test_the_embedded_network_comes_nearer_than_the_mean():
    store = ModelStore()
    prior, network = (store.load(name, "cpu") for name in ("mouse-xray", "mouse-xray-cnn"))
    truth, mean = prior.condition([]).sample([3])[0].clamp(min=0), prior.condition([]).mean().clamp(min=0)
    found = network.condition([radiograph_of(Volume(truth.numpy(), prior.grid), np.array([2, -3, 1]), 64)])

    def off(volume) -> float:
        return float(((volume - truth)[prior.anatomy_mask] ** 2).mean())

    assert off(found.mean()) < 0.95 * off(mean) and float(found.mean().min()) >= 0


CONE = ((0.4, -0.6, 0.2), 900.0)
BOX = np.where((np.abs(GRID.points_ras()) < [50, 60, 70]).all(1), 0.6, 0).astype(np.float32)


OBLIQUE = ((1, 2, 3), None)


@pytest.mark.parametrize(
    ("views", "body"),
    [
        ([((1, 0, 0), None)], TRUTH),
        ([((0, -1, 0), None), CONE], TRUTH),
        ([OBLIQUE], TRUTH),
        ([OBLIQUE], BOX.reshape(GRID.shape_kji)),
    ],
    ids=["along voxels", "two, one of a cone", "oblique", "oblique, a sharp box"],
)
def test_fusion_gives_what_a_volume_on_the_grid_shows(views, body):
    start = torch.as_tensor(head(GRID.points_ras(), 7).reshape(GRID.shape_kji))
    seen = [seen_from(direction, source=source, truth=body) for direction, source in views]
    operators = [one.operator(GRID) for one in seen]
    values = torch.cat([torch.as_tensor(one.values[one.kept_pixels]) for one in seen])

    def off(volume) -> float:
        shown = torch.cat([one.forward(volume[None])[0] for one in operators])
        return float((torch.exp(-shown) - torch.exp(-values)).abs().max())

    fused = fuse(start, operators, values - 1e-9)  # noise: air is not below 0
    truth = torch.as_tensor(body)
    assert off(fused) < 1e-3 and off(start) > 0.05 and float(fused.min()) >= 0
    nearer = float(((fused - truth) ** 2).mean()) < float(((start - truth) ** 2).mean())
    assert nearer or body is not TRUTH


def test_what_no_volume_gives_is_met_as_well_as_can_be():
    side = seen_from(VIEWS["side"])
    operators = [side.operator(GRID)] * 2
    values = torch.as_tensor(side.values.ravel())
    fused = fuse(torch.as_tensor(TRUTH), operators, torch.cat([values, 1.2 * values - 0.01]))
    shown = operators[0].forward(fused[None])[0]
    assert bool(torch.isfinite(fused).all()) and float(fused.min()) >= 0
    thick = values > 0.3
    assert bool(((shown > 0.99 * values) & (shown < 1.21 * values))[thick].all())


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
    code, told, _ = xray(*places["side"][:4], "--spacing", "16", "--fusion", "none")
    assert code == 0 and "states no pixel size; the field of the model (216 mm, pixels of 8 mm)" in told
    other = np.ascontiguousarray(TRUTH[::-1, ::-1] * np.linspace(0, 1.5, 27)[:, None])
    grey = np.rint(65535 * np.exp(-seen_from(VIEWS["top"], truth=other.astype(np.float32)).values))
    sitk.WriteImage(sitk.GetImageFromArray(grey.astype(np.uint16)), str(tmp_path / "other.png"))
    words = (*places["side"], "--radiograph", tmp_path / "other.png", "--view", given_place(tmp_path, "top"))
    code, told, _ = xray(*words, "--spacing", "16", "--fusion", "none")
    assert code == 0 and "other.png: contradicts" in told, told


def test_a_fusion_that_goes_astray_ends_with_the_nearest_volume(monkeypatch):
    """Steps that lead away, after one that leads nearer."""
    side = seen_from(VIEWS["side"])
    operator, values = side.operator(GRID), torch.as_tensor(side.values.ravel())
    start = torch.as_tensor(head(GRID.points_ras(), 7).reshape(GRID.shape_kji))
    right, rounds = fusion._newton_step, []

    def astray(*given):
        rounds.append(right(*given))
        return rounds[-1] if len(rounds) == 1 else -rounds[-1]

    monkeypatch.setattr(fusion, "_newton_step", astray)
    fused = fuse(start, [operator], values)
    off, before = (
        (torch.exp(-operator.forward(volume[None])[0]) - torch.exp(-values)).norm()
        for volume in (fused, start)
    )
    assert off < 0.5 * before and 1 < len(rounds) < 20


@pytest.mark.parametrize("source", [None, 600.0], ids=["parallel", "cone"])
def test_many_rays_are_solved_in_few_steps_and_their_deviations_are_close(store, monkeypatch, source):
    """As the dense solution has them; rays know what they have in common with others."""
    prior = store.load("tiny-head", "cpu")
    seen = replace(seen_from((2, -3, 1), source=source), noise=0.005)
    monkeypatch.setattr(posterior, "DENSE_COST", np.inf)
    exact = prior.condition([seen])
    expected = exact.std()
    steps = []
    monkeypatch.setattr(posterior, "DENSE_COST", 0)
    large = prior.condition([seen], check=lambda: steps.append(1))
    steps.clear()
    mean, before = large.mean(), prior.condition([]).std()
    assert len(steps) < 40, len(steps)
    assert float((mean - exact.mean()).abs().max()) < 1e-3
    informed = before > 0.5 * before.max()
    ratio, known = (large.std() / expected)[informed], (expected / before)[informed]
    assert float(known.median()) < 0.95
    assert abs(float(ratio.median()) - 1) < 0.05 and float((ratio.log().abs() > 0.3).float().mean()) < 0.02
