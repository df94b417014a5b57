"""What is packed says so, by its bytes, and is not taken for something damaged or missing."""

import bz2
import gzip
import io
import lzma
import zipfile

import pytest
from geometry.dicom_files import write_series

from SparseVolumeReconstructionLib.geometry import InputError
from SparseVolumeReconstructionLib.geometry.io import read_scan


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("file", content)
    return stream.getvalue()


PACKERS = {"gzip": gzip.compress, "zip": zipped, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("called", ["head.nrrd.gz", "head.mha.zip", "head.nii.bz2", "scan"])
def test_a_packed_file_is_named_as_such(tmp_path, kind, called):
    (tmp_path / called).write_bytes(PACKERS[kind](b"something" * 99))
    with pytest.raises(InputError, match=f"{called}: is packed with {kind}; unpack it first[.]$"):
        read_scan(tmp_path / called)


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("suffix", [".dcm.gz", ".gz"])
def test_a_series_is_not_read_without_its_packed_files(tmp_path, kind, share, suffix):
    """All of them, or some: then the others are no whole series."""
    write_series(tmp_path / "series", [(0, 0, 3 * k) for k in range(4)])
    files = sorted((tmp_path / "series").iterdir())
    for file in files[: int(share * len(files))]:
        file.with_name(f"{file.name}{suffix}").write_bytes(PACKERS[kind](file.read_bytes()))
        file.unlink()
    if suffix == ".gz" and share < 1:
        assert "left out" in read_scan(tmp_path / "series").notices[0]
        return
    with pytest.raises(InputError, match=f"packed with {kind}; unpack|unpack them first .{kind}"):
        read_scan(tmp_path / "series")
