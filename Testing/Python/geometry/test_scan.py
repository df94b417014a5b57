"""DICOM files as the world writes them: every slice is read with the plane, thickness and values that its own
file states.
"""

from base64 import b64decode
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from geometry.dicom_files import AXIAL, CORONAL, SAGITTAL, change, write_enhanced, write_series, write_slice
from pydicom.encaps import encapsulate
from pydicom.uid import BasicTextSRStorage, MediaStorageDirectoryStorage

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.io import read_scan, read_volume, stated_thickness
from SparseVolumeReconstructionLib.geometry.scan import SeveralSeries
from SparseVolumeReconstructionLib.observation.slices import slice_of


def up(places) -> np.ndarray:
    """Positions (n, 3) above each other."""
    return np.array([(1.0, 2.0, z) for z in places])


def slices(scan):
    """All slices of a scan, by the numbers of the command line."""
    for index in range(scan.slices):
        part, within = scan.place(index, "scan")
        yield slice_of(part.volume, within, part.thickness_mm, "scan", index)


def check_against_files(scan, folder: Path) -> None:
    """Every slice has the position, directions, thickness and pixels of one file, and every file is there."""
    files = [pydicom.dcmread(file) for file in folder.iterdir()]
    assert scan.slices == len(files)
    for image in slices(scan):
        found = next(f for f in files if np.array_equal(f.pixel_array, image.pixels))
        files.remove(found)
        place = np.array(found.ImagePositionPatient, float) * [-1, -1, 1]
        turn = np.array(found.ImageOrientationPatient, float).reshape(2, 3) * [-1, -1, 1]
        assert np.abs(image.plane.ij_to_ras[:3, 3] - place).max() < 0.01
        assert (
            np.abs(
                image.plane.ij_to_ras[:3, :2].T - turn * [[found.PixelSpacing[1]], [found.PixelSpacing[0]]]
            ).max()
            < 1e-5
        )
        assert image.plane.thickness_mm == found.SliceThickness and not image.thickness_assumed


def test_missing_slices_are_a_gap_that_is_named(tmp_path):
    write_series(tmp_path / "gap", up([*range(60), *range(70, 141)]))
    scan = read_scan(tmp_path / "gap")
    assert [part.volume.grid.shape_kji[0] for part in scan.parts] == [60, 71]
    named = (
        "slices 60 to 69 of 141 are missing (counted from 0): the series is kept as 2 parts, at their "
        "own positions."
    )
    assert scan.notices == (named,)
    check_against_files(scan, tmp_path / "gap")
    with pytest.raises(InputError, match="60 to 69 of 141 are missing.*One volume is expected"):
        read_volume(tmp_path / "gap")


def test_uneven_tilted_and_radial_slices_stay_where_they_are(tmp_path):
    tilted = [(1.0, 0.4 * z, 5.0 * z) for z in range(6)]
    write_series(tmp_path / "uneven", up([0, 5, 14, 21]))
    write_series(tmp_path / "tilted", tilted)
    for n in range(5):
        turn = np.pi * n / 5
        write_series(
            tmp_path / "radial",
            [(0, 0, 0)],
            series=f"1.2.{n}",
            directions=(np.cos(turn), np.sin(turn), 0, 0, 0, -1),
        )
    for number, file in enumerate((tmp_path / "radial").iterdir()):
        change(
            file,
            SeriesInstanceUID="1.2.3",
            PixelData=(np.arange(30) + 1 + 100 * number).astype("<i2").tobytes(),
        )
    for name, says, parts in (
        ("uneven", "unevenly spaced", 4),
        ("tilted", "tilted gantry", 6),
        ("radial", "5 directions", 5),
    ):
        scan = read_scan(tmp_path / name)
        assert len(scan.parts) == parts and says in scan.notices[0]
        check_against_files(scan, tmp_path / name)


