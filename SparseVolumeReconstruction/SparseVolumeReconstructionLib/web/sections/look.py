"""The four views as the page shows them: sliders, and what lies in 3D."""

from __future__ import annotations

from ..views import COLOURS, LABELS
from .section import Action, Section

_SAME_MM = 1e-3


class LookSection(Section):
    """Sliders move the slice views; the page's variable offset_<view> is the offset in mm."""

    NAME = "look"

    def __init__(self, desk):
        super().__init__(desk)
        for name in LABELS:
            desk.server.state[f"offset_{name}"] = 0.0
            desk.server.state.change(f"offset_{name}")(self._mover(name))
            desk.views.slice_view(name).modified.connect(lambda *_: desk.schedule_section(self.NAME))

    def actions(self) -> dict[str, Action]:
        """Show the planes of the slice views in 3D, or not; step a view."""
        return {"planes": self._toggle_planes, "fit": self.desk.views.fit}

    def state(self) -> dict:
        """Range of every slice view in mm; offsets and planes are brought up to date on the way."""
        shown = []
        self.desk.views.show_planes()
        for name, label in LABELS.items():
            view = self.desk.views.slice_view(name)
            low, high = view.get_slice_range()
            offset = view.get_slice_value()
            if abs(self.desk.server.state[f"offset_{name}"] - offset) > _SAME_MM:
                self.desk.server.state[f"offset_{name}"] = round(offset, 3)
            limits = {"low": round(low, 2), "high": round(high, 2), "step": round(max(view.get_slice_step(), 0.1), 3)}
            shown.append({"name": name, "label": label, "colour": COLOURS[name], **limits})
        return {"views": shown, "planes": self.desk.views.planes}

    def _mover(self, name: str):
        def move(**changed) -> None:
            value = changed[f"offset_{name}"]
            view = self.desk.views.slice_view(name)
            if isinstance(value, int | float) and abs(value - view.get_slice_value()) > _SAME_MM:
                view.set_slice_value(float(value))

        return move

    def _toggle_planes(self) -> None:
        self.desk.views.planes = not self.desk.views.planes
        self.desk.schedule()
