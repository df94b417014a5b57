"""How well a registered volume looks like the reference, as it lies and turned; who is unlike the others."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ..geometry import InputError, Volume
from ..geometry.resample import resample
from ..geometry.units import other_unit
from .registration import on_grid, register_affine

FOREGROUND = 0.02
_LEVELS = 32  # of grey values, of which each may be any in another contrast
_OTHER_UNIT = 3.0  # times as large as the reference, or as small: no two bodies of one anatomy are
_COARSE = 30  # voxels along the reference: enough to tell front from back
_SUSPICIOUS, _CLEARLY = 0.1, 0.03  # correlation: other orientations are registered; one of them is right
_MIN_TO_COMPARE, _DEVIATIONS, _MIN_GAP, _OTHER_SIZE = 5, 6.0, 0.12, 0.5  # see `unlike_others`


@dataclass(frozen=True, eq=False)
class Likeness:
    """How a volume lies on the reference.

    Attributes:
        matrix: 4x4, points of the reference to points of the volume, RAS mm.
        fit: correlation with the reference where either shows anything.
        turned_fit: the same, registered from the best of the 23 other orientations; 0 where none comes near.
        turned_degrees: how far that one is turned.
    """

    matrix: np.ndarray
    fit: float
    turned_fit: float = 0.0
    turned_degrees: float = 0.0

    @property
    def turned(self) -> bool:
        """Whether the volume is clearly more like the reference in another orientation than in its own."""
        return self.turned_fit > self.fit + _CLEARLY


def register_subject(reference: Volume, volume: Volume, name: str, alike: bool = True) -> Likeness:
    """Register a volume ([0, 1], background 0) as it lies, and turned where that may be better.

    Args:
        reference: [0, 1], background 0.
        volume: the subject.
        name: for messages.
        alike: of the same contrast; if not, the correlation ratio stands for the correlation everywhere.

    Raises:
        InputError: where it is in another unit of length than the reference, or cannot be registered.
    """
    own, other = _Body.of(volume), _Body.of(reference)
    scale = own.radius / other.radius
    if abs(np.log(scale)) > np.log(_OTHER_UNIT):
        raise InputError(
            f"{name}: what it shows is {scale:.3g} times as large as the reference: " + other_unit(scale, 1.0)
        )
    matrix = register_affine(reference, volume)
    coarse = reference.grid.with_spacing(reference.grid.spacing_ijk * max(reference.grid.shape_kji) / _COARSE)
    small = resample(reference, coarse)
    starts = [own.matrix_from(other, turn) for turn in _TURNS]
    fits = [_fit(small, volume, start, alike) for start in starts]
    best = int(np.argmax(fits))
    fit = _fit(reference, volume, matrix, alike)
    if fits[best] < _fit(small, volume, matrix, alike) - _SUSPICIOUS:
        return Likeness(matrix, fit)
    again = register_affine(reference, volume, initial=starts[best])
    degrees = float(np.degrees(np.arccos((np.trace(_TURNS[best]) - 1) / 2)))
    return Likeness(matrix, fit, _fit(reference, volume, again, alike), degrees)


def _fit(reference: Volume, volume: Volume, matrix: np.ndarray, alike: bool) -> float:
    """Correlation; of another contrast the ratio, 0..1, whatever grey value goes with which.

    (Roche et al., The correlation ratio as a new similarity measure, MICCAI 1998.)
    """
    aligned = on_grid(volume, reference.grid, matrix)
    shown = (reference.array > FOREGROUND) | (aligned > FOREGROUND)
    x = reference.array[shown]
    y = aligned[shown].astype(np.float64)
    if alike:
        return float(np.corrcoef(x, y)[0, 1])
    level = np.minimum((x * _LEVELS).astype(int), _LEVELS - 1)
    count, total = np.bincount(level), np.bincount(level, y)
    expected = (total / np.maximum(count, 1))[level]
    return float(np.sqrt(expected.var() / max(y.var(), 1e-12)))


@dataclass(frozen=True, eq=False)
class _Body:
    """Where the brightness of a volume lies: centre (RAS mm) and root mean square distance from it (mm)."""

    centre: np.ndarray
    radius: float

    @classmethod
    def of(cls, volume: Volume) -> _Body:
        kji = np.argwhere(volume.array > FOREGROUND)
        weights = volume.array[tuple(kji.T)]
        ras = kji[:, ::-1] @ volume.grid.ijk_to_ras[:3, :3].T + volume.grid.ijk_to_ras[:3, 3]
        centre = np.average(ras, axis=0, weights=weights)
        return cls(centre, float(np.sqrt(np.average(((ras - centre) ** 2).sum(1), weights=weights))))

    def matrix_from(self, other: _Body, turn: np.ndarray) -> np.ndarray:
        """4x4 from points of another body to points of this one, of which the axes are turned (3x3)."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.radius / other.radius * turn
        matrix[:3, 3] = self.centre - matrix[:3, :3] @ other.centre
        return matrix


def _turns() -> list[np.ndarray]:
    """The 23 rotations, besides none, that carry axes onto axes."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = signs
            if np.linalg.det(turn) > 0 and np.trace(turn) < 3:
                found.append(turn)
    return found


_TURNS = _turns()


def unlike_others(found: dict[str, Likeness]) -> dict[str, str]:
    """Subjects that do not look like the others of their cohort, with the reason.

    Those that are turned; and, where there are enough to compare, damaged ones, and those of another body or
    unit. Where most are turned, the reference is, and none is named.
    """
    turned = {name: each for name, each in found.items() if each.turned}
    if 2 * len(turned) > len(found):
        turned = {}
    reasons = {
        name: f"lies turned by {each.turned_degrees:.0f} degrees against the reference (correlation "
        f"{each.turned_fit:.2f} then, {each.fit:.2f} as its header says): check its orientation"
        for name, each in turned.items()
    }
    rest = {name: each for name, each in found.items() if name not in turned}
    return reasons | (_outliers(rest) if len(rest) >= _MIN_TO_COMPARE else {})


def _outliers(found: dict[str, Likeness]) -> dict[str, str]:
    fits = {name: each.fit for name, each in found.items()}
    sizes = {name: np.log(np.abs(np.linalg.det(each.matrix[:3, :3]))) / 3 for name, each in found.items()}
    usual, typical = np.median([*fits.values()]), np.median([*sizes.values()])
    spread = 1.4826 * np.median([abs(fit - usual) for fit in fits.values()])
    least = usual - max(_DEVIATIONS * spread, _MIN_GAP)
    reasons = {}
    for name, fit in fits.items():
        if not fit >= least:
            reasons[name] = (
                f"does not look like the others (correlation with the reference {fit:.2f}, theirs "
                f"{usual:.2f}): damaged, turned, or not registered"
            )
        elif abs(sizes[name] - typical) > _OTHER_SIZE:
            reasons[name] = (
                f"{np.exp(sizes[name] - typical):.2f} times as large as the others; check its unit of length"
            )
    return reasons
