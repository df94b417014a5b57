"""Grey values of codes, drawn anew for every slice: of heads in any MR contrast, and of fetal brains."""

from __future__ import annotations

import numpy as np

from .maps import FLUID, GREY, OTHERS, OUTER, RING_MM, RINGS, SHADE_KNOTS, SHADES, WHITE
from .slices import AROUND

_USUAL = (  # fluid, grey and white matter
    (0.18, 0.55, 0.82),  # T1w
    (0.97, 0.58, 0.38),  # T2w
    (0.1, 0.62, 0.48),  # FLAIR
    (0.75, 0.72, 0.55),  # PD
)
_MIN_GREY = 0.02
_TISSUES = [FLUID, GREY, WHITE]


def head_greys(random: np.random.Generator) -> np.ndarray:
    """Of a whole head, (256,): in two fifths any contrast, else near to one of those that are usual."""
    usual = np.array(_USUAL[random.choice(len(_USUAL), p=[0.35, 0.3, 0.18, 0.17])])
    tissues = random.random(3) if random.random() < 0.4 else usual + random.normal(0, 0.07, 3)
    out = np.zeros(256)
    out[0] = 0 if random.random() < 0.85 else random.uniform(0, 0.15)
    _set_tissues(out, tissues, [0, SHADE_KNOTS[0], SHADE_KNOTS[1], SHADE_KNOTS[2], 1.2], random)
    knots = [0, *np.sort(random.random(4)), 1.1]
    shown = [0, random.uniform(0, 0.25), *random.random(4)]
    straight = usual[0] < usual[2] and random.random() < 0.6  # T1w as it was taken
    shades = _middles(OUTER)
    out[OUTER] = shades * random.uniform(0.6, 1.2) if straight else np.interp(shades, knots, shown)
    out[OTHERS] = random.random(len(OTHERS)) * np.where(random.random(len(OTHERS)) < 0.4, 0.3, 1)
    if random.random() < 0.15:  # a stripped brain
        out[[0, *OUTER, *OTHERS]] = 0
    return np.maximum(out, 0)


def fetal_greys(random: np.random.Generator) -> np.ndarray:
    """Of a fetal brain in T2w, (256,), with fluid, skull and scalp around it; AROUND beyond these."""
    out = np.full(256, AROUND)
    fluid, grey, white = random.uniform([0.75, 0.2, 0.45], [1.15, 0.55, 0.75])
    if random.random() < 0.12:
        fluid, grey, white = random.uniform(0.05, 1, 3)
    _set_tissues(out, np.array([fluid, grey, white]), None, random)
    thin, thick = random.uniform(0.3, 2.6), random.uniform(1, 5.5)
    gap = random.uniform(0, thin) if random.random() < 0.5 else 0
    skull = random.uniform(0.01, 0.3) if random.random() < 0.85 else random.uniform(0.3, 0.7)
    away = RING_MM * np.arange(len(RINGS))
    out[RINGS] = np.select(
        [away < gap, away < thin, away < thin + thick],
        [random.uniform(0.3, 1.1), skull, random.uniform(0.2, 0.8)],
        AROUND,
    )
    return out


def _set_tissues(
    out: np.ndarray, tissues: np.ndarray, knots: list[float] | None, random: np.random.Generator
) -> None:
    """Grey values of tissues, and of shades: by them at the knots, or (None) along any rising curve."""
    out[_TISSUES] = np.maximum(tissues + random.normal(0, 0.03, 3), _MIN_GREY)
    if knots:
        values = [0.8 * tissues[0], *tissues, 1.1 * tissues[2]]
        out[SHADES] = np.interp(1.2 * _middles(SHADES), knots, values)
        return
    at = np.sort(random.uniform(0.15, 0.85, 2))
    curve = np.clip(at + random.normal(0, 0.1, 2), 0.03, 1)
    out[SHADES] = np.interp(_middles(SHADES), [0, *at, 1], [0, *curve, 1]) * random.uniform(0.85, 1.1)


def _middles(codes: range) -> np.ndarray:
    """The shares 0..1 that shades stand for."""
    return (np.arange(len(codes)) + 0.5) / len(codes)
