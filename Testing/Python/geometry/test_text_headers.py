"""What NRRD and MetaImage headers state of place and unit is used; what they do not state is not made up."""

import numpy as np
import pytest
import SimpleITK as sitk
from geometry.headers import with_unit

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.io import read_scan, read_volume, stated_grids, write_volume


@pytest.mark.parametrize("name", ["v.nrrd", "v.mha"])
def test_a_unit_of_length_that_a_header_states_is_used_or_refused(tmp_path, name):
    """ITK takes every number for mm."""
    for unit, mm in (("mm", 1.0), ("cm", 10.0), ("um", 1e-3), ("m", 1000.0)):
        (tmp_path / name).write_bytes(with_unit(name, unit, mm))
        part = read_scan(tmp_path / name).parts[0]
        np.testing.assert_allclose(part.volume.grid.spacing_ijk, [2, 2, 5])
        assert part.thickness_mm == (pytest.approx(4) if name == "v.nrrd" else None)
    for unit, mm, says in (("pixel", 1.0, 'unit of length "pixel"'), ("um", 1.0, "would be 0.06 mm wide")):
        (tmp_path / name).write_bytes(with_unit(name, unit, mm))
        with pytest.raises(InputError, match=says):
            read_scan(tmp_path / name)
    (tmp_path / name).write_bytes(with_unit(name, "mm", 1000.0))
    with pytest.raises(InputError, match="0.06 mm wide; expected a body: is the unit m. Then multiply"):
        read_scan(tmp_path / name)


NOWHERE = {
    "no space": ("v.nrrd", "space: left-posterior-superior\n", "space dimension: 3\n", "no anatomical space"),
    "space of the scanner": ("v.nrrd", "left-posterior-superior", "scanner-xyz", 'space "scanner-xyz"'),
    "no origin": ("v.nrrd", "space origin: (0,0,0)\n", "", "no space origin"),
    "no directions": (
        "v.nrrd",
        "space directions: (2,0,0) (0,2,0) (0,0,5)",
        "spacings: 2 2 5",
        "no space di",
    ),
    "no matrix": ("v.mha", "TransformMatrix = 1 0 0 0 1 0 0 0 1\n", "", "no TransformMatrix"),
    "no offset": ("v.mha", "Offset = 0 0 0\n", "", "no Offset"),
    "no spacing": ("v.mha", "ElementSpacing = 2 2 5\n", "", "no ElementSpacing"),
}


@pytest.mark.parametrize("case", NOWHERE)
def test_a_header_that_does_not_say_where_its_slices_lie_is_refused(tmp_path, case):
    """ITK would put them at 0, along the axes, with voxels of 1 mm."""
    name, there, instead, says = NOWHERE[case]
    content = with_unit(name, "mm", 1.0)
    (tmp_path / name).write_bytes(content)
    assert read_volume(tmp_path / name).grid.size == 1800
    assert there.encode() in content
    (tmp_path / name).write_bytes(content.replace(there.encode(), instead.encode()))
    for read in (read_volume, lambda path: stated_grids([path])):
        with pytest.raises(InputError, match=f"{says}.*in the patient is not known"):
            read(tmp_path / name)


def test_a_header_that_skips_voxels_behind_it_is_refused(tmp_path):
    content = with_unit("v.mha", "mm", 1.0).replace(b"ElementType", b"HeaderSize = 4\nElementType")
    (tmp_path / "v.mha").write_bytes(content)
    with pytest.raises(InputError, match="v.mha: states HeaderSize 4"):
        read_volume(tmp_path / "v.mha")


@pytest.mark.parametrize(("sizes", "none"), [("60 30", ""), ("1 6 10 30", "none "), ("3 6 10 10", "none ")])
def test_an_nrrd_file_of_other_dimensions_says_so(tmp_path, sizes, none):
    count = len(sizes.split())
    axes = none + " ".join(("(2,0,0)", "(0,2,0)", "(0,0,5)")[: count - bool(none)])
    header = f"NRRD0004\ntype: uchar\ndimension: {count}\nspace: LPS\nsizes: {sizes}\n"
    header += f"space directions: {axes}\nspace origin: (0,0,0)\nencoding: raw\n\n"
    (tmp_path / "v.nrrd").write_bytes(header.encode() + bytes(1800))
    with pytest.raises(InputError, match=f"v.nrrd: {count}D; expected a 3D volume"):
        read_volume(tmp_path / "v.nrrd")


@pytest.mark.parametrize("name", ["brain.mgz", "v.vtk", "v.gipl", "v.mnc", "v.par", "v.hdf5", "volume"])
def test_a_format_that_is_not_read_is_named_with_those_that_are(tmp_path, name):
    """ITK reads some of them without an orientation."""
    image = sitk.Image(4, 4, 4, sitk.sitkUInt8)
    if name in ("v.vtk", "v.gipl"):
        sitk.WriteImage(image, str(tmp_path / name))
    else:
        (tmp_path / name).write_bytes(bytes(500))
    with pytest.raises(
        InputError, match=r"not a format that is read here; expected NIfTI .* DICOM"
    ) as caught:
        read_volume(tmp_path / name)
    assert ("mri_convert" in str(caught.value)) == (name == "brain.mgz")


COUNTS = {
    "NDims = 3": ("NDims = 99999999999 3", "states no number of dimensions"),
    "DimSize = 6 5 4": ("DimSize = 6 5 4 3", "DimSize has 4 numbers; expected 3"),
    "Offset = 5 4 -3": ("Offset = 5", "Offset has 1 numbers; expected 3"),
    "TransformMatrix =": ("TransformMatrix = 1", "TransformMatrix has 10 numbers; expected 9"),
}


@pytest.mark.parametrize("line", COUNTS)
def test_as_many_numbers_as_dimensions(tmp_path, line):
    """ITK writes past the end of its arrays where they are more."""
    path = tmp_path / "scan.mha"
    write_volume(Volume(np.zeros((4, 5, 6), np.float32), Grid.centred((4, 5, 6), 2.0)), path, False)
    written, says = COUNTS[line]
    assert line.encode() in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(line.encode(), written.encode()))
    with pytest.raises(InputError, match=says):
        read_scan(path)
