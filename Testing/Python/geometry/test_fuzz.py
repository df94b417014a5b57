"""Headers that were changed: read, or refused in one line; no crash, no hang, no file of another folder."""

import pytest
from fuzzing import SUFFIXES, changed, fuzzed, place_of_scans, scans, valid_files
from hypothesis import given

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.io import read_scan
from SparseVolumeReconstructionLib.observation import SliceSpec
from SparseVolumeReconstructionLib.reconstruction.contexts import read_contexts


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{suffix: valid files of that format} on a grid of 4 x 5 x 6."""
    return valid_files(tmp_path_factory.mktemp("valid"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to write into; a file beside the folder that nobody may read."""
    return place_of_scans(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_changed_file_is_read_or_refused(files, place, suffix):
    target = scans(suffix, files[suffix], place)
    fuzzed(given(changed(target.valid, target.words))(target.check))()


FOUND = {
    "signs that end lines in what is quoted": (".mha", b"LOCAL", b"LO\x1c%n\x85"),
    "a matrix for which ITK never ends": (
        ".mhd",
        b"TransformMatrix = -1 0 0 ",
        b"TransformMatrix = -1 0 01e308 ",
    ),
    "a kind of voxels that there is not": (".nii", b"\x10\x00\x20\x00", b"\x10\x4d\x20\x00"),
    "pixels of which GDCM makes gigabytes": (
        ".dcm",
        b"\xe0\x7f\x10\x00OW\x00\x00",
        b"\xe0\x7f\x10\x00O\x12lW",
    ),
    "a length beyond the end": (".dcm", b"\xe0\x7f\x10\x00OW\x00\x00", b"\xe0\x7f\x10\x00\xdc\x89\x72\x7a"),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_fuzzing_has_found_is_refused(files, place, case):
    suffix, there, instead = FOUND[case]
    content = next(one for one in files[suffix] if there in one)
    path = place / f"found{suffix}"
    path.write_bytes(content.replace(there, instead))
    with pytest.raises(InputError) as refused:
        read_contexts([SliceSpec(path=str(path))])
    assert len(str(refused.value).splitlines()) == 1


def test_a_sense_of_axes_that_is_none_does_not_count_where_there_is_a_matrix(files, place):
    stated, none = b"\x20\x00\x00\x00\x00\x00\x80\x3f", b"\x20\x00\x00\x00\x00\x00\x00\x40"
    path = place / "sense.nii"
    path.write_bytes(files[".nii"][0].replace(stated, none))
    assert path.read_bytes() != files[".nii"][0] and read_scan(path).parts[0].volume.grid.size == 120


PATTERNS = {
    ".mhd": "ElementDataFile = beside%n%s.raw",
    ".nhdr": "data file: beside%n%s.raw 1 1 1",
}


@pytest.mark.parametrize("suffix", PATTERNS)
def test_a_pattern_of_files_that_is_none_is_refused(files, place, suffix):
    """ITK hands it to printf."""
    path = place / f"pattern{suffix}"
    lines = files[suffix][-1].decode("latin-1").splitlines()
    kept = [line for line in lines if "beside" not in line and not line.startswith("data file")]
    path.write_text("\n".join([*kept, PATTERNS[suffix], ""]))
    with pytest.raises(InputError, match="by a pattern that is none"):
        read_scan(path)


OUTSIDE_OF_META = (
    b"ElementDataFile\ndata file: ../secret.raw",
    b"ElementDataFile: ../secret.raw",
    b" ElementDataFile = ../secret.raw\nElementDataFile = beside.raw",
)


@pytest.mark.parametrize("lines", OUTSIDE_OF_META)
def test_a_name_of_voxels_that_itk_reads_in_its_own_way_is_refused(files, place, lines):
    path = place / "own.mhd"
    path.write_bytes(files[".mhd"][-1].replace(b"ElementDataFile = beside.raw", lines))
    with pytest.raises(InputError, match="in no line ElementDataFile = FILE"):
        read_scan(path)


OUTSIDE = {
    "one above": ".nhdr|data file: ../secret.raw",
    "absolute": ".nhdr|data file: {outside}",
    "in a list": ".nhdr|data file: LIST\n../secret.raw",
    "a pattern": ".nhdr|data file: ../secret%d.raw 1 1 1",
    "through a folder": ".nhdr|data file: deep/../../secret.raw",
    "of a header that holds voxels, too": ".nrrd|data file: ../secret.raw",
    "MetaImage": ".mhd|ElementDataFile = ../secret.raw",
    "MetaImage, absolute": ".mhd|ElementDataFile = {outside}",
    "MetaImage, in a list": ".mhd|ElementDataFile = LIST\n../secret.raw",
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_detached_header_leads_to_no_other_folder(files, place, case):
    suffix, line = OUTSIDE[case].split("|")
    head = files[".mha" if suffix == ".mhd" else ".nrrd"][-1]
    head = head[: head.index(b"ElementDataFile" if suffix == ".mhd" else b"\n\n")].rstrip(b"\n") + b"\n"
    path = place / f"led{suffix}"
    path.write_bytes(head + line.format(outside=place.parent / "secret.raw").encode() + b"\n")
    (place / "deep").mkdir(exist_ok=True)
    with pytest.raises(InputError, match="in another folder"):
        read_scan(path)


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_a_detached_header_is_read_with_the_file_beside_it(files, place, suffix):
    path = place / f"beside{suffix}"
    path.write_bytes(files[suffix][-2 if suffix == ".nhdr" else -1])
    assert (read_scan(path).parts[0].volume.array == 1).all()
