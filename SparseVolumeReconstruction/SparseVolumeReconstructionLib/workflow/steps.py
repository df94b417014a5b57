"""From no slices on: what is known after every slice, computed once and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..mrml.i18n import _
from ..mrml.logic import Context, ReconstructionInputs
from ..mrml.nodes import volume_of
from ..mrml.results import ResultNodes, remove_result
from .runner import Runner

SPACING_MM = 3.0


@dataclass(frozen=True)
class Step:
    """What is known from the first `count` slices.

    Attributes:
        uncertainty: mean sd, change: root mean square to the step before, image units.
    """

    count: int
    result: ResultNodes
    uncertainty: float
    change: float | None


class Steps:
    """Results of ever more slices on one grid in one place.

    Args:
        runner: computes them.
        prior: id of the model.
        device: as a request takes it.
        found: frame, intensity map and covariate, as inputs take them.
        name: begins the results' names.
    """

    def __init__(self, runner: Runner, prior: str, device: str, found: dict, name: str):
        self._runner, self._prior, self._device, self._found, self._name = runner, prior, device, found, name
        self._made: list[Step] = []

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, number: int) -> Step:
        return self._made[number]

    def make(self, contexts: tuple[Context, ...], on_made: Callable[[Step], None]) -> None:
        """Compute the next step from all its slices.

        Args:
            contexts: those of the steps before among them.
            on_made: called with the step, unless it was stopped meanwhile.

        Raises:
            InputError: while something runs, or where the slices cannot be used.
        """
        inputs = ReconstructionInputs(
            self._prior,
            contexts,
            like=self._made[0].result.mean if self._made else None,
            spacing_mm=None if self._made else SPACING_MM,
            outputs=("mean", "std"),
            device=self._device,
            fast=True,
            name=f"{self._name} {len(contexts)}",
            **self._found,
        )
        made = self._made  # not self: what was stopped meanwhile takes nothing

        def done(result: ResultNodes) -> None:
            if made is not self._made:
                remove_result(result)
                return
            made.append(_step(made, len(contexts), result))
            on_made(made[-1])

        n = len(contexts)
        what = (
            _("the anatomy without any slice")
            if n == 0
            else _("what {n} slices tell").format(n=n)
            if n > 1
            else _("what one slice tells")
        )
        self._runner.run(inputs, done, what)

    def clear(self, keep=None) -> None:
        """Take the steps out of the scene, but for a node that goes already."""
        made, self._made = self._made, []
        for step in made:
            if keep is None or step.result.mean is not keep:
                remove_result(step.result)


def _step(before: list[Step], count: int, result: ResultNodes) -> Step:
    mean, deviation = volume_of(result.mean).array, volume_of(result.std).array
    first = before[0].result if before else result
    inside = volume_of(first.std).array > 0
    change = None
    if before:
        change = float(np.sqrt(np.mean((mean - volume_of(before[-1].result.mean).array)[inside] ** 2)))
    return Step(count, result, float(deviation[inside].mean()) if inside.any() else 0.0, change)
