"""Radiographs: rays against a numerical integral and diffdrr, adjoint, poses; files, grey values, masks."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Plane
from SparseVolumeReconstructionLib.geometry.io import read_volume
from SparseVolumeReconstructionLib.geometry.resample import resample
from SparseVolumeReconstructionLib.observation import Radiograph, RadiographSpec

GRID = Grid.centred((20, 24, 22), (1.0, 0.8, 1.2), (3.0, -2.0, 5.0))
BODY = gaussian_filter(np.random.default_rng(0).random(GRID.shape_kji), 1.5).astype(np.float32)
BODY[:2], BODY[-2:], BODY[:, :2], BODY[:, -2:], BODY[..., :2], BODY[..., -2:] = 0, 0, 0, 0, 0, 0


def radiograph(cone: bool = False, angle: float = 25.0, size: int = 18) -> Radiograph:
    """A detector behind the body, turned, with parallel rays or a source 60 mm in front of it."""
    turn = Rotation.from_euler("xyz", [angle, angle / 2, -angle], degrees=True).as_matrix()
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([1.3, 1.3, 1.0])
    centre = np.array([3.0, -2.0, 5.0]) + 16 * turn[:, 2]
    matrix[:3, 3] = centre - matrix[:3, :2] @ np.full(2, (size - 1) / 2)
    source = centre - 60 * turn[:, 2] if cone else None
    pixels = np.arange(size * size, dtype=np.float32).reshape(size, size)
    return Radiograph(pixels, Plane((size, size), matrix), "one", "scan", source, attenuation_per_mm=0.3)


@pytest.mark.parametrize("cone", [False, True])
def test_rays_are_line_integrals(cone):
    seen = replace(radiograph(cone), steps=400)
    found = seen.operator(GRID).forward(torch.as_tensor(BODY)[None])[0].numpy()
    pixels, normal = seen.plane.points_ras(), seen.plane.normal
    direction = (pixels - seen.source_ras) if cone else np.tile(normal, (len(pixels), 1))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    t = np.linspace(-60, 20, 4001)
    points = pixels[:, None] + t[:, None] * direction[:, None]
    ijk = points @ GRID.ras_to_ijk[:3, :3].T + GRID.ras_to_ijk[:3, 3]
    sampled = map_coordinates(BODY, np.moveaxis(ijk[..., ::-1], -1, 0), order=1)
    expected = 0.3 * np.trapezoid(sampled, t, axis=1)
    assert expected.max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())


@pytest.mark.parametrize("cone", [False, True])
@pytest.mark.parametrize("posed", [False, True])
def test_the_adjoint_is_the_transpose(cone, posed):
    generator = torch.Generator().manual_seed(0)
    pose = torch.eye(4, dtype=torch.float64) if posed else None
    operator = radiograph(cone).operator(GRID, pose=pose)
    dtype = torch.float64 if posed else torch.float32
    x = torch.randn(2, *GRID.shape_kji, generator=generator).to(dtype)
    y = torch.randn(2, operator.count, generator=generator).to(dtype)
    left, right = (operator.forward(x) * y).sum(1).double(), (x * operator.adjoint(y)).sum((1, 2, 3)).double()
    assert float(((left - right).abs() / (x.norm() * operator.adjoint(y).norm())).max()) < 1e-5


def test_it_is_differentiable_in_volume_and_pose():
    seen = radiograph(cone=True)
    volume = torch.as_tensor(BODY, dtype=torch.float64)[None].requires_grad_()
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)

    def loss(by):
        pose = torch.eye(4, dtype=torch.float64) + torch.cat(
            [torch.zeros(4, 3), torch.cat([by, by.new_zeros(1)])[:, None]], 1
        )
        return (seen.operator(GRID, pose=pose).forward(volume) ** 2).sum()

    loss(shift).backward()
    ahead, behind = (loss(torch.tensor([e, 0, 0], dtype=torch.float64)) for e in (1e-6, -1e-6))
    assert float(shift.grad[0]) == pytest.approx(float((ahead - behind).detach()) / 2e-6, rel=1e-3)
    assert float(volume.grad.abs().sum()) > 0


@pytest.mark.slow
def test_like_diffdrr_on_its_chest_ct():
    """Their trilinear renderer alone is used: it needs torch only, the rest of the package much more."""
    package = importlib.util.find_spec("diffdrr")
    if package is None:
        pytest.skip("diffdrr is not installed (pip install --no-deps diffdrr)")
    from diffdrr.renderers import Trilinear

    scan = read_volume(Path(package.submodule_search_locations[0]) / "data" / "cxr.nii.gz")
    grid = Grid.centred((64, 64, 64), 1.0)
    middle = (scan.grid.corners_ras()[0] + scan.grid.corners_ras()[-1]) / 2
    shown = resample(scan, Grid.centred((64, 64, 64), 6.0, middle)).array
    chest = gaussian_filter(np.clip((shown + 1000) / 2000, 0, 1), 1.0)
    chest[:3], chest[-3:], chest[:, :3], chest[:, -3:], chest[..., :3], chest[..., -3:] = 0, 0, 0, 0, 0, 0
    source, size = np.array([5.0, -180.0, 8.0]), 24
    matrix = np.array([[4.0, 0, 0, -46], [0, 0, 1, 60], [0, -4.0, 0, 46], [0, 0, 0, 1]])
    seen = Radiograph(np.eye(size), Plane((size, size), matrix), "chest", "ct", source, steps=900)
    ours = seen.operator(grid).forward(torch.as_tensor(chest)[None])[0].numpy()
    to_ijk = grid.ras_to_ijk
    start, ends = (
        torch.as_tensor(p @ to_ijk[:3, :3].T + to_ijk[:3, 3]) for p in (source, seen.plane.points_ras())
    )
    length = (ends - start).norm(dim=1)
    drawn = Trilinear()(
        torch.as_tensor(chest.transpose(2, 1, 0), dtype=torch.float64),
        start.expand(1, len(ends), 3),
        ends[None],
        length[None, None],
        n_points=1500,
    )[0, 0].numpy()
    assert drawn.max() > 5
    np.testing.assert_allclose(ours, drawn, atol=1e-3 * drawn.max())


# --- files ---


def disc(size=64):
    """A body's line integrals (size, size), up to 2, with air around it."""
    y, x = np.indices((size, size)) - (size - 1) / 2
    return np.sqrt(np.clip(1 - (x**2 + 1.3 * y**2) / (0.36 * size) ** 2, 0, 1)).astype(np.float32) * 2


