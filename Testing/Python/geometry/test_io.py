"""Files: what is read is what was written, whatever the format; wrong files are refused in one line."""

import os
import stat

import numpy as np
import pytest
import SimpleITK as sitk
from geometry.dicom_files import write_slice
from geometry.headers import META
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import (
    read_affine,
    read_volume,
    stated_thickness,
    write_affine,
    write_atomically,
    write_volume,
)

WITH_FILES = settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
ANGLES, SHIFTS = st.tuples(*[st.floats(-3, 3)] * 3), st.tuples(*[st.floats(-100, 100)] * 3)


def axes(angles) -> np.ndarray:
    """Rotation matrix of Euler angles."""
    return np.array(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3)


@pytest.mark.parametrize("name", ["v.nrrd", "v.nhdr", "v.mha", "v.mhd", "v.nii", "v.nii.gz"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
def test_every_format_and_type_of_others_is_read(tmp_path, name, kind):
    """Packed or not, in one file or two, on oblique axes, in a folder whose name is not ASCII."""
    folder = tmp_path / "Köpfe 頭"
    folder.mkdir()
    array = np.random.default_rng(0).integers(0, 200, (4, 5, 6)).astype(kind)
    image = sitk.GetImageFromArray(array)
    image.SetDirection(axes((0.3, -0.2, 0.1)).ravel())
    image.SetSpacing((0.8, 1.1, 2.5))
    image.SetOrigin((-10, 20, 30))
    for packed in (False, True):
        sitk.WriteImage(image, str(folder / name), packed)
        volume = read_volume(folder / name)
        np.testing.assert_array_equal(volume.array, array)
        last = np.array(image.TransformIndexToPhysicalPoint((5, 4, 3))) * [-1, -1, 1]
        np.testing.assert_allclose(volume.grid.corners_ras()[7], last, atol=1e-4)


@given(ANGLES, SHIFTS, st.sampled_from([1, -1]), st.sampled_from(["v.nii.gz", "v.nii", "v.nrrd", "v.mha"]))
@WITH_FILES
def test_volumes_come_back_in_place(tmp_path, angles, shift, flip, name):
    matrix = np.eye(4)
    matrix[:3, :3] = axes(angles) * [0.8, 1.1 * flip, 2.5]
    matrix[:3, 3] = shift
    volume = Volume(np.random.default_rng(0).random((4, 5, 6), np.float32), Grid((4, 5, 6), matrix))
    write_volume(volume, tmp_path / name)
    again = read_volume(tmp_path / name)
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.grid.ijk_to_ras, matrix, atol=1e-4)
    reference = sitk.ReadImage(str(tmp_path / name))
    np.testing.assert_allclose(
        np.array(reference.TransformIndexToPhysicalPoint((5, 4, 3))) * [-1, -1, 1],
        volume.grid.corners_ras()[7],
        atol=1e-4,
    )


@given(ANGLES, SHIFTS, st.tuples(*[st.floats(0.5, 2)] * 3), st.sampled_from(["t.h5", "t.tfm"]))
@WITH_FILES
def test_affines_come_back_and_mean_in_ras_what_itk_means_in_lps(tmp_path, angles, shift, scale, name):
    matrix = np.eye(4)
    matrix[:3, :3] = axes(angles) * scale
    matrix[:3, 3] = shift
    write_affine(matrix, tmp_path / name)
    np.testing.assert_allclose(read_affine(tmp_path / name), matrix, atol=1e-6)
    lps = sitk.ReadTransform(str(tmp_path / name)).TransformPoint((-10.0, -20.0, 30.0))
    np.testing.assert_allclose(np.array(lps) * [-1, -1, 1], (matrix @ [10, 20, 30, 1])[:3], atol=1e-4)


def test_rigid_and_centred_transforms_of_others_are_read(tmp_path):
    rigid = sitk.VersorRigid3DTransform((0, 0, 1), 0.3, (1, 2, 3), (10, 20, 30))
    sitk.WriteTransform(rigid, str(tmp_path / "rigid.tfm"))
    matrix = read_affine(tmp_path / "rigid.tfm")
    expected = np.array(rigid.TransformPoint((-4.0, -5.0, 6.0))) * [-1, -1, 1]
    np.testing.assert_allclose((matrix @ [4, 5, 6, 1])[:3], expected, atol=1e-6)


def test_transforms_that_cannot_be_frames_are_refused(tmp_path):
    (tmp_path / "text.tfm").write_text("nothing")
    sitk.WriteTransform(
        sitk.DisplacementFieldTransform(sitk.Image(4, 4, 4, sitk.sitkVectorFloat64)),
        str(tmp_path / "warp.h5"),
    )
    flat = sitk.AffineTransform(3)
    flat.SetMatrix((1, 0, 0, 0, 1, 0, 0, 0, 0))
    sitk.WriteTransform(flat, str(tmp_path / "flat.tfm"))
    sitk.WriteTransform(sitk.AffineTransform(2), str(tmp_path / "plane.tfm"))
    for name, says in (
        ("text.tfm", "transform"),
        ("warp.h5", "affine"),
        ("flat.tfm", "singular"),
        ("plane.tfm", "transform"),
        ("no.h5", "no such"),
    ):
        with pytest.raises(InputError, match=says):
            read_affine(tmp_path / name)


def write_series(folder, spacing_k=3.0, angle=0.3, count=4, uid="1.2.3.4", thickness=None) -> np.ndarray:
    """A DICOM series of `count` slices; returns its array."""
    folder.mkdir(exist_ok=True)
    array = np.random.default_rng(0).integers(0, 999, (count, 6, 5)).astype(np.int16)
    turn = axes((angle, 0, 0))
    for k in range(count):
        image = sitk.GetImageFromArray(array[k])
        image.SetSpacing((0.7, 0.9))
        tags = {
            "0008|0060": "MR",
            "0020|000e": uid,
            "0020|000d": "1.2.3",
            "0008|0018": f"{uid}.{k}",
            "0020|0013": str(k),
            "0020|0032": "\\".join(f"{v:.6f}" for v in turn @ [1.0, 2.0, spacing_k * k]),
            "0020|0037": "\\".join(f"{v:.6f}" for v in turn[:, :2].T.ravel()),
        }
        if thickness is not None:
            tags["0018|0050"] = str(thickness)
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{uid}-{count - k}.dcm"))
        writer.Execute(image)
    return array


def test_a_dicom_folder_is_one_volume_in_order_and_in_place(tmp_path):
    array = write_series(tmp_path / "series")
    volume = read_volume(tmp_path / "series")
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.grid.spacing_ijk, [0.7, 0.9, 3.0], atol=1e-4)
    np.testing.assert_allclose(
        volume.grid.ijk_to_ras[:3, 3] * [-1, -1, 1], axes((0.3, 0, 0)) @ [1, 2, 0], atol=1e-4
    )


