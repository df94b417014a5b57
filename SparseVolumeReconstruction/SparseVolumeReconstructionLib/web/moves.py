"""How the views are moved by mouse, fingers and keys, wherever trame's own pictures do not."""

from __future__ import annotations

import math

import numpy as np

from ..mrml import views
from ..mrml.look import unit_of
from .overlay import place, role, shown
from .views import LABELS, THREE_D, Views

_ZOOM = (0.1, 10.0)  # most at once
_FIELD_MM = (2.0, 2000.0)
_FAR = 100.0


class Moves:
    """Every movement takes what comes from a page.

    Numbers that are no numbers, and views that are none, move nothing.
    """

    def __init__(self, pictures: Views):
        self._views = pictures

    def scroll(self, view: str, steps: float) -> None:
        """Move a slice view by slices of what it shows.

        Args:
            view: name of a slice view.
            steps: how many slices, or parts of one, towards higher offsets; not beyond the first and last.
        """
        steps = _number(steps)
        if view in LABELS and steps:
            shown_view = self._views.slice_view(view)
            low, high = shown_view.get_slice_range()
            wanted = shown_view.get_slice_value() + steps * max(shown_view.get_slice_step(), 0.1)
            shown_view.set_slice_value(min(max(wanted, low), high))

    def zoom(self, view: str, factor: float) -> None:
        """Enlarge what a view shows by a factor.

        Args:
            view: name of a slice view, or THREE_D.
            factor: above 1 for larger; 0.1 to 10 at once.
        """
        factor = min(max(_number(factor, 1.0), _ZOOM[0]), _ZOOM[1])
        if view == THREE_D:
            self._views.zoom_3d(factor)
        elif view in LABELS:
            node = views.slice_node(view)
            width, height, depth = node.GetFieldOfView()
            if _FIELD_MM[0] <= width / factor <= _FIELD_MM[1]:
                node.SetFieldOfView(width / factor, height / factor, depth)

    def pan(self, view: str, across: float, down: float) -> None:
        """Move what a view shows by shares of the picture's width and height.

        Args:
            view: name of a slice view, or THREE_D.
            across: share of the width, to the right.
            down: share of the height, downwards.
        """
        across, down = _number(across), _number(down)
        if view == THREE_D:
            self._views.pan_3d(across, down)
        elif view in LABELS:
            node = views.slice_node(view)
            x, y, z = node.GetXYZOrigin()
            width, height, _ = node.GetFieldOfView()
            node.SetXYZOrigin(x - across * width, y + down * height, z)

    def turn(self, across: float, down: float) -> None:
        """Turn the 3D view by shares of half a turn.

        Args:
            across: of a drag to the right.
            down: of a drag downwards.
        """
        self._views.turn_3d(-180 * _number(across), 180 * _number(down))

    def point(self, view: str, across: float, down: float) -> None:
        """Let the other slice views pass through a place of a view's picture.

        Args:
            view: name of a slice view.
            across: share of the picture's width, from the left.
            down: share of its height, from the top.
        """
        if view not in LABELS:
            return
        centre = place(views.slice_node(view), _number(across), _number(down))
        for name in LABELS:
            if name != view:
                views.slice_node(name).JumpSliceByOffsetting(*centre)

    def window(self, view: str, wider: float, brighter: float) -> None:
        """Change window and level of what a view shows by shares of the window.

        Grey volumes that lie over each other change together.

        Args:
            view: name of a slice view.
            wider: the window's width grows by the factor e to this.
            brighter: share of the window's width by which the level falls.
        """
        wider, brighter = _number(wider), _number(brighter)
        for node in _together(view):
            display = node.GetDisplayNode()
            width, level = display.GetWindow(), display.GetLevel()
            display.SetAutoWindowLevel(False)
            display.SetWindowLevel(max(width * math.exp(wider), 1e-6), level - brighter * width)

    def window_again(self, view: str) -> None:
        """Window and level of what a view shows as its values suggest."""
        for node in _together(view):
            if not role(node):
                node.GetDisplayNode().SetAutoWindowLevel(True)
            else:
                low, high = node.GetImageData().GetScalarRange()
                node.GetDisplayNode().SetWindowLevelMinMax(min(low, 0.0), high)


def _together(view: str) -> list:
    """The volume on top in a view, and those under it that are in the same units."""
    top = shown(view) if view in LABELS else None
    if top is None or top.GetDisplayNode() is None:
        return []
    below = [
        each
        for each in views.shown_volumes(view)
        if each is not top and not (unit_of(role(each)) or unit_of(role(top)))
    ]
    return [top, *(each for each in below if each.GetDisplayNode() is not None)]


def _number(value: object, otherwise: float = 0.0) -> float:
    """A number of a page, no larger than anybody means."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return otherwise
    return float(np.clip(value, -_FAR, _FAR))
