"""Whether left and right of a head were exchanged, by a wrong header.

Brains are not quite symmetric (Toga and Thompson, Nat. Rev. Neurosci. 4, 2003). A linear discriminant of the
asymmetry of tissue shares tells a brain from its mirror image, where enough of it is seen on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d

from ..data.fractions import BACKGROUND, shares_of, tissue_means
from ..observation import Slice
from ..zoo.weights import read_tensors
from .align import Alignment
from .reader import embedded_reader

BIN_MM = 4.0
BINS = (40, 47, 21)
"""Bins of one side: along S, along A, and away from the middle."""
TOLD = -5.0
"""Log odds of a head that is as its file says, below which it is told to be doubtful."""
_LOWEST_MM = (-75.0, -111.0, 0.0)  # of these, S and A in MNI152
_HIGH, _NONE = 3, 1e-6  # bins along S that are one: the ends of a tilted slice lie at different heights
_SURE = 2.0  # standard deviations of the noise
_FEW_BINS = 2200  # one axial slice, which does not tell, shows about 1500


@dataclass(frozen=True, eq=False)
class MirrorJudge:
    """What tells a brain from its mirror image.

    weights: of the asymmetry of each tissue, (3, *BINS). expected: what each bin adds to their sum on average
    over people, BINS. odds: (4,), of what is seen over what is expected, in the scanner of which it is told
    worst: its mean; the part of its variance that more slices do not lower; that which they do, times the
    square of what is expected of them; and what nine of ten people exceed.
    """

    weights: np.ndarray
    expected: np.ndarray
    odds: np.ndarray

    def measures(self, points: np.ndarray, shares: np.ndarray) -> tuple[float, float] | None:
        """What is seen over what is expected, and what is expected; None where too little is seen.

        Args:
            points: (n, 3) canonical R, A, S in mm.
            shares: (3, n), of fluid, grey and white matter.
        """
        found, seen = asymmetry(points, shares)
        expected = float(self.expected[seen].sum())
        if np.count_nonzero(seen) < _FEW_BINS or expected <= 0:
            return None
        return float((self.weights * found).sum()) / expected, expected

    def tells(self, measured: tuple[float, float] | None) -> bool:
        """Whether what `measures` gives is that of a mirrored brain beyond reasonable doubt.

        It must be far less probable as it lies than mirrored. Lesions are asymmetric, too: so it must also be
        as asymmetric to the other side as nine of ten people are to theirs, whatever the noise of few slices.
        """
        if measured is None:
            return False
        seen, expected = measured
        mean, lasting, passing, least = self.odds
        noise = passing / expected**2
        return bool(2 * mean * seen / (lasting + noise) < TOLD and seen < -(least + _SURE * np.sqrt(noise)))

    def tells_of(self, slices: list[Slice], alignment: Alignment) -> bool:
        """The same of T1w slices (patient mm and units, 0 around the brain) in their frame."""
        return self.tells(self.measures(*seen_tissues(slices, alignment)))

    def tensors(self) -> dict[str, torch.Tensor]:
        """To store: in 8 bits, with a scale each."""
        out = {"odds": torch.as_tensor(self.odds, dtype=torch.float32)}
        for name in ("weights", "expected"):
            values = torch.as_tensor(getattr(self, name), dtype=torch.float32)
            scale = values.abs().max().clamp(min=1e-9) / 127
            out |= {name: (values / scale).round().to(torch.int8), f"{name}_scale": scale}
        return out

    @classmethod
    def read(cls, path: Path) -> MirrorJudge:
        """The judge in a file of `./run train mirror-judge`."""
        kept = {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        names = [f.name for f in fields(cls)]
        return cls(*(kept[n].astype(np.float32) * kept.get(f"{n}_scale", 1) for n in names))


@lru_cache(maxsize=1)
def mirror_judge() -> MirrorJudge:
    """The judge that the extension brings. Raises InputError where its file is missing or damaged."""
    return MirrorJudge.read(embedded_reader("mirror-judge")[0])


def seen_tissues(slices: list[Slice], alignment: Alignment) -> tuple[np.ndarray, np.ndarray]:
    """Canonical places (n, 3) mm of the pixels that show brain, and their shares of the tissues, (3, n)."""
    own, matrix = alignment.in_common_units(slices), alignment.patient_to_canonical
    values = [np.clip(alignment.intensity.to_canonical(s.pixels.ravel()), 0, 1) for s in own]
    shown = [v > BACKGROUND for v in values]
    points = [s.plane.points_ras()[k] for s, k in zip(own, shown, strict=True)]
    brain = np.concatenate([v[k] for v, k in zip(values, shown, strict=True)])
    shares = np.stack(shares_of(brain, tissue_means(brain)))
    return np.concatenate(points) @ matrix[:3, :3].T + matrix[:3, 3], shares


def asymmetry(points: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half of what tissue shares are more on the right than on the left, where both sides are seen.

    Args:
        points: (n, 3) canonical R, A, S in mm.
        shares: (3, n), of fluid, grey and white matter.

    Returns:
        (3, *BINS), 0 where nothing is known; and where it is known, bool BINS.
    """
    places = np.stack([points[:, 2], points[:, 1], np.abs(points[:, 0])])
    index = np.floor((places - np.array(_LOWEST_MM)[:, None]) / BIN_MM).astype(int)
    inside = ((index >= 0) & (index < np.array(BINS)[:, None])).all(0)
    size, right = int(np.prod(BINS)), points[inside, 0] > 0
    flat = np.ravel_multi_index(tuple(index[:, inside]), BINS) + np.where(right, size, 0)

    def sums(weights: np.ndarray | None) -> np.ndarray:
        there = np.bincount(flat, weights, 2 * size).reshape(2, *BINS).astype(np.float64)
        return uniform_filter1d(there, _HIGH, 1, mode="constant")

    counts = sums(None)
    seen = np.asarray((counts > _NONE).all(0))
    left, right = np.stack([sums(share[inside]) for share in shares], 1) / np.maximum(counts, _NONE)[:, None]
    return (right - left) / 2 * seen, seen
