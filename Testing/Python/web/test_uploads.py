"""What people upload by mistake or malice: a clear line, nothing read in the server, nothing left, and the
next upload works.
"""

import gzip
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from geometry.dicom_files import write_series

SHAPE = (6, 20, 24)


@pytest.fixture(scope="module")
def server(served):
    """One server for the uploads of this file, with this test as its visitor."""
    running = served()
    assert running.enter() == 303
    return running


@pytest.fixture(scope="module")
def image():
    """A small image."""
    made = sitk.GetImageFromArray(np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE))
    made.SetSpacing((1.5, 1.5, 4.0))
    return made


@pytest.fixture(scope="module")
def bytes_of(image, tmp_path_factory):
    """Function: the small image as the bytes of a file of a suffix."""

    def make(suffix: str, compress: bool = True) -> bytes:
        path = tmp_path_factory.mktemp("image") / f"image{suffix}"
        sitk.WriteImage(image, str(path), useCompression=compress)
        return path.read_bytes()

    return make


def nifti_header(shape, kind: int = 4, bits: int = 16) -> bytes:
    """The header of a NIfTI file that says a shape (i, j, k)."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, kind, bits)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into("<f", header, 108, 352.0)
    header[344:348] = b"n+1\0"
    return bytes(header)


def test_good_files_are_read(server, bytes_of):
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha"):
        assert server.upload((f"head{suffix}", bytes_of(suffix))) == (200, "")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Function: the files (name, content) of a DICOM series with slices at `places` mm; options as
    write_series.
    """

    def make(places, **options) -> list[tuple[str, bytes]]:
        folder = tmp_path_factory.mktemp("series") / "files"
        write_series(folder, [(0, 0, z) for z in places], **options)
        return [
            (f"{options.get('series', 'IM')}-{n}", file.read_bytes())
            for n, file in enumerate(sorted(folder.iterdir()))
        ]

    return make


def test_a_dicom_series_is_read_whatever_its_files_are_called_and_whatever_lies_beside_it(server, series):
    beside = [
        ("notes.txt", b"hello"),
        (".DS_Store", b"\0" * 40),
        ("DICOMDIR", b"x" * 200),
        ("README", b"hello"),
        ("IM", b"hello"),
    ]
    assert server.upload(*series(range(6))) == (200, "")
    assert server.upload(*beside, *series(range(6))) == (200, "")


def test_names_longer_than_any_field_keep_their_suffix(server, bytes_of):
    for name in ("n" * 300 + ".nii.gz", "é" * 120 + ".nrrd", "a.b" * 50 + ".nii"):
        suffix = ".nii.gz" if name.endswith(".gz") else "." + name.rpartition(".")[2]
        assert server.upload((name, bytes_of(suffix))) == (200, "")


WRONG = {
    "text called .nii": (
        [("notes.nii", b"This is no image. " * 50)],
        "no image of the format that its name says",
    ),
    "truncated": ("truncated", "damaged or not complete"),
    "truncated gzip": ("truncated gzip", "damaged or not complete"),
    "header that lies, too much": (
        [("lies.nii", nifti_header((500, 500, 400)) + b"\0" * 1000)],
        "the file holds",
    ),
    "header beyond all bounds": (
        [("huge.nii", nifti_header((30000, 30000, 30000)) + b"\0" * 1000)],
        "at most",
    ),
    "zip bomb by its header": (
        [("bomb.nii.gz", gzip.compress(nifti_header((3000, 3000, 300)) + b"\0" * 30_000_000))],
        "at most",
    ),
    "zip bomb behind its header": (
        [("bomb.nii.gz", gzip.compress(nifti_header((8, 8, 8)) + b"\0" * 60_000_000))],
        "unpacks to more",
    ),
    "scene bundle": ([("scene.mrb", b"PK\3\4" + b"\0" * 100)], "not a format that is read here"),
    "voxels elsewhere": ("elsewhere", "its voxels are in another file"),
    "no DICOM": (
        [("a.dcm", b"\0" * 200), ("b.dcm", b"hello")],
        "a.dcm: damaged, or no DICOM file as its name says",
    ),
    "nothing but text": ([("a", b"hello" * 50), ("b", b"hello")], "none of its 2 files is an image"),
    "two volumes": (
        [("a.nii", nifti_header((4, 4, 4)) + b"\0" * 128), ("b.nii", nifti_header((4, 4, 4)) + b"\0" * 128)],
        "one volume at a time",
    ),
    "nothing": ([], "no file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_get_one_clear_line(server, bytes_of, case):
    files, expected = WRONG[case]
    if isinstance(files, str):
        whole = bytes_of(".nrrd", compress=files == "truncated gzip")
        header = whole[: whole.index(b"\n\n") + 1]
        elsewhere = header + b"data file: ../../../../../../etc/passwd\n\n"
        files = [
            (
                "scan.nrrd",
                {"truncated": whole[:-500], "truncated gzip": whole[:-500], "elsewhere": elsewhere}[files],
            )
        ]
    status, said = server.upload(*files)
    assert (
        status == 422
        and expected in said
        and len(said.splitlines()) == 1
        and str(server.temporary) not in said
    )


def test_a_name_that_climbs_out_of_its_folder_is_only_a_name(server, bytes_of):
    for name in ("../../../../../../../../tmp/../evil.nii", "..\\..\\evil.nii", "/etc/evil.nii"):
        assert server.upload((name, bytes_of(".nii")))[0] == 200
    assert not server.left_behind("*evil*") and not list(server.temporary.parent.glob("*evil*"))


def test_three_gigabytes_are_refused_before_they_are_sent(server):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", "/upload")
    for name, value in {
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": str(3 << 30),
        "X-SVR": "1",
    }.items():
        connection.putheader(name, value)
    connection.putheader("Cookie", server.cookie)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and b"more than 1.1 GB" in answer.read()
    connection.close()


def test_an_upload_that_is_cut_off_leaves_nothing(server):
    import socket

    with socket.create_connection(("127.0.0.1", server.port)) as line:
        head = (
            "POST /upload HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nCookie: {}\r\nX-SVR: 1\r\nContent-Length: "
            "500000\r\n"
        )
        head += "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a.nii"\r\n\r\n'
        line.sendall(head.format(server.port, server.cookie).encode() + part.encode() + b"\0" * 100_000)
        time.sleep(0.5)
    until = time.monotonic() + 20
    while server.left_behind("upload-*") and time.monotonic() < until:
        time.sleep(0.1)
    assert not server.left_behind("upload-*")


def test_uploads_of_other_sites_are_refused(server, bytes_of):
    status, _, _ = server.ask("POST", "/upload", b"", Origin="http://elsewhere.example", X_SVR="1")
    assert status == 403
    status, text, _ = server.ask("POST", "/upload", b"", Content_Type="multipart/form-data; boundary=x")
    assert status == 422 and b"from the page" in text


def test_the_worker_read_them_and_nothing_is_left(server):
    assert server.complaints() == [] and server.blocked() == []
    workers = server.workers()
    assert len(workers) == 1
    assert server.interrupt() == 0
    assert server.left_behind() == [] and not Path(f"/proc/{workers[0]}").exists()