def written(tmp_path, array, name="x.png", **tags):
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 3 and array.shape[2] == 3)
    sitk.WriteImage(image, str(tmp_path / name))
    if tags:
        data = pydicom.dcmread(tmp_path / name)
        for key, value in tags.items():
            setattr(data, key, value)
        data.save_as(tmp_path / name)
    return str(tmp_path / name)


def test_grey_values_become_line_integrals_whatever_their_sense(tmp_path):
    body = disc()
    share = np.exp(-body)
    for name, pixels, words in [
        ("t8.png", 255 * share, {}),
        ("t16.tif", 60000 * share, {}),
        ("a8.png", 255 * (1 - share), {}),
        ("gamma.png", 255 * share**0.5, {"gamma": 0.5}),
        ("field.tif", 30000 * share, {"open_field": 30000.0}),
    ]:
        wide = name.endswith("tif")
        path = written(tmp_path, np.rint(pixels).astype(np.uint16 if wide else np.uint8), name)
        seen = RadiographSpec(path=path, pixel_mm=0.4, **words).read().observations[0]
        assert seen.kept_pixels.mean() > 0.99 and seen.plane.spacing_ij == pytest.approx(0.4)
        np.testing.assert_allclose(seen.values, body, atol=0.002 if wide else 0.05)
        assert (seen.noise > 1e-4) != wide


