"""The part of the panel that scrolls, above a footer that does not."""

from __future__ import annotations

import qt

_MIN_HEIGHT = 150
_SETTLING_MS = 300  # after which a change of heights is no longer what was revealed


class Scrolled:
    """A scroll area that is as wide as its contents and takes what height there is.

    The application shows a module in a scroll area of its own. That one need not scroll, because this one
    asks for little height: so what stands below it stays in sight.
    """

    def __init__(self):
        self.area = qt.QScrollArea()
        self.area.widgetResizable = True
        self.area.setFrameShape(qt.QFrame.NoFrame)
        self.area.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
        self.area.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Ignored)
        self.area.setMinimumHeight(_MIN_HEIGHT)
        contents = qt.QWidget()
        self._column = qt.QVBoxLayout(contents)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addStretch(1)
        self.area.setWidget(contents)
        self._wanted = None
        self._soon, self._settled = qt.QTimer(self.area), qt.QTimer(self.area)
        for timer, then in ((self._soon, self._scroll), (self._settled, self._settle)):
            timer.setSingleShot(True)
            timer.connect("timeout()", then)
        self.area.verticalScrollBar().connect("rangeChanged(int,int)", self._range_changed)

    def add(self, widget) -> None:
        """Put a widget below the others."""
        self._column.insertWidget(self._column.count() - 1, widget)

    def fit_width(self) -> None:
        """Be as wide as the contents need, in every language and font.

        Nothing is cut off, nothing scrolls sideways.
        """
        bar = self.area.style().pixelMetric(qt.QStyle.PM_ScrollBarExtent)
        self.area.setMinimumWidth(self._column.minimumSize().width() + bar)

    def reveal(self, widget) -> None:
        """Scroll to a widget, once everything has its place; for None nothing happens."""
        if widget is not None:
            self._wanted = widget
            self._soon.start(0)

    def close(self) -> None:
        """Stop the timers."""
        self._soon.stop()
        self._settled.stop()

    def _scroll(self) -> None:
        self.area.ensureWidgetVisible(self._wanted, 0, 0)
        self._settled.start(_SETTLING_MS)

    def _settle(self) -> None:
        self._wanted = None

    def _range_changed(self, _low: int, _high: int) -> None:
        if self._wanted is not None:  # the footer, or a text above, has grown since
            self._settled.start(_SETTLING_MS)
            self._soon.start(0)
