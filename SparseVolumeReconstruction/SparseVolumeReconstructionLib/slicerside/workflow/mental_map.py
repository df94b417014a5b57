"""The mental map, for teaching: from no slices to all of them, one after the other, and how mean and uncertainty change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...geometry import InputError
from ..i18n import _
from ..nodes import volume_of
from ..results import ResultNodes, remove_result
from .presenter import Presenter

SPACING_MM = 3.0
_NAME = "Mental map"


@dataclass(frozen=True)
class Step:
    """What is known from the first `count` slices. uncertainty: mean sd, change: root mean square to the step before, image units."""

    count: int
    result: ResultNodes
    uncertainty: float
    change: float | None


class MentalMap:
    """Steps through the contexts of the scene in their order; steps that were made once are shown again at once.

    The frame is found once, from all slices that are there at the start, so that all steps lie on one grid in one place.
    """

    def __init__(self, presenter: Presenter):
        self._presenter = presenter
        self._steps: list[Step] = []
        self._found: dict = {}
        self._used: list[str] = []
        self.position = -1

    @property
    def running(self) -> bool:
        """Whether the map was started."""
        return bool(self._used) or bool(self._steps)

    @property
    def steps(self) -> list[Step]:
        """The steps that were made, from no slices on."""
        return list(self._steps)

    def start(self) -> None:
        """Find the frame from all slices that are used, then show the prior's anatomy there. Raises InputError as `apply` does."""
        presenter = self._presenter
        if reason := presenter.reason():
            raise InputError(reason)
        self.stop()
        contexts = presenter.contexts.enabled()
        if not contexts:
            raise InputError(_("take some slices first: they show where the patient lies; then the map starts from none of them."))
        presenter.parameters.live = False
        self._used = [context.node.GetID() for context in contexts]
        wanted = presenter.inputs(outputs=("mean",), samples=0, fast=True, like=None, spacing_mm=SPACING_MM, name=_NAME)
        presenter.runner.run(wanted, self._placed, _("finding where the patient lies"))

    def forward(self) -> None:
        """Show what one more slice tells. Raises InputError where there is none more, or while something runs."""
        if not self.running:
            raise InputError(_("start the map first."))
        if self.position + 1 < len(self._steps):
            self.show(self.position + 1)
            return
        self._take_new()
        if self.position >= len(self._used):
            raise InputError(_("all slices are in use; take another one from a view."))
        self._make(self.position + 1)

    def back(self) -> None:
        """Show what one slice less tells."""
        if self.position > 0:
            self.show(self.position - 1)

    def stop(self) -> None:
        """Forget the steps and use all slices again."""
        for step in self._steps:
            remove_result(step.result)
        self._steps, self._used, self._found, self.position = [], [], {}, -1
        for context in self._presenter.contexts:
            if not context.enabled:
                self._presenter.contexts.edit(context, lambda each: each.set_enabled(True))

    def forget_removed(self, node) -> None:
        """End the map where a slice or a step of it was taken out of the scene."""
        if node.GetID() in self._used or any(node is step.result.mean for step in self._steps):
            steps, self._steps, self._used, self.position = self._steps, [], [], -1
            for step in steps:
                if step.result.mean is not node:
                    remove_result(step.result)

    def _placed(self, result: ResultNodes) -> None:
        self._found = result.found
        remove_result(result)
        self._make(0)

    def _make(self, count: int) -> None:
        """Compute the step of the first `count` slices."""
        presenter = self._presenter
        chosen = [context for context in presenter.contexts if context.node.GetID() in self._used[:count]]
        wanted = {
            "contexts": tuple(context.asked() for context in chosen),
            "like": self._steps[0].result.mean if self._steps else None,
            "spacing_mm": None if self._steps else SPACING_MM,
            "outputs": ("mean", "std"),
            "fast": True,
            "samples": 0,
            "name": f"{_NAME} {count}",
        }
        what = _("the anatomy without any slice") if count == 0 else _("what {n} slices tell").format(n=count)
        presenter.runner.run(presenter.inputs(**wanted, **self._found), self._made, what)

    def _made(self, result: ResultNodes) -> None:
        mean, deviation = volume_of(result.mean).array, volume_of(result.std).array
        inside = deviation > 0 if not self._steps else volume_of(self._steps[0].result.std).array > 0
        change = None
        if self._steps:
            before = volume_of(self._steps[-1].result.mean).array
            change = float(np.sqrt(np.mean((mean - before)[inside] ** 2)))
        self._steps.append(Step(len(self._steps), result, float(deviation[inside].mean()) if inside.any() else 0.0, change))
        self.show(len(self._steps) - 1)

    def show(self, position: int) -> None:
        """Show a step that was made: its result, and its slices as the ones in use."""
        presenter = self._presenter
        self.position = position
        for context in presenter.contexts:
            used = context.node.GetID() in self._used[:position]
            if context.enabled != used and context.node.GetID() in self._used:
                presenter.contexts.edit(context, lambda each, used=used: each.set_enabled(used))
        presenter.parameters.showAtlas = False
        presenter.parameters.result = self._steps[position].result.main

    def _take_new(self) -> None:
        """Slices that were taken after the start come last."""
        self._used += [context.node.GetID() for context in self._presenter.contexts if context.node.GetID() not in self._used]
