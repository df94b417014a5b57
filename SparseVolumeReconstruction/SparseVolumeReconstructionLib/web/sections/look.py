"""The four views as the page shows them: sliders, what is written over the pictures, and what lies in 3D."""

from __future__ import annotations

import math

from ...mrml import views
from ..hatch import Hatch
from ..moves import Moves
from ..overlay import crossings, legend, letters, meeting, role, scale, shown
from ..surface import Surface
from ..views import COLOURS, LABELS
from .section import Action, Section

_SAME_MM = 1e-3
_DIGITS = 4
_WORDS = {
    "mean": "mean",
    "std": "uncertainty",
    "current": "sample",
    "csf": "fluid",
    "gm": "grey matter",
    "wm": "white matter",
    "csf_std": "fluid (sd)",
    "gm_std": "grey matter (sd)",
    "wm_std": "white matter (sd)",
    "atlas": "atlas",
    "template": "template",
    "surprise": "surprise",
}


class LookSection(Section):
    """Sliders move the slice views; the page's variable offset_<view> is the offset in mm."""

    NAME = "look"

    def __init__(self, app):
        super().__init__(app)
        moves = Moves(app.views)
        self._surface, self._hatch = Surface(self._changed), Hatch(self._changed)
        for name in LABELS:
            app.server.state[f"offset_{name}"] = 0.0
            app.server.state.change(f"offset_{name}")(self._mover(name))
            app.views.slice_view(name).modified.connect(self._changed)
        for move in (
            moves.scroll,
            moves.zoom,
            moves.pan,
            moves.turn,
            moves.point,
            moves.window,
            moves.window_again,
        ):
            app.server.trigger(f"look_{move.__name__}")(self._then_changed(move))

    def actions(self) -> dict[str, Action]:
        """Show the planes of the slice views, or the surface of the result, in 3D, or not.

        Let all views show the whole.
        """
        return {
            "planes": self._toggle_planes,
            "surface": self._surface.toggle,
            "hatch": self._toggle_hatch,
            "fit": self.app.views.fit,
        }

    def close(self) -> None:
        """Take the surface and the hatching out of the scene."""
        for each in (self._surface, self._hatch):
            each.on = False
            each.close()

    def state(self) -> dict:
        """Range of every slice view in mm and what is written over it.

        Offsets and planes are brought up to date on the way.
        """
        self.app.views.show_planes()
        result = self.presenter.explorer.result
        mean = result.mean if result is not None else None
        self._surface.follow(mean, result.std if mean is not None else None)
        self._hatch.follow(mean, result.observed if mean is not None else None)
        self._hatch.draw()
        also = {
            "planes": self.app.views.planes,
            "surface": self._surface.on,
            "hatch": self._hatch.on,
            "has_mean": mean is not None,
        }
        return {"views": [self._view(name) for name in LABELS], **also}

    def _view(self, name: str) -> dict:
        view, node = self.app.views.slice_view(name), views.slice_node(name)
        limits = slider(*view.get_slice_range(), view.get_slice_value(), view.get_slice_step())
        if abs(self.app.server.state[f"offset_{name}"] - limits["value"]) > _SAME_MM:
            self.app.server.state[f"offset_{name}"] = limits["value"]
        generated = views.generated_in(name)
        lines = crossings(node, [views.slice_node(other) for other in LABELS if other != name])
        return {
            "name": name,
            "label": LABELS[name],
            "colour": COLOURS[name],
            **limits,
            "letters": letters(views.plane_of(node)) if shown(name) is not None else None,
            "scale": scale(node.GetFieldOfView()[0]),
            "lines": lines,
            "meeting": meeting(lines),
            "inferred": _WORDS.get(role(generated), role(generated)),
            "legend": legend(generated),
        }

    def _changed(self, *_args) -> None:
        self.app.schedule_section(self.NAME)

    def _then_changed(self, move):
        """A movement is no request: it puts no message away, and draws no other section anew."""

        def moved(*arguments) -> None:
            move(*arguments)
            self._changed()

        return moved

    def _mover(self, name: str):
        def move(**changed) -> None:
            value = changed[f"offset_{name}"]
            view = self.app.views.slice_view(name)
            if (
                isinstance(value, int | float)
                and math.isfinite(value)
                and abs(value - view.get_slice_value()) > _SAME_MM
            ):
                view.set_slice_value(float(value))

        return move

    def _toggle_hatch(self) -> None:
        self._hatch.toggle()
        self.presenter.explorer.show()  # without the lines, what was marked before

    def _toggle_planes(self) -> None:
        self.app.views.planes = not self.app.views.planes
        self.app.schedule()


def slider(low: float, high: float, value: float, step: float) -> dict[str, float]:
    """Limits of a slider, mm, of which `value` is one of the steps.

    A browser moves the thumb to the nearest step otherwise.

    Args:
        low: drawn in to the outermost step.
        high: likewise.
        value: becomes a limit where it is beyond them.
        step: mm, at least 0.1.
    """
    step = round(max(step, 0.1), _DIGITS)
    below, above = (
        max(math.floor((value - low) / step + 1e-6), 0),
        max(math.floor((high - value) / step + 1e-6), 0),
    )
    lowest = round(value - below * step, _DIGITS)
    count = below + above
    return {
        "low": lowest,
        "high": round(lowest + count * step, _DIGITS),
        "step": step,
        "value": round(lowest + below * step, _DIGITS),
    }
