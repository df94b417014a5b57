"""Which slices of a stack belong together.

How far the head moved between them, how well neighbours agree, and how sharp each is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter

from ..observation import Slice
from .reader import in_plane_axes, sampled, steps

_COUNT, _PIXEL_MM = 96, 1.6
_NEIGHBOURS = 2  # slices on either side that each is compared with
_FARTHEST_MM = 20.0  # that a head is looked for
_STILL_MM = 2.0  # off the line through those that belong together
_STEEPEST = 0.5  # mm in the plane for each mm along: heads are not round
_DARK = 0.7  # of the median signal: lost by motion, or little of the brain


@dataclass(frozen=True)
class Stillness:
    """What is known of one slice.

    off_mm: how far the head lies off the line through the slices that belong together. agreement: correlation
    with its neighbours, where they fit best. sharpness, signal: over the median of the stack. together: it
    belongs to them.
    """

    off_mm: float
    agreement: float
    sharpness: float
    signal: float
    together: bool


def stillness(stack: list[Slice]) -> list[Stillness]:
    """One for each of the parallel slices (0 outside the brain, any units), in their order."""
    normal = stack[0].plane.normal
    order = np.argsort([s.plane.centre @ normal for s in stack])
    along = np.array([stack[n].plane.centre @ normal for n in order])
    pictures, signals, edges = _pictures([stack[n] for n in order], normal)
    places, agreement = _places(pictures)
    line = _line(along, places, agreement * np.minimum(edges, 1))
    off = np.linalg.norm(places - line, axis=1)
    together = (off < _STILL_MM) & (signals > _DARK)
    found = zip(off, agreement, edges, signals, together, strict=True)
    ranked = [
        Stillness(round(float(o), 3), round(float(a), 3), round(float(e), 3), round(float(s), 3), bool(t))
        for o, a, e, s, t in found
    ]
    return [ranked[n] for n in np.argsort(order)]


def proposed(found: list[Stillness], areas: list[float], count: int = 4) -> list[int]:
    """Which (indices, ascending) of the slices to take; fewer than `count` where there are fewer.

    They belong together, show much of the brain (areas in mm2) and lie far from each other.

    Args:
        found: of each slice, in their order.
        areas: of brain in each, mm2.
        count: how many are wanted, at least 1.
    """
    big = 0.3 * max(areas, default=0.0)
    good = [n for n, s in enumerate(found) if s.together and areas[n] > big]
    wanted = np.linspace(0, len(good) - 1, min(count, len(good)))
    return [good[int(n)] for n in np.rint(wanted)]


def _pictures(stack: list[Slice], normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slices (n, _COUNT, _COUNT) on one lattice without their mean, of unit norm.

    Their signal and sharpness (n,) over the median.
    """
    points = [s.plane.points_ras()[(s.pixels > 0).ravel()].mean(0) for s in stack]
    middle = np.median(points, 0)
    lattice = steps(_COUNT, _PIXEL_MM) @ in_plane_axes(normal)
    pictures, signals, edges = [], [], []
    for image in stack:
        centre = middle + ((image.plane.centre - middle) @ normal) * normal
        coarse = image.no_finer(_PIXEL_MM)
        grey = sampled(coarse, coarse.pixels, centre + lattice)
        inside = grey > 0
        signals.append(grey[inside].mean())
        rows, columns = np.gradient(grey)
        within = gaussian_filter(inside.astype(float), 2) > 0.95
        edges.append(np.hypot(rows, columns)[within].mean() / signals[-1] if within.any() else 0.0)
        flat = np.where(inside, grey / signals[-1], 0)
        flat -= flat.mean()
        pictures.append(flat / np.linalg.norm(flat))
    signal, sharp = np.array(signals), np.array(edges)
    return np.stack(pictures), signal / np.median(signal), sharp / max(np.median(sharp), 1e-6)


def _places(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each picture's content lies in the plane (n, 2) mm, and how well that is known (n,).

    By the shifts under which neighbours agree best, and how well they do.
    """
    count = len(pictures)
    spectra = rfft2(pictures, (2 * _COUNT, 2 * _COUNT))
    reach = int(_FARTHEST_MM / _PIXEL_MM)
    equations, shifts, best = [], [], np.zeros((count, 2 * _NEIGHBOURS))
    for a, b in combinations(range(count), 2):
        if b - a > _NEIGHBOURS:
            continue
        match = np.fft.fftshift(irfft2(spectra[b] * spectra[a].conj()))
        near = match[_COUNT - reach : _COUNT + reach + 1, _COUNT - reach : _COUNT + reach + 1]
        row, column = np.unravel_index(near.argmax(), near.shape)
        weight = max(float(near.max()), 1e-3)
        best[a, b - a - 1] = best[b, _NEIGHBOURS + b - a - 1] = weight
        equations.append((a, b, weight))
        shifts.append(_PIXEL_MM * (np.array([column, row]) - reach))
    system = np.zeros((len(equations) + 1, count))
    known = np.zeros((len(equations) + 1, 2))
    for n, ((a, b, weight), shift) in enumerate(zip(equations, shifts, strict=True)):
        system[n, [a, b]] = -weight, weight
        known[n] = weight * shift
    system[-1] = 1.0
    return np.linalg.lstsq(system, known, rcond=None)[0], best.max(1)


def _line(along: np.ndarray, places: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The straight line (n, 2) mm through two of the places that most weight lies near to, along (n,) mm."""
    best, found = -1.0, np.zeros_like(places)
    for a, b in combinations(range(len(along)), 2):
        slope = (places[b] - places[a]) / (along[b] - along[a])
        if np.linalg.norm(slope) > _STEEPEST:
            continue
        line = places[a] + (along - along[a])[:, None] * slope
        score = float(weight[np.linalg.norm(places - line, axis=1) < _STILL_MM].sum())
        if score > best:
            best, found = score, line
    return found
