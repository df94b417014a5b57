"""What the computing process answers to questions, for the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter

from ..geometry import Grid, Volume
from .drawing import box_faces
from .i18n import _
from .look import colour_node_of
from .nodes import add_volume
from .planes import SuggestedPlane, orientation_of, place_words
from .results import ATTRIBUTE

SURPRISE = "surprise"  # role of the node of a map
_FAINTEST, _BRIGHTEST = 1.0, 4.0  # -log10 of the p-values between which the map has colours
_MIN_PROBABILITY = 0.005  # probability of a place that is told


@dataclass(frozen=True, eq=False)
class LikelyPlace:
    """One place in the anatomy where slices may lie. The anatomy stands where the likeliest place has it.

    Attributes:
        probability: 0..1.
        region_mm, region_deg: 90 % of the poses around this place lie within so much of it.
        slices: grids of the slices, moved to this place, world RAS.
        matrix: 4x4, the first of them: unit vectors in its rows and columns, normal, middle (mm).
        canonical: the same in the model's space.
        frame: 4x4, places the atlas on the patient (canonical to patient, RAS mm) as this place has it.
    """

    probability: float
    region_mm: float
    region_deg: float
    slices: tuple[Grid, ...]
    matrix: np.ndarray
    canonical: np.ndarray
    frame: np.ndarray

    @classmethod
    def all_of(cls, told: dict[str, Any], slices: list[Grid]) -> list[LikelyPlace]:
        """The places of an answer, the most probable first.

        Args:
            told: see `Docs/analysis.md`.
            slices: where the slices lie, world RAS.
        """
        modes = [mode for mode in told["modes"] if mode["probability"] >= _MIN_PROBABILITY]
        first = np.linalg.inv(np.array(modes[0]["patient_to_canonical"]))
        places = []
        for mode in modes:
            to_canonical = np.array(mode["patient_to_canonical"])
            moved = first @ to_canonical
            places.append(
                cls(
                    mode["probability"],
                    mode["region"]["mm"],
                    mode["region"]["deg"],
                    tuple(Grid(each.shape_kji, rigid(moved @ each.ijk_to_ras)) for each in slices),
                    _plane(slices[0], moved),
                    _plane(slices[0], to_canonical),
                    np.linalg.inv(to_canonical),
                )
            )
        return places

    def faces(self) -> np.ndarray:
        """(n, 4, 3) of the outlines, world RAS mm."""
        return np.concatenate([box_faces(grid) for grid in self.slices])

    def words(self) -> str:
        """As in "87 %: axial at R 2 P 14 S 40 mm of the model's space, within 3.9 mm and 2.2°"."""
        return _(
            "{share:.0f}\u00a0%: {orientation} at {place} mm in the model, within {mm:.1f} mm, {deg:.1f}°"
        ).format(
            share=100 * self.probability,
            orientation=orientation_of(self.canonical[:3, 2]),
            place=place_words(self.canonical[:3, 3]),
            mm=self.region_mm,
            deg=self.region_deg,
        )


@dataclass(frozen=True, eq=False)
class SurprisingSlice:
    """What is the least probable in a slice.

    Attributes:
        grid: of the slice, world RAS.
        peak: (3,), where it is, world RAS mm.
        p: p-value there.
        mm2: area that stands out at the false discovery rate.
    """

    grid: Grid
    peak: np.ndarray
    p: float
    mm2: float

    @property
    def matrix(self) -> np.ndarray:
        """4x4, the slice: unit vectors in its rows and columns, normal, and the peak (mm)."""
        matrix = _plane(self.grid, np.eye(4))
        matrix[:3, 3] = self.peak
        return matrix

    def faces(self) -> np.ndarray:
        """(6, 4, 3) of the outline, world RAS mm."""
        return box_faces(self.grid)

    def words(self) -> str:
        """As in "Least probable at R 2 P 14 S 40 mm: p = 0.003, nothing stands out"."""
        found = _("{mm2:.0f} mm² stand out").format(mm2=self.mm2) if self.mm2 else _("nothing stands out")
        return _("Least probable at {place} mm: p = {p:.1g}, {found}").format(
            place=place_words(self.peak), p=self.p, found=found
        )


Listed = SuggestedPlane | LikelyPlace | SurprisingSlice


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says to a question.

    Attributes:
        listed: planes, places or slices, the best first.
        warnings: what is doubtful about the slices and their frame, one sentence each.
        surprise: map of what is improbable; None of other questions.
    """

    listed: Sequence[Listed]
    warnings: Sequence[str]
    surprise: Volume | None = None


def surprising_slices(told: dict[str, Any], slices: list[Grid]) -> list[SurprisingSlice]:
    """The slices of an answer, that with the least probable place first.

    Args:
        told: see `Docs/analysis.md`.
        slices: where the slices lie, world RAS; those that show too little are not told of.
    """
    found = []
    for each in told["slices"]:
        peak = np.array(each["peak"]["ras"])
        off = [
            abs(float((peak - grid.ijk_to_ras[:3, 3]) @ _plane(grid, np.eye(4))[:3, 2])) for grid in slices
        ]
        grid = slices[int(np.argmin(off))]
        found.append(SurprisingSlice(grid, peak, each["peak"]["p"], each["surprising_mm2"]))
    return sorted(found, key=lambda each: each.p)


def show_surprise(volume: Volume):
    """A map of surprise as a node: without a sign, in colours above p = 0.1, nothing elsewhere.

    It is not saved with the scene.
    """
    # an oblique slice is a voxel thick, and would be cut into stripes by the views
    size = Volume(maximum_filter(np.abs(volume.array).astype(np.float32), 3), volume.grid)
    window = (_BRIGHTEST, _BRIGHTEST / 2)
    node = add_volume(size, _("Map of surprise"), attributes={f"{ATTRIBUTE}Role": SURPRISE}, window=window)
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colour_node_of(SURPRISE))
    display.SetApplyThreshold(True)
    display.SetThreshold(_FAINTEST, 1e6)
    node.SetSaveWithScene(False)
    return node


def rigid(matrix: np.ndarray) -> np.ndarray:
    """The 4x4 matrix with orthogonal columns of the same lengths that is nearest to a sheared one."""
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    u, _s, v = np.linalg.svd(matrix[:3, :3] / lengths)
    straight = matrix.copy()
    straight[:3, :3] = u @ v * lengths
    return straight


def _plane(grid: Grid, moved: np.ndarray) -> np.ndarray:
    """4x4 of a slice that was moved by a matrix: unit vectors, normal, and the middle."""
    matrix = rigid(moved @ grid.ijk_to_ras)
    matrix[:3, :3] /= np.linalg.norm(matrix[:3, :3], axis=0)
    matrix[:3, 3] = moved[:3, :3] @ grid.corners_ras().mean(0) + moved[:3, 3]
    return matrix
