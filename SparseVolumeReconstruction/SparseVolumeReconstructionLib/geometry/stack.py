"""Which planes make a volume: maximal runs of evenly spaced parallel planes.

All others stay single, where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .grid import Grid
from .plane import Plane

_NEAR_MM = 0.1  # how far a slice may lie from where a grid puts it, or 1 % of the spacing
SAME_PLACE_MM = 0.02
_UPRIGHT = 9e-4  # radians between the step from slice to slice and the normal that a grid may have
_LISTED = 3


@dataclass(frozen=True, eq=False)
class Piece:
    """Planes that are a regular grid together.

    Attributes:
        members: which of the planes, in the order of the grid's third axis.
    """

    members: tuple[int, ...]
    grid: Grid
    thickness_mm: float | None


@dataclass(eq=False)
class _Layer:
    """Planes with the same axes, pixels and thickness, in order along their normal."""

    members: list[int]
    origins: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))


def pieces_of(planes: Sequence[Plane]) -> tuple[list[Piece], str]:
    """Pieces of planes, and why there are several in one phrase, empty for one piece.

    A thickness of 0 is not known. A piece is a run of parallel planes whose centres are evenly spaced to
    0.1 mm, or 1 % of the spacing where that is more, and not shifted against each other. Two planes alone are
    a run where they are all there is, or as far apart as those of a longer run.
    """
    layers = _layers(planes)
    pieces = []
    reasons = _directions(layers, planes)
    for layer in layers:
        runs = _runs(layer.origins, planes[layer.members[0]].normal)
        pieces += [_piece(layer, start, stop, planes) for start, stop in runs]
        reasons += _gaps(layer, runs, planes[layer.members[0]].normal)
    return pieces, "; ".join(dict.fromkeys(reasons)) if len(pieces) > 1 else ""


def same_place(first: Plane, second: Plane) -> bool:
    """True where two planes are the same rectangle of pixels, whatever their thickness.

    Args:
        first: RAS mm.
        second: in the same space; places may differ by less than SAME_PLACE_MM.
    """
    return _alike(first, second) and bool(
        np.linalg.norm(first.ij_to_ras[:3, 3] - second.ij_to_ras[:3, 3]) < SAME_PLACE_MM
    )


def _alike(first: Plane, second: Plane) -> bool:
    """Same pixels and directions: no corner moves more than _NEAR_MM when the axes are exchanged."""
    if first.shape_ji != second.shape_ji:
        return False
    change = (first.ij_to_ras[:3, :2] - second.ij_to_ras[:3, :2]) * np.array(first.shape_ji[::-1])
    return float(np.linalg.norm(change, axis=0).sum()) <= _NEAR_MM


def _layers(planes: Sequence[Plane]) -> list[_Layer]:
    layers: list[_Layer] = []
    for n, plane in enumerate(planes):
        for layer in layers:
            first = planes[layer.members[0]]
            if _alike(first, plane) and abs(first.thickness_mm - plane.thickness_mm) < 1e-2:
                layer.members.append(n)
                break
        else:
            layers.append(_Layer([n]))
    for layer in layers:
        normal = planes[layer.members[0]].normal
        layer.members.sort(key=lambda n: float(normal @ planes[n].ij_to_ras[:3, 3]))
        layer.origins = np.array([planes[n].ij_to_ras[:3, 3] for n in layer.members])
    return layers


def _runs(origins: np.ndarray, normal: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of the runs of one layer, in order; together they hold every plane once."""
    left = [] if _shift(origins, normal)[0] else _even_runs(origins, normal)
    found: list[tuple[int, int]] = []
    while left:
        start, stop = best = max(left, key=lambda run: (run[1] - run[0], -_step(origins, *run), -run[0]))
        left.remove(best)
        if stop - start > 2 or len(origins) == 2 or any(_same_step(origins, best, run) for run in found):
            found.append(best)
            left = [_without(run, best) for run in left]
            left = [run for run in left if run[1] - run[0] > 1]
    taken = {n for run in found for n in range(*run)}
    return sorted([*found, *((n, n + 1) for n in range(len(origins)) if n not in taken)])


def _even_runs(origins: np.ndarray, normal: np.ndarray) -> list[tuple[int, int]]:
    """Maximal evenly spaced runs of at least two; neighbours may share one plane."""
    found = []
    start = 0
    while start < len(origins) - 1:
        stop = start + 1
        while stop < len(origins) and _is_even(origins[start : stop + 1], normal):
            stop += 1
        if stop - start > 1:
            found.append((start, stop))
        start = max(stop - 1, start + 1)
    return found


def _is_even(origins: np.ndarray, normal: np.ndarray) -> bool:
    step = _grid_step(origins, normal)
    length = float(np.linalg.norm(step))
    even = origins[0] + np.arange(len(origins))[:, None] * step
    return length >= SAME_PLACE_MM and float(np.linalg.norm(origins - even, axis=1).max()) <= _tolerance(
        length
    )


