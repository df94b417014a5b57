"""Whether the elements of a DICOM file are such that GDCM can be trusted with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_UNDEFINED = 0xFFFFFFFF  # length of an element that says where it ends


def check_elements(file: Path) -> None:
    """Raise RuntimeError for a file without pixels, or with elements of unknown kind or beyond its end.

    GDCM takes the bytes of such ones for lengths, and fills gigabytes.
    """
    import pydicom
    from pydicom.dataelem import RawDataElement

    try:  # damaged files fail in pydicom in many ways
        header = pydicom.dcmread(file, force=True, defer_size=1024)
        elements: list[Any] = [header.get_item(tag, keep_deferred=True) for tag in header.keys()]  # noqa: SIM118
    except Exception as error:
        raise RuntimeError(str(error)) from error
    known = {None, *(kind.value for kind in pydicom.valuerep.VR)}
    packed = header.file_meta.get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian
    size = float("inf") if packed else file.stat().st_size
    raw = [one for one in elements if isinstance(one, RawDataElement) and one.length != _UNDEFINED]
    is_beyond = any(one.value_tell + one.length > size for one in raw)
    if "PixelData" not in header or is_beyond or {one.VR for one in elements} - known:
        raise RuntimeError("no pixels, elements beyond the end, or an unknown value representation")
