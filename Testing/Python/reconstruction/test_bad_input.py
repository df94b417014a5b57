"""Wrong input as a user gives it: one clear line, exit code 2, nothing written."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from geometry.dicom_files import write_series
from geometry.odd_files import SAYS, write_with_notice

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import write_affine, write_volume
from SparseVolumeReconstructionLib.priors.structured_gaussian.prior import StructuredGaussian
from SparseVolumeReconstructionLib.progress import Progress
from SparseVolumeReconstructionLib.reconstruction.request import SliceSpec
from SparseVolumeReconstructionLib.reconstruction.run import run_request
from SparseVolumeReconstructionLib.zoo import ModelStore


@pytest.fixture
def scan(tmp_path, registered):
    """head.nrrd in the test's folder, and its volume."""
    write_volume(registered, tmp_path / "head.nrrd")
    return registered


def test_contexts_that_are_no_slices(refused, scan, tmp_path):
    (tmp_path / "text.nrrd").write_text("nothing")
    (tmp_path / "folder").mkdir()
    sitk.WriteImage(sitk.Image(8, 8, 8, sitk.sitkVectorUInt8), str(tmp_path / "rgb.nrrd"))
    sitk.WriteImage(sitk.Image([8, 8, 8, 3], sitk.sitkFloat32), str(tmp_path / "four.nii.gz"))
    refused("--context", "none.nrrd", says="no such file")
    refused("--context", "none.nrrd:1,2", says="no such file")
    refused("--context", "text.nrrd", says="cannot be read as an image")
    refused("--context", "folder", says="no DICOM series")
    refused("--context", "rgb.nrrd", says="RGB")
    refused("--context", "four.nii.gz", says="4D")


def test_slices_that_show_nothing(refused, scan, tmp_path):
    for name, value in (("empty", 0.0), ("constant", 7.0)):
        write_volume(Volume(np.full_like(scan.array, value), scan.grid), tmp_path / f"{name}.nrrd")
        refused("--context", f"{name}.nrrd:3", says="empty")
        refused("--context", f"{name}.nrrd", says="no slice")
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        array = scan.array.copy()
        array[9, 3:6, 4] = value
        write_volume(Volume(array, scan.grid), tmp_path / f"{name}.nrrd")
        refused("--context", f"{name}.nrrd:9", says="NaN or infinite")
        refused("--context", f"{name}.nrrd", says="NaN or infinite")


def test_indices_out_of_range(refused, scan):
    refused("--context", "head.nrrd:25", says="out of range; the volume has slices 0..24")
    refused("--context", "head.nrrd:9,900", says="out of range")
    refused("--context", "head.nrrd:-1", says="no list of slices")


def test_slices_that_contradict_each_other(refused, scan, make_patient, tmp_path):
    write_volume(make_patient((0, 0, 20), (0, 16, 0), seed=1001).volume(scan.grid), tmp_path / "other.nrrd")
    refused("--context", "head.nrrd:9", "--context", "other.nrrd:9", says="disagree")


def test_geometry_that_is_none(refused, scan, tmp_path):
    header = (
        "NRRD0004\ntype: float\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\nspace "
        "directions: {}\nspace origin: (0,0,0)\n"
    )
    header += "encoding: raw\nendian: little\n\n"
    (tmp_path / "sheared.nrrd").write_bytes(header.format("(1,0,0) (0.5,1,0) (0,0,1)").encode() + bytes(32))
    (tmp_path / "zero.nrrd").write_bytes(header.format("(0,0,0) (0,1,0) (0,0,1)").encode() + bytes(32))
    refused("--context", "sheared.nrrd", says="right angles")
    refused("--context", "zero.nrrd", says="spacing is 0")
    refused("--context", "head.nrrd:9", "--like", "sheared.nrrd", says="right angles")
    refused("--context", "head.nrrd:9", "--spacing", "0", says="spacing")
    refused("--context", "head.nrrd:9", "--frame", "registered", "--spacing", "0.1", says="million voxels")


@pytest.mark.parametrize(
    ("thickness", "says"),
    [
        ("0", "greater than 0"),
        ("-3", "greater than 0"),
        ("500", "expected 0.01 to 100 mm"),
        ("1e-5", "expected 0.01 to 100 mm"),
        ("inf", "--thickness"),
        ("nan", "--thickness"),
    ],
)
def test_a_thickness_that_is_none(refused, scan, thickness, says):
    refused("--context", "head.nrrd:9", f"--thickness={thickness}", says=says)


def test_a_missing_thickness_is_assumed_and_said(store, request_for, tmp_path):
    contexts = [SliceSpec(path=str(tmp_path / "head.nrrd"), slices=[9])]
    done = run_request(request_for(contexts=contexts), store, Progress())
    assert any(
        "5 mm, with gaps between slices 8 mm apart, was assumed" in warning
        for warning in done["result"]["warnings"]
    )
    assert done["result"]["contexts"][0]["thickness_assumed"] is True
    done = run_request(request_for(), store, Progress())
    assert done["result"]["warnings"] == [] and done["result"]["contexts"][0]["thickness_assumed"] is False


