"""Siemens mosaics: every slice lies where the private header says, and none is guessed without it."""

import struct

import numpy as np
import pytest
from geometry.dicom_files import AXIAL, SAGITTAL, write_slice

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.image import LPS
from SparseVolumeReconstructionLib.geometry.io import read_scan

OBLIQUE = (0.6, 0.8, 0.0, 0.0, 0.0, -1.0)
TILES, ROWS, COLUMNS, SPACING = 3, 6, 5, 3.3


def csa(**tags) -> bytes:
    """A private header as Siemens writes it (CSA2): its tags are lists of texts."""
    out = b"SV10\x04\x03\x02\x01" + struct.pack("<2I", len(tags), 77)
    for name, (kind, values) in tags.items():
        out += struct.pack("<64si4s3i", name.encode(), len(values), kind.encode(), 0, len(values), 77)
        for value in values:
            text = value.encode() + b"\0"
            out += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + b"\0" * (-len(text) % 4)
    return out


def write_mosaic(path, slices, directions, sign=1, first=(-20.0, 35.0, 8.0), header=None):
    """Slices (n, ROWS, COLUMNS) as one picture; the next one lies along `sign` times the normal."""
    picture = np.zeros((TILES * ROWS, TILES * COLUMNS), np.int16)
    for k, pixels in enumerate(slices):
        row, column = k // TILES * ROWS, k % TILES * COLUMNS
        picture[row : row + ROWS, column : column + COLUMNS] = pixels
    along_i, along_j = np.reshape(directions, (2, 3))
    normal = sign * np.cross(along_i, along_j)
    stated = first - along_i * 0.7 * (TILES - 1) * COLUMNS / 2 - along_j * 0.9 * (TILES - 1) * ROWS / 2
    write_slice(path, picture, stated, directions, ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    import pydicom

    made = pydicom.dcmread(path)
    made.SpacingBetweenSlices = SPACING
    content = csa(
        AcquisitionMatrixText=("SH", ["5*6"]),
        NumberOfImagesInMosaic=("US", [str(len(slices))]),
        SliceNormalVector=("FD", [f"{x:.8f}" for x in normal]),
    )
    if header != "none":
        block = made.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", header or content)
    made.save_as(path)
    return [np.asarray(first) + k * SPACING * normal for k in range(len(slices))]


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 999, (count, ROWS, COLUMNS)).astype(np.int16)


@pytest.mark.parametrize("directions", [AXIAL, SAGITTAL, OBLIQUE])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("count", [5, 9])
def test_every_slice_of_a_mosaic_lies_where_its_private_header_says(tmp_path, directions, sign, count):
    slices = pixels(count)
    places = write_mosaic(tmp_path / "m.dcm", slices, directions, sign)
    scan = read_scan(tmp_path / "m.dcm")
    (part,) = scan.parts
    assert scan.notices == () and part.volume.grid.shape_kji == (count, ROWS, COLUMNS)
    assert part.thickness_mm == 3.0
    for k, volume in enumerate(part.volume.array):
        (own,) = (n for n, each in enumerate(slices) if np.array_equal(each, volume))
        place = part.volume.grid.ijk_to_ras @ [0, 0, k, 1]
        np.testing.assert_allclose(place, LPS @ [*places[own], 1], atol=1e-3)


def test_a_mosaic_lies_where_nibabel_puts_it(tmp_path):
    """Its reader is another one than ours; only the private header is read by the same code."""
    from nibabel.nicom.dicomwrappers import wrapper_from_file

    write_mosaic(tmp_path / "m.dcm", pixels(7), OBLIQUE)
    theirs = wrapper_from_file(tmp_path / "m.dcm")
    grid = read_scan(tmp_path / "m.dcm").parts[0].volume.grid
    corners = [LPS @ theirs.affine @ [j, i, k, 1] for j in (0, 5) for i in (0, 4) for k in (0, 6)]
    apart = np.linalg.norm(np.array(corners)[:, None, :3] - grid.corners_ras()[None], axis=2)
    assert apart.min(1).max() < 1e-3


@pytest.mark.parametrize("header", ["none", b"SV10", b"x" * 70000, csa(NumberOfImagesInMosaic=("US", ["7"]))])
def test_a_mosaic_without_its_private_header_is_refused(tmp_path, header):
    write_mosaic(tmp_path / "m.dcm", pixels(7), AXIAL, header=header)
    with pytest.raises(InputError, match=r"m\.dcm: a mosaic .* private header .*dcm2niix") as caught:
        read_scan(tmp_path / "m.dcm")
    assert "\n" not in str(caught.value)
