"""Result folders: all or nothing."""

import json
import os
import resource
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_affine, read_volume
from SparseVolumeReconstructionLib.reconstruction import result as result_module
from SparseVolumeReconstructionLib.reconstruction.request import IntensityMap
from SparseVolumeReconstructionLib.reconstruction.result import (
    MASKS,
    TISSUE_VOLUMES,
    VOLUMES,
    Reconstruction,
    file_names,
    inferred_by,
    read_result,
    write_result,
)
from SparseVolumeReconstructionLib.svr import result as merge_result
from SparseVolumeReconstructionLib.synthesis import run as synthesis

GRID = Grid.centred((20, 21, 22), 2.0)


@pytest.fixture
def result() -> Reconstruction:
    """Noise, so that files are about as large as their arrays."""
    random = np.random.default_rng(0)
    noise = {
        name: Volume(random.random(GRID.shape_kji, np.float32), GRID)
        for name in ("mean", "std", "template", "atlas", "reprojection")
    }
    masks = {
        name: Volume(np.ones(GRID.shape_kji, np.uint8), GRID)
        for name in ("observed", "template_mask", "brain_mask")
    }
    samples = random.random((3, *GRID.shape_kji), np.float32)
    tissues = dict.fromkeys(TISSUE_VOLUMES, noise["mean"])
    return Reconstruction(np.eye(4), {"seed": 1}, samples=samples, tissues=tissues, **noise, **masks)