def test_a_thickness_that_dicom_states_is_read(tmp_path):
    write_series(tmp_path / "series", thickness=2.5)
    write_series(tmp_path / "silent")
    write_volume(Volume(np.ones((3, 3, 3), np.float32), Grid.centred((3, 3, 3), 1.0)), tmp_path / "v.nii.gz")
    assert stated_thickness(next((tmp_path / "series").iterdir())) == 2.5
    assert (
        stated_thickness(next((tmp_path / "silent").iterdir())) is None
        and stated_thickness(tmp_path / "v.nii.gz") is None
    )


@pytest.mark.parametrize(
    ("field", "states"),
    [("NaN NaN 2.5", 2.5), ("1 1 3", 3.0), ("2.5 2.5 NaN", None), ("NaN NaN 0", None), (None, None)],
)
def test_a_thickness_that_nrrd_states_is_read(tmp_path, field, states):
    sitk.WriteImage(sitk.Image(4, 4, 4, sitk.sitkUInt8), str(tmp_path / "v.nrrd"), useCompression=True)
    line = f"thicknesses: {field}\n" if field else ""
    data = (tmp_path / "v.nrrd").read_bytes().replace(b"encoding:", line.encode() + b"encoding:", 1)
    (tmp_path / "v.nrrd").write_bytes(data)
    assert stated_thickness(tmp_path / "v.nrrd") == states
    header, pixels = data.split(b"\n\n", 1)
    (tmp_path / "pixels.raw.gz").write_bytes(pixels)
    (tmp_path / "v.nhdr").write_bytes(header + b"\ndata file: pixels.raw.gz\n")
    assert (
        stated_thickness(tmp_path / "v.nhdr") == states and read_volume(tmp_path / "v.nhdr").grid.size == 64
    )


