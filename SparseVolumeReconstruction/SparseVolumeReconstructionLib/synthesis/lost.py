"""What stands out in a FLAIR and is not seen in what was made of it: lesions that may be lost.

FLAIR is told from the made contrast and its surroundings, by a robust regression in the head itself, so that
no other head and no scanner is compared with. Voxels that are brighter than that are told at a false
discovery rate whose null is the darker side (target-decoy, Elias and Gygi, Nat. Methods 4, 2007): lesions are
bright in FLAIR, while noise and what the network cannot make are so as often as they are dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import center_of_mass, distance_transform_edt, gaussian_filter, label, maximum

from ..data.bids import WRITTEN
from ..data.cohort import normalised
from ..geometry import Volume
from ..geometry.resample import resample
from .scans import Field, stacked

CONTRAST = "flair"
"""The contrast of an input in which lesions are looked for."""
RATE = 0.05
_AROUND_MM = (2.0, 4.0, 8.0)  # standard deviations of the surroundings
_SMOOTH_MM = 2.0
_SHOWN = 0.3  # of the brightest of the made contrast; darker is fluid
_DEEP_MM, _FAR_MM = 8.0, 30.0  # nearer to the rim, folds are not made well
_FROM, _TO, _STEP = 3.0, 12.0, 0.25  # thresholds that are tried, in usual differences
_PEAK = 5.25  # usual differences that a place reaches somewhere; less is noise or shading
_MIN_ML = 0.1
_WIDER = 1.43  # 90 % intervals hold 90 % of the T1w of what is told in validation people
_ALIKE = 12  # parts of the voxels by what was made
_MAD, _TUKEY, _ROUNDS, _EVERY = 1.4826, 4.685, 8, 5


@dataclass(frozen=True, eq=False)
class Lost:
    """Where a scan is brighter than what was made of it tells.

    mask: 1 there, float32. score: usual differences, 0 where nothing is looked at. threshold: of the score;
    None where no voxel is told. places: millilitres and centre (RAS, mm) of each, largest first.
    """

    mask: Volume
    score: Volume
    threshold: float | None
    places: list[dict[str, Any]]

    @property
    def millilitres(self) -> float:
        """Of all places."""
        return round(float(sum(place["ml"] for place in self.places)), 2)

    @property
    def facts(self) -> dict[str, Any]:
        """What result.json says."""
        return {"ml": self.millilitres, "places": self.places, "threshold": self.threshold}

    def widened(self, std: Volume) -> Volume:
        """The standard deviation of what was made, larger where something may be lost.

        Networks are surest of themselves there, as lesions are brighter than all that they learned of.

        Args:
            std: on any grid.
        """
        told = resample(self.mask, std.grid, labels=True).array
        return Volume(std.array * (1 + (_WIDER - 1) * told), std.grid)

    def told(self, made_of: str) -> str | None:
        """A warning, one line; None where nothing stands out.

        Args:
            made_of: what was made, such as "T1w".
        """
        if not self.places:
            return None
        largest, flair = self.places[0], WRITTEN[CONTRAST]
        r, a, s = largest["ras_mm"]
        return (
            f"{len(self.places)} {'places' if len(self.places) > 1 else 'place'} ({self.millilitres:.1f} ml) "
            f"brighter in {flair} than what was made tells, the largest ({largest['ml']:.1f} ml) around "
            f"R {r:.0f} A {a:.0f} S {s:.0f} mm: lesions there may be missing in the {made_of}. See `lost` "
            f"and the {flair} itself."
        )


def lost_of(scan: Volume, made: Volume, field: Field) -> Lost:
    """Find what may be lost, on the grid of a network.

    Args:
        scan: FLAIR, skull-stripped, background 0.
        made: the contrast that was made of it in [0, 1], on any grid.
        field: what the network sees of a head.
    """
    scan = normalised(scan)
    grid = field.grid_of_any(scan)
    return lost_in(Volume(stacked([scan], grid)[0].numpy(), grid), resample(made, grid))


def lost_in(scan: Volume, made: Volume) -> Lost:
    """Find what may be lost.

    Args:
        scan: FLAIR in [0, 1], skull-stripped, background 0.
        made: the contrast that was made of it in [0, 1], on the same grid.
    """
    spacing = made.grid.spacing_ijk[::-1]
    score = _score(scan.array, made.array, spacing)
    threshold = _threshold(score[score != 0])
    mask = np.zeros(score.shape, np.float32)
    places = []
    voxel_ml = float(np.prod(spacing)) / 1000
    parts, count = label(score > threshold) if threshold else (np.zeros(score.shape, int), 0)
    sizes = np.bincount(parts.ravel(), minlength=count + 1) * voxel_ml
    peaks = maximum(score, parts, range(count + 1))
    for number in (n for n in range(1, count + 1) if sizes[n] >= _MIN_ML and peaks[n] >= _PEAK):
        mask[parts == number] = 1
        centre = made.grid.ijk_to_ras @ [*center_of_mass(parts == number)[::-1], 1]
        places.append({"ml": round(float(sizes[number]), 2), "ras_mm": centre[:3].round(1).tolist()})
    places.sort(key=lambda place: -place["ml"])
    found = Volume(mask, made.grid), Volume(score, made.grid)
    return Lost(*found, threshold if places else None, places)


def _score(scan: np.ndarray, made: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """How much brighter (K, J, I) each voxel is than expected, smoothed, in usual differences."""
    inside = scan > 0
    depth = distance_transform_edt(np.pad(inside, 1), spacing)[1:-1, 1:-1, 1:-1]
    around = [_averaged(made, inside, mm / spacing) for mm in _AROUND_MM]
    looked_at = inside & (made > _SHOWN)
    if not (deep := looked_at & (depth >= _DEEP_MM)).any():
        return np.zeros(scan.shape, np.float32)
    places = np.indices(scan.shape) * spacing[:, None, None, None]
    given = (made, *around, np.minimum(depth, _FAR_MM) / _FAR_MM, *places / 100)
    off = np.zeros(scan.shape, np.float32)
    off[looked_at] = _residual(np.stack([one[looked_at] for one in given], 1), scan[looked_at])
    off = _averaged(off, looked_at, _SMOOTH_MM / spacing)
    score = np.zeros(scan.shape, np.float32)
    score[deep] = _standardised(off[deep], around[0][deep])
    return score


def _standardised(values: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Values (n,) in usual differences of voxels that look alike in what was made, `tissue` (n,)."""
    edges = np.quantile(tissue, np.linspace(0, 1, _ALIKE + 1))
    parts = np.clip(np.searchsorted(edges, tissue, "right") - 1, 0, _ALIKE - 1)
    each = [values[parts == n] for n in range(_ALIKE)]
    middle = [float(np.median(part)) if len(part) else 0.0 for part in each]
    usual = [_usual(part - mid) for part, mid in zip(each, middle, strict=True)]
    at = (edges[1:] + edges[:-1]) / 2
    found: np.ndarray = (values - np.interp(tissue, at, middle)) / np.interp(tissue, at, usual)
    return found


