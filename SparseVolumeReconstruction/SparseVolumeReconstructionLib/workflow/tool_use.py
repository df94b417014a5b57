"""What a user has chosen for a tool, whether it can run, and its run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import slicer.util

from ..geometry import InputError
from ..mrml import views
from ..mrml.i18n import _
from ..mrml.results import ResultNodes
from ..mrml.tool_choices import ToolChoices
from ..worker import Job
from .requirements import why_missing
from .tools import Field, Tool

if TYPE_CHECKING:
    from .presenter import Presenter


@dataclass
class ToolInput:
    """A volume node that was chosen, with the values of the tool's fields."""

    node: Any
    values: dict[str, Any] = field(default_factory=dict)


class ToolUse:
    """One tool in the hands of a user; what is chosen is kept in the scene.

    Attributes:
        tool: what it is.
    """

    def __init__(self, tool: Tool, presenter: Presenter, on_change: Callable[[], None]):
        self.tool, self.presenter, self._on_change = tool, presenter, on_change
        self._chosen = ToolChoices(tool.name)
        self._job: Job | None = None

    @property
    def values(self) -> dict[str, Any]:
        """Of the options."""
        return _known(self.tool.defaults, self._chosen.options)

    @property
    def inputs(self) -> list[ToolInput]:
        """What was chosen and is still in the scene."""
        blank = {each.name: each.default for each in self.tool.fields}
        return [ToolInput(node, _known(blank, values)) for node, values in self._chosen.inputs]

    def _keep(self, inputs: list[ToolInput]) -> None:
        self._chosen.keep_inputs([(each.node, each.values) for each in inputs])
        self._on_change()

    def forget(self) -> None:
        """Let nothing be chosen."""
        self._chosen.forget()

    @property
    def running(self) -> bool:
        """Whether it is this tool that runs now."""
        return self._job is not None and not self._job.done()

    def offered(self) -> list:
        """The volume nodes that can be added."""
        chosen = [each.node for each in self.inputs]
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [node for node in volumes if node not in chosen and self.tool.takes(node)]

    def add(self, node) -> None:
        """Choose one more volume node. Raises InputError where it cannot be."""
        if node is None:
            raise InputError(_("choose a volume first."))
        if node in [each.node for each in self.inputs]:
            raise InputError(_("{name} is in the list already.").format(name=node.GetName()))
        if not self.tool.takes(node):
            raise InputError(_("{name} cannot be used here; choose another.").format(name=node.GetName()))
        if len(self.inputs) >= self.tool.most:
            raise InputError(_("there are {n} already; more are not taken.").format(n=self.tool.most))
        self._keep([*self.inputs, ToolInput(node, self.tool.guess(node))])

    def remove(self, number: int) -> None:
        """Take one out of the list. Raises InputError without it."""
        inputs = self.inputs
        inputs.remove(_at(inputs, number))
        self._keep(inputs)

    def set_field(self, number: int, name: str, value: object) -> None:
        """Choose a value of a field of an input. Raises InputError for what it cannot be."""
        inputs = self.inputs
        _at(inputs, number).values[name] = self._checked(self.tool.fields, name, value)
        self._keep(inputs)

    def set_option(self, name: str, value: object) -> None:
        """Choose a value of an option. Raises InputError for what it cannot be."""
        self._chosen.keep_options(self.values | {name: self._checked(self.tool.options, name, value)})
        self._on_change()

    def reason(self) -> str | None:
        """Why it cannot run now; None when it can."""
        if missing := why_missing():
            return missing
        if not self.inputs:
            return _("Choose a volume above and press Add.")
        if self.presenter.runner.running:
            return _("Something runs already; cancel it first, or wait until it is done.")
        return None

    def note(self) -> str:
        """What is to be known of the model that is chosen; "" without one."""
        return self.tool.note(self)

    def button(self) -> str:
        """What its button says."""
        if self.running:
            return _("Cancel")
        without = self.presenter.merged.without
        off = sum(len(without(each.node)) for each in self.inputs) if self.tool.has_slices else 0
        if not off:
            return self.tool.go
        words = _("{go} without 1 slice") if off == 1 else _("{go} without {n} slices")
        return words.format(go=self.tool.go, n=off)

    def start(self) -> None:
        """Begin to make it, as a job like any other; what comes of it is looked at. Raises InputError."""
        if why := self.reason():
            raise InputError(why)
        of_inputs = [(self.tool.fields, each.values) for each in self.inputs]
        for fields, values in [(self.tool.options, self.values), *of_inputs]:
            for name, value in values.items():
                self._checked(fields, name, value)  # a mask that was chosen may be gone
        making = self.tool.making(self)
        name = f"{making.name} {time.strftime('%H:%M:%S')}"
        chosen = replace(making, name=name, device=self.presenter.parameters.device.value)
        self._job = self.presenter.runner.make(chosen, self._take, self.tool.runs)
        self._on_change()

    def start_or_cancel(self) -> None:
        """What its button does: start it, or stop it where it runs. Raises InputError."""
        if self.running:
            self.presenter.runner.cancel()
        else:
            self.start()

    def find_masks(self) -> None:
        """Look for one brain in all inputs, which are of one visit; what is found becomes the mask of each.

        Raises InputError.
        """
        if self.tool.masked_for is None:
            raise InputError(_("no masks are used here."))
        if why := self.reason():
            raise InputError(why)
        stacks = [each.node for each in self.inputs]

        def take(masks: list) -> None:
            inputs = self.inputs
            for each in inputs:
                if each.node in stacks:
                    each.values["mask"] = masks[stacks.index(each.node)].GetID()
            self._keep(inputs)

        self.presenter.runner.find_masks(stacks, self.tool.masked_for(self), take)

    def _take(self, result: ResultNodes) -> None:
        """Show the result over what it was made of; alone where that lies elsewhere."""
        ours = [each.node for each in self.inputs]
        if not self.tool.in_place:
            views.set_background(result.main)
        elif ours and not any(node in ours for node in views.shown_volumes("Red")):
            views.set_background(ours[0])
        self.presenter.show_result(result)
        if not self.tool.in_place:
            views.centre(result.main)

    def _checked(self, fields: tuple[Field, ...], name: str, value: object) -> Any:
        one = next((each for each in fields if each.name == name), None)
        if one is None:
            raise InputError(_('"{name}" is nothing to choose here.').format(name=str(name)[:40]))
        if one.kind == "choice":
            if value not in [key for key, _text in one.menu(self.presenter)]:
                raise InputError(_("{label}: what was chosen is gone; choose again.").format(label=one.label))
            return value
        if one.kind == "file":
            return str(value)
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise InputError(_("{label}: that is no number.").format(label=one.label))
        return round(min(max(number, one.low), one.high), one.decimals)


def _at(inputs: list[ToolInput], number: int) -> ToolInput:
    if not 0 <= number < len(inputs):
        raise InputError(_("that is not in the list any more; add it again."))
    return inputs[number]


def _known(defaults: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """What was chosen, else the defaults; a scene may have been saved with fields that are no more."""
    return {name: chosen.get(name, default) for name, default in defaults.items()}
