"""Slices of a merge where they were found: outlines in all views, in colours that say how they belong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry import Grid
from .drawing import draw_sheets, new_outline, outlines, remove_outlines
from .i18n import _
from .making import sources_of
from .nodes import world_grid
from .results import ResultNodes

ROLE, CHOSEN = "placed", "placed-chosen"
# From which weight on, and the colour; shades that colour-blind people tell apart (Okabe and Ito).
BANDS = ((0.9, (0.34, 0.71, 0.91)), (0.5, (0.94, 0.89, 0.26)), (0.0, (0.84, 0.37, 0.0)))
_CHOSEN_COLOUR, _OPACITY = (1.0, 1.0, 1.0), 0.5


@dataclass(frozen=True, eq=False)
class PlacedSlice:
    """One slice of a merge.

    Attributes:
        node: the volume node of its stack; None where that is gone.
        stack: its name then.
        index: along the stack's third index axis.
        pose: 4x4, scanner to body, RAS mm.
        weight: probability that it belongs, 0..1; 0 where it was left out.
        reason: why that is low; "" otherwise.
        moved_mm: of its middle.
    """

    node: Any
    stack: str
    index: int
    pose: np.ndarray
    weight: float
    reason: str
    moved_mm: float

    def corners(self, around: Grid) -> np.ndarray | None:
        """Its corners (4, 3) where it was found, world RAS mm, cut to a box; None without a stack.

        Args:
            around: the grid whose box it is: slices may show much more than what was merged.
        """
        if self.node is None:
            return None
        grid = world_grid(self.node)
        to_ijk = grid.ras_to_ijk @ np.linalg.inv(self.pose)
        box = around.corners_ras() @ to_ijk[:3, :3].T + to_ijk[:3, 3]
        last = np.array(grid.shape_kji[::-1][:2]) - 0.5
        low, high = np.clip(box[:, :2].min(0), -0.5, last), np.clip(box[:, :2].max(0), -0.5, last)
        ij = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
        ijk = np.array([[*each, self.index, 1.0] for each in ij])
        return (ijk @ (self.pose @ grid.ijk_to_ras).T)[:, :3]

    def plane(self) -> np.ndarray:
        """4x4: axes of unit length and a point of the slice where it was found, world RAS mm."""
        matrix = self.pose @ world_grid(self.node).ijk_to_ras
        matrix[:3, 3] += self.index * matrix[:3, 2]
        matrix[:3, :3] /= np.linalg.norm(matrix[:3, :3], axis=0)
        return matrix


def placed_slices(result: ResultNodes | None) -> list[PlacedSlice]:
    """The slices of a merge in their order; none of any other result."""
    if result is None or "slices" not in result.provenance:
        return []
    nodes = dict(zip((one["name"] for one in result.provenance["stacks"]), sources_of(result), strict=False))
    return [
        PlacedSlice(
            nodes.get(one["stack"]),
            one["stack"],
            one["index"],
            np.array(one["scanner_to_body_ras"]),
            one["weight"],
            one["reason"],
            one["moved_mm"],
        )
        for one in result.provenance["slices"]
    ]


def band_of(weight: float) -> int:
    """Which of BANDS a weight is in."""
    return next(n for n, (least, _colour) in enumerate(BANDS) if weight >= least)


def draw_placed(slices: list[PlacedSlice], around: Grid | None, chosen: PlacedSlice | None) -> None:
    """Outline slices in all views instead of those before.

    Args:
        slices: none: no outline.
        around: outlines are cut to the box of this grid.
        chosen: drawn thicker.
    """
    remove_outlines(CHOSEN)
    if around is None or not slices:
        remove_outlines(ROLE)
        return
    there = outlines(ROLE) or [new_outline(_("Slices"), ROLE, colour, 1) for _least, colour in BANDS]
    for node in there:
        node.GetDisplayNode().SetOpacity(_OPACITY)
    corners: list[list[np.ndarray]] = [[] for _band in BANDS]
    for one in slices:
        if (found := one.corners(around)) is not None:
            corners[band_of(one.weight)].append(found)
    for node, sheets in zip(there, corners, strict=True):
        draw_sheets(node, np.array(sheets).reshape(-1, 4, 3))
    if chosen is not None and (found := chosen.corners(around)) is not None:
        draw_sheets(new_outline(_("Chosen slice"), CHOSEN, _CHOSEN_COLOUR, 3), found[None])
