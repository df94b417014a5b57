"""What DICOM files say that their images are, where these are not slices as they were acquired."""

from __future__ import annotations

import re

_OTHERS = {
    "MIP": "projections (MIP): every pixel is the brightest of many slices",
    "MINIP": "projections (MinIP): every pixel is the darkest of many slices",
    "PROJECTION IMAGE": "projections of many slices",
    "VOLUME RENDERING": "renderings",
    "VRT": "renderings",
    "MPR": "reformatted (MPR): interpolated between the slices that were acquired",
    "P": "phase images",
    "PHASE MAP": "phase images",
    "ADC": "a map (ADC)",
    "FA": "a map (FA)",
    "T1 MAP": "a map (T1)",
    "T2 MAP": "a map (T2)",
    "T2_STAR MAP": "a map (T2*)",
    "SUBTRACTION": "differences of two images",
}


def not_as_acquired(image_type: str) -> str:
    """What images of an Image Type or Frame Type are, in words; empty for slices as acquired.

    Args:
        image_type: its values as pydicom writes them, "['ORIGINAL', 'PRIMARY', 'M']".
    """
    values = re.findall(r"[\w ]+", image_type.upper())
    return next((_OTHERS[value] for value in map(str.strip, values) if value in _OTHERS), "")
