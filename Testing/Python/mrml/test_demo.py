"""The demonstration: its input is what it says, and the whole of it runs."""

import json
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_volume, write_volume
from SparseVolumeReconstructionLib.mrml.demo import make_case
from SparseVolumeReconstructionLib.zoo.manifest import EMBEDDED, read_manifest

pytestmark = pytest.mark.slow


@pytest.fixture
def ball(tmp_path):
    """Function: a file with a structured ball of 140 mm, stored with the given axes."""

    def make(directions: str = "LPS", spacing: float = 2.0):
        count = int(160 / spacing)
        k, j, i = (np.indices((count, count, count)) - (count - 1) / 2) * spacing / 70
        array = (
            np.clip(1.05 - k**2 - j**2 - i**2, 0, 1) ** 0.5 * (500 + 200 * i + 100 * j + 300 * k)
        ).astype(np.float32)
        write_volume(Volume(array, Grid.centred(array.shape, spacing)), tmp_path / "ball.nrrd")
        sitk.WriteImage(
            sitk.DICOMOrient(sitk.ReadImage(str(tmp_path / "ball.nrrd")), directions),
            str(tmp_path / f"{directions}.nrrd"),
        )
        return str(tmp_path / f"{directions}.nrrd")

    return make


def test_the_frame_is_12_degrees_and_15_mm_off_and_the_pixels_are_untouched(ball):
    path = ball()
    head = read_volume(path)
    centre = head.grid.corners_ras().mean(0)
    for image in make_case(path).slices:
        (k,) = [k for k, pixels in enumerate(head.array) if np.array_equal(pixels, image.pixels)]
        before, after = head.grid.ijk_to_ras.copy(), image.plane.ij_to_ras.copy()
        before[:3, 3] += before[:3, 2] * k
        after[:3, 2] *= head.grid.spacing_ijk[2]
        moved = after @ np.linalg.inv(before)
        assert np.allclose(moved[:3, :3] @ moved[:3, :3].T, np.eye(3)) and np.linalg.det(moved[:3, :3]) > 0
        assert np.isclose(np.degrees(np.arccos((np.trace(moved[:3, :3]) - 1) / 2)), 12.0)
        assert np.isclose(np.linalg.norm(moved[:3, :3] @ centre + moved[:3, 3] - centre), 15.0)


@pytest.mark.parametrize("directions", ["LPS", "RAS", "SAR", "PIR"])
def test_four_slices_lie_on_the_grid_of_the_result_however_the_file_is_stored(ball, directions):
    case = make_case(ball(directions))
    assert [image.name for image in case.slices] == [
        "slice at 16 mm",
        "slice at 44 mm",
        "slice at 76 mm",
        "slice at 104 mm",
    ]
    for image in case.slices:
        k = (case.truth.grid.ras_to_ijk[:3, :3] @ image.plane.centre + case.truth.grid.ras_to_ijk[:3, 3])[2]
        assert abs(k - round(k)) < 1e-6
        assert image.plane.normal @ case.truth.grid.ijk_to_ras[:3, 2] > 0
        assert np.isclose(image.plane.thickness_mm, 2.0)
    assert np.isclose(case.truth.grid.spacing_ijk[2] * case.truth.grid.shape_kji[0], 120.0)
    lines = case.truth.array[round(16 / 2)]
    assert lines.max() > 0.9 * case.slices[0].pixels.max()


def test_an_image_without_a_head_is_refused(tmp_path):
    array = np.zeros((20, 20, 20), np.float32)
    array[0, 0, 0] = 1
    write_volume(Volume(array, Grid.centred(array.shape, 2.0)), tmp_path / "dark.nrrd")
    with pytest.raises(InputError, match="expected a T1-weighted head"):
        make_case(str(tmp_path / "dark.nrrd"))


@pytest.mark.skipif(
    not any(entry.card.id == "brain-t1" for entry in read_manifest(EMBEDDED)),
    reason="needs the model brain-t1",
)
def test_the_demonstration_runs_and_leaves_everything_it_promises(tmp_path, library_environment):
    started = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "SparseVolumeReconstructionLib.cli",
        "demo",
        "--output",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=library_environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 60 and "Zip" not in done.stderr
    assert done.stdout.split() == [str(tmp_path / "out" / name) for name in ("report.html", "scene.mrb")]
    expected = {
        "mean.nrrd",
        "std.nrrd",
        "observed.nrrd",
        "template.nrrd",
        "template_mask.nrrd",
        "samples.seq.nrrd",
        "frame.h5",
        "result.json",
    }
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected | {"scene.mrb", "report.html"}
    names = zipfile.ZipFile(tmp_path / "out" / "scene.mrb").namelist()
    assert sum("slice_at" in name or "slice at" in name or "slice%20at" in name for name in names) == 4
    mean, observed = (
        read_volume(tmp_path / "out" / "mean.nrrd"),
        read_volume(tmp_path / "out" / "observed.nrrd"),
    )
    case = make_case(None)
    assert mean.grid.same_as(case.truth.grid, 1e-3)
    scale = np.percentile(case.truth.array, 99.9)
    correlation = np.corrcoef(mean.array.ravel(), case.truth.array.ravel())[0, 1]
    assert correlation > 0.9
    unseen = observed.array == 0
    assert np.abs(mean.array - case.truth.array)[unseen].mean() < 0.15 * scale
    assert json.loads((tmp_path / "out" / "result.json").read_text())
