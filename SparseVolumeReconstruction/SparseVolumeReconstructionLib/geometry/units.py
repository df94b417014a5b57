"""Units of length that files state, and lengths that only another unit explains."""

from __future__ import annotations

import numpy as np

from .errors import InputError

_IN_MM = {
    1.0: ("", "?", "???", "unknown", "mm", "millimeter", "millimetre"),
    1e-3: ("um", "\u00b5m", "\u03bcm", "micron", "micrometer", "micrometre"),
    10.0: ("cm", "centimeter", "centimetre"),
    1000.0: ("m", "meter", "metre"),
}
_BY_NAME = {called: factor for factor, names in _IN_MM.items() for called in names}
_GUESSES = {"cm": 10.0, "m": 1000.0, "microns": 1e-3}
_NEAR = 5.0  # a unit explains a length if it is right to this factor then
_BODY_MM = (5.0, 2000.0)  # how wide an image of a body is


def millimetres(unit: str, widest: float, name: str) -> float:
    """How many mm the unit has in which a file says that its lengths are.

    Args:
        unit: as the file states it, in letters of any size; empty is mm.
        widest: larger side of its slices, in that unit.
        name: of the file, for messages.

    Raises:
        InputError: for a unit that is not known, and where it makes of a body something that none is, but mm
            would not.
    """
    called = unit.strip().lower()
    factor = _BY_NAME.get(called, _BY_NAME.get(called.removesuffix("s")))
    if factor is None:
        raise InputError(f'{name}: states the unit of length "{unit}"; expected mm, cm, m or microns.')
    low, high = _BODY_MM
    if factor != 1.0 and not low <= widest * factor <= high and low <= widest <= high:
        raise InputError(
            f"{name}: says that its lengths are in {unit}, so that its slices would be {widest * factor:.3g} "
            f"mm wide; if they are {widest:.4g} mm wide, correct the unit in its header."
        )
    return factor


def other_unit(shown_mm: float, expected_mm: float) -> str:
    """What to ask and to do where a length is far from what is expected: which unit of length explains it.

    Args:
        shown_mm: the length that was read as mm, above 0.
        expected_mm: how long it should be, above 0.

    Returns:
        The end of a sentence.
    """
    unit, factor = min(_GUESSES.items(), key=lambda guess: abs(np.log(shown_mm * guess[1] / expected_mm)))
    if abs(np.log(shown_mm * factor / expected_mm)) > np.log(_NEAR):
        return "correct the spacing in its header."
    change = (
        f"multiply spacing and origin by {factor:g}" if factor > 1 else "divide spacing and origin by 1000"
    )
    return f"is the unit {unit}? Then {change}."