def test_what_is_odd_about_any_file_of_a_request_is_told_once(scan, store, request_for, tmp_path):
    files = {
        name: write_with_notice(scan, tmp_path / f"{name}.nii.gz") for name in ("slices", "mask", "like")
    }
    contexts = [SliceSpec(path=str(files["slices"]), slices=[n], thickness_mm=8) for n in (9, 12)]
    given = {"mask": str(files["mask"]), "like": str(files["like"]), "outputs": ["mean"]}
    told = []
    run_request(request_for(contexts=contexts, **given), store, Progress(warned=told.append))
    for file in files.values():
        assert sum(line.startswith(f"{file}: {SAYS}") for line in told) == 1, told
    assert any(line.startswith(f"{files['mask']}: ") and "Is it a scan?" in line for line in told)


def test_every_series_keeps_its_own_thickness(scan, store, request_for, tmp_path):
    """As its header states it, the JSON beside it, or as it was given; one of many thicknesses is not all."""
    image = sitk.ReadImage(str(tmp_path / "head.nrrd"))
    sitk.WriteImage(image, str(tmp_path / "json.nii.gz"))
    (tmp_path / "json.json").write_text(json.dumps({"SliceThickness": 3.5}))
    content = (tmp_path / "head.nrrd").read_bytes()
    stated = content.replace(b"encoding:", b"thicknesses: NaN NaN 2.5\nencoding:", 1)
    (tmp_path / "stated.nrrd").write_bytes(stated)
    contexts = [
        SliceSpec(path=str(tmp_path / "stated.nrrd"), slices=[6]),
        SliceSpec(path=str(tmp_path / "json.nii.gz"), slices=[10]),
        SliceSpec(path=str(tmp_path / "head.nrrd"), slices=[14], thickness_mm=7.0),
        SliceSpec(path=str(tmp_path / "head.nrrd"), slices=[18]),
    ]
    result = run_request(request_for(contexts=contexts), store, Progress())["result"]
    assert [each["thickness_mm"] for each in result["contexts"]] == [2.5, 3.5, 7.0, 5.0]
    assert [each["thickness_assumed"] for each in result["contexts"]] == [False] * 3 + [True]
    assert sum("thickness is not known" in warning for warning in result["warnings"]) == 1


def test_slices_of_a_series_with_a_gap_are_used_where_they_lie(scan, store, request_for, tmp_path):
    grid, there = scan.grid, [*range(4, 11), *range(13, 20)]
    position = [(grid.ijk_to_ras @ [0, 0, k, 1])[:3] * [-1, -1, 1] for k in there]
    directions = np.concatenate([grid.ijk_to_ras[:3, n] / grid.spacing_ijk[n] * [-1, -1, 1] for n in (0, 1)])
    pixels = (1000 * scan.array[there] / scan.array.max()).astype(int)
    spacing = grid.spacing_ijk[1::-1].tolist()
    write_series(tmp_path / "gap", position, pixels, directions=directions, spacing=spacing, thickness=2.5)
    used = [0, 6, 7, 12]
    contexts = [SliceSpec(path=str(tmp_path / "gap"), slices=used)]
    result = run_request(request_for(contexts=contexts), store, Progress())["result"]
    assert any("slices 7 to 8 of 16 are missing" in warning for warning in result["warnings"])
    for context, n in zip(result["contexts"], used, strict=True):
        assert context["slice"] == n and context["thickness_mm"] == 2.5
        np.testing.assert_allclose(
            np.array(context["ij_to_ras"])[:3, 3], (grid.ijk_to_ras @ [0, 0, there[n], 1])[:3], atol=1e-3
        )


@pytest.mark.parametrize("image_format", ["nrrd", "nii.gz"])
def test_what_was_reconstructed_is_not_observed(refused, store, request_for, tmp_path, image_format):
    run_request(request_for(format=image_format), store, Progress())
    words = ("--context", f"out/mean.{image_format}:9", "--frame", "registered")
    refused(*words, says="reconstructed, not observed")


@pytest.mark.parametrize("frame", ["auto", "registered"])
def test_lengths_in_another_unit_are_named_before_anything_is_fitted(refused, scan, tmp_path, frame):
    """With a given frame, too, and whatever else is given in mm."""
    for factor, says in ((0.1, "is the unit cm? Then multiply"), (6.0, "correct the spacing in its header")):
        matrix = np.diag([factor, factor, factor, 1]) @ scan.grid.ijk_to_ras
        write_volume(Volume(scan.array, Grid(scan.grid.shape_kji, matrix)), tmp_path / "other.nrrd")
        contexts = ("--context", "head.nrrd:9", "--context", "other.nrrd:12")
        refused(*contexts, "--frame", frame, says=says)