@contextmanager
def full_disk(size: int):
    """No file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_all_files_are_there_and_nothing_else(result, tmp_path):
    written = write_result(result, tmp_path / "a" / "b")
    assert set(written) == set(file_names()) == {p.name for p in (tmp_path / "a" / "b").iterdir()}
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]
    np.testing.assert_array_equal(read_volume(written["mean.nrrd"]).array, result.mean.array)


def test_nifti_holds_the_same_voxels_at_the_same_places(result, tmp_path):
    """As SimpleITK and nibabel read them; what an older result left in the other format is removed."""
    turn = np.array(sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.1).GetMatrix()).reshape(3, 3)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn * [0.8, -1.1, 2.5], (-20, 30, 7)
    oblique = Grid(GRID.shape_kji, matrix)
    volumes = {
        name: Volume(getattr(result, name).array, oblique) for name in ("mean", "observed", "template")
    }
    result = Reconstruction(np.eye(4), samples=result.samples, **volumes)
    write_result(result, tmp_path / "out")
    before = (tmp_path / "out" / "mean.nrrd").read_bytes()
    written = write_result(result, tmp_path / "out", image_format="nii.gz")
    names = {"mean.nii.gz", "observed.nii.gz", "template.nii.gz", "samples.nii.gz", "frame.h5", "result.json"}
    assert set(written) == names == {p.name for p in (tmp_path / "out").iterdir()}
    last = oblique.corners_ras()[7]
    for name, volume in volumes.items():
        image = sitk.ReadImage(written[f"{name}.nii.gz"])
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), volume.array)
        there = np.array(image.TransformIndexToPhysicalPoint((21, 20, 19))) * [-1, -1, 1]
        np.testing.assert_allclose(there, last, atol=1e-4)
    samples = nibabel.load(written["samples.nii.gz"])
    np.testing.assert_array_equal(np.asarray(samples.dataobj).T, result.samples)
    for affine in (samples.get_qform(), samples.get_sform()):
        np.testing.assert_allclose((affine @ [21, 20, 19, 1])[:3], last, atol=1e-4)
    codes = [int(samples.header[f"{form}_code"]) for form in ("qform", "sform")]
    assert codes == [1, 1] and samples.header.get_xyzt_units()[0] == "mm"
    again = write_result(result, tmp_path / "again", image_format="nii.gz")
    assert again.keys() == written.keys()
    for name in again.keys() - {"frame.h5"}:  # HDF5 writes the second in which a file was made
        assert Path(again[name]).read_bytes() == Path(written[name]).read_bytes()
    write_result(result, tmp_path / "out")
    assert (tmp_path / "out" / "mean.nrrd").read_bytes() == before and "nii" not in str(
        [p.name for p in (tmp_path / "out").iterdir()]
    )


def test_an_older_result_is_replaced_and_other_files_stay(result, tmp_path):
    write_result(result, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    written = write_result(
        Reconstruction(np.eye(4), mean=result.std, observed=result.observed), tmp_path / "out", compress=False
    )
    assert set(written) == {"mean.nrrd", "observed.nrrd", "frame.h5", "result.json"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*written, "notes.txt"}
    assert (tmp_path / "out" / "mean.nrrd").stat().st_size > 4 * GRID.size
    np.testing.assert_array_equal(read_volume(written["mean.nrrd"]).array, result.std.array)


@pytest.mark.parametrize("size", [0, 2000, 20_000, 36_000, 100_000])
def test_a_full_disk_is_told_and_the_old_result_stays(result, tmp_path, size):
    write_result(result, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    with full_disk(size), pytest.raises(InputError, match="could not be written") as caught:
        write_result(result, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_is_told(result, tmp_path):
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file", tmp_path / "file" / "out", "/proc/out"):
        with pytest.raises(InputError, match="could not be written"):
            write_result(result, target)
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_told(result, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match="Permission denied"):
        write_result(result, tmp_path / "closed" / "out")


@pytest.mark.parametrize("image_format", ["nrrd", "nii.gz"])
def test_what_was_written_is_read(result, tmp_path, image_format):
    frame = np.array([[1, 0.1, 0, 5], [-0.1, 1, 0, -7], [0, 0, 0.9, 3], [0, 0, 0, 1.0]])
    outputs = ["mean", "std", "template", "atlas", "tissues"]
    request = {"outputs": outputs, "samples": 3, "format": image_format}
    said = {"request": request, "volumes": list(VOLUMES)}
    written = replace(result, patient_to_canonical=frame, provenance=said)
    write_result(written, tmp_path / "out", image_format=image_format)
    read = read_result(tmp_path / "out")
    for name in VOLUMES:
        volume = getattr(read, name)
        np.testing.assert_array_equal(volume.array, getattr(result, name).array)
        assert volume.grid.same_as(GRID) and (volume.array.dtype == np.uint8) == (name in MASKS)
    np.testing.assert_array_equal(read.samples, result.samples)
    assert {name: v.array.tolist() for name, v in read.tissues.items()} == {
        name: v.array.tolist() for name, v in result.tissues.items()
    }
    np.testing.assert_allclose(read.patient_to_canonical, frame, atol=1e-9)
    assert read.provenance == written.provenance
    less = {"outputs": ["mean"], "samples": 0, "format": image_format}
    made = {"mean": result.mean, "observed": result.observed}
    brain = (tmp_path / "out" / f"brain_mask.{image_format}").read_bytes()
    for whole in (False, True):
        again = Reconstruction.of(
            made | ({"brain_mask": result.brain_mask} if whole else {}), frame, {"request": less}
        )
        write_result(again, tmp_path / "out", image_format=image_format)
        (tmp_path / "out" / f"brain_mask.{image_format}").write_bytes(brain)  # of somebody else, or its own
        read = read_result(tmp_path / "out")
        there = {name for name in VOLUMES if getattr(read, name) is not None}
        assert there == {*made, *(["brain_mask"] if whole else [])} == set(read.provenance["volumes"])
    (tmp_path / "out" / f"brain_mask.{image_format}").unlink()
    with pytest.raises(InputError, match="brain_mask"):
        read_result(tmp_path / "out")
    write_result(
        Reconstruction.of(made, frame, {"request": less}), tmp_path / "out", image_format=image_format
    )
    read = read_result(tmp_path / "out")
    assert read.samples is None and read.tissues == {}
    for name in ("frame.h5", f"observed.{image_format}", "result.json"):
        (tmp_path / "out" / name).write_bytes(b"nothing")
        with pytest.raises(InputError, match=name):
            read_result(tmp_path / "out")


def test_images_of_every_kind_of_result_are_known_as_inferred(tmp_path):
    """Reconstructed, merged, converted; in a folder that does not say so, they are files like others."""
    names = {*result_module.ALL_FILES, *merge_result.ALL_FILES, *synthesis.FILES}
    images = [tmp_path / name for name in names if name.endswith((".nrrd", ".nii.gz"))]
    for image in images:
        image.touch()
    assert {"volume.nrrd", "seen.nii.gz", "samples.seq.nrrd"} < names
    assert [image for image in images if inferred_by(image)] == []
    (tmp_path / "result.json").write_text("{}")
    assert {inferred_by(image) for image in images} == {"result.json beside it"}
    assert inferred_by(tmp_path / "scan.nrrd") is None


@pytest.mark.parametrize("image_format", ["nrrd", "nii.gz"])
def test_images_say_so_themselves_under_other_names_in_other_folders(result, tmp_path, image_format):
    written = write_result(result, tmp_path / "out", image_format=image_format)
    images = [Path(file) for name, file in written.items() if name.endswith(image_format)]
    moved = [image.rename(tmp_path / f"{n}.{image_format}") for n, image in enumerate(images)]
    assert len(moved) == len(VOLUMES) + len(TISSUE_VOLUMES) + 1
    assert {inferred_by(image) for image in moved} == {"its header"}
    again = tmp_path / "again.mha"
    sitk.WriteImage(sitk.ReadImage(str(moved[0])), str(again))  # by another program that keeps headers
    assert inferred_by(again) == "its header"


def test_a_frame_of_an_earlier_version_is_meant_as_then():
    """Version 0.1.0 wrote these files for the bundled sample: from patient to canonical space, as today."""
    folder = Path(__file__).parent / "result-0.1.0"
    stated = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    frame = read_affine(folder / "frame.h5")
    assert stated["software"]["SparseVolumeReconstruction"] == "0.1.0"
    np.testing.assert_allclose(frame, stated["frame"]["patient_to_canonical"], atol=1e-6)
    resources = Path(result_module.__file__).parents[2] / "Resources"
    sample = read_volume(resources / "SampleData" / "sparse-brain-4-slices.nrrd")
    head = sample.grid.points_ras()[sample.array.ravel() > 0]
    middle = np.array([0.0, -21.3, 5.3])  # of the anatomy of brain-t1, RAS mm
    apart = [
        np.linalg.norm((head @ matrix[:3, :3].T + matrix[:3, 3]).mean(0) - middle)
        for matrix in (frame, np.linalg.inv(frame))
    ]
    assert apart[0] < 12.0 < 20.0 < apart[1], apart
    assert IntensityMap.model_validate(stated["intensity_map"]).gains == {}
