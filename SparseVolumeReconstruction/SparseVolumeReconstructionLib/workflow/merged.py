"""The slices of a merge: listed with weight and reason, drawn, gone to, switched off for the next merge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import slicer

from ..geometry import InputError
from ..mrml import views
from ..mrml.i18n import _
from ..mrml.nodes import world_grid
from ..mrml.placed import PlacedSlice, band_of, draw_placed, placed_slices

if TYPE_CHECKING:
    from .presenter import Presenter


@dataclass(frozen=True)
class SliceRow:
    """A row of the table: used (in the next merge), texts, and which of the colours of weights it has."""

    used: bool
    name: str
    weight: str
    moved: str
    reason: str
    band: int


class MergedSlices:
    """The slices of the chosen result, where that is a merge.

    Attributes:
        chosen: number of the row that is outlined; None without one.
        drawn: whether all slices are outlined in the views.
    """

    def __init__(self, presenter: Presenter, on_change: Callable[[], None]):
        self._presenter, self._on_change = presenter, on_change
        self._slices: list[PlacedSlice] = []
        self._off: set[tuple[Any, int]] = set()  # nodes, not ids: another scene gives ids again
        self._shown: tuple = ()
        self.chosen: int | None = None
        self.drawn = True

    def refresh(self) -> None:
        """Follow the chosen result, and forget what is not in the scene any more."""
        self._off = {(node, index) for node, index in self._off if slicer.mrmlScene.IsNodePresent(node)}
        result = self._presenter.explorer.result
        main = result.main if result is not None else None
        now = main and main.GetID(), self.chosen, self.drawn
        if now == self._shown:
            return
        if now[0] != (self._shown[0] if self._shown else None):
            self._slices = placed_slices(result)
            self.chosen = None
        self._shown = now[0], self.chosen, self.drawn
        around = world_grid(main) if self._slices else None
        chosen = None if self.chosen is None else self._slices[self.chosen]
        draw_placed(self._slices if self.drawn else [], around, chosen)

    def rows(self) -> list[SliceRow]:
        """The table."""
        names = [one.stack for one in self._slices]
        return [
            SliceRow(
                (one.node, one.index) not in self._off,
                str(one.index + 1) if len(set(names)) == 1 else f"{one.stack} #{one.index + 1}",
                f"{one.weight:.2f}",
                f"{one.moved_mm:.1f}",
                one.reason,
                band_of(one.weight),
            )
            for one in self._slices
        ]

    def draw(self, on: bool) -> None:
        """Outline all slices in the views, or none."""
        self.drawn = on
        self.refresh()
        self._on_change()

    def choose(self, number: int) -> None:
        """Outline a slice and let the view that stands nearest show it. Raises InputError without it."""
        one = self._at(number)
        self.chosen = number
        plane = one.plane()
        if view := views.nearest_view(plane[:3, 2], shown=True):
            middle = world_grid(self._presenter.explorer.result.main).corners_ras().mean(0)
            views.jump(plane, middle - plane[:3, 2] * (plane[:3, 2] @ (middle - plane[:3, 3])), view)
        self.refresh()
        self._on_change()

    def switch(self, number: int, on: bool) -> None:
        """Use a slice in the next merge, or leave it out. Raises InputError without it."""
        one = self._at(number)
        (self._off.discard if on else self._off.add)((one.node, one.index))
        self._on_change()

    def without(self, node) -> frozenset[int]:
        """Numbers of the slices of a volume node that are switched off."""
        return frozenset(index for stack, index in self._off if stack is node)

    def _at(self, number: int) -> PlacedSlice:
        if not 0 <= number < len(self._slices):
            raise InputError(_("that slice is not of this result; choose another."))
        one = self._slices[number]
        if one.node is None or not slicer.mrmlScene.IsNodePresent(one.node):
            raise InputError(_("{name} is not in the scene any more.").format(name=one.stack))
        return one
