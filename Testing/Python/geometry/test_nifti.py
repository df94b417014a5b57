"""NIfTI as scanners, converters and scripts write it: what is stated is used, what contradicts itself or is
missing is refused.
"""

import gzip
import json
import struct

import nibabel
import numpy as np
import pytest

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.errors import FileWarning
from SparseVolumeReconstructionLib.geometry.io import read_scan, read_volume, stated_thickness

SHAPE = (5, 6, 4)


def voxels(shape=SHAPE) -> np.ndarray:
    """(i, j, k)."""
    return np.random.default_rng(0).integers(1, 999, shape).astype(np.int16)


def turned() -> np.ndarray:
    """A rotated matrix, 1.5 x 2 x 5 mm."""
    c, s = np.cos(0.3), np.sin(0.3)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) * [1.5, 2, 5]
    matrix[:3, 3] = -40, -50, 30
    return matrix


def write(path, array=None, sform=None, qform=None, codes=(1, 1), edit=()):
    """A file; edit: (byte, struct format, value...) of the header."""
    array = voxels() if array is None else array
    image = nibabel.Nifti1Image(array, sform if sform is not None else turned())
    image.set_qform(turned() if qform is None else qform, codes[1])
    image.set_sform(turned() if sform is None else sform, codes[0])
    plain = path.parent / f"made-{path.name}.nii"
    nibabel.save(image, plain)
    content = bytearray(plain.read_bytes())
    plain.unlink()
    for at, kind, *values in edit:
        struct.pack_into(kind, content, at, *values)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def test_the_named_file_is_read_whatever_lies_beside_it(tmp_path):
    first, second = voxels(), voxels() + 5
    write(tmp_path / "head.nii.gz", first)
    write(tmp_path / "head.nii", second)
    (tmp_path / "head.img").write_bytes(b"something else")
    (tmp_path / "head.hdr").write_bytes(b"something else")
    np.testing.assert_array_equal(read_volume(tmp_path / "head.nii.gz").array, first.T)
    np.testing.assert_array_equal(read_volume(tmp_path / "head.nii").array, second.T)


def test_a_name_that_does_not_say_whether_the_file_is_packed_is_corrected(tmp_path):
    for name, other, says in (
        ("a.nii", "b.nii.gz", "end it with .nii"),
        ("c.nii.gz", "d.nii", "with .nii.gz"),
    ):
        write(tmp_path / name).rename(tmp_path / other)
        with pytest.raises(InputError, match=f"{says}[.]$"):
            read_scan(tmp_path / other)


@pytest.mark.parametrize("name", ["head.nii", "head.nii.gz"])
@pytest.mark.parametrize("left", [0.3, 0.9, 0.995])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, name, left):
    path = write(tmp_path / name, voxels((40, 40, 20)))
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    with pytest.raises(InputError, match="damaged"):
        read_scan(path)


@pytest.mark.parametrize("begin", [0.0, 348.0, -5.0, float("nan"), 1e9])
def test_voxels_that_begin_nowhere_are_refused(tmp_path, begin):
    """Read from there, they would be shifted by the bytes of the header."""
    with pytest.raises(InputError, match="damaged; its voxels begin"):
        read_scan(write(tmp_path / "head.nii", edit=[(108, "<f", begin)]))


def test_slopes_units_and_one_frame_of_four_dimensions(tmp_path):
    scaled = write(tmp_path / "scaled.nii", edit=[(112, "<2f", 2.0, -10.0)])
    np.testing.assert_allclose(read_volume(scaled).array, voxels().T * 2.0 - 10)
    for code, factor in {1: 1e-3, 3: 1e3, 2: 1.0, 0: 1.0, 5: 1.0}.items():  # 5: none that NIfTI knows
        scaled = turned()
        scaled[:3] *= factor
        path = write(tmp_path / "unit.nii", sform=scaled, qform=scaled, edit=[(123, "B", code)])
        np.testing.assert_allclose(read_volume(path).grid.ijk_to_ras, turned(), atol=1e-4)
    four = write(tmp_path / "four.nii", voxels((*SHAPE, 1)))
    assert read_volume(four).array.shape == SHAPE[::-1]


def test_big_endian_nifti_2_and_slopes_that_are_none_are_read(tmp_path):
    for n, kind in enumerate((nibabel.Nifti1Image, nibabel.Nifti2Image)):
        for order in "<>":
            image = kind(voxels(), turned(), kind.header_class(endianness=order))
            nibabel.save(image, tmp_path / f"{n}{'<>'.index(order)}.nii.gz")
    nan, infinite = float("nan"), float("inf")
    for n, scale in enumerate(((nan, nan), (0.0, 5.0), (infinite, 0.0))):
        write(tmp_path / f"slope{n}.nii.gz", edit=[(112, "<2f", *scale)])
    files = sorted(tmp_path.iterdir())
    assert len(files) == 7
    for file in files:
        volume = read_volume(file)
        np.testing.assert_array_equal(volume.array, voxels().T, err_msg=file.name)
        np.testing.assert_allclose(volume.grid.ijk_to_ras, turned(), atol=1e-4)


def test_a_header_and_its_voxels_in_two_files(tmp_path):
    image = nibabel.Nifti1Pair(voxels(), turned())
    nibabel.save(image, tmp_path / "pair.hdr")
    for name in ("pair.hdr", "pair.img"):
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.array, voxels().T)
        np.testing.assert_allclose(volume.grid.ijk_to_ras, turned(), atol=1e-5)


def test_a_slice_of_two_dimensions_with_a_pose_lies_where_it_says(tmp_path):
    path = write(tmp_path / "slice.nii.gz", voxels((5, 6)), edit=[(40, "<4h", 2, 5, 6, 1)])
    volume = read_volume(path)
    assert volume.array.shape == (1, 6, 5)
    np.testing.assert_allclose(volume.grid.ijk_to_ras, turned(), atol=1e-5)


