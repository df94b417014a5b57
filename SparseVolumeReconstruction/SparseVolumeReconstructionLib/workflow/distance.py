"""How far a guessed plane lies from a slice, in millimetres and in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..mrml.i18n import _

_NEAR_MM, _TILT_DEG = 1.0, 3.0


@dataclass(frozen=True)
class Miss:
    """What lies between a slice and a guess.

    Attributes:
        distance_mm: mean distance of the slice's corners from the guess.
        shift: (3,) mm in RAS, from the slice's middle to the guess along the guess's normal.
        tilt_deg: angle between the two, 0..90.
    """

    distance_mm: float
    shift: np.ndarray
    tilt_deg: float

    @property
    def words(self) -> str:
        """For people: "12 mm too far up (superior)"; how it is tilted where it is."""
        if self.distance_mm < _NEAR_MM:
            return _("right there, less than {n:.0f} mm off").format(n=_NEAR_MM)
        off = _("{mm:.0f} mm").format(mm=self.distance_mm)
        tilt = _("tilted by {n:.0f}°").format(n=self.tilt_deg)
        if np.linalg.norm(self.shift) < self.distance_mm / 2:
            return _("its middle is right, but it is {tilt}: {off} off on average").format(tilt=tilt, off=off)
        words = _("{off} too far {direction}").format(off=off, direction=direction(self.shift))
        return words if self.tilt_deg < _TILT_DEG else _("{words}, and {tilt}").format(words=words, tilt=tilt)


def miss(corners: np.ndarray, slice_normal: np.ndarray, guess: np.ndarray) -> Miss:
    """Judge a guess (4x4 SliceToRAS, mm) of a slice with corners (n, 3) in RAS mm and a unit normal (3,).

    Args:
        corners: the distance is the mean of theirs from the guess.
        slice_normal: to either side.
        guess: in the same space, with orthonormal columns.
    """
    normal = guess[:3, 2]
    heights = (corners - guess[:3, 3]) @ normal
    cosine = min(abs(float(slice_normal @ normal)), 1.0)
    return Miss(
        float(np.abs(heights).mean()), -float(heights.mean()) * normal, float(np.degrees(np.arccos(cosine)))
    )


def direction(shift: np.ndarray) -> str:
    """The anatomical direction nearest to a shift (3,) in RAS mm, in plain words and in the field's."""
    axis = int(np.argmax(np.abs(shift)))
    ahead = (_("to the patient's right"), _("to the front (anterior)"), _("up (superior)"))
    back = (_("to the patient's left"), _("to the back (posterior)"), _("down (inferior)"))
    return (ahead if shift[axis] > 0 else back)[axis]