def test_frames_that_are_none(refused, scan, tmp_path):
    (tmp_path / "text.h5").write_text("nothing")
    flat = sitk.AffineTransform(3)
    flat.SetMatrix((1, 0, 0, 0, 1, 0, 0, 0, 0))
    sitk.WriteTransform(flat, str(tmp_path / "flat.tfm"))
    far = np.eye(4)
    far[2, 3] = 5000
    write_affine(far, tmp_path / "far.h5")
    for frame, says in (
        ("none.h5", "no such transform"),
        ("text.h5", "cannot be read"),
        ("flat.tfm", "singular"),
        ("far.h5", "pixels of the slices lie"),
    ):
        refused("--context", "head.nrrd:9", "--frame", frame, says=says)


def test_another_anatomy(refused, scan, tmp_path):
    """Found by evidence, not by name."""
    inside = np.linalg.norm(scan.grid.points_ras(), axis=1).reshape(scan.grid.shape_kji) < 70
    noise = inside * (1 + 0.5 * np.random.default_rng(0).random(scan.grid.shape_kji))
    write_volume(Volume(noise.astype(np.float32), scan.grid), tmp_path / "ball.nrrd")
    refused("--context", "ball.nrrd:8,12,16", says="do not look like head T1w")


@pytest.mark.slow
def test_slices_of_two_patients_are_said_and_of_one_are_not(store, request_for, make_patient, tmp_path):
    """By evidence: apart they fit much better than together. The same patient in two files does not."""
    scan = Grid.centred((60, 60, 60), 3.0)
    for name, patient in (
        ("a", make_patient()),
        ("b", make_patient()),
        ("c", make_patient((0, 0, 12), (10, -15, 5), seed=1003)),
    ):
        write_volume(patient.volume(scan), tmp_path / f"{name}.nrrd")
    said = {}
    for other in "bc":
        contexts = [
            SliceSpec(path=str(tmp_path / f"{name}.nrrd"), slices=k)
            for name, k in (("a", [22, 34]), (other, [28, 40]))
        ]
        done = run_request(request_for(contexts=contexts, frame="auto"), store, Progress())
        said[other] = any("two patients" in warning for warning in done["result"]["warnings"])
    assert said == {"b": False, "c": True}


def test_ages(refused, scan):
    words = ("--context", "head.nrrd:9", "--frame", "registered")
    for age in ("19", "31", "-5"):
        refused(*words, f"--gestational-age={age}", prior="tiny-fetus", says="covers 20 to 30")
    refused(*words, "--gestational-age", "25", says="does not depend on a covariate")


def test_weights_that_are_missing_damaged_or_foreign(refused, scan, models_dir, tmp_path, monkeypatch):
    weights = {entry.card.id: entry.file for entry in ModelStore(models_dir).entries()}
    for what, says in (("missing", "missing"), ("damaged", "damaged"), ("foreign", "damaged")):
        folder = tmp_path / what
        folder.mkdir()
        for path in models_dir.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        target = folder / weights["tiny-head"]
        if what == "missing":
            target.unlink()
        elif what == "damaged":
            content = bytearray(target.read_bytes())
            content[-1] ^= 1
            target.write_bytes(content)
        else:
            target.write_bytes((folder / weights["tiny-fetus"]).read_bytes())
        monkeypatch.setenv("SVR_MODELS_DIR", str(folder))
        refused("--context", "head.nrrd:9", says=says)
    refused("--context", "head.nrrd:9", prior="nobody", says='no model "nobody"')


def test_outputs_that_cannot_be_written(store, request_for, tmp_path):
    (tmp_path / "file").write_text("mine")
    names = sorted(p.name for p in tmp_path.iterdir())
    for output in (tmp_path / "file", tmp_path / "file" / "out", "/proc/nobody/out"):
        with pytest.raises(InputError, match="could not be written"):
            run_request(request_for(output=str(output)), store, Progress())
    assert (
        sorted({*names, "head.nrrd"}) == sorted(p.name for p in tmp_path.iterdir())
        and (tmp_path / "file").read_text() == "mine"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(refused, scan):
    refused("--context", "head.nrrd:9", "--device", "cuda:0", says="no CUDA GPU")
    refused("--context", "head.nrrd:9", "--device", "gpu", says="expected auto, cpu or cuda:0")


def test_a_gpu_without_memory_is_replaced_by_the_cpu(store, request_for, monkeypatch, tmp_path):
    whole, calls = StructuredGaussian.condition, []

    def condition(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(StructuredGaussian, "condition", condition)
    run_request(request_for(), store, Progress())
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (
        len(calls) == 2
        and result["device"] == "cpu"
        and any("ran out of memory" in w for w in result["warnings"])
    )