def test_a_tilted_gantry_keeps_every_slice_at_its_place(tmp_path):
    sheared = turned()
    sheared[:3, 2] += [0.3, 1.4, 0]
    path = write(tmp_path / "tilt.nii.gz", sform=sheared)
    scan = read_scan(path)
    assert len(scan.parts) == 4 and "tilted gantry" in scan.notices[0] and "4 parts" in scan.notices[0]
    for k, part in enumerate(scan.parts):
        np.testing.assert_allclose(
            part.volume.grid.ijk_to_ras[:3, 3], sheared[:3, 3] + k * sheared[:3, 2], atol=1e-4
        )
        np.testing.assert_allclose(part.volume.grid.spacing_ijk, [1.5, 2, 5], atol=1e-4)
        np.testing.assert_array_equal(part.volume.array[0], voxels()[:, :, k].T)
    rounding = turned()
    rounding[:3, 2] += [0.01, 0.007, 0]
    assert len(read_scan(write(tmp_path / "rounding.nii", sform=rounding)).parts) == 1


def flipped() -> np.ndarray:
    return np.diag([-1.0, 1, 1, 1]) @ turned()


def moved(mm: float) -> np.ndarray:
    matrix = turned()
    matrix[1, 3] += mm
    return matrix


REFUSED = {
    "both codes 0": ({"codes": (0, 0)}, "qform_code and sform_code are 0"),
    "flip": ({"sform": flipped()}, "sform and qform place it up to"),
    "76 mm": ({"sform": moved(76)}, "up to 76 mm apart"),
    "both for a template": ({"sform": moved(9), "codes": (4, 4)}, "up to 9 mm apart"),
    "negative pixdim": ({"codes": (0, 1), "edit": [(80, "<f", -1.5)]}, "qform has a spacing of 0"),
    "zero pixdim": ({"codes": (0, 1), "edit": [(88, "<f", 0.0)]}, "qform has a spacing of 0"),
    "NaN quaternion": (
        {"codes": (0, 1), "edit": [(256, "<3f", *[float("nan")] * 3)]},
        "values that are no numbers",
    ),
    "infinite sform": ({"codes": (1, 0), "edit": [(292, "<f", float("inf"))]}, "values that are no numbers"),
    "zero sform": ({"codes": (1, 0), "edit": [(280, "<12f", *[0.0] * 12)]}, "spacing of 0"),
    "mm called microns": ({"edit": [(123, "B", 3)]}, "lengths are in micron, .* 0.012 mm wide"),
    "mm called metres": ({"edit": [(123, "B", 1)]}, "lengths are in meter, .* if they are 12 mm wide"),
    "RGB": ({"edit": [(70, "<2h", 128, 24)]}, "RGB|damaged"),
    "Analyze": ({"edit": [(344, "4s", b"\0" * 4)]}, "Analyze"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_geometry_that_is_missing_or_contradicts_itself_is_refused(tmp_path, case, capfd):
    options, says = REFUSED[case]
    path = write(tmp_path / "head.nii", **options)
    with pytest.raises(InputError, match=says) as caught:
        read_scan(path)
    assert "head.nii" in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "used"),
    [
        ({"codes": (1, 0), "qform": moved(50)}, turned()),
        ({"codes": (0, 1), "sform": moved(50)}, turned()),
        ({"codes": (4, 1), "sform": moved(50)}, turned()),
        ({"codes": (1, 2), "qform": moved(50)}, turned()),
        ({"sform": moved(0.05)}, moved(0.05)),
        ({"edit": [(256, "<3f", *[float("nan")] * 3)]}, turned()),
    ],
)
def test_the_form_that_is_the_scanners_is_used(tmp_path, options, used):
    path, told = write(tmp_path / "head.nii.gz", **options), []
    scan = read_scan(path)
    np.testing.assert_allclose(scan.parts[0].volume.grid.ijk_to_ras, used, atol=1e-4)
    assert bool(scan.notices) == (0 not in options.get("codes", (0,)))
    read_volume(path, warn=told.append)
    assert told == [f"{path}: {notice}" for notice in scan.notices]
    if told:
        with pytest.warns(FileWarning, match="head.nii.gz: its [sq]form places it"):
            read_volume(path)


def test_a_thickness_in_the_file_beside_it_is_read(tmp_path):
    path = write(tmp_path / "sub-1_T1w.nii.gz")
    assert stated_thickness(path) is None
    for text, states in (
        ({"SliceThickness": 3.5}, 3.5),
        ({"SliceThickness": "x"}, None),
        ({"SliceThickness": -1}, None),
        ([], None),
    ):
        (tmp_path / "sub-1_T1w.json").write_text(json.dumps(text))
        assert stated_thickness(path) == states and read_scan(path).parts[0].thickness_mm == states
    for content in (
        b'\xef\xbb\xbf{"SliceThickness": 3.5}',
        '{"SliceThickness": 3.5, "InstitutionName": "K\u00f6ln"}'.encode("latin-1"),
    ):
        (tmp_path / "sub-1_T1w.json").write_bytes(content)
        assert stated_thickness(path) == 3.5


def test_sizes_that_contradict_the_only_form_are_said(tmp_path):
    path = write(tmp_path / "head.nii", codes=(1, 0), edit=[(80, "<3f", 1.0, 2.0, 5.0)])
    (notice,) = read_scan(path).notices
    assert notice == "its pixdim says voxels of 1 x 2 x 5 mm, its sform 1.5 x 2 x 5 mm, which is used."
    assert read_scan(write(path, codes=(1, 0), edit=[(80, "<3f", 1.5, 2.0, 0.0)])).notices == ()