def test_a_localizer_of_three_planes_in_one_series_is_three_parts(tmp_path):
    for n, directions in enumerate((AXIAL, CORONAL, SAGITTAL)):
        normal = np.cross(directions[:3], directions[3:])
        for k in range(3):
            pixels = np.random.default_rng(10 * n + k).integers(1, 999, (6, 5))
            (tmp_path / "loc").mkdir(exist_ok=True)
            write_slice(
                tmp_path / "loc" / f"{n}{k}",
                pixels,
                normal * 20 * k,
                directions,
                thickness=8,
                number=3 * n + k,
            )
    scan = read_scan(tmp_path / "loc")
    assert [part.volume.grid.shape_kji[0] for part in scan.parts] == [3, 3, 3]
    assert "3 directions: the series is kept as 3 parts" in scan.notices[0]
    check_against_files(scan, tmp_path / "loc")


def test_slices_of_other_thickness_or_size_are_parts_of_their_own(tmp_path):
    write_series(tmp_path / "mixed", up([0, 5, 10]), thickness=5.0)
    write_series(
        tmp_path / "mixed2",
        up([20, 28, 36]),
        np.random.default_rng(1).integers(1, 999, (3, 6, 5)),
        thickness=8.0,
    )
    for file in (tmp_path / "mixed2").iterdir():
        file.rename(tmp_path / "mixed" / f"second-{file.name}")
    scan = read_scan(tmp_path / "mixed")
    assert [part.thickness_mm for part in scan.parts] == [
        5.0,
        8.0,
    ] and "different thicknesses (5, 8 mm)" in scan.notices[0]
    check_against_files(scan, tmp_path / "mixed")


def test_enhanced_frames_keep_place_thickness_and_scale_in_any_order(tmp_path):
    array = np.random.default_rng(0).integers(1, 999, (5, 6, 5))
    places = [10, 0, 5, 15, 33]
    write_enhanced(tmp_path / "e.dcm", array, up(places), [4.0] * 5, [2, 3, 4, 5, 6])
    scan = read_scan(tmp_path / "e.dcm")
    assert [part.volume.grid.shape_kji[0] for part in scan.parts] == [4, 1] and scan.parts[
        1
    ].thickness_mm == 4.0
    for image, n in zip(slices(scan), [1, 2, 0, 3, 4], strict=True):
        np.testing.assert_allclose(image.plane.ij_to_ras[:3, 3], [-1, -2, places[n]], atol=1e-5)
        np.testing.assert_allclose(image.pixels, array[n] * (n + 2) + 1)
    assert stated_thickness(tmp_path / "e.dcm") == 4.0
    write_enhanced(tmp_path / "t.dcm", array, up([0, 5, 10, 15, 20]), [4.0, 4.0, 4.0, 2.0, 2.0], [1] * 5)
    assert [part.thickness_mm for part in read_scan(tmp_path / "t.dcm").parts] == [4.0, 2.0]


def test_slices_that_are_there_twice_are_used_once(tmp_path):
    array = write_series(tmp_path / "twice", up([0, 3, 6, 9]))
    write_slice(tmp_path / "twice" / "again", array[2], (1, 2, 6), number=9)
    scan = read_scan(tmp_path / "twice")
    np.testing.assert_array_equal(scan.parts[0].volume.array, array)
    assert scan.notices == ("1 slice was there twice, with the same pixels; it is used once.",)