def _usual(values: np.ndarray) -> float:
    """A standard deviation that outliers do not change; 1 of nothing."""
    return max(_MAD * float(np.median(np.abs(values))), 1e-6) if len(values) else 1.0


def _residual(given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What a quadratic of `given` (n, F) leaves of `wanted` (n,); outliers count for nothing (biweight)."""
    first, second = np.triu_indices(given.shape[1])
    terms = np.concatenate(
        [np.ones((len(given), 1)), given, given[:, first] * given[:, second], given[:, :1] ** 3], 1
    )
    x, y = terms[::_EVERY].astype(float), wanted[::_EVERY].astype(float)
    weight = np.ones(len(y))
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)
        fitted = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0]
        left = y - x @ fitted
        weight = (1 - np.clip(np.abs(left) / (_TUKEY * _usual(left)), 0, 1) ** 2) ** 2
    found: np.ndarray = wanted - terms @ fitted
    return found


def _threshold(scores: np.ndarray) -> float | None:
    """The lowest beyond which at most RATE times as many are darker as are brighter; None for none."""
    for value in np.arange(_FROM, _TO, _STEP):
        bright, dark = (scores > value).sum(), (scores < -value).sum()
        if bright and dark <= RATE * bright:
            return float(value)
    return None


def _averaged(volume: np.ndarray, inside: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Gaussian average over neighbours that are inside, 0 outside."""
    weight = gaussian_filter(inside.astype(np.float32), sigma)
    total = gaussian_filter(np.where(inside, volume, 0).astype(np.float32), sigma)
    return np.where(inside, total / np.maximum(weight, 1e-3), 0)
