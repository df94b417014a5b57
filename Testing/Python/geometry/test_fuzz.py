"""Headers that were changed: read, or refused in one line; no crash, no hang, no file of another folder."""

import gzip

import numpy as np
import pytest
from fuzzing import changed, fuzzed
from geometry.dicom_files import write_slice
from hypothesis import given

from SparseVolumeReconstructionLib.geometry import Grid, InputError, Volume
from SparseVolumeReconstructionLib.geometry.files import read_file
from SparseVolumeReconstructionLib.geometry.io import read_scan, write_volume

SECRET = 7777
SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz", ".dcm")
WORDS = [
    *(b"99999999999", b"-1", b"nan", b"inf", b"1e308", b"0", b"\x00", b" " * 99),
    *(b"\n", b"\n\n", b"\r\n", b"%n%s"),
    *(b"\ndata file: ../secret.raw\n", b"\ndatafile: LIST\n../secret.raw\n", b"\nencoding: gzip\n"),
    *(b"\nElementDataFile = ../secret.raw\n", b"\nHeaderSize = -1\n", b"\nCompressedData = True\n"),
    *(b"\nsizes: 65535 65535 65535\n", b"\ndimension: 9\n"),
    *(b"\nDimSize = 65535 65535 65535\n", b"\nNDims = 0\n"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{suffix: valid files of that format} on a grid of 4 x 5 x 6."""
    folder = tmp_path_factory.mktemp("valid")
    volume = Volume(np.random.default_rng(0).random((4, 5, 6), np.float32), Grid.centred((4, 5, 6), 2.0))
    found = {}
    for suffix in (".nrrd", ".mha", ".nii"):
        for compress in (True, False):
            write_volume(volume, folder / f"valid{suffix}", compress)
            found.setdefault(suffix, []).append((folder / f"valid{suffix}").read_bytes())
    found[".nii.gz"] = [gzip.compress(found[".nii"][0])]
    found[".nhdr"] = [
        one[: one.index(b"\n\n") + 1] + b"data file: " + name + b"\n"
        for one in found[".nrrd"]
        for name in (b"beside.raw", b"LIST\nbeside.raw")
    ]
    found[".mhd"] = [one[: one.index(b"LOCAL")] + b"beside.raw\n" for one in found[".mha"]]
    found[".dcm"] = [write_slice(folder / "valid.dcm", np.arange(30).reshape(5, 6), (0, 0, 0)).read_bytes()]
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to write into; a file beside the folder that nobody may read."""
    folder = tmp_path_factory.mktemp("fuzz") / "scans"
    folder.mkdir()
    (folder.parent / "secret.raw").write_bytes(np.full(4096, SECRET, "<f4").tobytes())
    (folder / "beside.raw").write_bytes(np.ones(120, "<f4").tobytes())
    return folder


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_changed_file_is_read_or_refused(files, place, suffix):
    @fuzzed
    @given(changed(files[suffix], WORDS))
    def check(content):
        path = place / f"changed{suffix}"
        path.write_bytes(content)
        for read in (lambda: read_scan(path), lambda: read_file(path, path.name, 10**6)):
            try:
                scan = read()
            except InputError as error:
                assert len(str(error).splitlines()) == 1
                continue
            assert not any((part.volume.array == SECRET).any() for part in scan.parts)

    check()


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
