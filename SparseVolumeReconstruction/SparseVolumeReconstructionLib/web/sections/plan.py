"""The part of a lesson in which slices are planned: lines on three scouts, what was scanned, the score."""

from __future__ import annotations

import math

from ...geometry import InputError
from ...mrml import views
from ...mrml.nodes import volume_of
from ...workflow.plan_run import SCOUTS, PlanRun
from ...workflow.slice_quiz import picture_grid, picture_of
from .lesson_pictures import picture_address
from .section import Action, Section


class PlanSection(Section):
    """A student's plan; without one nothing is shown."""

    NAME = "plan"

    def __init__(self, app):
        super().__init__(app)
        self._shown: PlanRun | None = None
        app.server.state.plan_scouts = []
        app.server.state.plan_slices = []

    def actions(self) -> dict[str, Action]:
        """Choose, drag, shift and tilt the plane; scan it; hear how good the plan was."""
        return {
            "put": lambda orientation: self._planning().put(str(orientation)),
            "drag": self._drag,
            "nudge": self._nudge,
            "tilt": lambda scout, degrees: self._planning().tilt(_scout(scout), *_numbers(degrees)),
            "scan": lambda: self._planning().scan(),
            "judge": lambda: self._planning().judge(),
        }

    def state(self) -> dict:
        """Lines and words; the pictures, which are large, have variables of their own."""
        plan = self.app.sections["teach"].planning if "teach" in self.app.sections else None
        self._show_pictures(plan)
        if plan is None:
            return {"on": False}
        score = plan.score
        return {
            "on": True,
            "words": plan.words(),
            "count": plan.step.count,
            "number": len(plan.scanned),
            "left": plan.left,
            "thickness": f"{plan.step.thickness_mm:g}",
            "scouts": [
                {"name": name, "view": view, "line": scout.line(plan.plane), "names": plan.names(n)}
                for n, ((name, view), scout) in enumerate(zip(SCOUTS, plan.scouts, strict=True))
            ],
            "score": None
            if score is None
            else {
                "percent": round(100 * score.taken / max(score.best_taken, 1e-4)),
                "taken": f"{100 * score.taken:.1f}",
                "best": f"{100 * score.best_taken:.1f}",
                "planes": [each.words() for each in score.best],
            },
        }

    def close(self) -> None:
        """Let go of the plan."""
        self._show_pictures(None)

    def _show_pictures(self, plan: PlanRun | None) -> None:
        state = self.app.server.state
        if plan is not self._shown:
            self._shown = plan
            state.plan_scouts = [picture_address(each.picture) for each in plan.scouts] if plan else []
            state.plan_slices = []
        if plan is not None and len(plan.scanned) != len(state.plan_slices):
            state.plan_slices = [_picture(node) for _plane, node in plan.scanned]

    def _planning(self) -> PlanRun:
        plan = self.app.sections["teach"].planning
        if plan is None:
            raise InputError("nothing is planned now.")
        return plan

    def _drag(self, scout, turn, *places) -> None:
        x, y, to_x, to_y = _numbers(*places)
        self._planning().drag(_scout(scout), bool(turn), (x, y), (to_x, to_y))

    def _nudge(self, scout, across_mm, down_mm) -> None:
        self._planning().nudge(_scout(scout), *_numbers(across_mm, down_mm))


def _picture(node) -> str:
    """A slice that was scanned, as the view that stands nearest to it would show it."""
    grid = volume_of(node).grid
    plane = grid.ijk_to_ras.copy()
    plane[:3, :3] /= grid.spacing_ijk
    plane[:3, 3] = grid.corners_ras().mean(0)
    view = views.plane_of(views.slice_node(views.nearest_view(plane[:3, 2])))
    return picture_address(picture_of(node, picture_grid(view, plane)))


def _scout(number) -> int:
    if not isinstance(number, int) or not 0 <= number < len(SCOUTS):
        raise InputError("that scout is not there.")
    return number


def _numbers(*values) -> list[float]:
    """Numbers from a page, of which none moves anything further than a head."""
    if len(values) not in (1, 2, 4) or not all(
        isinstance(each, (int, float)) and math.isfinite(each) and abs(each) <= 360 for each in values
    ):
        raise InputError("a plane is moved by some millimetres, or turned by some degrees.")
    return [float(each) for each in values]
