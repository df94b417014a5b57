"""The sections of the tools: what each is made of, its options, its button; one template draws them all."""

from __future__ import annotations

import slicer

from ...geometry import InputError
from ...mrml.placed import BANDS
from ...workflow.tool_use import ToolUse
from ...workflow.tools import Field
from .section import Action, Section, option


class ToolSection(Section):
    """All tools, and the slices of the chosen result where that is a merge."""

    NAME = "tools"

    def actions(self) -> dict[str, Action]:
        """Choose inputs and options, start, cancel; look at slices, switch them off."""
        merged = self.presenter.merged
        return {
            "add": lambda name, node: self._use(name).add(slicer.mrmlScene.GetNodeByID(str(node))),
            "remove": lambda name, row: self._use(name).remove(int(row)),
            "field": lambda name, row, field, value: self._use(name).set_field(int(row), field, value),
            "option": self._set_option,
            "masks": lambda name: self._use(name).find_masks(),
            "go": lambda name: self._use(name).start_or_cancel(),
            "draw": lambda on: merged.draw(bool(on)),
            "slice": lambda row: merged.choose(int(row)),
            "switch": lambda row, on: merged.switch(int(row), bool(on)),
        }

    def state(self) -> dict:
        """What every tool shows."""
        merged = self.presenter.merged
        return {
            "all": [self._shown(use) for use in self.presenter.tools.values()],
            "slices": [{**vars(row), "colour": _hex(BANDS[row.band][1])} for row in merged.rows()],
            "chosen": merged.chosen,
            "drawn": merged.drawn,
        }

    def _set_option(self, name: object, field: object, value: object) -> None:
        """Files are those of this machine: a visitor chooses none."""
        use = self._use(name)
        if any(each.name == field and each.kind == "file" for each in use.tool.options):
            raise InputError("a file of the server cannot be chosen from a page.")
        use.set_option(str(field), value)

    def _use(self, name: object) -> ToolUse:
        use = self.presenter.tools.get(str(name))
        if use is None:
            raise InputError("there is no such tool.")
        return use

    def _shown(self, use: ToolUse) -> dict:
        tool = use.tool
        options = [
            self._field(field, use.values[field.name]) for field in tool.options if field.kind != "file"
        ]
        if len(options) < len(tool.options):  # nor is "from a file" to be chosen
            for each in options:
                each["menu"] = [one for one in each["menu"] if one["value"]]
        return {
            "name": tool.name,
            "title": tool.title,
            "line": tool.line,
            "input": tool.input,
            "go": use.button(),
            "running": use.running,
            "why": use.reason() or "",
            "offered": [option(node.GetID(), node.GetName()) for node in use.offered()],
            "labels": [field.label for field in tool.fields],
            "inputs": [
                {
                    "name": each.node.GetName(),
                    "fields": [self._field(field, each.values[field.name]) for field in tool.fields],
                }
                for each in use.inputs
            ],
            "options": options,
            "note": use.note(),
            "slices": tool.has_slices,
            "masked": tool.masked_for is not None,
        }

    def _field(self, field: Field, value: object) -> dict:
        menu = [option(key, text) for key, text in field.menu(self.presenter)]
        same = ("name", "label", "tip", "kind", "low", "high", "step")
        return {
            **{name: getattr(field, name) for name in same},
            "empty": field.at_low,
            "menu": menu,
            "value": "" if field.at_low and value == field.low else value,
        }


def _hex(colour: tuple[float, ...]) -> str:
    return "#" + "".join(f"{int(255 * part):02x}" for part in colour)
