"""A plane that was suggested to be scanned, and its outline in the views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry import Grid
from .drawing import box_faces, draw_sheets, new_outline, outlines, remove_outlines
from .i18n import _

ROLE, GHOST = "suggestion", "ghost"
COLOUR = (0.1, 0.85, 1.0)  # no view has it, nor the slice that moves
GHOST_COLOUR = (0.45, 0.6, 0.66)
_AXES = ((_("sagittal"), (1, 0, 0)), (_("coronal"), (0, 1, 0)), (_("axial"), (0, 0, 1)))
_SIDES = ("LR", "PA", "IS")
_THICKNESS_MM = 1.0  # of the outline


def orientation_of(normal: np.ndarray) -> str:
    """Axial, coronal, sagittal, or "oblique" with the angle to the nearest of them; of a unit normal (3,)."""
    cosines = [abs(float(normal @ axis)) for _name, axis in _AXES]
    best = int(np.argmax(cosines))
    angle = np.degrees(np.arccos(min(cosines[best], 1.0)))
    name = _AXES[best][0]
    return name if angle < 0.5 else _("oblique ({axis} {angle:.0f}°)").format(axis=name, angle=angle)


def place_words(point: np.ndarray) -> str:
    """A point (3,) in RAS mm as in "R 3 A 12 S 40"."""
    return " ".join(f"{sides[int(mm >= 0)]} {abs(mm):.0f}" for sides, mm in zip(_SIDES, point, strict=True))


@dataclass(frozen=True, eq=False)
class SuggestedPlane:
    """Where to scan next, world RAS.

    Attributes:
        matrix: 4x4, columns: unit vectors to the right and down in the image, normal, middle (mm).
        size_mm: to the right and down.
        gain: share (0..1) of the variance left that it is expected to take.
    """

    matrix: np.ndarray
    size_mm: tuple[float, float]
    gain: float

    @classmethod
    def of(cls, told: dict[str, Any]) -> SuggestedPlane:
        """The plane of an answer of the computing process, see `Docs/analysis.md`."""
        matrix = np.eye(4)
        for column, name in enumerate(("right", "down", "normal", "origin")):
            matrix[:3, column] = told[name]
        matrix[:3, :3] /= np.linalg.norm(matrix[:3, :3], axis=0)  # what is told is rounded
        width, height = told["size_mm"]
        return cls(matrix, (width, height), told["gain"])

    def faces(self) -> np.ndarray:
        """(6, 4, 3) of the outline, world RAS mm."""
        matrix = self.matrix.copy()
        matrix[:3, :3] *= [*self.size_mm, _THICKNESS_MM]
        return box_faces(Grid((1, 1, 1), matrix))

    def words(self) -> str:
        """Orientation, middle and gain, as in "Axial at R 3 A 12 S 40 mm: 9.1 % less variance"."""
        place = place_words(self.matrix[:3, 3])
        return _("{orientation} at {place} mm: {gain:.1f}\u00a0% less variance").format(
            orientation=orientation_of(self.matrix[:3, 2]).capitalize(), place=place, gain=100 * self.gain
        )


@dataclass(frozen=True, eq=False)
class PlanScore:
    """What planes of somebody's plan take of the variance left before them, and what the best ones take.

    Attributes:
        taken: share (0..1) that all planes of the plan are expected to take together.
        best_taken: the same of the best sequence of as many planes.
        best: that sequence, in its order.
    """

    taken: float
    best_taken: float
    best: tuple[SuggestedPlane, ...]

    @classmethod
    def of(cls, told: dict[str, Any]) -> PlanScore:
        """From an answer of the computing process."""
        taken, best = (1 - told[name][-1]["variance_left"] for name in ("plan", "sequence"))
        return cls(taken, best, tuple(map(SuggestedPlane.of, told["sequence"])))


def show_outlines(chosen: np.ndarray | None, others: np.ndarray | None = None) -> None:
    """Outline planes in all views instead of those before; None: none any more.

    Outlines are not saved with the scene.

    Args:
        chosen: (n, 4, 3), faces in RAS mm.
        others: the same of what is not chosen, thin and pale.
    """
    for role, faces, colour, width in (
        (ROLE, chosen, COLOUR, 3),
        (GHOST, others, GHOST_COLOUR, 1),
    ):
        if faces is None:
            remove_outlines(role)
        else:
            node = next(iter(outlines(role)), None) or new_outline(_("Outlined plane"), role, colour, width)
            draw_sheets(node, faces)