def test_a_damaged_file_states_no_thickness(damaged_files, tmp_path):
    (tmp_path / "cut.nrrd").write_text("NRRD0005\ndimension: 3\nsizes: 4 4")
    assert (
        stated_thickness(tmp_path / "cut.nrrd") is None and stated_thickness(tmp_path / "text.nii.gz") is None
    )
    with pytest.raises(InputError, match="none.nii.gz"):
        stated_thickness(tmp_path / "none.nii.gz")


def test_a_dicom_folder_without_or_with_several_series_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no DICOM series"):
        read_volume(tmp_path / "empty")
    write_series(tmp_path / "two")
    write_series(tmp_path / "two", uid="1.2.3.5", count=3)
    with pytest.raises(InputError, match="2 DICOM series"):
        read_volume(tmp_path / "two")


@pytest.fixture
def damaged_files(tmp_path):
    """Files that are no scalar volume, with what must be said of each."""
    write = lambda image, name: sitk.WriteImage(image, str(tmp_path / name))  # noqa: E731
    write(sitk.Image(4, 4, 4, sitk.sitkVectorUInt8), "rgb.nrrd")
    write(sitk.Image([4, 4, 4, 3], sitk.sitkFloat32), "four.nii.gz")
    write(sitk.Image(8, 8, 8, sitk.sitkFloat32), "whole.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "whole.nii.gz").read_bytes()[:-40])
    (tmp_path / "text.nii.gz").write_text("nothing")
    header = (
        "NRRD0004\ntype: float\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 2 2\nspace "
        "directions: {}\n"
        "space origin: (0,0,0)\nencoding: raw\nendian: little\n\n"
    )
    (tmp_path / "zero.nrrd").write_bytes(header.format("(0,0,0) (0,1,0) (0,0,1)").encode() + bytes(32))
    (tmp_path / "sheared.nrrd").write_bytes(header.format("(1,0,0) (0.5,1,0) (0,0,1)").encode() + bytes(32))
    meta = META + "DimSize = 2 2 2\nElementSpacing = {}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (tmp_path / "zero.mha").write_bytes(meta.format("1 1 0").encode() + bytes(8))
    (tmp_path / "nan.mha").write_bytes(meta.format("1 1 nan").encode() + bytes(8))
    return {
        "rgb.nrrd": "RGB",
        "four.nii.gz": "4D",
        "cut.nii.gz": "damaged",
        "text.nii.gz": "damaged",
        "zero.nrrd": "spacing",
        "sheared.nrrd": "right angles",
        "zero.mha": "spacing",
        "nan.mha": "spacing",
        "none.nii.gz": "no such",
    }


def test_files_that_are_no_volume_are_refused_in_one_line(damaged_files, tmp_path):
    for name, says in damaged_files.items():
        with pytest.raises(InputError, match=says) as caught:
            read_volume(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_sheared_nifti_is_refused(tmp_path):
    write_volume(
        Volume(np.ones((4, 4, 4), np.float32), Grid.centred((4, 4, 4), 1.0)), tmp_path / "sheared.nii"
    )
    header = bytearray((tmp_path / "sheared.nii").read_bytes())
    header[252:256] = np.array([0, 2], "<i2").tobytes()
    header[280:328] = np.array([[1, 0.4, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], "<f4").tobytes()
    (tmp_path / "sheared.nii").write_bytes(header)
    with pytest.raises(InputError, match="right angles"):
        read_volume(tmp_path / "sheared.nii")


@pytest.mark.parametrize("length", [0.0, -1.0, 1e-5, 1500.0, 1e30, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["v.nrrd", "v.mha", "v.nii", "v.dcm"])
def test_voxels_of_a_size_that_none_has_are_refused(tmp_path, length, name):
    """In every reader: 147 m wide heads are microns, or a header that is damaged."""
    if name == "v.dcm":
        write_slice(tmp_path / name, np.ones((6, 5)), (0, 0, 0))
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data.replace(b"0.9\\0.7 ", f"{length:g}\\1".encode().ljust(8)[:8]))
    elif name == "v.nii":
        write_volume(Volume(np.ones((4, 4, 4), np.float32), Grid.centred((4, 4, 4), 1.0)), tmp_path / name)
        header = bytearray((tmp_path / name).read_bytes())
        for at in (80, 280):
            header[at : at + 4] = np.array(length, "<f4").tobytes()
        header[252:256] = np.array([1 if at == 80 else 0, 1], "<i2").tobytes()
        (tmp_path / name).write_bytes(header)
    elif name == "v.mha":
        meta = (
            META + "DimSize = 4 4 4\nElementSpacing = {} 1 1\nElementType = "
            "MET_UCHAR\nElementDataFile = LOCAL\n"
        )
        (tmp_path / name).write_bytes(meta.format(length).encode() + bytes(64))
    else:
        header = "NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
        header += (
            f"space directions: ({length},0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: "
            "raw\nendian: little\n\n"
        )
        (tmp_path / name).write_bytes(header.encode() + bytes(64))
    if length == -1.0 and name in ("v.nrrd", "v.nii"):
        return  # an axis that runs the other way
    with pytest.raises(
        InputError, match="(?i)spacing|voxels of|not finite|no numbers|apart|cannot be read|among its numbers"
    ) as caught:
        read_volume(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_thicknesses_and_places_that_none_has_are_refused(tmp_path):
    for name, options, says in (
        ("thick", {"thickness": 500.0}, "slice thickness 500 mm"),
        ("far", {"position": (1e9, 0, 0)}, "odd place"),
    ):
        path = write_slice(tmp_path / name, np.ones((6, 5)), **{"position": (0, 0, 0), **options})
        with pytest.raises(InputError, match=says):
            read_volume(path)


def test_pictures_and_cut_files_are_refused(tmp_path):
    sitk.WriteImage(sitk.Image(8, 8, sitk.sitkUInt8), str(tmp_path / "slice.png"))
    with pytest.raises(InputError, match="a picture states no place"):
        read_volume(tmp_path / "slice.png")
    volume = Volume(
        np.random.default_rng(0).random((20, 20, 20), np.float32), Grid.centred((20, 20, 20), 1.0)
    )
    for name, compress in (
        ("v.nrrd", True),
        ("v.nrrd", False),
        ("v.mha", True),
        ("v.mha", False),
        ("v.nii", False),
        ("v.nii.gz", True),
    ):
        write_volume(volume, tmp_path / name, compress)
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, volume.array)
        data = (tmp_path / name).read_bytes()
        for left in (0.5, 0.99):
            (tmp_path / name).write_bytes(data[: int(left * len(data))])
            with pytest.raises(InputError, match="damaged"):
                read_volume(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("/annex/objects/MD5E-s20034--0123.nii.gz", "datalad get"),
        ("../../.git/annex/objects/0k/9X/MD5E-s20034--0123.nii.gz", "datalad get"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 20034\n", "git lfs pull"),
    ],
)
def test_a_file_that_was_not_fetched_is_named(tmp_path, text, remedy):
    for name in ("p.nii.gz", "p.nrrd", "p.dcm"):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=rf"{name}: only says where the file is; .*{remedy}"):
            read_volume(tmp_path / name)


def test_a_written_file_has_the_mode_that_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.txt", lambda path: open(path, "w").close())
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
        write_affine(np.eye(4), tmp_path / "a.h5")
        assert stat.S_IMODE((tmp_path / "a.h5").stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_an_error_while_writing_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def fail(path):
        with open(path, "w") as file:
            file.write("half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_atomically(tmp_path / "a.txt", fail)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_names_that_no_file_has_and_pipes_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_volume(tmp_path / f"{'x' * 300}.nii")
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(InputError, match="a pipe or device"):
        read_volume(tmp_path / "pipe.nii")