def _grid_step(origins: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Step (3,) in mm from plane to plane of a grid.

    Along the normal where the planes are shifted by more than a grid may be.
    """
    step = (origins[-1] - origins[0]) / (len(origins) - 1)
    upright = normal * (step @ normal)
    return step if np.linalg.norm(step - upright) <= _UPRIGHT * np.linalg.norm(upright) else upright


def _shift(origins: np.ndarray, normal: np.ndarray) -> tuple[float, float]:
    """Usual shift (mm) in the plane from one plane to the next, and its angle (degrees).

    0 where it is rounding.
    """
    if len(origins) < 3:
        return 0.0, 0.0
    steps = np.diff(origins, axis=0)
    along = float(np.median(steps @ normal))
    across = float(np.linalg.norm(np.median(steps - (steps @ normal)[:, None] * normal, axis=0)))
    if across <= _UPRIGHT * along or across * len(steps) <= _tolerance(along):
        return 0.0, 0.0
    return across, float(np.degrees(np.arctan2(across, along)))


def _tolerance(step_mm: float) -> float:
    return max(0.01 * step_mm, min(_NEAR_MM, 0.1 * step_mm))


def _step(origins: np.ndarray, start: int, stop: int) -> float:
    return float(np.linalg.norm(origins[stop - 1] - origins[start])) / (stop - start - 1)


def _same_step(origins: np.ndarray, run: tuple[int, int], other: tuple[int, int]) -> bool:
    step = _step(origins, *other)
    return abs(_step(origins, *run) - step) <= _tolerance(step)


def _without(run: tuple[int, int], taken: tuple[int, int]) -> tuple[int, int]:
    """A run less the end that it shares with another one."""
    start, stop = run
    return (start, min(stop, taken[0])) if start < taken[0] else (max(start, taken[1]), stop)


def _piece(layer: _Layer, start: int, stop: int, planes: Sequence[Plane]) -> Piece:
    """One plane alone is a grid whose spacing is its thickness.

    Where that is not known, the usual distance, or that of pixels.
    """
    members = layer.members[start:stop]
    first = planes[members[0]]
    thickness = first.thickness_mm or None
    matrix = first.ij_to_ras.copy()
    if len(members) > 1:
        matrix[:3, 2] = _grid_step(layer.origins[start:stop], first.normal)
    else:
        distances = np.diff(layer.origins, axis=0) @ first.normal
        usual = (
            float(np.median(distances[distances > SAME_PLACE_MM]))
            if (distances > SAME_PLACE_MM).any()
            else 0.0
        )
        matrix[:3, 2] = first.normal * (thickness or usual or float(first.spacing_ij.max()))
    return Piece(tuple(members), Grid((len(members), *first.shape_ji), matrix), thickness)


def _directions(layers: list[_Layer], planes: Sequence[Plane]) -> list[str]:
    """Why there are several layers."""
    firsts = [planes[layer.members[0]] for layer in layers]
    if len(firsts) < 2:
        return []
    directions: list[np.ndarray] = []
    for plane in firsts:
        if all(abs(plane.normal @ other) < 1 - 1e-5 for other in directions):
            directions.append(plane.normal)
    if len(directions) > 1:
        return [f"the slices have {len(directions)} directions"]
    if len({plane.thickness_mm for plane in firsts}) > 1:
        return [
            "the slices have different thicknesses ("
            + ", ".join(f"{p.thickness_mm:g}" for p in firsts[:5])
            + " mm)"
        ]
    return ["the slices have different pixels or directions in their plane"]


def _gaps(layer: _Layer, runs: list[tuple[int, int]], normal: np.ndarray) -> list[str]:
    """Why the planes of one layer are several runs."""
    if len(runs) < 2:
        return []
    shift, angle = _shift(layer.origins, normal)
    if shift:
        return [
            f"each slice is shifted against the next by about {shift:.2g} mm (tilted gantry, {angle:.1f} "
            "degrees)"
        ]
    longest = max(runs, key=lambda run: run[1] - run[0])
    if longest[1] - longest[0] > 1:
        step = _step(layer.origins, *longest)
        place = (layer.origins - layer.origins[0]) @ normal / step
        if (np.abs(place - np.rint(place)) * step <= 2 * _tolerance(step)).all():
            return [_missing(np.rint(place).astype(int))]
    along = np.diff(layer.origins, axis=0) @ normal
    if np.ptp(along) <= _tolerance(float(along.max())):
        return ["the slices do not lie straight above each other"]
    return [f"the slices are unevenly spaced ({along.min():.4g} to {along.max():.4g} mm)"]


def _missing(place: np.ndarray) -> str:
    """Which slices of a grid are not there; place: index of those that are."""
    gaps = [(a + 1, b - 1) for a, b in pairwise(place) if b - a > 1]
    named = [f"{a} to {b}" if b > a else f"{a}" for a, b in gaps[:_LISTED]]
    more = f" and {len(gaps) - _LISTED} more ranges" if len(gaps) > _LISTED else ""
    one = len(gaps) == 1 and gaps[0][0] == gaps[0][1]
    what = f"slice {named[0]}" if one else f"slices {', '.join(named)}{more}"
    return f"{what} of {place[-1] + 1} {'is' if one else 'are'} missing (counted from 0)"
