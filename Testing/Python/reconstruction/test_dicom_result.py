"""Results as DICOM: derived series in the study of the slices, masks as segmentations, maps of floats."""

import shutil
import subprocess

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from geometry.dicom_files import change, write_series
from geometry.dicom_rules import broken_rules

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.dicom_writing import upright
from SparseVolumeReconstructionLib.geometry.image import from_image
from SparseVolumeReconstructionLib.geometry.io import read_scan
from SparseVolumeReconstructionLib.reconstruction.contexts import read_contexts
from SparseVolumeReconstructionLib.reconstruction.images import check_can_be_written
from SparseVolumeReconstructionLib.reconstruction.request import SliceSpec
from SparseVolumeReconstructionLib.reconstruction.result import Reconstruction, read_result, write_result

NAME = "Müller^Zoë"
TURN = np.array(sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 0.1).GetMatrix()).reshape(3, 3)
AXES = {
    "axial": np.eye(3),
    "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
    "sagittal": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "oblique": TURN,
}


def grid_of(axes, signs=(1, 1, 1)) -> Grid:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = AXES[axes] * np.array(signs) * [2.0, 1.1, 2.5], (-20.123456, 30.5, 7)
    return Grid((6, 9, 8), matrix)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Three slices of a patient, as a DICOM folder."""
    folder = tmp_path_factory.mktemp("source") / "scan"
    write_series(folder, [(0, 0, 10 * k) for k in range(3)], Manufacturer="Scanner Ltd", StudyID="7")
    for file in folder.iterdir():
        change(
            file,
            SpecificCharacterSet="ISO_IR 100",
            PatientName=NAME,
            PatientID="P-17",
            PatientSex="F",
            PatientBirthDate="19800101",
            FrameOfReferenceUID="1.2.77",
            StudyDate="20260102",
        )
    return folder


def made_from(path, axes="oblique", signs=(1, 1, 1)) -> Reconstruction:
    grid, random = grid_of(axes, signs), np.random.default_rng(0)
    noise = lambda: Volume((900 * random.random(grid.shape_kji) - 20).astype(np.float32), grid)  # noqa: E731
    half = Volume((np.indices(grid.shape_kji)[0] % 2).astype(np.uint8), grid)
    contexts = [{"path": str(path), "series": None, "kind": "slice"}]
    provenance = {
        "prior": {"id": "brain-t1", "sha256": "ab" * 32},
        "software": {"SparseVolumeReconstruction": "0.2"},
        "request": {"contexts": contexts, "format": "dicom"},
    }
    masks = {"observed": half, "template_mask": half, "brain_mask": half}
    samples = np.stack([noise().array, noise().array])
    kept = dict(mean=noise(), std=noise(), template=noise(), samples=samples, tissues={"gm": noise()})
    return Reconstruction(np.eye(4), provenance, **kept, **masks)


@pytest.fixture(scope="module")
def written(source, tmp_path_factory):
    """(result, its folder of DICOM files)"""
    result, out = made_from(source), tmp_path_factory.mktemp("result") / "out"
    assert set(write_result(result, out, image_format="dicom")) == {"dicom", "frame.h5", "result.json"}
    return result, out / "dicom"


SERIES = {"mean": 6, "std": 6, "template": 6, "gm": 6, "samples/0001": 6, "samples/0002": 6}
OBJECTS = ("observed", "template_mask", "brain_mask", "std_map", "gm_map")


def test_every_output_is_there_and_keeps_the_rules_of_the_standard(written):
    _, folder = written
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    slices = {f"{name}/{k + 1:04d}.dcm" for name, count in SERIES.items() for k in range(count)}
    assert files == slices | {f"{name}.dcm" for name in OBJECTS}
    read = {name: pydicom.dcmread(folder / name) for name in files}
    assert {name: broken for name, one in read.items() if (broken := broken_rules(one))} == {}
    assert len({one.SOPInstanceUID for one in read.values()}) == len(files)
    assert len({one.SeriesInstanceUID for one in read.values()}) == len(SERIES) + len(OBJECTS)
    damaged = read["mean/0001.dcm"]
    del damaged.ScanningSequence, damaged.PatientSex
    assert len(broken_rules(damaged)) == 2


def test_patient_study_and_space_are_those_of_the_source_and_all_is_called_inferred(written, source):
    _, folder = written
    given = {pydicom.dcmread(file).SOPInstanceUID for file in source.iterdir()}
    for file in folder.rglob("*.dcm"):
        read = pydicom.dcmread(file)
        assert (str(read.PatientName), read.PatientID, read.PatientBirthDate) == (NAME, "P-17", "19800101")
        assert (read.StudyInstanceUID, read.StudyID, read.FrameOfReferenceUID) == ("1.2.3", "7", "1.2.77")
        assert read.SeriesDescription.endswith("inferred - not for diagnosis")
        equipment = [each.Manufacturer for each in read.ContributingEquipmentSequence]
        assert equipment == ["Scanner Ltd", "SparseVolumeReconstruction"]
        assert read.ImageType[0] == "DERIVED"
        assert read.SOPInstanceUID not in given and read.SeriesInstanceUID != "1.2.3.4"
    for file in (folder / "mean").iterdir():
        read = pydicom.dcmread(file)
        assert read.ImageType[1] == "SECONDARY" and "brain-t1" in read.DerivationDescription
        assert {each.ReferencedSOPInstanceUID for each in read.SourceImageSequence} == given
    assert NAME not in (folder.parent / "result.json").read_text()
    assert "P-17" not in (folder.parent / "result.json").read_text()


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dciodvfy (Debian's dicom3tools)")
def test_dciodvfy_finds_no_error(written):
    """In one image of every series, in all segmentations and maps."""
    files = [*written[1].rglob("0001.dcm"), *written[1].glob("*.dcm")]
    assert len(files) >= 10
    for file in files:
        done = subprocess.run(["dciodvfy", "-new", file], capture_output=True, text=True)
        wrong = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert not wrong, (file.name, wrong)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, 1)])
def test_voxels_lie_where_they_did(tmp_path, axes, signs):
    """As this program, SimpleITK and pydicom read them; whatever the order of the axes and their senses."""
    result = made_from("none.nrrd", axes, signs)
    folder = tmp_path / "out" / "dicom"
    write_result(
        Reconstruction(np.eye(4), result.provenance, mean=result.mean), tmp_path / "out", True, "dicom"
    )
    expected, step = upright(result.mean), np.ptp(result.mean.array) / 65535
    corners = lambda grid: sorted(map(tuple, grid.corners_ras().round(3)))  # noqa: E731
    assert corners(expected.grid) == corners(result.mean.grid)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder / "mean"))
    for read in (
        read_scan(folder / "mean").parts[0].volume,
        from_image(sitk.ReadImage(names)),
    ):
        assert read.grid.same_as(expected.grid, 1e-4)
        np.testing.assert_allclose(read.array, expected.array, atol=0.51 * step + 1e-4)
    for k, file in enumerate(sorted((folder / "mean").iterdir())):
        one = pydicom.dcmread(file)
        place = np.array([-1, -1, 1]) * np.array(one.ImagePositionPatient, float)
        np.testing.assert_allclose(place, (expected.grid.ijk_to_ras @ [0, 0, k, 1])[:3], atol=1e-4)
        values = one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept)
        np.testing.assert_allclose(values, expected.array[k], atol=0.51 * step + 1e-4)


def test_segments_and_maps_hold_the_masks_and_floats(written):
    result, folder = written
    observed = highdicom.seg.segread(folder / "observed.dcm")
    assert [each.SegmentLabel for each in observed.SegmentSequence] == ["observed", "inferred"]
    assert (
        observed.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "brain-t1"
    )
    mask = upright(result.observed)
    for number, expected in ((1, mask.array), (2, 1 - mask.array)):
        volume = observed.get_volume(segment_numbers=[number], combine_segments=True)
        placed_as(volume, Volume(expected * number, mask.grid))
    values = highdicom.imread(folder / "std_map.dcm")
    placed_as(values.get_volume(), upright(result.std))
    assert values.ContentQualification == "RESEARCH"


def placed_as(volume, expected: Volume) -> None:
    """A volume of highdicom (LPS) against one of ours, to 1e-4 mm, and exact values."""
    matrix = np.diag([-1, -1, 1, 1.0]) @ volume.affine  # (k, j, i) to RAS
    ours = expected.grid.ijk_to_ras[:, [2, 1, 0, 3]]
    array = volume.array
    if np.dot(matrix[:3, 0], ours[:3, 0]) < 0:
        array, matrix = array[::-1], matrix.copy()
        matrix[:3, 3] += matrix[:3, 0] * (len(array) - 1)
        matrix[:3, 0] *= -1
    np.testing.assert_allclose(matrix, ours, atol=1e-4)
    np.testing.assert_array_equal(array, expected.array)


def test_what_was_inferred_is_not_taken_for_observed(written):
    _, folder = written
    with pytest.raises(InputError, match="was reconstructed, not observed"):
        read_contexts([SliceSpec(path=str(folder / "mean"))])


def test_scans_in_a_folder_of_the_same_name_are_left_alone(written, source, tmp_path):
    """dicom/ is what many call the folder of what was scanned."""
    result, _ = written
    scans = tmp_path / "patient" / "dicom" / "scan"
    shutil.copytree(source, scans)
    there = {file.name: file.read_bytes() for file in source.iterdir()}
    for _again in range(2):
        write_result(result, tmp_path / "patient")
        assert {file.name: file.read_bytes() for file in scans.iterdir()} == there
        read_contexts([SliceSpec(path=str(scans.parent))])
    with pytest.raises(InputError, match="holds files that this program has not made"):
        check_can_be_written("dicom", tmp_path / "patient")
    check_can_be_written("dicom", written[1].parent)


def test_an_older_result_is_replaced_in_whatever_format(written, tmp_path):
    result, _ = written
    write_result(result, tmp_path / "out", image_format="dicom")
    before = pydicom.dcmread(tmp_path / "out" / "dicom" / "mean" / "0001.dcm").SOPInstanceUID
    write_result(result, tmp_path / "out", image_format="dicom")
    assert pydicom.dcmread(tmp_path / "out" / "dicom" / "mean" / "0001.dcm").SOPInstanceUID != before
    with pytest.raises(InputError, match="a result in DICOM"):
        read_result(tmp_path / "out")
    write_result(result, tmp_path / "out")
    assert not (tmp_path / "out" / "dicom").exists()
    assert [one.name for one in tmp_path.iterdir()] == ["out"]