@pytest.mark.parametrize(
    ("attribute", "values", "called"),
    [
        ("EchoTime", (12, 98), "echo time"),
        ("TemporalPositionIdentifier", (1, 2), "time point"),
        ("InversionTime", (50, 900), "inversion"),
        ("DiffusionBValue", (0, 1000), "b-value"),
        ("ComplexImageComponent", ("MAGNITUDE", "PHASE"), "complex component"),
        ("FrameType", ("M_FFE", "M_SE"), "frame type"),
    ],
)
def test_two_images_of_every_plane_are_a_choice(tmp_path, attribute, values, called):
    first = write_series(tmp_path / "both", up([0, 3, 6]), **{attribute: values[0]})
    for n, z in enumerate((0, 3, 6)):
        write_slice(
            tmp_path / "both" / f"second{n}", first[n] + 7, (1, 2, z), number=10 + n, **{attribute: values[1]}
        )
    with pytest.raises(
        SeveralSeries, match=f"2 times, with different {called}.*#3.1 .*{values[0]}.*#3.2 .*{values[1]}"
    ) as caught:
        read_scan(tmp_path / "both")
    assert [choice.slices for choice in caught.value.choices] == [3, 3]
    for n, key in enumerate(("3.1", "3.2")):
        np.testing.assert_array_equal(read_scan(tmp_path / "both", key).parts[0].volume.array, first + 7 * n)


def test_two_images_of_a_plane_that_nothing_tells_apart_are_refused(tmp_path):
    array = write_series(tmp_path / "both", up([0, 3, 6]))
    write_slice(tmp_path / "both" / "other", array[1] + 7, (1, 2, 3), number=2)
    with pytest.raises(InputError, match="1 slices of series 3 are there several times"):
        read_scan(tmp_path / "both")


def test_series_are_listed_and_chosen(tmp_path):
    first = write_series(tmp_path / "two", up([0, 3]), series="1.2.3.4")
    write_series(tmp_path / "two", up([0, 3, 6]), series="1.2.3.5")
    for file in (tmp_path / "two").glob("1.2.3.5*"):
        change(file, SeriesNumber=12, SeriesDescription="T2 sagittal")
    with pytest.raises(
        SeveralSeries,
        match=r"2 DICOM series; choose one of #3 \(T1 axial, 2 slices\); #12 \(T2 sagittal, 3 slices\)",
    ):
        read_scan(tmp_path / "two")
    np.testing.assert_array_equal(read_volume(tmp_path / "two", "3").array, first)
    assert read_volume(tmp_path / "two", "12").grid.shape_kji[0] == 3
    with pytest.raises(SeveralSeries, match="no series #4; choose one of #3"):
        read_scan(tmp_path / "two", "4")


@pytest.mark.parametrize("with_directory", [True, False])
def test_an_export_is_read_by_its_outermost_folder(tmp_path, with_directory):
    """As PACS and CDs have it: DICOM/PA000/ST000/SE000/IM0000, also of several studies, with a DICOMDIR."""
    series = tmp_path / "DICOM" / "PA000" / "ST000" / "SE000"
    series.mkdir(parents=True)
    array = write_series(series, up([0, 3, 6]))
    if with_directory:
        index = write_slice(tmp_path / "DICOMDIR", array[0], (0, 0, 0))
        change(index, Rows=None, Columns=None, PixelData=None, SOPClassUID=MediaStorageDirectoryStorage)
    scan = read_scan(tmp_path)
    np.testing.assert_array_equal(scan.parts[0].volume.array, array)
    assert scan.notices == ()
    write_series(series.parent / "SE001", up([0, 3]), series="1.2.3.5")
    with pytest.raises(SeveralSeries, match="choose one of #1 .*#2 "):
        read_scan(tmp_path)
    assert read_scan(tmp_path, "2").slices == 2 and read_scan(series).slices == 3
    damaged = next(series.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:300])
    with pytest.raises(InputError, match="DICOM/PA000/ST000/SE000/"):
        read_scan(tmp_path)


def test_what_is_no_image_is_left_out_and_named(tmp_path):
    array = write_series(tmp_path / "series", up([0, 3]))
    for name in ("notes.txt", "README", "sidecar.json", ".DS_Store"):
        (tmp_path / "series" / name).write_text("not an image")
    report = write_slice(tmp_path / "series" / "report.dcm", array[0], (0, 0, 0), number=5)
    change(report, Rows=None, Columns=None, PixelData=None, Modality="SR", SOPClassUID=BasicTextSRStorage)
    (tmp_path / "series" / "folder").mkdir()
    scan = read_scan(tmp_path / "series")
    np.testing.assert_array_equal(scan.parts[0].volume.array, array)
    assert scan.notices == (
        "left out, because they are no images: .DS_Store, README, notes.txt, report.dcm and 1 more.",
    )