def test_dicom_says_pixels_source_and_whether_it_is_a_radiograph(tmp_path):
    pixels = np.rint(4000 * np.exp(-disc())).astype(np.uint16)
    tags = {"DistanceSourceToDetector": "1000", "ImagerPixelSpacing": [0.3, 0.3]}
    path = written(tmp_path, pixels, "dx.dcm", Modality="DX", PixelIntensityRelationship="LIN", **tags)
    seen = RadiographSpec(path=path).read().observations[0]
    assert seen.plane.spacing_ij == pytest.approx(0.3) and seen.pixel_known
    assert np.linalg.norm(seen.source_ras - seen.plane.centre) == pytest.approx(1000)
    np.testing.assert_allclose(seen.values, disc(), atol=0.005)
    with pytest.raises(InputError, match="a CT image, no radiograph; give its slices with --context"):
        RadiographSpec(path=written(tmp_path, pixels, "ct.dcm", Modality="CT")).read()


def test_borders_letters_and_saturated_pixels_are_masked(tmp_path):
    grey = 220 * np.exp(-disc(96))
    grey[:, :9], grey[:, -9:], grey[:7], grey[-7:] = 2, 2, 2, 2
    grey[20:26, 14:20] = 255  # a letter
    grey[46:50, 46:50] = 0  # no radiation
    reading = RadiographSpec(path=written(tmp_path, np.rint(grey).astype(np.uint8)), pixel_mm=1).read()
    kept = reading.observations[0].kept_pixels
    assert not kept[:7].any() and not kept[:, -9:].any() and kept[12:18, 24:70].all()
    assert not kept[20:26, 14:20].any() and not kept[46:50, 46:50].any()
    assert kept.mean() > 0.6 and len(reading.warnings) == 2 and "was masked" in reading.warnings[0]


@pytest.mark.parametrize("bone_is_bright", [False, True])
def test_what_the_detector_could_not_tell_any_darker_is_masked(tmp_path, bone_is_bright):
    grey = 220 * np.exp(-disc(96))
    cut = np.quantile(grey, 0.1)
    for lowest, masked in ((cut, 0.1), (0, 0.0)):
        shown = np.rint(np.maximum(grey, lowest))
        shown = (255 - shown if bone_is_bright else shown).astype(np.uint8)
        reading = RadiographSpec(path=written(tmp_path, shown, f"{masked}.png"), pixel_mm=1).read()
        kept = reading.observations[0].kept_pixels
        assert kept[grey > 1.2 * cut].all() and (~kept).mean() == pytest.approx(masked, abs=0.03)
        assert bool(masked) == any("saturated" in told for told in reading.warnings)


def test_what_is_no_radiograph_is_refused_in_one_line(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    cases = {
        written(tmp_path, colours, "photo.png"): "a colour picture",
        written(tmp_path, np.zeros((9, 32, 32), np.int16), "ct.nrrd"): "a volume of 32 x 32 x 9 voxels",
        written(tmp_path, np.full((32, 32), 7, np.uint8), "flat.png"): "the radiograph is empty",
        str(tmp_path / "none.png"): "no such file",
        str(Path(__file__)): "cannot be read as an image",
        written(tmp_path, np.full((32, 32), np.nan, np.float32), "nan.nrrd"): "NaN or infinite",
    }
    for path, says in cases.items():
        with pytest.raises(InputError, match=says) as caught:
            RadiographSpec(path=path, pixel_mm=1).read()
        assert "\n" not in str(caught.value)
    grey = np.repeat(np.rint(255 * np.exp(-disc()))[..., None], 3, 2).astype(np.uint8)
    assert RadiographSpec(path=written(tmp_path, grey, "grey.png"), pixel_mm=1).read().observations


def test_blocks_of_pixels_keep_the_place_and_the_mean():
    seen = replace(radiograph(size=18), valid=np.arange(324).reshape(18, 18) > 20)
    coarse = seen.no_finer(2.7)
    assert coarse.plane.shape_ji == (9, 9)
    np.testing.assert_allclose(coarse.plane.centre, seen.plane.centre)
    assert coarse.values[4, 4] == pytest.approx(seen.values[8:10, 8:10].mean())
    assert not coarse.kept_pixels[0, 0] and coarse.kept_pixels[4, 4]
