"""The mental map, for teaching.

From no slices to all of them, one after the other, and how mean and uncertainty change.
"""

from __future__ import annotations

from ..geometry import InputError
from ..mrml.i18n import _
from ..mrml.results import ResultNodes, remove_result
from .presenter import Presenter
from .snapshot import Snapshot
from .steps import SPACING_MM, Step, Steps

_NAME = "Mental map"


class MentalMap:
    """Steps through the contexts that are used, in their order.

    Steps that were made once are shown again at once.

    The frame is found once, from all slices that are used at the start, so that all steps lie on one grid in
    one place. The end gives every slice its own state of use back.
    """

    def __init__(self, presenter: Presenter):
        self._presenter = presenter
        self._steps: Steps | None = None
        self._used: list[str] = []
        self._before: Snapshot | None = None
        self.position = -1

    @property
    def running(self) -> bool:
        """Whether there are steps to go through."""
        return bool(self._steps)

    @property
    def steps(self) -> list[Step]:
        """The steps that were made, from no slices on."""
        return list(self._steps or ())

    def start(self) -> None:
        """Find the frame from all slices that are used, then show the prior's anatomy there.

        Raises InputError as `apply` does.
        """
        presenter = self._presenter
        self.stop()
        if reason := presenter.reason():
            raise InputError(reason)
        used = [context.node.GetID() for context in presenter.contexts.enabled()]
        if not used:
            raise InputError(
                _(
                    "take some slices first: they show where the patient lies; then the map starts from none "
                    "of them."
                )
            )
        wanted = presenter.inputs(
            outputs=("mean",), samples=0, fast=True, like=None, spacing_mm=SPACING_MM, name=_NAME
        )
        before = Snapshot(presenter)

        def placed(result: ResultNodes) -> None:
            if self._used is used:  # else it was stopped meanwhile
                self._before = before
                presenter.parameters.live = False
                self._steps = Steps(presenter.runner, wanted.prior, wanted.device, result.found, _NAME)
                self._make(0)
            remove_result(result)

        presenter.runner.run(wanted, placed, _("finding where the patient lies"))
        self._used = used

    def forward(self) -> None:
        """Show what one more slice tells.

        Raises:
            InputError: where there is none more, or while something runs.
        """
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
        """Forget the steps; every slice is used or not as it was before the start."""
        self._end()

    def forget_removed(self, node) -> None:
        """End the map where a slice or a step of it was taken out of the scene."""
        if node.GetID() in self._used or any(node is step.result.mean for step in self.steps):
            self._end(node)

    def _end(self, gone=None) -> None:
        steps, self._steps, self._used, self.position = self._steps, None, [], -1
        before, self._before = self._before, None
        if steps is not None:
            steps.clear(keep=gone)
        if before is not None:
            before.restore_choices()

    def _make(self, count: int) -> None:
        """Compute the step of the first `count` slices."""
        chosen = {context.node.GetID(): context.asked() for context in self._presenter.contexts}
        contexts = tuple(chosen[identity] for identity in self._used[:count])
        self._steps.make(contexts, lambda step: self.show(step.count))

    def show(self, position: int) -> None:
        """Show a step that was made: its result, and its slices as the ones in use."""
        presenter = self._presenter
        self.position = position
        for context in presenter.contexts:
            used = context.node.GetID() in self._used[:position]
            if context.enabled != used and context.node.GetID() in self._used:
                presenter.contexts.edit(
                    context, lambda each, used=used: each.set_enabled(used), undoable=False
                )
        presenter.parameters.showAtlas = False
        presenter.parameters.result = self._steps[position].result.main

    def _take_new(self) -> None:
        """Slices that were taken, or ticked, after the start come last."""
        for context in self._presenter.contexts:
            identity = context.node.GetID()
            if context.enabled and identity not in self._used:
                self._used.append(identity)
                self._before.note(identity, True)