@pytest.mark.parametrize(
    "syntax", ["ImplicitVRLittleEndian", "DeflatedExplicitVRLittleEndian", "RLELossless"]
)
def test_every_way_of_writing_is_read_alike(tmp_path, syntax):
    """Also in a folder whose name is not ASCII."""
    folder = tmp_path / "Kopf é 頭"
    array = write_series(folder, up([0, 3, 6, 12]), np.random.default_rng(0).integers(1, 999, (4, 31, 33)))
    for file in folder.iterdir():
        made = pydicom.dcmread(file)
        if syntax == "RLELossless":
            made.compress(getattr(pydicom.uid, syntax), generate_instance_uid=False)
        made.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
        made.save_as(file, implicit_vr=syntax.startswith("Implicit"), little_endian=True)
    scan = read_scan(folder)
    np.testing.assert_array_equal(np.concatenate([part.volume.array for part in scan.parts]), array)
    assert [part.volume.grid.shape_kji[0] for part in scan.parts] == [
        3,
        1,
    ] and "slice 3 of 5 is missing" in scan.notices[0]


@pytest.mark.parametrize("compressor", ["JPEG2000", "JPEG", None])
def test_packed_and_big_endian_pixels_are_read_alike(tmp_path, compressor):
    """Lossless JPEG 2000 and JPEG (packed by GDCM), and the retired big-endian syntax."""
    pixels = np.random.default_rng(0).integers(1, 999, (31, 33)).astype(np.int16)
    made = pydicom.dcmread(write_slice(tmp_path / "plain.dcm", pixels, (1, 2, 3)))
    if compressor:
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "packed.dcm"))
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.Execute(sitk.GetImageFromArray(pixels))
        packed = pydicom.dcmread(tmp_path / "packed.dcm")
        made["PixelData"], made.file_meta.TransferSyntaxUID = (
            packed["PixelData"],
            packed.file_meta.TransferSyntaxUID,
        )
        assert made.file_meta.TransferSyntaxUID.is_compressed
        made.save_as(tmp_path / "slice.dcm")
    else:
        made.PixelData = pixels.astype(">i2").tobytes()
        made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
        pydicom.dcmwrite(
            tmp_path / "slice.dcm", made, implicit_vr=False, little_endian=False, force_encoding=True
        )
    volume = read_volume(tmp_path / "slice.dcm")
    np.testing.assert_array_equal(volume.array[0], pixels)
    np.testing.assert_allclose(volume.grid.ijk_to_ras[:3, 3], [-1, -2, 3])


@pytest.mark.parametrize(("modality", "said"), [("CT", True), ("PT", True), ("MR", False), ("OT", False)])
def test_another_modality_is_said(tmp_path, modality, said):
    """A CT with 0 outside has the values of an MR."""
    write_series(tmp_path / "series", up([0, 3]), Modality=modality)
    assert read_scan(tmp_path / "series").notices == (
        (f"its files say that it is {modality}, not MR.",) * said
    )


JPEG_LS = "/9j/9wALCgAGAAUBAREA/9oACAEBAAAAAFe930ADHua8ABjHZwRsytMSqrDC23D/2Q=="  # of 100 j + 7 i + 3


