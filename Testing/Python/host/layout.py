"""What a person sees of a panel: sizes of the window, and whether anything is cut off or out of sight."""

from __future__ import annotations

import itertools

from PySide6 import QtWidgets

from .window import NARROWEST, PANEL_WIDTH

# Name: size of the window and width of the dock that is asked for, in pixels.
SCREENS = {
    "1600x1000": ((1600, 1000), PANEL_WIDTH),
    "1280x720": ((1280, 720), PANEL_WIDTH),
    "narrow": ((1280, 720), NARROWEST),
}
NARROW = 420  # pixels of width in which the panel has to do
ENDINGS = ("Button", "Box", "Edit", "Label", "Selector", "Slider", "Table", "Browser", "Bar", "Frame", "Note")


def shown(root) -> list:
    """All visible widgets below a widget."""
    return [child for child in root.findChildren(QtWidgets.QWidget) if child.isVisible()]


def in_sight(widget) -> bool:
    """Whether nothing of a widget is scrolled or cut away."""
    return widget.isVisible() and widget.visibleRegion().boundingRect() == widget.rect


def set_screen(host, screen: str) -> int:
    """The window at the size of a screen of the pictures; returns the width of the panel."""
    size, width = SCREENS[screen]
    host.window.resize(*size)
    host.process(0.05)
    return host.window.set_panel_width(width)


def check_nothing_is_cut_off(panel) -> None:
    """Every widget has the room that it needs, and none lies over another."""
    small = [
        f"{w.objectName}: {w.width} x {w.height} of {w.minimumSizeHint().width()} x "
        f"{w.minimumSizeHint().height()}"
        for w in shown(panel._root)
        if w.objectName.endswith(ENDINGS)
        and (w.width < w.minimumSizeHint().width() or w.height < w.minimumSizeHint().height())
    ]
    assert small == []
    outside = [
        w.objectName
        for w in shown(panel._scrolled.area)
        if w.mapTo(panel._root, w.rect.topRight()).x() > panel._root.width
    ]
    assert outside == []
    overlapping = [
        f"{a.objectName} and {b.objectName}"
        for section in panel.sections
        for parent in [section.widget, *shown(section.widget)]
        for a, b in itertools.combinations(
            [c for c in shown(parent) if c.parentWidget() is parent and c.objectName.endswith(ENDINGS)], 2
        )
        if a.geometry.intersects(b.geometry)
    ]
    assert overlapping == []
