"""DICOM as scanners and archives write it, odd but whole: voxels and places are those of the plain series."""

import re

import numpy as np
import pydicom
import pytest
from geometry.dicom_files import change, write_series

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.io import read_scan
from SparseVolumeReconstructionLib.geometry.scan import SeveralSeries

PLACES = [(1.0, 2.0, 5.0 * k) for k in range(6)]


def rewritten(files, edit) -> None:
    """Every file after `edit(dataset, its number)`."""
    for number, file in enumerate(files):
        made = pydicom.dcmread(file)
        edit(made, number)
        made.save_as(file)


def overlay_in_high_bits(made, _):
    stripes = (np.indices((made.Rows, made.Columns))[0] % 2 * 0x1000).astype(np.uint16)
    made.BitsStored, made.HighBit, made.PixelRepresentation = 12, 11, 0
    made.PixelData = (made.pixel_array.astype(np.uint16) | stripes).tobytes()


def icon(made, _):
    small = pydicom.Dataset()
    small.Rows = small.Columns = 2
    small.SamplesPerPixel, small.PhotometricInterpretation = 1, "MONOCHROME2"
    small.BitsAllocated = small.BitsStored = 8
    small.HighBit, small.PixelRepresentation, small.PixelData = 7, 0, b"abcd"
    made.IconImageSequence = [small]


def private(made, _):
    made.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"x" * 70000)


def rounded_axes(made, n):
    made.ImageOrientationPatient = [1.0 - 1e-6 * (n % 2), 1e-5 * (n % 3), 0, 0, 1, 0]


def without(*names):
    """An edit that takes attributes away."""

    def edit(made, _):
        for name in names:
            delattr(made, name)

    return edit


def stating(**attributes):
    """An edit that sets attributes."""

    def edit(made, _):
        for name, value in attributes.items():
            setattr(made, name, value)

    return edit


ODD = {
    "every file the first image": stating(InstanceNumber=1),
    "no image numbers": without("InstanceNumber"),
    "no series UID": without("SeriesInstanceUID"),
    "axes rounded otherwise in every file": rounded_axes,
    "a negative spacing between slices": stating(SpacingBetweenSlices=-5.0),
    "a wrong spacing between slices": stating(SpacingBetweenSlices=7.5),
    "12 of 16 bits": stating(BitsStored=12, HighBit=11, PixelRepresentation=0),
    "an overlay in the high bits": overlay_in_high_bits,
    "icons": icon,
    "large private elements": private,
    "a character set that is none": stating(SpecificCharacterSet="ISO_IR 999"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_but_whole_series_are_read_as_they_are(tmp_path, case):
    array = write_series(tmp_path / "series", PLACES)
    rewritten(sorted((tmp_path / "series").iterdir())[::-1], ODD[case])
    scan = read_scan(tmp_path / "series")
    (part,) = scan.parts
    np.testing.assert_array_equal(part.volume.array, array)
    np.testing.assert_allclose(part.volume.grid.ijk_to_ras[:3, 3], [-1, -2, 0], atol=1e-4)
    np.testing.assert_allclose(part.volume.grid.spacing_ijk, [0.7, 0.9, 5], atol=1e-4)
    assert part.thickness_mm == 3 and scan.notices == ()


def test_zeros_after_the_end_do_no_harm(tmp_path):
    array = write_series(tmp_path / "series", PLACES)
    for file in (tmp_path / "series").iterdir():
        file.write_bytes(file.read_bytes() + bytes(512))
    np.testing.assert_array_equal(read_scan(tmp_path / "series").parts[0].volume.array, array)


def test_two_patients_of_one_series_are_a_choice(tmp_path):
    write_series(tmp_path / "series", PLACES)
    for n, file in enumerate(sorted((tmp_path / "series").iterdir())):
        change(file, PatientID="A" if n < 2 else "B")
    with pytest.raises(SeveralSeries, match="2 DICOM series") as caught:
        read_scan(tmp_path / "series")
    assert sorted(choice.slices for choice in caught.value.choices) == [2, 4]


def test_pixels_of_floats_are_refused(tmp_path):
    write_series(tmp_path / "series", PLACES)

    def floats(made, _):
        made.FloatPixelData, made.BitsAllocated = made.pixel_array.astype(np.float32).tobytes(), 32
        del made.PixelData

    rewritten((tmp_path / "series").iterdir(), floats)
    with pytest.raises(InputError, match="its pixels cannot be read"):
        read_scan(tmp_path / "series")


TYPES = {
    "maximum intensity projection": (["DERIVED", "SECONDARY", "MIP"], "MIP"),
    "projection": (["DERIVED", "SECONDARY", "PROJECTION IMAGE", "RAYTRACE"], "projections"),
    "reformatted": (["DERIVED", "SECONDARY", "MPR", "CSA MPR"], "interpolated between the slices"),
    "map": (["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], "a map .ADC"),
    "phase": (["ORIGINAL", "PRIMARY", "P", "ND"], "phase images"),
}
PLAIN = (["ORIGINAL", "PRIMARY", "M", "ND", "NORM"], ["DERIVED", "PRIMARY", "OTHER", "DIS2D"], "ORIGINAL")


@pytest.mark.parametrize("case", TYPES)
def test_images_that_are_no_slices_as_acquired_are_said(tmp_path, case):
    values, says = TYPES[case]
    write_series(tmp_path / "series", PLACES, ImageType=values)
    (notice,) = read_scan(tmp_path / "series").notices
    assert re.search(f"its files say that they are .*{says}", notice)


@pytest.mark.parametrize("values", PLAIN)
def test_of_slices_as_acquired_nothing_is_said(tmp_path, values):
    write_series(tmp_path / "plain", PLACES, ImageType=values)
    assert read_scan(tmp_path / "plain").notices == ()


def test_every_slice_has_its_own_slope(tmp_path):
    array = write_series(tmp_path / "series", PLACES)

    def own_slope(made, n):
        made.RescaleSlope, made.RescaleIntercept = 1 + n, 10 * n

    rewritten(sorted((tmp_path / "series").iterdir())[::-1], own_slope)
    expected = [pixels * (1 + n) + 10 * n for n, pixels in enumerate(array)]
    np.testing.assert_allclose(read_scan(tmp_path / "series").parts[0].volume.array, expected)