@pytest.mark.parametrize("syntax", ["JPEGLSLossless", "JPEGLSNearLossless"])
def test_jpeg_ls_is_read(tmp_path, syntax):
    """No encoder is installed, so the stream (by CharLS) stands here."""
    pixels = np.add.outer(100 * np.arange(6), 7 * np.arange(5)) + 3
    made = pydicom.dcmread(write_slice(tmp_path / "slice.dcm", pixels, (1, 2, 3)))
    made.PixelData = encapsulate([b64decode(JPEG_LS)])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
    made.save_as(tmp_path / "slice.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "slice.dcm").array[0], pixels)


@pytest.mark.parametrize(("signed", "bits", "largest"), [(0, 12, 4095), (0, 16, 3000), (1, 16, 3000)])
def test_dark_and_bright_that_are_exchanged_are_changed_back_and_said(tmp_path, signed, bits, largest):
    """MONOCHROME1: the background has the largest value."""
    shown = np.random.default_rng(0).integers(0, 999, (3, 6, 5))
    shown[:, 0] = 0
    stored = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": signed}
    write_series(tmp_path / "inverted", up([0, 3, 6]), largest - shown, **stored)
    for file in (tmp_path / "inverted").iterdir():
        change(file, PhotometricInterpretation="MONOCHROME1")
    scan = read_scan(tmp_path / "inverted")
    np.testing.assert_array_equal(scan.parts[0].volume.array, shown)
    assert "MONOCHROME1" in scan.notices[0]


def test_a_slope_and_a_file_without_preamble(tmp_path):
    path = write_slice(
        tmp_path / "slope", np.arange(30).reshape(6, 5), (0, 0, 0), RescaleSlope=2.5, RescaleIntercept=-4
    )
    np.testing.assert_allclose(read_volume(path).array[0], np.arange(30).reshape(6, 5) * 2.5 - 4)
    made = pydicom.dcmread(write_slice(tmp_path / "old", np.arange(30).reshape(6, 5), (7, 8, 9)))
    made.file_meta, made.preamble = pydicom.dataset.FileMetaDataset(), None
    made.save_as(tmp_path / "old", implicit_vr=True, little_endian=True)
    assert not (tmp_path / "old").read_bytes()[128:].startswith(b"DICM")
    np.testing.assert_allclose(read_volume(tmp_path / "old").grid.ijk_to_ras[:3, 3], [-7, -8, 9])


WITHOUT = {
    "position": ({"ImagePositionPatient": None}, "no Image Position Patient"),
    "directions": ({"ImageOrientationPatient": None}, "no Image Orientation Patient"),
    "pixel size": ({"PixelSpacing": None}, "no Pixel Spacing"),
    "zero directions": ({"ImageOrientationPatient": [0.0] * 6}, "Image Orientation is none"),
    "same directions": ({"ImageOrientationPatient": [1.0, 0, 0, 1, 0, 0]}, "Image Orientation is none"),
    "frames without planes": ({"NumberOfFrames": 2}, "no plane for each"),
    "mosaic": ({"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]}, "mosaic"),
    "colours": ({"SamplesPerPixel": 3}, "RGB"),
    "a palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "colours .PALETTE COLOR"),
    "a table of values": ({"ModalityLUTSequence": [pydicom.Dataset()]}, "Modality LUT"),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_a_slice_whose_place_is_not_stated_is_refused(tmp_path, case):
    attributes, says = WITHOUT[case]
    path = write_slice(tmp_path / "slice.dcm", np.arange(30).reshape(6, 5), (0, 0, 0), **attributes)
    with pytest.raises(InputError, match=says) as caught:
        read_scan(path)
    assert "slice.dcm" in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_file_of_a_series_is_an_error_and_not_left_out(tmp_path):
    write_series(tmp_path / "cut", up([0, 3, 6]))
    write_series(tmp_path / "header", up([0, 3, 6]))
    write_series(tmp_path / "zeros", up([0, 3, 6]))
    file = sorted((tmp_path / "cut").iterdir())[1]
    file.write_bytes(file.read_bytes()[:-20])
    file = sorted((tmp_path / "header").iterdir())[1]
    file.write_bytes(file.read_bytes()[:300])
    (tmp_path / "zeros" / "IM4.dcm").write_bytes(bytes(500))
    for name in ("cut", "header", "zeros"):
        with pytest.raises(InputError, match="IM4|1.2.3.4-002"):
            read_scan(tmp_path / name)
