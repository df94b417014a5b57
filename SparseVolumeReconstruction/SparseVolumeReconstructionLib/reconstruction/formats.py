"""The formats in which the images of a result are written."""

from __future__ import annotations

from typing import Literal, get_args

ImageFormat = Literal["nrrd", "nii.gz", "dicom"]
FORMATS: tuple[str, ...] = get_args(ImageFormat)
DICOM = "dicom"  # the format, and the folder of all series
